"""Covers stores/lately.py: what the lines say of some time, on SQLite and on Postgres alike."""

import asyncio

import pytest

from headgate.core.attempt import Settled
from headgate.stores.lately import Ends, Lately, lately
from headgate.stores.postgres import PostgresLedger
from headgate.stores.records import Entry
from headgate.stores.sqlite import SqliteLedger

START = 1_800_000_000.0


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.e2e)])
def told(request):
    """Books lines, and says what happened in the hour from `START` on."""

    def tell(*entries):
        async def story():
            postgres = request.param == "postgres"
            ledger = PostgresLedger(request.getfixturevalue("database")) if postgres else SqliteLedger(":memory:")
            try:
                await ledger.book(entries)
                return await lately(ledger, START, START + 3600)
            finally:
                await ledger.close()

        return asyncio.run(story())

    return tell


def line(pen, name, *, time=START, attempt=1, end=None, **outcome):
    """One attempt, and the end of its call where it has come."""
    ended = None if end is None else pen.end(name, **{"latency_ms": 100.0, **end})
    return Entry(pen.intent(name, attempt, time=time), pen.outcome(name, attempt, **outcome), ended)


def test_nothing(told):
    """No line, no figure."""
    assert told() == Lately(ends=(), cost=0, tokens=0, useful_tokens=0, p95_ms=0.0)


def test_calls_by_how_they_ended(told, pen):
    """The commonest first; what is before or after is not counted, nor a call that has not ended."""
    found = told(
        *(line(pen, f"well{number}", end={"cache": "miss", "latency_ms": float(number)}) for number in range(20)),
        line(pen, "hit", end={"cache": "hit", "latency_ms": 1.0}),
        line(pen, "left", end={"status": 499, "error_type": "cancelled"}),
        *(line(pen, f"no{number}", end={"status": 400}) for number in range(2)),
        line(pen, "open"),
        line(pen, "before", time=START - 1, end={}),
        line(pen, "after", time=START + 3600, end={}),
    )
    assert found.ends == (Ends(None, 21, 191.0, 1), Ends("status 400", 2, 200.0, 0), Ends("cancelled", 1, 100.0, 0))
    assert found.p95_ms == 18.0
    assert (found.tokens, found.useful_tokens) == (25 * 110, 21 * 110)
    assert found.cost == 25 * 15_000_000


def test_a_call_counts_where_it_ended(told, pen):
    """Its other attempts used tokens that answered nobody; what is unknown has no cost yet."""
    end = {"attempts": 2}
    found = told(
        line(pen, "c", attempt=1, end=end, settled=Settled.UNKNOWN, cost=10**15, error_type="upstream_timeout"),
        line(pen, "c", attempt=2, end=end, cost=3 * 10**15 + 1),
    )
    assert found.ends == (Ends(None, 1, 100.0, 0),)
    assert (found.tokens, found.useful_tokens, found.cost) == (220, 110, 3 * 10**15 + 1)
