"""Covers client/jobs.py: durable jobs as Python gives and steers them; `tests/jobs/durable` has them done."""

from decimal import Decimal

import pytest

from headgate import AsyncHeadgate, Headgate
from headgate.core.errors import BadRequestError, ConfigError, UnknownObjectError
from headgate.jobs.part import Part
from headgate.jobs.row import Lane, Outcome
from headgate.stores.jobs import Sums
from headgate.types import JobState


@pytest.fixture
def settings(tmp_path):
    """A configuration with books on disk."""
    return {
        "store": f"sqlite:///{tmp_path}/books.db", "journal": {"path": f"{tmp_path}/journal"},
        "providers": {"p": {"type": "simulator"}}, "models": {"default": "gpt-6-luna"},
    }  # fmt: skip


def test_a_job_is_given_and_steered(settings):
    """From one program, and from another one."""
    with Headgate(settings) as gate:
        job = gate.jobs.submit(["One?", "Two?"], name="nightly", budget="0.5", max_tokens=9)
        assert (job.status, job.rows, job.budget_usd) == (JobState.RUNNING, 2, Decimal("0.5"))
    with Headgate(settings) as gate:
        assert gate.jobs.pause("nightly").status is gate.jobs.wait(job).status is JobState.PAUSED
        assert gate.jobs.retune(job, concurrency=3, budget=None, deadline=60).concurrency == 3
        assert gate.jobs.status(job).budget_usd is None
        assert gate.jobs.resume(job).status is JobState.RUNNING
        assert [one.id for one in gate.jobs.list()] == ["nightly"]
        assert list(gate.jobs.results(job)) == []
        with pytest.raises(BadRequestError, match="max_tokens"):
            gate.jobs.submit(["One?", "Two?"], name="nightly", max_tokens=10)
        assert gate.jobs.submit(["One?", "Two?"], name="nightly", max_tokens=9).id == "nightly"
        assert gate.jobs.cancel(job).status is JobState.CANCELLED


def test_results_are_read(settings, tmp_path):
    """As far as workers have told."""
    part = Part.open(tmp_path / "x.part", {}, job="j")
    part.add(Outcome(id="2", number=2, lane=Lane.REALTIME, status=200, body=b"{}", cost=10**9))
    data = part.path.read_bytes()
    part.close()

    async def tell(gate):
        book = (await gate._ready()).batching.jobs
        await book.enter("me")
        await book.tell(await book.claim("j", 0, "me"), Sums(succeeded=1), [], (0, data))

    with Headgate(settings) as gate:
        gate.jobs.submit(["One?", "Two?"], name="j")
        gate._thread.run(tell(gate._gate))
        (found,) = gate.jobs.results("j")
        assert (found.custom_id, found.number, found.status, found.cost_usd) == ("2", 2, 200, Decimal("0.001"))


@pytest.mark.parametrize(
    "wrong", [{"concurrency": 0}, {"concurrency": 1.5}, {"budget": "-1"}, {"deadline": float("nan")}, {"timeout": 5}]
)
def test_wrong_use_is_refused(settings, wrong):
    """By name, before anything is written down."""
    with Headgate(settings) as gate:
        with pytest.raises(BadRequestError, match=next(iter(wrong))):
            gate.jobs.submit(["One?"], **wrong)
        assert gate.jobs.list() == []
        with pytest.raises(UnknownObjectError):
            gate.jobs.status("nobody")
        with pytest.raises(BadRequestError, match="priority"):
            gate.jobs.retune("x", priority=5)


def test_books_in_memory_keep_no_job(settings):
    """The error says so."""
    with Headgate(settings | {"store": "memory://"}) as gate, pytest.raises(ConfigError, match="in memory"):
        gate.jobs.submit(["One?"])
    assert AsyncHeadgate(settings).jobs is not None
