"""Headers as bytes, and whole answers."""

import asyncio
import re

from hypothesis import given
from hypothesis import strategies as st

from headgate.server.asgi import answer, wire

VALUE = re.compile(rb"[\x20-\x7e]*")


@given(st.dictionaries(st.sampled_from(["x-a", "x-b"]), st.text()))
def test_no_value_ends_its_line(headers):
    """Whatever text a value holds, lone surrogates included, its bytes are printable ASCII."""
    for _, value in wire(headers):
        assert VALUE.fullmatch(value)


def test_ordinary_values_stay_as_they_are():
    """Printable ASCII is not touched, the per cent sign included."""
    assert wire({"a": "gpt-6 100% (x)"}) == [(b"a", b"gpt-6 100% (x)")]


def test_foreign_values_are_percent_encoded():
    """Line ends and other scripts are encoded as UTF-8 in per cent notation."""
    assert wire({"m": "a\r\nb", "n": "é "}) == [(b"m", b"a%0D%0Ab"), (b"n", b"%C3%A9 ")]


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
