"""Work that outlives a request: rows of a file, one after another or many at once, each with its outcome.

`row.py` says what a row and its outcome are, for every lane. Everything here asks the gate; no rule of it is repeated.
"""
