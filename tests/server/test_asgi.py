"""Headers as bytes, and whole answers."""

import asyncio

from headgate.server.asgi import answer, wire


def test_headers_become_bytes():
    """Names and values as they are, in their order."""
    assert wire({"b": "gpt-6 100% (x)", "a": ""}) == [(b"b", b"gpt-6 100% (x)"), (b"a", b"")]


def _sent(status, body):
    messages = []

    async def send(message) -> None:
        messages.append(message)

    asyncio.run(answer(send, status, {"x": "y"}, body))
    return messages


def test_an_answer_tells_its_length():
    """A whole answer is a head with its length, and one body."""
    start, body = _sent(200, b"four")
    assert start == {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y"), (b"content-length", b"4")]}
    assert body == {"type": "http.response.body", "body": b"four"}


def test_no_content_has_no_length():
    """204 must not have a content-length."""
    start, _ = _sent(204, b"")
    assert start["headers"] == [(b"x", b"y")]
