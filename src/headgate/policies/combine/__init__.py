"""Combine: small calls that arrive together leave as one.

`combine.py` is the policy; `kinds.py` knows what calls of one operation look like together, `group.py` who waits.
"""
