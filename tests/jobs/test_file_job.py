"""What belongs together in a job over a file."""

import asyncio
import os
from decimal import Decimal

import msgspec
import pytest

from headgate.core.errors import BadRequestError, OverBudgetError
from headgate.gate.config import Config
from headgate.jobs import file_job
from headgate.jobs.file_job import FEWEST, MOST, TAG, UNTOLD, Order
from headgate.jobs.intake import Wish
from headgate.jobs.row import Lane, Outcome
from headgate.jobs.template import Template


def _order(tmp_path, **more):
    return Order(**{"source": tmp_path / "in.jsonl", "output": tmp_path / "out.jsonl", "wish": Wish(model="m"), **more})


def _config(**limits):
    provider = {"type": "simulator", **({"limits": limits} if limits else {})}
    return Config.model_validate({"providers": {"p": provider}, "models": {"*": {"targets": [{"provider": "p"}]}}})


def test_what_must_not_change(tmp_path):
    """Everything that decides what is asked, and no more: a budget may be raised, a lane at once be another one."""
    order = _order(tmp_path, wish=Wish(model="m", template=Template("{a}"), params={"n": b"1", "a": b'"x"'}))
    assert order.spec == {
        "model": "m", "template": "{a}", "column": None, "format": "jsonl", "lane": "at once",
        "params": {"a": "x", "n": 1},
    }  # fmt: skip
    for same in ({"budget": Decimal(5)}, {"lane": Lane.FLEX}):
        assert msgspec.structs.replace(order, **same).spec == order.spec
    assert msgspec.structs.replace(order, lane=Lane.BATCH).spec != order.spec


def test_flex_is_asked_of_every_row(tmp_path):
    """And of none in the other lanes."""
    assert [_order(tmp_path, lane=lane).tiered.tier for lane in Lane] == [None, "flex", None]


def test_an_output_that_is_there_is_not_overwritten(tmp_path):
    """Unless a job is under way there."""
    order = _order(tmp_path)
    order.output.write_text("precious")
    with pytest.raises(BadRequestError, match="exists"):
        file_job.open_part(order, job="j")
    order.output.unlink()
    part = file_job.open_part(order, job="j")
    part.sent(1)
    part.close()
    order.output.write_text("what was there of it")
    file_job.open_part(order, job="j").close()


@pytest.mark.parametrize("what", ["folder", "input", "nowhere"])
def test_a_wrong_output_is_told_at_once(tmp_path, what):
    """Before anything is sent."""
    output = {"folder": tmp_path, "input": tmp_path / "in.jsonl", "nowhere": tmp_path / "no" / "out"}[what]
    (tmp_path / "in.jsonl").write_text("{}")
    with pytest.raises(BadRequestError):
        file_job.open_part(_order(tmp_path, output=output), job="j")


@pytest.mark.parametrize("name", ["", "missing"])
def test_a_wrong_input_is_told_at_once(tmp_path, name):
    """A folder, or nothing."""
    with pytest.raises(BadRequestError), file_job.opened(tmp_path / name):
        pass


@pytest.mark.parametrize(
    ("text", "sheet", "rows"), [("", False, 0), ("a\nb", False, 2), ("a\nb\n", False, 2), ("h\nb\n", True, 1)]
)
def test_how_many_rows(tmp_path, text, sheet, rows):
    """The lines, but for a header."""
    (tmp_path / "in").write_text(text)
    with file_job.opened(tmp_path / "in") as file:
        assert file_job.length(file, sheet=sheet) == rows


def test_nobody_knows_how_long_a_pipe_is():
    """It is read once."""
    reading, writing = os.pipe()
    try:
        assert file_job.length(reading, sheet=False) is None
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize(
    ("limits", "together"),
    [
        ({}, UNTOLD),
        ({"tokens_per_minute": 1000}, UNTOLD),
        ({"requests_per_minute": 600}, 200),
        ({"requests_per_minute": 6}, FEWEST),
        ({"requests_per_minute": 100_000}, MOST),
        ({"concurrency": 200}, 220),
        ({"concurrency": 2}, FEWEST),
    ],
)
def test_as_many_at_once_as_fill_the_limits(limits, together):
    """A queue costs nothing, an empty place does."""
    assert file_job.concurrency(file_job.allowed(_config(**limits), "m")) == together


def test_who_answers_a_model():
    """By its own route, by the default one's, or by the one for any."""
    config = Config.model_validate({
        "providers": {"p": {"type": "simulator"}, "q": {"type": "simulator"}},
        "models": {
            "a": {"targets": [{"provider": "p", "priority": 2}, {"provider": "q", "model": "b"}]},
            "default": "a",
            "*": {"targets": [{"provider": "p"}]},
        },
    })  # fmt: skip
    assert file_job.first_target(config, "a").provider == "q"
    assert file_job.first_target(config, None).model == "b"
    assert file_job.first_target(config, "else").provider == "p"
    assert file_job.first_target(Config(), "a") is None


def test_a_budget_is_one_of_the_gate(tmp_path):
    """For the calls of this job alone; what was spent outside of it is taken off."""
    order = _order(tmp_path, budget=Decimal("0.5"))
    part = file_job.open_part(order, job="j")
    part.sent(1)
    part.add(Outcome(id="a", number=1, lane=Lane.REALTIME, status=200, body=b"{}", cost=10**11))
    kept = file_job.budgeted(_config(), order, part, 0).budgets[-1]
    assert (kept.scope, kept.tag, kept.window, kept.limit_usd) == ("tag", f"{TAG}=j", "total", Decimal("0.5"))
    assert file_job.budgeted(_config(), order, part, 10**11).budgets[-1].limit_usd == Decimal("0.4")
    with pytest.raises(OverBudgetError, match=r"is spent: the job has cost \$0\.1"):
        file_job.budgeted(_config(), msgspec.structs.replace(order, budget=Decimal("0.1")), part, 10**11)
    assert file_job.budgeted(_config(), _order(tmp_path), part, 0).budgets == []
    part.close()


def test_what_books_in_memory_have_forgotten_was_spent(tmp_path):
    """All that the part file knows; nothing where no budget is asked for, or nothing was answered."""
    forgetful = _config().model_copy(update={"store": "memory://"})
    order = _order(tmp_path, budget=Decimal("0.5"))
    part = file_job.open_part(order, job="j")
    assert asyncio.run(file_job.outside(forgetful, order, part)) == 0
    part.sent(1)
    part.add(Outcome(id="a", number=1, lane=Lane.REALTIME, status=200, body=b"{}", cost=10**11))
    assert asyncio.run(file_job.outside(forgetful, order, part)) == 10**11
    assert asyncio.run(file_job.outside(forgetful, _order(tmp_path), part)) == 0
    part.close()


def test_which_way_a_job_goes_is_known_from_its_beginning(tmp_path):
    """So that whoever goes on need not say it."""
    order = _order(tmp_path, lane=Lane.BATCH)
    assert file_job.is_batched(order.output) is None
    part = file_job.open_part(order, job="j")
    assert file_job.is_batched(order.output) is True
    part.close()
