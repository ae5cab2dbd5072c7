"""Which call meets which fault."""

import pytest

from headgate.providers.simulator.faults import Faults, asked_for
from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.settings import Fault


def kinds(faults, count, model="m"):
    """The kinds of fault that so many calls meet."""
    return [fault.kind if (fault := faults.meet(model, number)) else None for number in range(count)]


def test_without_a_rate_every_call_meets_it_and_times_bounds_it():
    """`times` counts the calls that met it."""
    assert kinds(Faults([Fault(kind="reset", times=2)], 1), 4) == ["reset", "reset", None, None]


def test_the_first_fault_that_fits_happens():
    """A fault for another model is passed over; so is one that is used up."""
    faults = Faults([Fault(kind="cut", model="other"), Fault(kind="stall", times=1), Fault(kind="no_done")], 1)
    assert kinds(faults, 3) == ["stall", "no_done", "no_done"]
    assert kinds(faults, 1, "other") == ["cut"]


def test_a_rate_is_kept_and_repeats_with_the_seed():
    """About the share that was asked for; the same calls with the same seed, others with another."""

    def script(seed):
        return kinds(Faults([Fault(kind="cut", rate=0.2)], seed), 2000)

    assert 340 <= sum(kind is not None for kind in script(7)) <= 460
    assert script(7) == script(7)
    assert script(7) != script(8)
    assert kinds(Faults([Fault(kind="cut", rate=0.0)], 1), 100) == [None] * 100


def test_a_request_may_ask_for_its_own():
    """The header holds one fault as JSON; whatever else it holds is refused."""
    assert asked_for('{"kind": "status", "status": 429, "retry_after": 2}') == Fault(
        kind="status", status=429, retry_after=2
    )
    for text in (
        "",
        "{}",
        '{"kind": "boom"}',
        '{"kind": "cut", "extra": 1}',
        '{"kind": "status", "status": 200}',
        "[]",
    ):
        with pytest.raises(Problem, match="x-simulate-fault"):
            asked_for(text)
