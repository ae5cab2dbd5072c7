"""Covers stores/join.py: which rows records become."""

import msgspec

from headgate.core.attempt import Basis, Settled
from headgate.stores.join import Join
from headgate.stores.records import AttemptRow, CallRow, ObjectRow

TIME = 1_800_000_000.0


def test_an_intent_and_its_outcome_are_one_row(pen):
    """Everything that either says is in the row."""
    join = Join()
    outcome = pen.outcome(
        cached_tokens=3,
        cache_write_tokens=4,
        reasoning_tokens=5,
        model_served="gpt-6-luna-2026-08-01",
        service_tier="flex",
        latency_ms=12.5,
        first_token_ms=2.5,
        error_type="stream_interrupted",
    )
    join.feed(pen.intent(stream=True), 0)
    assert join.attempts == []
    join.feed(outcome, 0)
    told = msgspec.structs.asdict(outcome) | pen.facts() | {"stream": True}
    del told["made"]
    assert join.attempts == [AttemptRow(**told, provider="openai", model="gpt-6-luna")]


def test_what_an_answer_made_has_an_owner(pen):
    """Each id with the tenant and the provider of its attempt; gone when it is booked."""
    join = Join()
    join.feed(pen.intent(tenant="team-a"), 0)
    join.feed(pen.outcome(made=("resp_1", "file-2")), 0)
    assert join.objects == [
        ObjectRow(id="resp_1", tenant="team-a", provider="openai", call_id="c", time=TIME),
        ObjectRow(id="file-2", tenant="team-a", provider="openai", call_id="c", time=TIME),
    ]
    join.booked()
    assert join.objects == []


def test_a_call_that_ended_is_a_row(pen):
    """As it was written."""
    join = Join()
    join.feed(pen.intent(), 0)
    join.feed(pen.outcome(), 0)
    join.feed(pen.end(cache="miss", latency_ms=3.0, first_token_ms=1.0, error_type="x"), 0)
    assert join.calls == [
        CallRow(**pen.facts(), attempts=1, status=200, cache="miss", latency_ms=3.0, first_token_ms=1.0, error_type="x")
    ]
    assert len(join.attempts) == 1


def test_a_call_that_never_left_has_attempt_0(pen):
    """Not billed, at no cost, with the call's own end."""
    join = Join()
    join.feed(pen.end(attempts=0, status=404, error_type="model_not_found", latency_ms=0.5), 0)
    [row] = join.attempts
    assert (row.attempt, row.settled, row.basis, row.cost) == (0, Settled.NOT_BILLED, None, 0)
    assert (row.provider, row.model, row.status, row.error_type) == (None, None, 404, "model_not_found")
    assert (row.call_id, row.day, row.key, row.tags) == ("c", "2027-01-15", "web", {"team": "a"})
    assert len(join.calls) == 1


def test_rows_that_are_booked_are_gone_and_the_lists_are_new(pen):
    """A booking that was cancelled may still read the old lists in its thread."""
    join = Join()
    join.feed(pen.end(), 0)
    before = join.calls
    join.booked()
    assert before != []
    assert join.calls == join.attempts == []


def test_what_is_needed_is_what_is_open(pen):
    """The oldest open attempt or call holds the journal; a call is open until its end, even between two attempts."""
    join = Join()
    join.feed(pen.intent("a"), 100)
    join.feed(pen.intent("b"), 200)
    assert join.needed(900) == 100
    join.feed(pen.outcome("a"), 300)
    assert join.needed(900) == 100
    join.feed(pen.intent("a", attempt=2), 400)
    join.feed(pen.outcome("a", attempt=2), 500)
    assert join.needed(900) == 100
    join.feed(pen.end("a", attempts=2), 600)
    assert join.needed(900) == 200
    join.feed(pen.outcome("b"), 700)
    join.feed(pen.end("b"), 800)
    assert join.needed(900) == 900


def test_the_gates_own_calls_have_no_end(pen):
    """An intent on behalf of a parent is needed until its outcome only, and leaves no call behind."""
    join = Join()
    join.feed(pen.intent("own", parent="c"), 100)
    join.feed(pen.outcome("own"), 200)
    assert join.needed(900) == 900
    join.abandon()
    assert join.calls == []
    assert len(join.attempts) == 1


def test_what_was_abandoned_is_unknown_and_crashed(pen):
    """Open attempts may have cost money: nobody knows, so the cost is null. Open calls crashed, settled ones too."""
    join = Join()
    join.feed(pen.intent("a"), 0)
    join.feed(pen.outcome("a"), 0)
    join.feed(pen.intent("a", attempt=2), 0)
    join.feed(pen.intent("b"), 0)
    join.feed(pen.outcome("b"), 0)
    join.abandon()
    rows = {(row.call_id, row.attempt): (row.settled, row.basis, row.cost, row.error_type) for row in join.attempts}
    assert rows == {
        ("a", 1): (Settled.BILLED, Basis.REPORTED, 15_000_000, None),
        ("a", 2): (Settled.UNKNOWN, None, None, "crashed"),
        ("b", 1): (Settled.BILLED, Basis.REPORTED, 15_000_000, None),
    }
    assert {(row.call_id, row.attempts, row.status, row.error_type, row.key) for row in join.calls} == {
        ("a", 2, None, "crashed", "web"),
        ("b", 1, None, "crashed", "web"),
    }
    assert join.needed(7) == 7


def test_an_outcome_without_its_intent_is_told(pen, caplog):
    """Its intent was a line that could not be read: nobody can book it, so it is counted and logged whole."""
    join = Join()
    join.feed(pen.outcome("lost", cost=77), 0)
    assert (join.orphans, join.attempts) == (1, [])
    assert "lost" in caplog.text
    assert "77" in caplog.text


def test_an_outcome_whose_intent_is_booked_and_deleted_is_no_fault(pen, caplog):
    """In what a crash left behind, the oldest pieces may be gone: they were booked with all that belongs to them."""
    join = Join(whole=False)
    join.feed(pen.outcome(), 0)
    assert (join.orphans, join.attempts) == (0, [])
    assert caplog.text == ""
