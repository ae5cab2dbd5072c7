"""Covers stores/entries.py: what of a call is written down."""

import msgspec

from headgate.core.attempt import Attempt, Basis, Settled
from headgate.core.body import Body
from headgate.core.call import Call, Caller, Operation
from headgate.core.usage import TokenUsage
from headgate.stores import entries
from headgate.stores.entries import LONGEST, LONGEST_ID
from headgate.stores.records import CallEnd, Intent, Outcome


def call(**changes):
    """A call with everything that can be known of it."""
    told = {
        "id": "c",
        "operation": Operation.CHAT,
        "model": "fast",
        "body": Body(b"{}"),
        "started": 1.0,
        "day": "2027-01-15",
        "stream": True,
        "caller": Caller(key="web", project="team-a"),
        "user": "u1",
        "tags": {"team": "a"},
    }
    return Call(**{**told, **changes})


FACTS = {
    "call_id": "c",
    "day": "2027-01-15",
    "time": 9.0,
    "operation": "chat",
    "model_requested": "fast",
    "stream": True,
    "key": "web",
    "project": "team-a",
    "user": "u1",
    "tags": {"team": "a"},
}


def test_an_intent_says_who_asks_what_of_whom():
    """All facts, the target, what it does not get, and the parent of the gate's own calls."""
    asked = call(parent="p", dropped=("top_p",))
    intent = entries.intent(asked, Attempt(2, "openai", "gpt-6-luna"), time=9.0)
    assert intent == Intent(**FACTS, attempt=2, provider="openai", model="gpt-6-luna", parent="p", dropped=("top_p",))


def test_an_outcome_says_how_it_ended():
    """Everything that the attempt knows."""
    attempt = Attempt(2, "openai", "gpt-6-luna")
    attempt.settled, attempt.basis = Settled.BILLED, Basis.COUNTED
    attempt.usage = TokenUsage(
        prompt_tokens=1, completion_tokens=2, cached_tokens=3, cache_write_tokens=4, reasoning_tokens=5
    )
    attempt.cost, attempt.price_table = 7, "t"
    attempt.model_served, attempt.service_tier = "s", "flex"
    attempt.status, attempt.error_type = 200, "cancelled"
    attempt.latency_ms, attempt.first_token_ms = 3.5, 1.5
    attempt.made = ("resp_1",)
    assert entries.outcome(call(), attempt) == Outcome(
        call_id="c",
        attempt=2,
        settled=Settled.BILLED,
        basis=Basis.COUNTED,
        prompt_tokens=1,
        completion_tokens=2,
        cached_tokens=3,
        cache_write_tokens=4,
        reasoning_tokens=5,
        cost=7,
        price_table="t",
        model_served="s",
        service_tier="flex",
        status=200,
        error_type="cancelled",
        latency_ms=3.5,
        first_token_ms=1.5,
        made=("resp_1",),
    )


def test_what_is_no_id_is_left_out():
    """Clipped or respelled it would be another object's: better that nobody owns it."""
    attempt = Attempt(1, "p", "m")
    attempt.made = ("resp_1", "x" * (LONGEST_ID + 1), "\ud800", "x" * LONGEST_ID)
    assert entries.outcome(call(), attempt).made == ("resp_1", "x" * LONGEST_ID)


def test_an_attempt_that_nobody_settled_is_unknown():
    """Never taken for free by omission."""
    assert entries.outcome(call(), Attempt(1, "p", "m")) == Outcome(call_id="c", attempt=1, settled=Settled.UNKNOWN)


def test_an_end_counts_the_attempts():
    """The length of the trail, and how it went; who asked what has been told by its intents."""
    asked = call()
    asked.trail.extend([Attempt(1, "p", "m"), Attempt(2, "p", "m")])
    ending = entries.ending(
        asked, time=None, status=502, error_type="upstream_error", cache="miss", latency_ms=2.0, first_token_ms=1.0
    )
    assert ending == CallEnd(
        call_id="c",
        attempts=2,
        status=502,
        error_type="upstream_error",
        cache="miss",
        latency_ms=2.0,
        first_token_ms=1.0,
    )


def test_an_end_of_a_call_that_never_left_says_who_asked():
    """There is no intent before it."""
    ending = entries.ending(
        call(), time=9.0, status=404, error_type=None, cache="off", latency_ms=2.0, first_token_ms=None
    )
    intent = Intent(**FACTS, attempt=0, provider=None, model=None)
    assert ending == CallEnd(call_id="c", attempts=0, status=404, latency_ms=2.0, intent=intent)


def test_a_record_keeps_its_tags():
    """It may wait to be booked while the caller changes the mapping that it gave."""
    asked = call(tags={"team": "a"})
    intent = entries.intent(asked, Attempt(1, "p", "m"), time=9.0)
    asked.tags["team"] = "b"
    assert intent.tags == {"team": "a"}


def test_nobody_fills_the_journal_with_one_name():
    """Model, user, tags and what the provider says of itself are clipped."""
    long = "x" * 1_000_000
    attempt = Attempt(1, "p", long)
    attempt.model_served = attempt.service_tier = attempt.error_type = long
    asked = call(model=long, user=long, tags={long: long})
    ending = entries.ending(
        asked, time=9.0, status=500, error_type=long, cache="off", latency_ms=1.0, first_token_ms=None
    )
    for record in (entries.intent(asked, attempt, time=9.0), entries.outcome(asked, attempt), ending):
        assert len(msgspec.json.encode(record)) < 6 * LONGEST + 300


def test_what_is_written_can_be_read_back():
    """Lone surrogates, NUL and tags that are no text are made text: a line that cannot be booked would lose money."""
    asked = call(user="\ud800u\0", tags={"\udfff": 1, 2: "ä"})
    intent = entries.intent(asked, Attempt(1, "p", "m"), time=9.0)
    assert msgspec.json.decode(msgspec.json.encode(intent), type=Intent) == intent
    assert intent.user == "?u?"
    assert intent.tags == {"?": "1", "2": "ä"}
