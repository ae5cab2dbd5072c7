"""What is said to the shared store: all of it, once, in pieces that are not too long."""

import asyncio
import struct

from headgate.core.limits import Demand, Limits
from headgate.stores.rates import Rule
from headgate.stores.rates_speech import MOST_MEMBERS, Ask, Known, Speech, short


def test_keys_of_one_name_belong_together():
    """They share a hash tag, and names cannot break out of it."""
    assert Known("p/m").keys[0] == "headgate:{p/m}:clocks"
    assert len(set(Known("x").keys) | set(Known("y").keys)) == 9


def test_names_are_bounded():
    """Long ones, and ones that cannot be written, are known by their digest, and stay apart."""
    assert short("openai/gpt-6-luna") == "openai/gpt-6-luna"
    names = ["x" * 201, "x" * 202, "ä", "\ud800", "\ud801"]
    assert len({short(name) for name in names}) == 5
    assert all(len(short(name)) == 33 and short(name).isascii() for name in names)


def test_a_settlement_is_said_once_and_whole():
    """Corrections once, however many places end; then nothing is left to say."""
    speech, known = Speech("me", 10.0), Known("t")
    known.unsaid = True
    known.owed[1] = -2.5
    known.ended = [speech.member(number) for number in range(MOST_MEMBERS + 1)]
    known.forgotten = ["me.5"]
    first, second = speech.settle(known)
    assert struct.unpack("<5d", first.arguments[0]) == (0.0, -2.5, 0.0, 0.0, float(MOST_MEMBERS))
    assert first.arguments[1] == "me.0"
    assert first.arguments[-1] == "me.5"
    assert struct.unpack("<5d", second.arguments[0]) == (0.0, 0.0, 0.0, 0.0, 1.0)
    assert second.arguments[1:] == (f"me.{MOST_MEMBERS}",)
    assert known.idle()
    assert struct.unpack("<5d", speech.settle(known)[0].arguments[0]) == (0.0,) * 5


def test_renewals_name_all_places():
    """All places, those that were had without the store too, which may know of them from now on."""
    speech, known = Speech("me", 10.0), Known("t")
    known.held = dict.fromkeys(range(MOST_MEMBERS), False) | {MOST_MEMBERS: True}
    first, second = speech.renew(known)
    assert (first.arguments[0], len(first.arguments), second.arguments) == (
        "10.0",
        1 + MOST_MEMBERS,
        ("10.0", "me.1000"),
    )
    assert set(known.held.values()) == {True}
    assert not known.idle()


def test_an_ask_is_written_down():
    """Nine doubles: steps, burst (none if spread), minute, places, lease, slice; -1 where there is no limit."""

    async def story():
        speech, known = Speech("me", 10.0), Known("t")
        speech.run = "run"
        limits = Limits(requests_per_minute=60, output_tokens_per_minute=600, concurrency=3, sliding=True, spread=True)
        ask = Ask(known, 7, Rule("t", limits, 2.0), Demand(5, 5))
        packed, *rest = speech.take(ask).arguments
        assert struct.unpack("<9d", packed) == (1.0, -1.0, -1.0, 0.5, 0.0, 60.0, 3.0, 10.0, 0.0)
        assert rest == ["me", "7", "run"]
        ask = Ask(known, 8, Rule("t", Limits(), 2.0), Demand(5, 5))
        ask.sliced = 0.2
        assert struct.unpack("<9d", speech.take(ask).arguments[0]) == (-1, -1, -1, -1, 2.0, -1, -1, 10.0, 0.2)

    asyncio.run(story())


def test_hints_and_heartbeats():
    """A farewell is a heartbeat of no duration; a hint that has ended is one of 0."""
    speech = Speech("me", 10.0)
    assert speech.beat().arguments == ("me", "", "10.0")
    assert speech.beat(farewell=True).arguments == ("me", "", "0")
    assert speech.rest("p/m", -3).arguments == ("p/m", "0.0", "me")
