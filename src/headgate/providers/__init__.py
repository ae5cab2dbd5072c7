"""The last handlers: those who answer.

`provider.py` says what a provider is, `transport.py` how bytes leave the house. `http.py` is the only outbound IO.
`hosted.py` is every provider that speaks a known dialect over a transport; the simulator is a transport that answers
by itself.
"""
