"""Compress: a prompt is sent with fewer tokens and says the same.

`compress.py` is the policy; `shorten.py` shortens one text after the other, with what `parts.py` knows of code,
`space.py` of white space, and `minify.py` of JSON.
"""
