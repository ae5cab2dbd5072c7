"""`headgate usage resolve`, and what leads to it."""

import asyncio
import csv
import io
import json
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from headgate.core.call import Operation
from headgate.core.errors import HeadgateError
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.stores.money import Cap
from headgate.stores.sqlite import SqliteLedger
from tests.cli.conftest import SETTINGS

LOST = "f" * 32


@pytest.fixture
def asked(books, headgate):  # noqa: ARG001  a fixture cannot use `usefixtures`
    """Books of a question that was answered and one of which nobody knows, under budgets."""
    budgets = [{"name": "all", "limit_usd": 1, "window": "total"}, {"name": "=each", "limit_usd": 2, "scope": "user"}]
    Path("headgate.yaml").write_bytes(msgspec.json.encode(SETTINGS | {"budgets": budgets}))
    config = load(Path("headgate.yaml"), environment={}).config

    async def story():
        async with await Gate.open(config) as gate:
            for model in ("gpt-6-luna", "broken"):
                body = {"model": model, "max_completion_tokens": 50, "user": "u",
                        "messages": [{"role": "user", "content": "hi"}]}  # fmt: skip
                with suppress(HeadgateError):
                    async with await gate(gate.call(Operation.CHAT, json.dumps(body).encode())) as reply:
                        await reply.read()

    asyncio.run(story())
    return headgate


def unknown(asked):
    """The one row of which nobody knows."""
    (text,) = asked("usage", "--unknown", "--json").out.splitlines()
    return json.loads(text)


def budget(asked, number=0):
    """How a budget stands."""
    return asked("usage", "--budgets", "--json").json["budgets"][number]


def test_budgets_as_they_stand(asked):
    """For scripts, for people and for spreadsheets; when the gate is closed nothing is lent."""
    whole, each = asked("usage", "--budgets", "--json").json["budgets"]
    assert (whole["name"], whole["window"], whole["limit_usd"], whole["lent_usd"]) == ("all", "total", "1", "0")
    assert (each["name"], each["spent_usd"]) == ("=each:u", whole["spent_usd"])
    assert 0 < float(whole["spent_usd"]) < 0.001
    done = asked("usage", "--budgets")
    assert (done.code, done.said) == (0, "")
    assert done.out.splitlines()[4].split()[:4] == ["all", "total", "1", whole["spent_usd"]]
    first, second = csv.DictReader(io.StringIO(asked("usage", "--budgets", "--csv").out, newline=""))
    assert (first["name"], first["spent_usd"], second["name"]) == ("all", whole["spent_usd"], "'=each:u")


def test_an_unknown_attempt_was_billed(asked):
    """By its request id; sums and budgets follow, and the row says who said so. A second time is refused."""
    before, row = budget(asked), unknown(asked)
    assert row["held_usd"] == row["cost_usd"]
    done = asked("usage", "resolve", row["request_id"], "--cost-usd", "0.0000021")
    assert (done.code, done.out) == (0, "")
    assert done.said == f"Attempt 1 of call {row['call_id']} was billed at $0.0000021.\n"
    assert asked("usage", "--unknown", "--json").out == ""
    assert asked("usage", "--json").json["unknown_attempts"] == 0
    spent = float(before["spent_usd"]) - float(row["cost_usd"]) + 0.0000021
    assert float(budget(asked)["spent_usd"]) == pytest.approx(spent)
    again = asked("usage", "resolve", row["call_id"], "--not-billed")
    assert (again.code, again.out) == (2, "")
    assert "is known: billed ($0.0000021), resolved by " in again.said


def test_an_unknown_attempt_was_not_billed(asked):
    """Its line, for scripts."""
    row = unknown(asked)
    told = asked("usage", "resolve", row["call_id"], "--attempt", "1", "--not-billed", "--json").json
    assert (told["settled"], told["cost_usd"], told["basis"]) == ("not_billed", "0", None)
    assert told["resolved_by"]
    assert told["budgets"][0] == {"name": "all", "window": "total"}


def test_a_call_that_is_not_on_the_books(asked):
    """1: nothing is wrong with the command."""
    done = asked("usage", "resolve", "0" * 32, "--not-billed")
    assert (done.code, done.out) == (1, "")
    assert "The books have no call" in done.said


def test_loans_of_a_process_that_is_lost(asked):
    """Are shown with its name, and end by it."""
    asyncio.run(_lend())
    assert budget(asked)["loans"] == [{"owner": LOST, "amount_usd": "0.1"}]
    done = asked("usage", "resolve", "--lost", LOST)
    assert (done.code, done.said) == (0, f"$0.1 of the budget 'all' (total) are no longer lent to {LOST}.\n")
    assert budget(asked)["loans"] == []
    assert asked("usage", "resolve", "--lost", LOST).code == 1


def test_loans_for_scripts(asked):
    """What has ended."""
    asyncio.run(_lend())
    told = asked("usage", "resolve", "--lost", LOST, "--json").json
    assert told == {"owner": LOST, "ended": [{"name": "all", "window": "total", "lent_usd": "0.1"}]}


async def _lend():
    ledger = SqliteLedger("books.db")
    await ledger.borrow(LOST, Cap("all", "total", 10**12), 10**11, 10**11)
    await ledger.close()


def test_rows_and_sums_for_spreadsheets(asked):
    """The same names and values as JSON has."""
    rows = list(csv.DictReader(io.StringIO(asked("usage", "--rows", "--csv").out, newline="")))
    told = [json.loads(line) for line in asked("usage", "--rows", "--json").out.splitlines()]
    assert [row["call_id"] for row in rows] == [row["call_id"] for row in told]
    assert list(rows[0]) == list(told[0])
    assert json.loads(rows[0]["budgets"]) == told[0]["budgets"]
    (group,) = csv.DictReader(io.StringIO(asked("usage", "--by", "user", "--csv").out, newline=""))
    assert (group["user"], group["calls"]) == ("u", "2")
    (whole,) = csv.DictReader(io.StringIO(asked("usage", "--csv").out, newline=""))
    assert (whole["calls"], "user" in whole) == ("2", False)


def test_no_budgets(headgate, books):  # noqa: ARG001  as above
    """Where they would come from is told."""
    done = headgate("usage", "--budgets")
    assert (done.code, done.out) == (0, "")
    assert done.said.endswith(
        "There are no budgets: neither `budgets` in the configuration nor keys with one.\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--json", "--csv"], "--json and --csv exclude each other."),
        (["--unknown", "--exceeded"], "--unknown, --exceeded, --budgets and --summary exclude each other."),
        (["--rows", "--budgets"], "--unknown, --exceeded, --budgets and --summary exclude each other."),
        (["resolve"], "No call is named."),
        (["resolve", "x"], "How did it end?"),
        (["resolve", "x", "--not-billed", "--cost-usd", "1"], "How did it end?"),
        (["resolve", "x", "--cost-usd", "-1"], "--cost-usd '-1' is no sum of dollars."),
        (["resolve", "x", "--cost-usd", "nan"], "--cost-usd 'nan' is no sum of dollars."),
        (["resolve", "x", "--cost-usd", "1e99"], "--cost-usd '1e99' is no sum of dollars."),
        (["resolve", "x", "--cost-usd", "ten"], "--cost-usd 'ten' is no sum of dollars."),
        (["resolve", "x", "--not-billed"], "'x' is no id of a call."),
        (["resolve", "x", "--lost", "y"], "--lost is about a process, not about a call."),
    ],
)
def test_wrong_use(headgate, arguments, said):
    """What is wrong, and the cure; 2."""
    done = headgate("usage", *arguments)
    assert (done.code, done.out) == (2, "")
    assert f"error: {said}\n\nhint: " in done.said
