"""A scenario is played as it was written, with either client."""

from itertools import pairwise

import pytest

from headgate.cli.bench import stage
from headgate.cli.bench.scenarios import GROUP, Change, Scenario, Stranger
from headgate.cli.bench.stage import THEIRS, Work, play, quantile
from headgate.providers.simulator import Limits
from headgate.testing import EPOCH, VirtualClock, virtual_time

WIDE = Limits(requests_per_minute=6_000_000, group=GROUP)
CLIENTS = ("headgate", "openai")


def scenario(limits=WIDE, **changes):
    """A small one: four callers, who need a second for each of 600 calls."""
    settings = {
        "name": "small", "limits": limits, "told": {}, "calls": 600, "workers": 4, "semaphore": 4, "lengths": (1, 1),
        "share": 0.0, "refused": 0.0,
    }  # fmt: skip
    return Scenario(**{**settings, **changes})


@pytest.fixture
def watched(monkeypatch):
    """The simulators of the plays."""
    seen = []
    use_up = stage.use_up

    async def note(simulator, limits):
        seen.append(simulator)
        await use_up(simulator, limits)

    monkeypatch.setattr(stage, "use_up", note)
    return seen


@pytest.mark.parametrize("client", CLIENTS)
def test_a_play(client, watched):
    """All calls are made, so many at a time, one after the other; equal seeds play the same."""
    first, second = (virtual_time(play(scenario(), client, seed=4)) for _ in range(2))
    assert first == second != virtual_time(play(scenario(), client, seed=5))
    assert (first.calls, first.lost, first.verdict.peak) == (600, {}, 4)
    assert first.seconds == pytest.approx(600 / 4, rel=0.1)
    assert first.p50 == pytest.approx(1, rel=0.1)
    assert 1 < first.p95 <= 1.3
    # Two minutes of warming up, and one to be judged, half of which is work.
    assert first.verdict.share == pytest.approx(120 / 6_000_000, rel=0.3)
    ours = [one for one in watched[0].log if one.model != THEIRS]
    assert len([one for one in ours if not one.limited]) == 600
    assert ours[0].time == EPOCH


@pytest.mark.parametrize("client", CLIENTS)
def test_nothing_is_saved_up(client, watched):
    """The first call finds an account that was in use until now."""
    poor = Limits(requests_per_minute=60, group=GROUP)
    virtual_time(play(scenario(poor, calls=4), client, seed=1))
    assert {one.limited for one in watched[0].log[1:5]} == {None, "requests"}


def test_limits_change_and_strangers_come(watched):
    """At their time; strangers call as often as they were said to, give or take chance."""
    change = Change(30, Limits(requests_per_minute=1, group=GROUP))
    stranger = Stranger(10, 25, 240)
    outcome = virtual_time(play(scenario(changes=(change,), stranger=stranger, calls=200), "openai", seed=1))
    log = watched[0].log
    theirs = [one.time - EPOCH for one in log[1:] if one.model == THEIRS]
    assert (theirs[0] >= 10, theirs[-1] < 25, 45 <= len(theirs) <= 75) == (True, True, True)
    ours = [one for one in log if one.model != THEIRS]
    assert not [one for one in ours if one.limited and 1 < one.time - EPOCH < 30]
    later = [one.time - EPOCH for one in ours if not one.limited and one.time - EPOCH > 32]
    assert [after - before for before, after in pairwise(later)] == pytest.approx([60] * (len(later) - 1), abs=0.1)
    assert set(outcome.lost) == {"RateLimitError"}
    assert outcome.calls == 200


@pytest.mark.parametrize("client", CLIENTS)
def test_lengths_stand_in_the_prompts(client, watched):
    """Spread over the orders of magnitude, and equal for both clients."""
    virtual_time(play(scenario(calls=200, lengths=(10, 1000)), client, seed=9))
    lengths = [one.completion_tokens for one in watched[0].log if one.model != THEIRS and not one.limited]
    assert (min(lengths) >= 10, max(lengths) <= 1000) == (True, True)
    assert 80 <= sum(one < 100 for one in lengths) <= 120


def test_a_silent_account_stays_silent(watched):
    """Its limits change without a word, too."""
    silent = Limits(requests_per_minute=6_000_000, group=GROUP, headers=False)
    virtual_time(play(scenario(silent, calls=4), "headgate", seed=1))
    assert watched[0]._desk._limits == silent


def test_work_that_fails():
    """It is counted by its name, and the others go on."""

    async def ask(prompt):
        return "BadError" if prompt == "b" else None

    async def tell():
        work = Work(ask, ["a", "b", "c"], VirtualClock())
        await work.done(2)
        return work

    work = virtual_time(tell())
    assert (dict(work.lost), work.latencies, work.last) == ({"BadError": 1}, [0, 0, 0], EPOCH)


def test_quantiles():
    """Of nothing they are nothing."""
    assert [quantile([4, 1, 3, 2], share) for share in (0, 0.5, 0.95)] == [1, 3, 4]
    assert quantile([], 0.5) == 0
