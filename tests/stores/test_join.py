"""Covers stores/join.py: which lines records become."""

import pytest

from headgate.core.attempt import Settled
from headgate.stores.join import Join
from headgate.stores.records import Entry, Intent, ObjectRow, Outcome, Told
from headgate.stores.treasury import charges

TIME = 1_800_000_000.0


def test_an_intent_its_outcome_and_its_end_are_one_line(pen):
    """Nothing is due before the attempt is settled, and nothing waits but the call's end."""
    join = Join()
    intent, outcome, end = pen.intent(), pen.outcome(), pen.end()
    join.feed(intent, 0)
    assert join.due() == []
    join.feed(outcome, 0)
    join.feed(end, 0)
    assert join.due() == [Entry(intent, outcome, end)]
    join.booked()
    assert join.due() == []


def test_an_attempt_is_due_before_its_call_has_ended(pen):
    """Once; and once more with the end, on every line of the call."""
    join = Join()
    first, second = (pen.intent(attempt=number) for number in (1, 2))
    failed, settled = (pen.outcome(attempt=number) for number in (1, 2))
    join.feed(first, 0)
    join.feed(failed, 0)
    assert join.due() == [Entry(first, failed)]
    # Asked again after a booking that failed: the same.
    assert join.due() == [Entry(first, failed)]
    join.booked()
    assert join.due() == []
    join.feed(second, 0)
    join.feed(settled, 0)
    assert join.due() == [Entry(second, settled)]
    join.booked()
    join.feed(pen.end(attempts=2), 0)
    assert join.due() == [Entry(first, failed, pen.end(attempts=2)), Entry(second, settled, pen.end(attempts=2))]


def test_an_end_waits_for_the_last_outcome(pen):
    """An attempt that is settled after its call has ended is booked with that end."""
    join = Join()
    join.feed(pen.intent(), 100)
    join.feed(pen.end(), 200)
    assert join.due() == []
    assert join.needed(900) == 100
    join.feed(pen.outcome(), 300)
    assert join.due() == [Entry(pen.intent(), pen.outcome(), pen.end())]
    assert join.needed(900) == 900


def test_what_an_answer_made_has_an_owner(pen):
    """Each id with the tenant and the provider of its attempt; gone when it is booked."""
    join = Join()
    join.feed(pen.intent(), 0)
    join.feed(pen.outcome(made=("resp_1", "file-2")), 0)
    assert join.objects == [
        ObjectRow(id="resp_1", tenant="project:team-a", provider="openai", call_id="c", time=TIME),
        ObjectRow(id="file-2", tenant="project:team-a", provider="openai", call_id="c", time=TIME),
    ]
    join.booked()
    assert join.objects == []


def test_a_call_that_never_left_has_attempt_0(pen):
    """Not billed, at no cost, with the call's own facts and end."""
    join = Join()
    end = pen.end(attempts=0, status=404, error_type="model_not_found", latency_ms=0.5, first_token_ms=0.25)
    join.feed(end, 0)
    [entry] = join.due()
    intent, outcome = entry.intent, entry.outcome
    assert intent == end.intent == Intent(**pen.facts(), attempt=0, provider=None, model=None)
    assert outcome == Outcome(
        call_id="c",
        attempt=0,
        settled=Settled.NOT_BILLED,
        cost=0,
        status=404,
        error_type="model_not_found",
        latency_ms=0.5,
        first_token_ms=0.25,
    )
    assert entry.end is end
    assert join.needed(7) == 7


def test_lines_that_are_booked_are_gone_and_the_lists_are_new(pen):
    """A booking that was cancelled may still read the old lists in its thread."""
    join = Join()
    join.feed(pen.end(attempts=0), 0)
    join.feed(pen.intent(), 0)
    join.feed(pen.outcome(made=("resp_1",)), 0)
    due, objects = join.due(), join.objects
    join.feed(pen.end(), 0)
    join.booked()
    assert (len(due), len(objects)) == (2, 1)
    assert join.due() == join.objects == []


def test_what_is_needed_is_what_goes_on(pen):
    """The oldest call that goes on holds the journal, even between two attempts."""
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
    """An intent on behalf of a parent is needed until its outcome only, and its line stays without an end."""
    join = Join()
    settled, unknown = (pen.intent(name, parent="c") for name in ("settled", "open"))
    join.feed(settled, 100)
    join.feed(pen.outcome("settled"), 200)
    assert join.needed(900) == 900
    assert join.due() == [Entry(settled, pen.outcome("settled"))]
    join.booked()
    join.feed(unknown, 300)
    join.abandon()
    [entry] = join.due()
    assert (entry.intent, entry.outcome.settled, entry.end) == (unknown, Settled.UNKNOWN, None)


def test_what_was_abandoned_is_unknown_and_crashed(pen):
    """Open attempts may have cost money: nobody knows, so the cost is null. Calls that went on crashed."""
    join = Join()
    join.feed(pen.intent("a"), 0)
    join.feed(pen.outcome("a"), 0)
    join.feed(pen.intent("a", attempt=2), 0)
    join.feed(pen.intent("b"), 0)
    join.feed(pen.outcome("b"), 0)
    join.feed(pen.intent("c"), 0)
    join.feed(pen.end("c"), 0)
    join.abandon()
    billed, unknown = (Settled.BILLED, 15_000_000, None), (Settled.UNKNOWN, None, "crashed")
    found = {}
    for entry in join.due():
        intent, outcome, end = entry.intent, entry.outcome, entry.end
        assert intent.call_id == outcome.call_id == end.call_id
        assert intent.attempt == outcome.attempt
        settled = (outcome.settled, outcome.cost, outcome.error_type)
        found[intent.call_id, intent.attempt] = (settled, end.attempts, end.status, end.error_type)
    assert found == {
        ("a", 1): (billed, 2, None, "crashed"),
        ("a", 2): (unknown, 2, None, "crashed"),
        ("b", 1): (billed, 1, None, "crashed"),
        ("c", 1): (unknown, 1, 200, None),
    }
    assert join.needed(7) == 7


def test_what_was_abandoned_is_charged_as_was_said_when_it_was_held(pen):
    """Else whoever dies could have spent what its budgets do not know of."""
    join = Join()
    join.feed(pen.intent(held=Told("me", (("all", "total"),), 50, 40)), 0)
    join.abandon()
    (entry,) = join.due()
    assert (entry.outcome.settled, entry.outcome.cost) == (Settled.UNKNOWN, 40)
    assert charges([entry]) == ([("all", "total", 40)], [(40, "me", "all", "total")])


@pytest.mark.parametrize("figures", [{"cost": 2**63}, {"prompt_tokens": -1}, {"status": "200"}, {"cost": 0.5}])
def test_what_no_ledger_could_book_is_passed_over(pen, caplog, figures):
    """Counted and logged whole, whether its call has ended or goes on; what is sound stays."""
    join = Join()
    for name in ("ended", "goes on"):
        for number in (1, 2):
            join.feed(pen.intent(name, attempt=number), 0)
            join.feed(pen.outcome(name, attempt=number, **(figures if number == 2 else {})), 0)
    join.feed(pen.end("ended", attempts=2), 0)
    join.feed(pen.end("odd", attempts=0, status=-1), 0)
    assert join.sift() == 3
    assert join.sift() == 0
    left = [(entry.intent.call_id, entry.intent.attempt, entry.end) for entry in join.due()]
    assert left == [("ended", 1, pen.end("ended", attempts=2)), ("goes on", 1, None)]
    assert caplog.text.count("No ledger could book") == 3
    join.booked()
    join.feed(pen.end("goes on", attempts=2), 0)
    assert [entry.intent.attempt for entry in join.due()] == [1]


def test_a_record_without_its_intent_is_told(pen, caplog):
    """Its intent was a line that could not be read: nobody can book it, so it is counted and logged whole."""
    join = Join()
    join.feed(pen.outcome("lost", cost=77), 0)
    join.feed(pen.end("lost", latency_ms=88.0), 0)
    join.feed(pen.intent("known"), 0)
    join.feed(pen.outcome("known", attempt=2, cost=99), 0)
    assert (join.orphans, join.due()) == (3, [])
    for figure in ("lost", "77", "88", "99"):
        assert figure in caplog.text


def test_a_record_whose_intent_is_booked_and_deleted_is_no_fault(pen, caplog):
    """In what a crash left behind, the oldest pieces may be gone: they were booked with all that belongs to them."""
    join = Join(whole=False)
    join.feed(pen.outcome(), 0)
    join.feed(pen.end(), 0)
    assert (join.orphans, join.due()) == (0, [])
    assert caplog.text == ""
