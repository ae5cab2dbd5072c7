"""Covers policies/pace/queue.py."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headgate.policies.pace.queue import ONE_IN, Queue, Waiter


def drain(queue, most=10**9):
    """Admit who is next, again and again."""
    order = []
    while len(order) < most and (head := queue.head()) is not None:
        queue.remove(head, admitted=True)
        order.append(head)
    return order


def filled(*waiters):
    """A queue in which these wait."""
    queue = Queue()
    for waiter in waiters:
        queue.add(waiter)
    return queue


def test_nobody_waits_in_an_empty_queue():
    """It has no head and no length."""
    assert Queue().head() is None
    assert len(Queue()) == 0


def test_one_caller_is_served_in_order():
    """First come, first served, where nobody else asks."""
    waiters = [Waiter(5, "a", 1.0) for _ in range(100)]
    assert drain(filled(*waiters)) == waiters


def test_callers_take_turns():
    """A caller with thousands of calls does not keep another's two waiting."""
    order = drain(filled(*(Waiter(5, "many", 1.0) for _ in range(10_000)), *(Waiter(5, "few", 1.0) for _ in range(2))))
    assert [at for at, waiter in enumerate(order) if waiter.caller == "few"] == [1, 3]


def test_turns_are_of_cost_not_of_calls():
    """Who asks for ten times as much goes a tenth as often."""
    queue = filled(*(Waiter(5, "large", 10.0) for _ in range(100)), *(Waiter(5, "small", 1.0) for _ in range(1000)))
    counts = Counter(waiter.caller for waiter in drain(queue, 550))
    assert counts["small"] == pytest.approx(500, abs=15)


def test_many_lower_priorities_have_one_turn_together():
    """However many of them wait, nine of ten admissions are of the highest; and each of them has its part of the rest.

    Else a caller with one call at each priority would take half of what belongs to the highest.
    """
    order = drain(filled(*(Waiter(priority, "a", 1.0) for priority in range(10) for _ in range(900))), 900)
    counts = Counter(waiter.priority for waiter in order)
    assert counts == {9: 810} | dict.fromkeys(range(9), 10)


def test_small_calls_one_at_a_time_do_not_starve_a_large_one():
    """A caller who comes back at once after each call goes on from where it was, not from the front."""
    queue = filled(*(Waiter(5, "large", 1.0) for _ in range(100)))
    counts = Counter()
    queue.add(Waiter(5, "small", 0.1))
    for _ in range(550):
        (head,) = drain(queue, 1)
        counts[head.caller] += 1
        queue.head()
        if head.caller == "small":
            queue.add(Waiter(5, "small", 0.1))
    # By cost, 50 of them would be even; who always has calls waiting may have a little more.
    assert 45 <= counts["large"] <= 100


def test_newcomers_do_not_starve_who_was_there():
    """A stream of new names, each with one call, leaves others their turns."""
    queue = filled(*(Waiter(5, "old", 1.0) for _ in range(100)))
    counts = Counter()
    for number in range(200):
        queue.add(Waiter(5, f"new{number}", 1.0))
        queue.add(Waiter(5, f"newer{number}", 1.0))
        counts.update(waiter.caller for waiter in drain(queue, 2))
    assert counts["old"] >= 8


def test_higher_priorities_go_first():
    """And a lower one gets its share meanwhile."""
    queue = filled(*(Waiter(5, "a", 1.0) for _ in range(90)), *(Waiter(2, "b", 1.0) for _ in range(90)))
    order = [waiter.priority for waiter in drain(queue)]
    assert order[: ONE_IN - 1] == [5] * (ONE_IN - 1)
    assert Counter(order[:100]) == {5: 90, 2: 10}


def test_nobody_starves_at_any_priority():
    """Each lower priority gets its turn in the share, whatever floods the others."""
    queue = filled(*(Waiter(p, "flood", 1.0) for p in (9, 7, 5) for _ in range(1000)), last := Waiter(0, "last", 1.0))
    assert drain(queue, 4 * ONE_IN)[-1] is not last
    assert last not in queue


def test_a_call_that_comes_again_goes_first_among_its_callers():
    """What was refused by the provider does not start at the end again."""
    queue = filled(*(Waiter(5, "a", 1.0) for _ in range(9)), again := Waiter(5, "a", 1.0, first=True))
    assert queue.head() is again


def test_priorities_out_of_range():
    """Are taken as the nearest one."""
    assert (Waiter(99, "a", 1.0).priority, Waiter(-1, "a", 1.0).priority) == (9, 0)


def test_what_is_surely_before_a_call():
    """Its caller's own calls of the same priority, and what they cost."""
    queue = filled(*(Waiter(5, "a", 2.0) for _ in range(3)), Waiter(5, "b", 1.0), Waiter(4, "a", 1.0))
    assert queue.ahead(Waiter(5, "a", 1.0)) == (3, 6.0)
    assert queue.ahead(Waiter(5, "c", 1.0)) == (0, 0.0)
    assert queue.ahead(Waiter(5, "a", 1.0, first=True)) == (0, 0.0)


def test_names_are_forgotten():
    """A million callers with one call each leave nothing behind, even while somebody always waits."""
    queue = filled(*(Waiter(5, "stays", 1000.0) for _ in range(2)))
    for number in range(5000):
        queue.add(Waiter(5, f"c{number}", 1.0))
        drain(queue, 1)
    level = queue._levels[5]
    assert len(level.flows) < 300
    assert len(level.heap) < 300


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("abc"), st.floats(0.01, 10)), max_size=60), st.randoms())
def test_nobody_is_lost(given_waiters, draw):
    """Everybody is admitted exactly once or has left."""
    waiters = [Waiter(*facts) for facts in given_waiters]
    queue = filled(*waiters)
    left = draw.sample(waiters, len(waiters) // 3)
    for waiter in left:
        queue.remove(waiter, admitted=False)
    assert Counter([*drain(queue), *left]) == Counter(waiters)
    assert len(queue) == 0
    assert not any(level.flows or level.heap or level.waiting or level.active for level in queue._levels)


class Comings(RuleBasedStateMachine):
    """Callers come, leave and are admitted in any order."""

    def __init__(self):
        super().__init__()
        self.queue = Queue()
        self.waiting = []
        self.passed = 0

    @rule(priority=st.integers(0, 9), caller=st.sampled_from("abcd"), cost=st.floats(0.01, 100), first=st.booleans())
    def comes(self, priority, caller, cost, first):
        """A call comes."""
        waiter = Waiter(priority, caller, cost, first=first)
        self.queue.add(waiter)
        self.waiting.append(waiter)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leaves(self, data):
        """One leaves, wherever it stands."""
        waiter = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(waiter)
        self.queue.remove(waiter, admitted=False)

    @precondition(lambda self: self.waiting)
    @rule()
    def goes(self):
        """The next one goes: of the highest priority, but for one in ten."""
        head = self.queue.head()
        highest = max(waiter.priority for waiter in self.waiting)
        lower = any(waiter.priority < head.priority for waiter in self.waiting)
        assert head.priority == highest or self.passed >= ONE_IN - 1
        self.passed = self.passed + 1 if lower else 0
        self.waiting.remove(head)
        self.queue.remove(head, admitted=True)

    @invariant()
    def agrees(self):
        """It knows who waits, and who is next does not change by asking."""
        assert len(self.queue) == len(self.waiting)
        assert Counter(self.queue) == Counter(self.waiting)
        assert self.queue.head() is self.queue.head()
        assert (self.queue.head() is None) == (not self.waiting)
        assert all(level.active == sum(1 for f in level.flows.values() if f.waiters) for level in self.queue._levels)


TestComings = Comings.TestCase
