"""What policies have learned, from one configuration to the next."""

import pytest

from headgate.core.call import Target
from headgate.gate.lasting import Lasting, unchanged
from headgate.gate.load import load

TARGET = Target("p", "m")


class Learner:
    """A policy that knows something."""

    def __init__(self, known=()):
        self.known = known

    def carry(self, former):
        """Know it, too."""
        self.known = (*former.known, "carried")


def _config(**settings):
    plain = {"store": "memory://", "providers": {"p": {"type": "simulator"}, "q": {"type": "simulator"}}}
    return load(None, environment={}, settings={**plain, **settings}).config


def _after(before, after, layer="breaker", policies=None):
    """What stands after a change, at a target that had learned something before it."""
    former, now = Lasting(before), Lasting(after)
    known = Learner(("a",))
    now.carry(former, {("p", "m"): {layer: known} if policies is None else policies})
    return known, now, now.going_on(Learner(), layer, TARGET)


def test_it_is_the_same_where_nothing_has_changed():
    """The calls under way go on telling it; the second who asks finds nothing to take over."""
    known, now, found = _after(_config(), _config())
    assert found is known
    fresh = Learner()
    assert now.going_on(fresh, "breaker", TARGET) is fresh


@pytest.mark.parametrize(
    "settings",
    [{"policies": {"breaker": {"failures": 9}}}, {"providers": {"p": {"type": "simulator", "seed": 1}}}],
)
def test_it_is_told_where_something_has(settings):
    """A new one, which knows what the former one knew."""
    known, _, found = _after(_config(), _config(**settings))
    assert found is not known
    assert found.known == ("a", "carried")


def test_only_what_learns_lasts():
    """Everything else is made of settings alone."""
    known, _, found = _after(_config(), _config(), layer="fit")
    assert found is not known
    assert found.known == ()


def test_what_is_off_now_is_off():
    """Whatever it had learned."""
    _, now, _ = _after(_config(), _config())
    now.carry(Lasting(_config()), {("p", "m"): {"pace": Learner(("a",))}})
    assert now.going_on(None, "pace", TARGET) is None


def test_a_target_that_nobody_asked_for_in_between_is_not_forgotten():
    """Over two changes."""
    known, first, second = Learner(("a",)), Lasting(_config()), Lasting(_config())
    first.carry(Lasting(_config()), {("p", "m"): {"retry": known}})
    second.carry(first, {})
    assert second.going_on(Learner(), "retry", TARGET) is known


def test_which_providers_are_unchanged():
    """Those with the same settings; none where the rules of all have changed."""
    assert unchanged(_config(), _config()) == {"p", "q"}
    other = {"p": {"type": "simulator", "seed": 3}, "q": {"type": "simulator"}}
    assert unchanged(_config(), _config(providers=other)) == {"q"}
    assert unchanged(_config(), _config(policies={"retry": {"max_attempts": 2}})) == frozenset()
