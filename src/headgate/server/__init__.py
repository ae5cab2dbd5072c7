"""Door 2: the gate over HTTP.

`hot` answers `/v1/*` as raw ASGI, `pages` everything else through FastAPI, `app` puts one before the other, and
`serve` listens. Nothing is imported here: whoever only reads a key needs no web framework.
"""
