"""Covers providers/transport.py: what a request tells of itself."""

from headgate.providers.transport import Outgoing


def test_a_request_tells_where_it_goes_and_nothing_else():
    """Neither credentials nor what a caller said: whoever reports a failure may show its variables."""
    headers = (("authorization", "Bearer sk-secret"),)
    request = Outgoing("POST", "http://h/v1/chat", headers, b"said in confidence", common=headers)
    assert repr(request) == "Outgoing(POST http://h/v1/chat)"
    assert f"{request} {[request]}".count("secret") == 0
