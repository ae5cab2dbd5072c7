"""The memory of the house, behind small protocols.

`records.py` is what is written down, `protocols.py` what a store must be able to do. Each driver (sqlite, redis,
postgres) is imported in exactly one file here and nowhere else.
"""
