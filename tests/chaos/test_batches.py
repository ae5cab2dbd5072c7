"""A job in batches whose process is killed before and after every single step, one after the other, by every provider.

However it ends, each row has one outcome, no row is answered twice, and ledger, bill and books agree to the picodollar.
"""

import pytest

from headgate.jobs.batch.reading import Unsent
from tests.jobs.batch.conftest import stage as stage  # noqa: PLC0414  the fixture
from tests.jobs.batch.deaths import BAD, BUDGET, LIVES, ROWS, Steps, survive


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_death_at_any_step_loses_nothing_and_pays_nothing_twice(stage, monkeypatch, life, moment):
    """A job that is split, refused in part, goes on in further batches, and is given back where it would be late."""
    batch, deadline = LIVES[life]
    steps, number = Steps(monkeypatch), 0
    while number <= steps.count:
        number += 1
        dies = (number, moment)
        kept = stage(lambda made, dies=dies: survive(made, steps, dies, deadline), batch, budgets=[BUDGET])
        assert sorted(kept) == sorted(one.number for one in (*ROWS, *BAD))
        failed = [one.number for one in kept.values() if not isinstance(one, Unsent) and not one.succeeded]
        assert set(failed) <= {20, 21}
    assert number > 25
