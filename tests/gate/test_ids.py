"""Ids: they grow with time, no two are equal, and the day is that of UTC."""

from headgate.gate.ids import Ids
from headgate.gate.ports import SystemChance


class _Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def time(self) -> float:
        return self.now


def test_ids_grow_with_time_and_are_never_the_same():
    """In one moment they count; two gates never meet."""
    clock = _Clock()
    ids, others = Ids(clock, SystemChance(1)), Ids(clock, SystemChance(2))
    made = [ids.new(), ids.new()]
    clock.now += 0.001
    made.append(ids.new())
    assert made == sorted(set(made))
    assert {len(name) for name in made} == {32}
    assert others.new()[12:24] != made[0][12:24]


def test_the_day_changes_at_midnight():
    """In UTC."""
    clock = _Clock()
    ids = Ids(clock, SystemChance(1))
    clock.now = 1_800_057_599.0
    assert ids.today() == "2027-01-15"
    clock.now += 1
    assert ids.today() == "2027-01-16"
