"""Covers gate/targets.py."""

from headgate.core.call import Target
from headgate.gate.targets import LONGEST, configured, resting, shown, states
from headgate.policies.route import Plan


class Silent:
    """A policy that tells nothing."""


class Breaker:
    """One that does."""

    def __init__(self, state: str) -> None:
        self._state = state

    def state(self):
        return {"state": self._state}


def test_whatever_has_a_state_is_told():
    """By target and by layer; a policy without one is left out."""
    targets = {("p", "m"): {"retry": Silent(), "breaker": Breaker("closed")}, ("p", ""): {"retry": Silent()}}
    assert states(targets) == {("p", "m"): {"breaker": {"state": "closed"}}, ("p", ""): {}}  # type: ignore[arg-type]


def test_a_target_rests_only_while_its_breaker_is_open():
    """Half open it is being asked again."""
    for state, rests in (("closed", False), ("open", True), ("half_open", False)):
        targets = {("p", "n"): {"retry": Silent()}, ("p", "m"): {"breaker": Breaker(state)}}
        assert resting(states(targets)) == rests  # type: ignore[arg-type]


def test_a_name_that_somebody_made_up_is_cut():
    """Whoever reads health is not sent a caller's megabyte."""
    assert len(shown(("p", "m" * 10_000))) == LONGEST


def test_the_configuration_names_its_targets():
    """By their own models, by the route's name where it is passed on, by the default where any name is taken."""
    plans = {
        "fast": Plan((Target("p", "luna"), Target("q"))),
        "*": Plan((Target("r"), Target("s", "sol"))),
    }
    bare = {("p", ""), ("q", ""), ("r", ""), ("s", "")}
    named = {("p", "luna"), ("q", "fast"), ("s", "sol")}
    assert configured(plans, None) == bare | named
    assert configured(plans, "fast") == bare | named | {("r", "fast")}
