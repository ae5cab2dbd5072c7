"""The policy: whose words are judged, and what becomes of the call."""

import asyncio

import msgspec
import pytest

from headgate.core.body import Body
from headgate.core.call import Address, Call, Operation, Origin
from headgate.core.errors import BadRequestError, GuardError
from headgate.core.reply import Event, Kind, Reply
from headgate.policies.guard.guard import Guard
from headgate.policies.guard.rules import Chains, Rule

MASK = Rule(kind="words", name="name", words=("anna",), action="mask")
BLOCK = Rule(kind="words", name="bad", words=("bad",))
CALL = Call(
    id="1", operation=Operation.CHAT, model="m", body=Body(b'{"messages": [{"content": "anna"}]}'), started=0,
    day="2027-01-15", user="Anna",
)  # fmt: skip


class Below:
    """What stands below: it answers with some words."""

    def __init__(self, words: str = "hi", *, opaque: bool = False) -> None:
        self.calls: list[Call] = []
        self.closed = 0
        raw = b'{"choices": [{"message": {"content": "%s"}, "finish_reason": "stop"}]}' % words.encode()
        self.events = [Event(kind=Kind.TERMINAL, raw=raw, text=words)]
        if opaque:
            self.events = [
                Event(kind=Kind.CONTENT, raw=words[:2].encode()),
                Event(kind=Kind.CONTENT, raw=words[2:].encode()),
            ]
        self.stream = opaque

    async def close(self) -> None:
        self.closed += 1

    async def __call__(self, call: Call) -> Reply:
        self.calls.append(call)
        return Reply(self.events, close=self.close, stream=self.stream)


def asked(below, call=CALL, *, into=(), out=()):
    """What is answered, and the reply."""

    async def story():
        async with await Guard(Chains({"input": into, "output": out}))(call, below) as reply:
            return [event async for event in reply], reply

    return asyncio.run(story())


def test_what_goes_on_is_masked():
    """The body."""
    below = Below()
    asked(below, into=[MASK])
    assert below.calls[0].body.raw == b'{"messages": [{"content": "[name]"}]}'
    assert below.calls[0].verdicts is CALL.verdicts
    CALL.verdicts.clear()


def test_the_gates_own_calls_pass():
    """They are not a caller's."""
    below = Below()
    call = msgspec.structs.replace(CALL, origin=Origin.INTERNAL)
    asked(below, call, into=[MASK])
    assert below.calls[0] is call


def test_a_whole_answer_is_masked_in_bytes_and_in_words():
    """Both doors show the same."""
    (event,), _ = asked(Below("dear anna"), out=[MASK])
    assert event.text == "dear [name]"
    assert b"dear [name]" in event.raw
    CALL.verdicts.clear()


def test_a_blocked_answer_is_closed():
    """Nothing of it is left open."""
    below = Below("bad")
    with pytest.raises(GuardError):
        asked(below, out=[BLOCK])
    assert below.closed == 1
    CALL.verdicts.clear()


def test_subtitles_are_judged_as_a_whole():
    """Bytes of text that come in pieces."""
    call = msgspec.structs.replace(CALL, operation=Operation.TRANSCRIPTIONS, opaque=True)
    events, reply = asked(Below("anna!", opaque=True), call, out=[MASK])
    assert b"".join(event.raw for event in events) == b"[name]!"
    assert reply.finished
    CALL.verdicts.clear()


@pytest.mark.parametrize(("method", "path", "begins"), [
    ("POST", "/batches", True), ("GET", "/batches", False), ("POST", "/batches/b/cancel", False),
])  # fmt: skip
def test_a_batch_is_not_begun_past_the_rules(method, path, begins):
    """Nobody judges its rows; it may be looked at and cancelled; and it may be allowed."""
    call = Call(
        id="1", operation=Operation.BATCHES, model="", body=Body(b'{"input_file_id": "f"}'), started=0,
        day="2027-01-15", address=Address(method, path),
    )  # fmt: skip
    below = Below()

    async def ask(*, batches):
        async with await Guard(Chains({"input": [MASK], "output": []}), batches=batches)(call, below):
            pass

    if begins:
        with pytest.raises(BadRequestError, match="rows of a batch") as error:
            asyncio.run(ask(batches=False))
        assert error.value.code == "unguarded"
        assert below.calls == []
    else:
        asyncio.run(ask(batches=False))
    asyncio.run(ask(batches=True))
    assert below.calls[-1].address == call.address
