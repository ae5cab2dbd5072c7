"""What stands in the store: names, digests, and what is read back."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.body import Body
from headgate.core.call import Address, Call, Caller, Operation, Origin, Target
from headgate.core.reply import Event, Kind
from headgate.core.upload import Form, Part, Stretch, Upload
from headgate.core.usage import TokenUsage
from headgate.policies.once import record
from headgate.policies.once.record import PACKED, Claim, Facts, Kept, Lost

CALL = Call(
    id="1", operation=Operation.CHAT, model="m", body=Body(b"{}"), started=0, day="2027-01-15", idempotency_key="k"
)
FACTS = Facts(True, 200, {"a": "b"}, Target("p", "m", retires="2027-02-01"), simulated=True)


def but(**changes):
    """The same call, changed."""
    return msgspec.structs.replace(CALL, **changes)


def digest(call):
    """Its digest."""
    return asyncio.run(record.digest(call, "name"))


@pytest.mark.parametrize("words", [1, 10_000])
def test_an_outcome_is_read_back(words):
    """Each event with all that it tells; a long one is compressed."""
    events = tuple(Event(kind=Kind.CONTENT, raw=b"word", text="word", size=4) for _ in range(words))
    last = Event(kind=Kind.TRAILER, raw=b"\xff", usage=TokenUsage(prompt_tokens=1), hidden=True, made=("resp_1",))
    kept = Kept(b"d", "1", FACTS, (*events, last))

    async def story():
        raw = await record.pack(kept)
        assert raw.startswith(PACKED) == (words > 1)
        assert len(raw) < 5 * words + 600
        assert await record.read(raw) == kept

    asyncio.run(story())


@pytest.mark.parametrize("what", [Claim(b"d", "o", "1"), Claim(b"d", "o", "1", left=True), Lost(b"d", "1")])
def test_what_is_written_is_read(what):
    """And is never taken for something compressed."""
    assert asyncio.run(record.read(record.write(what))) == what


@given(st.binary())
def test_anything_else_is_not_read(raw):
    """Whatever stands there."""
    for some in (raw, PACKED + raw):
        asyncio.run(record.read(some))
    assert asyncio.run(record.read(b"\x91" * 100_000)) is None


def test_names_tell_callers_and_keys_apart_and_nothing_of_either():
    """However they are put together."""
    callers = [Caller(), Caller(key="a"), Caller(key="a", project="p"), Caller(project="a"), Caller(key='a","k')]
    names = {record.name(but(caller=caller, idempotency_key=key)) for caller in callers for key in ("k", "k2")}
    assert len(names) == 10
    assert all(name.startswith("once:") and len(name) == 69 for name in names)


def test_digests_tell_requests_apart():
    """By operation, address and each byte of the body; who asks, when and how long they wait does not matter."""
    same = [CALL, but(id="2"), but(deadline=1.0), but(tags={"a": "b"}), but(priority=9)]
    assert len({digest(call) for call in same}) == 1
    others = [
        CALL, but(body=Body(b"{ }")), but(operation=Operation.RESPONSES), but(address=Address("POST", "/a")),
        but(address=Address("POST", "/b")), but(address=Address("PATCH", "/a")), but(body=Upload("a/b", [b"{}"])),
        but(body=Upload("a/c", [b"{}"])),
    ]  # fmt: skip
    assert len({digest(call) for call in others}) == len(others)
    assert asyncio.run(record.digest(CALL, "another name")) != digest(CALL)


def test_a_form_is_told_by_its_parts():
    """Wherever their bytes lie, and however it is framed."""
    data = bytes(range(256)) * 10_000

    def form(data, boundary="x", name="file"):
        return but(body=Form([Part(name, b"head\r\n", data, True)], boundary))

    lying = Stretch(lambda size, start: data[start - 7 : start - 7 + size], 7, len(data))
    assert digest(form(data)) == digest(form(lying)) == digest(form(data, "y"))
    assert digest(form(data)) != digest(form(data[:-1]))
    two = [Part("a", b"", b"1"), Part("b", b"", b"23")]
    other = [Part("a", b"", b"12"), Part("b", b"", b"3")]
    assert digest(but(body=Form(two, "x"))) != digest(but(body=Form(other, "x")))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"idempotency_key": None}, False),
        ({"origin": Origin.INTERNAL}, False),
        ({"address": Address("POST", "/batches")}, True),
        ({"address": Address("PATCH", "/any")}, True),
        ({"address": Address("GET", "/files")}, False),
        ({"address": Address("DELETE", "/files/f")}, False),
    ],
)
def test_which_calls_are_made_once(changes, expected):
    """Those of callers that do something anew each time."""
    assert record.concerns(but(**changes)) is expected
