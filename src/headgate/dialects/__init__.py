"""Pure translation between what travels on the wire and the words of the house, one file per dialect.

No IO, no clock. Each dialect is read and written here and nowhere else; `dialect.py` says what a dialect must know.
"""
