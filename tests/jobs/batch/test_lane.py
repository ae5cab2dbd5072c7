"""Covers jobs/batch/lane.py, on a simulated provider: every row once, every answer paid once, whatever happens."""

import asyncio
import json
from collections import Counter

import pytest

from headgate.core.call import Operation
from headgate.core.errors import AuthenticationError, OverBudgetError, UnreachableError
from headgate.core.money import from_usd
from headgate.jobs.batch.reading import Unsent
from headgate.jobs.row import Lane
from headgate.stores.batches import State
from headgate.stores.protocols import Query
from tests.jobs.batch.conftest import each, row

ROWS = [row(number) for number in range(1, 21)]


def statuses(outcomes):
    """How many outcomes there are of each status."""
    return Counter("unsent" if isinstance(one, Unsent) else one.status for one in outcomes)


def test_every_row_is_answered_at_half_the_price(stage):
    """Split by rows; outcomes come shuffled; the ledger has a line for each, and the saving stands in the book."""

    async def story(made):
        outcomes = await made.run(ROWS, limits={"rows": 7}, tags={"team": "a"})
        assert statuses(outcomes) == {200: 20}
        assert [one.number for one in outcomes] != sorted(one.number for one in outcomes)
        assert {one.id for one in outcomes} == {one.id for one in ROWS}
        assert {one.lane for one in outcomes} == {Lane.BATCH}
        await made.agree(outcomes)
        assert [(record.facts.rows, record.facts.status) for record in await made.records()] == [
            (7, "completed"), (7, "completed"), (6, "completed"),
        ]  # fmt: skip
        lines = await made.rows()
        assert len(lines) == 20
        assert {(line.operation, line.settled, line.basis, line.tags["team"]) for line in lines} == {
            ("chat", "billed", "reported", "a")
        }
        total, _ = await made.gate.usage(Query())
        assert (total.calls, total.errors) == (20, 0)

    stage(story)


def test_files_are_split_by_bytes_and_by_what_may_be_enqueued(stage):
    """No file is larger, and the provider, which counts on its own, never has more enqueued than it allows."""

    async def story(made):
        outcomes = await made.run(ROWS, limits={"size": 1200})
        await made.agree(outcomes)
        assert statuses(outcomes) == {200: 20}
        assert max(record.facts.size for record in await made.records()) <= 1200
        assert len(await made.records()) > 3
        assert {batch.status for batch in made.made()} == {"completed"}
        tokens = {record.facts.remote: record.tokens for record in await made.records()}
        enqueued = [
            sum(tokens[other.id] for other in made.made() if other.created <= batch.created < other.at["completed"])
            for batch in made.made()
        ]
        assert 50 < max(enqueued) <= 100
        assert sum(tokens.values()) > 150

    stage(story, tokens=100)


def test_models_and_endpoints_have_files_of_their_own(stage):
    """And each row its operation in the books."""
    rows = [
        row(1), row(2, model="gpt-6-sol"),
        row(3, operation=Operation.EMBEDDINGS, raw=b'{"model": "text-embedding-3-small", "input": ["a", "b"]}'),
        row(4, operation=Operation.RESPONSES, raw=b'{"model": "gpt-6-luna", "input": "Hi", "max_output_tokens": 16}'),
        row(5),
    ]  # fmt: skip

    async def story(made):
        outcomes = await made.run(rows)
        assert statuses(outcomes) == {200: 5}
        await made.agree(outcomes)
        assert sorted(batch.asked.endpoint for batch in made.made()) == [
            "/v1/chat/completions", "/v1/chat/completions", "/v1/embeddings", "/v1/responses",
        ]  # fmt: skip
        assert Counter(line.operation for line in await made.rows()) == {"chat": 3, "embeddings": 1, "responses": 1}

    stage(story)


def test_rows_that_fail_cost_nothing(stage):
    """They have their status and the provider's words; the others are answered."""

    async def story(made):
        outcomes = await made.run(ROWS)
        failed = [one for one in outcomes if not one.succeeded]
        assert 3 < len(failed) < 17
        assert {(one.status, one.cost, one.error_class) for one in failed} == {(503, 0, "OverloadedError")}
        assert all("error" in json.loads(one.body) for one in failed)
        await made.agree(outcomes)
        lines = [line for line in await made.rows() if line.settled == "not_billed"]
        assert {(line.status, line.cost) for line in lines} == {(503, 0)}
        (record,) = await made.records()
        assert (record.facts.answered, record.facts.failed) == (20 - len(failed), len(failed))

    stage(story, {"failing": 0.4, "status": 503})


def test_rows_that_the_provider_refuses_stop_nobody(stage):
    """A file fails as a whole: its bad rows are told by line, and the rest goes on in another one."""
    rows = [row(n, raw=b'{"model": "gpt-6-luna"}') if n % 5 == 0 else row(n) for n in range(1, 21)]

    async def story(made):
        outcomes = await made.run(rows)
        bad = [one for one in outcomes if not one.succeeded]
        assert sorted(one.number for one in bad) == [5, 10, 15, 20]
        assert {(one.status, one.cost, one.error.message) for one in bad} == {
            (None, 0, "Messages parameter is required.")
        }
        assert statuses(outcomes) == {200: 16, None: 4}
        await made.agree(outcomes)
        assert [batch.status for batch in made.made()] == ["failed", "completed"]
        first, second = await made.records()
        assert (first.facts.failed, second.facts.rows, second.facts.follows) == (4, 16, first.id)

    stage(story)


def test_more_bad_rows_than_a_provider_tells_at_once(stage):
    """It names a hundred at a time; the rest is found out one file after the other."""
    rows = [row(n, raw=b'{"model": "gpt-6-luna"}') if n % 2 else row(n) for n in range(1, 501)]

    async def story(made):
        outcomes = await made.run(rows)
        assert statuses(outcomes) == {200: 250, None: 250}
        await made.agree(outcomes)
        assert [batch.status for batch in made.made()] == ["failed"] * 3 + ["completed"]

    stage(story)


def test_what_expired_goes_on_and_what_was_answered_is_kept(stage):
    """The window closes on half of the rows each time; each is answered, and paid for, once."""

    async def story(made):
        outcomes = await made.run(ROWS)
        await made.agree(outcomes)
        assert [batch.status for batch in made.made()][:2] == ["expired", "expired"]
        # The very last one falls into no window, and is given back.
        assert statuses(outcomes) == {200: 19, "unsent": 1}
        assert sum(len(batch.good) for batch in made.made()) == 19

    stage(story, {"window": 60})


def test_what_answers_nothing_is_not_tried_for_ever(stage):
    """A window in which not one row was answered: the rows are given back."""

    async def story(made):
        outcomes = await made.run(ROWS)
        assert statuses(outcomes) == {"unsent": 20}
        assert await made.agree(outcomes) == []
        assert len(made.made()) == 1

    stage(story, {"window": 5, "validating": 0.5})


def test_what_would_be_late_is_given_back(stage):
    """At the deadline the batch is ended; what it has answered is kept and paid, the rest cost nothing."""

    async def story(made):
        await made.start()
        outcomes = await made.run(ROWS, deadline=made.gate.batching.clock.time() + 50)
        found = statuses(outcomes)
        assert 5 < found["unsent"] < 15
        assert found[200] == 20 - found["unsent"]
        bill = await made.agree(outcomes)
        assert len(bill) == found[200]
        (batch,) = made.made()
        assert batch.status == "cancelled"
        assert batch.stops - batch.created < 52
        given_back = next(one for one in outcomes if isinstance(one, Unsent))
        original = json.loads(ROWS[given_back.row.number - 1].body)
        assert json.loads(given_back.row.body)["messages"] == original["messages"]
        assert given_back.reason == "its batch would be late"

    stage(story)


def test_what_waits_for_room_is_given_back_at_the_deadline(stage):
    """Only the first file was ever made into a batch."""

    async def story(made):
        await made.start()
        outcomes = await made.run(ROWS, deadline=made.gate.batching.clock.time() + 80, limits={"rows": 10})
        assert statuses(outcomes)["unsent"] >= 10
        assert len(made.made()) == 1
        await made.agree(outcomes)

    stage(story, tokens=150)


def test_a_provider_that_has_no_room_is_asked_again(stage, monkeypatch):
    """Nobody has told us its limit: a batch that it fails for that is made again later, until it fits."""

    async def story(made):
        await made.start()
        monkeypatch.setattr(made.gate.batching, "most_enqueued", lambda _: None)
        lane = made.lane(rows=10)
        outcomes = [one async for one in lane.run(each(ROWS), job="job")]
        assert statuses(outcomes) == {200: 20}
        await made.agree(outcomes)
        assert "failed" in [batch.status for batch in made.made()]
        assert {record.facts.failed for record in await made.records()} == {0}

    stage(story, tokens=60)


@pytest.mark.parametrize("rows", [[row(1, raw=b'{"model": "m", "stream": true}')], [row(1, raw=b'["no object"]')]])
def test_rows_that_no_batch_takes_are_told_before_anything_leaves(stage, rows):
    """They fail by themselves, and cost nothing."""

    async def story(made):
        (outcome,) = await made.run(rows)
        assert (outcome.error_class, outcome.cost, outcome.status) == ("BadRequestError", 0, None)
        assert made.made() == []

    stage(story)


def test_where_nobody_has_a_batch_api_rows_are_given_back(stage):
    """And where the guard judges words, which nobody could do for a batch."""

    async def story(made):
        outcomes = await made.run(ROWS[:3])
        assert statuses(outcomes) == {"unsent": 3}
        assert "policies.guard" in outcomes[0].reason

    guard = {"guard": {"input": [{"kind": "words", "words": ["x"]}]}}
    stage(story, policies=guard)


def test_several_that_take_a_job_on_do_not_disturb_each_other(stage):
    """Three processes wait for the same job: no batch is made twice, no row paid twice, each is told to somebody."""

    async def story(made):
        await made.start()
        lanes = [made.lane(rows=4) for _ in range(3)]
        await lanes[0].gather(each(ROWS), job="job", deadline=None, tags={})
        found = await asyncio.gather(*(_all(lane.follow("job")) for lane in lanes))
        told = {(one.row if isinstance(one, Unsent) else one).number: one for outcomes in found for one in outcomes}
        assert sorted(told) == [one.number for one in ROWS]
        assert len(made.made()) == len([record for record in await made.records() if record.facts.remote])
        await made.agree(told.values())

    stage(story, {"window": 70}, tokens=90)


# --- money


def test_the_worst_case_is_set_aside_before_a_batch_is_made(stage):
    """While it runs it is lent, at no moment is more than the cap spent and lent, and in the end the rest is free."""
    budget = {"name": "all", "scope": "gateway", "limit_usd": "0.001", "window": "total"}

    async def story(made):
        await made.start()
        lane, seen = made.lane(rows=10), []
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(_all(lane.run(each(ROWS), job="job")))
            while not running.done():
                (balance,) = await made.gate.budgets()
                seen.append((balance.spent, balance.lent))
                await asyncio.sleep(1)
        outcomes = running.result()
        await made.agree(outcomes)
        worst = sum(fund.amount for record in await made.records() for fund in record.facts.funds)
        assert seen[2] == (0, worst)
        assert max(spent + lent for spent, lent in seen) <= from_usd("0.001")
        (balance,) = await made.gate.budgets()
        assert (balance.spent, balance.lent) == (sum(one.cost for one in outcomes), 0)
        assert all(line.budgets == (("all", "total"),) for line in await made.rows())
        assert all(0 < line.cost < line.held for line in await made.rows())

    stage(story, budgets=[budget])


async def _all(outcomes):
    return [one async for one in outcomes]


def test_a_batch_waits_until_another_one_frees_its_money(stage):
    """Both worst cases do not fit at once; what the first one did not need is enough for the second."""
    budget = {"name": "all", "scope": "gateway", "limit_usd": "0.0002", "window": "total"}

    async def story(made):
        outcomes = await made.run(ROWS, limits={"rows": 10})
        assert statuses(outcomes) == {200: 20}
        await made.agree(outcomes)
        first, second = made.made()
        assert second.created >= first.at["completed"]

    stage(story, budgets=[budget])


def test_a_budget_that_is_too_small_stops_the_job_until_it_is_raised(stage):
    """Nothing was made; with more money the same job goes on, and no file is given twice."""
    budget = {"name": "all", "scope": "gateway", "limit_usd": "0.00005", "window": "total"}

    async def story(made):
        with pytest.raises(OverBudgetError, match="this batch may cost"):
            await made.run(ROWS)
        assert made.made() == []
        assert (await made.gate.budgets())[0].lent == 0
        made.config = made.config.model_copy(
            update={"budgets": [made.config.budgets[0].model_copy(update={"limit_usd": 1})]}
        )
        record = (await made.records())[0]
        assert record.state is State.READY
        # What it was to be charged to is written down with it.
        outcomes = await made.run(ROWS)
        assert statuses(outcomes) == {200: 20}
        await made.agree(outcomes)

    stage(story, budgets=[budget])


def test_end_users_have_their_own_budgets(stage):
    """Each row is charged to its own user's sum."""
    budget = {"name": "per-user", "scope": "user", "limit_usd": 1, "window": "total"}

    async def story(made):
        rows = [row(n, user="ann" if n % 3 else "ben") for n in range(1, 10)]
        outcomes = await made.run(rows)
        await made.agree(outcomes)
        costs = Counter()
        for one in outcomes:
            costs["ann" if one.number % 3 else "ben"] += one.cost
        spent = {balance.cap.name: balance.spent for balance in await made.gate.budgets()}
        assert spent == {"per-user:ann": costs["ann"], "per-user:ben": costs["ben"]}
        assert Counter(line.user for line in await made.rows()) == {"ann": 6, "ben": 3}

    stage(story, budgets=[budget])


# --- failures of the way


def test_a_way_that_fails_for_a_while_is_borne(stage, monkeypatch):
    """Looking at a batch fails nine times; then it goes on. What does not pass by itself is raised at once."""

    async def story(made):
        await made.start()
        lane = made.lane()
        look, failures = lane.wire.look, [UnreachableError("down")] * 9

        async def failing(*args):
            if failures:
                raise failures.pop()
            return await look(*args)

        monkeypatch.setattr(lane.wire, "look", failing)
        outcomes = await _all(lane.run(each(ROWS), job="job"))
        await made.agree(outcomes)
        failures.append(AuthenticationError("no key"))
        with pytest.raises(AuthenticationError):
            await _all(lane.run(each([row(99)]), job="another"))

    stage(story)
