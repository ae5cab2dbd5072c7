"""What is shown of a run while it goes on."""

import asyncio
import io
import sys
from decimal import Decimal
from types import SimpleNamespace

import pytest

from headgate.cli.progress import Pace, Watch, pace_of, shown, time
from headgate.core.errors import RestingError
from headgate.gate.config_providers import Limits
from headgate.jobs.tally import Tally
from headgate.testing import VirtualClock, virtual_time


def _run(answered=0, tokens=0, *, failed=0, cost=0, trouble=None):
    tally = Tally(succeeded=answered - failed, failed=failed, cost=cost)
    part = SimpleNamespace(tally=tally)
    return SimpleNamespace(part=part, answered=answered, prompt_tokens=tokens, completion_tokens=0, trouble=trouble)


def _watched(steps, *, total=1000, pace=None, budget=None):
    """What is said after steps of ten seconds each."""

    async def story():
        run = _run()
        watch = Watch(run, total=total, pace=pace or Pace(), budget=budget, clock=VirtualClock())
        for step in steps:
            await asyncio.sleep(10)
            run.__dict__.update(step.__dict__)
            watch.look()
        return watch.line()

    return virtual_time(story())


def test_rates_stand_beside_what_is_allowed():
    """And so does the cost; the time that is left is that of the slowest of them."""
    line = _watched(
        [_run(100, 5000, failed=2, cost=5 * 10**11)], pace=Pace(requests=500, tokens=60_000), budget=Decimal(2)
    )
    assert line == (
        "100 of 1,000 rows, 600 of 500 rows/min, 30,000 of 60,000 tokens/min, $0.5000 of $2, 2 failed, 2 min left"
    )


def test_lately_is_what_counts():
    """A slow start is forgotten."""
    line = _watched([_run(1), _run(2), _run(3), _run(103), _run(203), _run(303)])
    assert line.startswith("303 of 1,000 rows, 600 rows/min, $0.0000, 70 s left")


def test_nobody_knows_how_long_a_pipe_is():
    """Nothing is promised."""
    assert _watched([_run(60)], total=None) == "60 rows, 360 rows/min, $0.0000"


def test_trouble_is_told():
    """While nobody is answered."""
    assert "waiting: p/m rests" in _watched([_run(60, trouble=RestingError("p/m rests"))])


def test_limits_of_several_providers_are_added():
    """Where one of them is not known, the sum is not."""
    one, two = Limits(requests_per_minute=100, tokens_per_minute=5), Limits(requests_per_minute=50)
    assert pace_of([one, two]) == Pace(requests=150)
    assert pace_of([one, None]) == Pace()
    assert pace_of([]) == Pace()


@pytest.mark.parametrize(("seconds", "said"), [(0, "0 s"), (89, "89 s"), (120, "2 min"), (7200, "2.0 h")])
def test_time_as_people_say_it(seconds, said):
    """Seconds, minutes, hours."""
    assert time(seconds) == said


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [_Terminal, io.StringIO])
def test_it_is_shown_while_it_goes_on(monkeypatch, stream):
    """Drawn over itself on a terminal, written every ten seconds elsewhere; an error passes through as it is."""
    out = stream()
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setenv("TERM", "xterm")

    async def story():
        watch = Watch(_run(), total=10, pace=Pace(), budget=None, clock=VirtualClock())

        async def failing():
            async with shown(watch):
                await asyncio.sleep(25)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await failing()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual_time(story())
    assert "0 of 10 rows" in out.getvalue()
    if stream is io.StringIO:
        assert out.getvalue().count("\n") == 2
