"""What is promised of pacing is kept: every scenario of the bench, with the bench's own judge."""

import pytest

from headgate.cli.bench.pace import line, promised
from headgate.cli.bench.scenarios import Scenario, scenarios
from headgate.cli.bench.stage import play
from headgate.testing import virtual_time

MINUTES = 10


@pytest.mark.parametrize("scenario", scenarios(MINUTES), ids=lambda one: one.name)
def test_the_limits_are_used_and_hardly_met(scenario: Scenario):
    """Enough of what is allowed is used, next to no call meets a 429, and none is lost."""
    outcome = virtual_time(play(scenario, "headgate", seed=1))
    made = promised(line(scenario.name, "headgate", 1, outcome), share=scenario.share, refused=scenario.refused)
    assert made.met, made
    assert made.calls == scenario.calls
