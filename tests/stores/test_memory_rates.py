"""Rates in memory: the arithmetic, in any interleaving, and names without end."""

import asyncio
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from headgate.core.limits import Demand, Limits
from headgate.stores import memory_rates
from headgate.stores.memory_rates import MemoryRates
from headgate.stores.rates import Grant, Rule

ONE = Demand()


class Clock:
    """A clock that is set by hand."""

    now = 1000.0

    def monotonic(self):
        return self.now

    def time(self):
        return self.now

    def sleep(self, seconds):
        raise NotImplementedError(seconds)


def rates():
    """A store and its clock."""
    clock = Clock()
    return MemoryRates(clock), clock


def rule(name="t", burst=1.0, **limits):
    """A rule."""
    return Rule(name, Limits(**limits), burst)


def test_a_burst_then_a_rate():
    """Ten a second with a second's burst: ten at once, then one each tenth of a second, and the wait is exact."""
    store, clock = rates()
    ten = rule(requests_per_minute=600)
    assert [store.decide(ten, ONE).limited for _ in range(11)] == [None] * 10 + ["requests"]
    wait = store.decide(ten, ONE).wait
    assert abs(wait - 0.1) < 1e-9
    clock.now += wait
    assert store.decide(ten, ONE).limited is None
    assert store.decide(ten, ONE).limited == "requests"


def test_a_wait_that_is_told_is_long_enough():
    """Whoever waits as long as told, to the last bit, goes on: rounding makes nobody ask again and again."""
    store, clock = rates()
    clock.now = 12_345_678.9
    odd = rule(burst=0.0, requests_per_minute=7001, tokens_per_minute=90_001)
    for _ in range(1000):
        clock.now += store.decide(odd, Demand(3, 4)).wait
        assert store.decide(odd, Demand(3, 4)).limited in {None, "tokens", "requests"}
        clock.now += store.decide(odd, Demand(3, 4)).wait
        assert clock.now < 12_345_678.9 + 3000 * 7 * 60 / 90_001


def test_all_or_nothing():
    """What one limit refuses takes nothing of the others."""
    store, _ = rates()
    both = rule(requests_per_minute=600, output_tokens_per_minute=600, concurrency=5)
    granted = store.decide(both, Demand(0, 10))
    assert granted.limited is None
    refused = store.decide(both, Demand(0, 10))
    assert (refused.limited, refused.permit) == ("tokens", 0)
    assert abs(refused.requests - 0.1) < 1e-9
    store.settle(both, granted, Demand(0, 10), None)
    assert store.decide(both, Demand(0, 10)).requests == granted.requests


def test_more_than_the_burst_goes_from_rest():
    """A call that alone is more than a second's worth is not refused for ever; its debt is worked off first."""
    store, clock = rates()
    small = rule(tokens_per_minute=60)
    assert store.decide(small, Demand(30, 30)).limited is None
    assert abs(store.decide(small, Demand(0, 1)).wait - 60) < 1e-6
    clock.now += 60
    assert store.decide(small, Demand(0, 1)).limited is None


def test_less_than_one_a_minute_in_a_sliding_minute():
    """A limit below one lets one through, spaced by its rate."""
    store, clock = rates()
    rare = rule(requests_per_minute=0.5, sliding=True)
    assert store.decide(rare, ONE).limited is None
    assert abs(store.decide(rare, ONE).wait - 120) < 1e-6
    clock.now += 120
    assert store.decide(rare, ONE).limited is None


def test_a_call_that_never_left_gives_its_minute_back():
    """The request leaves the sliding minute's log, its own and no other."""
    store, clock = rates()
    two = rule(burst=60.0, requests_per_minute=2, sliding=True)
    first = store.decide(two, ONE)
    clock.now += 1
    second = store.decide(two, ONE)
    store.settle(two, first, ONE, None)
    store.settle(two, Grant(at=5.0), ONE, ONE)
    third = store.decide(two, ONE)
    assert (second.limited, third.limited) == (None, None)
    assert abs(store.decide(two, ONE).wait - 60) < 1e-6


def test_names_without_end_are_forgotten(monkeypatch):
    """Made-up names push out what was not asked for longest; who holds a place stays, and its place comes back."""
    monkeypatch.setattr(memory_rates, "MOST_NAMES", 100)
    store, _ = rates()
    held = rule("held", concurrency=1)
    grant = store.decide(held, ONE)
    used = rule("used", burst=0.0, requests_per_minute=1)
    store.decide(used, ONE)
    for number in range(1000):
        store.decide(rule(f"made-up-{number}", requests_per_minute=1), ONE)
        assert store.decide(used, ONE).limited == "requests"
    assert len(store._states) <= 100
    assert store.decide(held, ONE).wait == inf
    store.settle(held, grant, ONE, ONE)
    assert store.decide(held, ONE).limited is None
    store.settle(rule("made-up-1", requests_per_minute=1), Grant(), ONE, Demand(10**9, 10**9))
    assert "made-up-1" not in store._states


def test_a_newcomer_looks_at_few(monkeypatch):
    """Where every name is busy the store grows with the calls that are in flight, without looking through all."""
    monkeypatch.setattr(memory_rates, "MOST_NAMES", 10)
    store, _ = rates()
    busy = [rule(f"busy-{number}", concurrency=1) for number in range(50)]
    grants = [store.decide(each, ONE) for each in busy]
    assert all(grant.limited is None for grant in grants)
    assert len(store._states) == 50
    for each, grant in zip(busy, grants, strict=True):
        store.settle(each, grant, ONE, ONE)
    for number in range(20):
        store.decide(rule(f"new-{number}", requests_per_minute=1), ONE)
    assert len(store._states) <= 10


STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "settle", "pass"]), st.integers(0, 40), st.integers(0, 60)), max_size=120
)


RULES = st.builds(
    lambda limits, burst: Rule("t", limits, burst),
    st.builds(
        Limits,
        requests_per_minute=st.one_of(st.none(), st.integers(1, 2000)),
        tokens_per_minute=st.one_of(st.none(), st.integers(10, 5000)),
        concurrency=st.one_of(st.none(), st.integers(1, 4)),
        sliding=st.booleans(),
    ),
    st.sampled_from([0.0, 0.5, 1.0, 60.0]),
)


def holds(rate, burst, taken):
    """GCRA's promise, over every window that begins and ends at a grant."""
    most = max((amount for _, amount in taken), default=0)
    # A call larger than the burst may go from rest.
    beyond = most if burst * rate / 60 < most else 0
    for first, (start, _) in enumerate(taken):
        total = 0
        for at, amount in taken[first:]:
            total += amount
            assert total <= (at - start + burst) * rate / 60 + beyond + 1e-3


def judge(mine, taken):
    """Every promise of a rule about what was taken when: times, and tokens."""
    limits, requests = mine.limits, [(at, 1) for at, _ in taken]
    if limits.tokens_per_minute is not None:
        holds(limits.tokens_per_minute, mine.burst, taken)
    if limits.requests_per_minute is not None:
        holds(limits.requests_per_minute, mine.burst, requests)
        for start, _ in requests if limits.sliding else ():
            assert sum(1 for at, _ in requests if start <= at < start + 60) <= limits.requests_per_minute


@given(story=STEPS, mine=RULES)
def test_limits_hold_in_any_interleaving(story, mine):
    """GCRA, the sliding minute and the places, whatever is asked and given back when; at the end all is given back."""
    store, clock = rates()
    limits = mine.limits
    places = inf if limits.concurrency is None else limits.concurrency
    open_, taken = [], []
    for act, amount, pause in story:
        if act == "pass":
            clock.now += pause / 20
        elif act == "take":
            held = Demand(amount, amount)
            grant = store.decide(mine, held)
            assert (grant.limited is None) == (grant.wait == 0.0)
            assert (grant.limited == "concurrency") == (len(open_) == places)
            if grant.limited is None:
                open_.append((grant, held))
                taken.append((clock.now, 2 * amount))
        elif open_:
            grant, held = open_.pop(amount % len(open_))
            store.settle(mine, grant, held, held)
    judge(mine, taken)
    for grant, held in open_:
        store.settle(mine, grant, held, None)
    clock.now += 3600 * 24
    free = rule(concurrency=limits.concurrency)
    for _ in range(limits.concurrency or 1):
        assert store.decide(free, ONE).limited is None
    assert store.decide(free, ONE).limited == (None if limits.concurrency is None else "concurrency")


def test_the_protocol_is_kept():
    """The rest of the protocol: nobody else to hint, always here."""

    async def story():
        store, _ = rates()
        assert (await store.take(rule(requests_per_minute=1), ONE)).wait == 0.0
        store.rest("t", 5)
        assert store.resting("t") == 0.0
        assert store.health() == {"status": "ok", "type": "memory"}
        await store.close()

    asyncio.run(story())
