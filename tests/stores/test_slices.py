"""Slices: what has been worked off cannot be spent, so the limit holds."""

from hypothesis import given
from hypothesis import strategies as st

from headgate.stores.slices import LIFE, Slice


def test_spent_until_nothing_is_left():
    """A tenth of a second's worth of a hundred a second is ten calls; what does not fit is refused whole."""
    mine = Slice((0.1, 0.0, 0.0, 0.0), [0], 0.1, 50.0)
    assert [mine.take([(0, 0.0101)], 50.0) for _ in range(10)] == [True] * 9 + [False]
    assert mine.take([(0, 0.009)], 50.0)
    assert not mine.take([(0, 0.001)], 50.0)


def test_all_kinds_or_none():
    """A call takes of every limit; where one has too little, nothing is taken of the other."""
    mine = Slice((0.1, 0.3, 0.0, 0.0), [0, 1], 0.1, 0.0)
    assert not mine.take([(0, 0.01), (1, 0.2)], 0.0)
    assert mine.rest(0.0) == [(0, -0.1), (1, -0.1)]
    assert not mine.take([(2, 0.001)], 0.0)
    assert mine.take([(0, 0.01), (1, 0.1)], 0.0)
    assert [kind for kind, _ in mine.rest(0.0)] == [0]


def test_time_works_it_off():
    """The front goes first; after its end nothing can be spent or given back, and after `LIFE` nothing spent."""
    mine = Slice((0.3, 0.0, 0.0, 0.0), [0], 0.1, 0.0)
    assert not mine.over(0.25)
    assert not mine.take([(0, 0.08)], 0.25)
    assert mine.take([(0, 0.04)], 0.25)
    assert abs(mine.rest(0.25)[0][1] + 0.01) < 1e-9
    assert mine.over(0.3)
    assert mine.rest(0.3) == []
    long = Slice((100.0, 0.0, 0.0, 0.0), [0], 60.0, 0.0)
    assert long.take([(0, 1.0)], LIFE - 0.01)
    assert long.over(LIFE)
    assert not long.take([(0, 1.0)], LIFE)
    assert long.rest(LIFE) == [(0, -59.0)]


def test_how_far_ahead_is_told():
    """What is left of a limit is told as the store told it, and as it was spent."""
    mine = Slice((0.3, 0.2, 0.0, 0.1), [0, 1, 3], 0.1, 0.0)
    assert mine.ahead(0.1) == (0.19999999999999998, 0.1)
    assert mine.take([(0, 0.1), (1, 0.0), (3, 0.0)], 0.1)
    assert mine.ahead(0.1)[0] < 0.1 + 1e-9


@given(
    others=st.lists(st.tuples(st.floats(0, 0.3), st.sampled_from([0, 1, 2])), max_size=60),
    step=st.floats(0.001, 0.05),
)
def test_the_limit_holds_over_processes(others, step):
    """Three processes spend slices of one clock: over every window no more is spent than rate times time and burst."""
    burst, size, now, clock = 1.0, 0.1, 0.0, 0.0
    slices = [None, None, None]
    spent = []
    for pause, who in others:
        now += pause
        for _ in range(4):
            if slices[who] is not None and slices[who].take([(0, step)], now):
                spent.append(now)
                continue
            # What the script does.
            if clock - now > max(burst - step, 0.0):
                break
            clock = max(clock, now) + step
            spent.append(now)
            if clock - now < burst / 2 and slices[who] is None:
                clock += size
                slices[who] = Slice((clock - now, 0.0, 0.0, 0.0), [0], size, now)
        if slices[who] is not None and slices[who].over(now):
            slices[who] = None
    for first, start in enumerate(spent):
        for last in range(first, len(spent)):
            assert (last - first + 1) * step <= spent[last] - start + burst + step + 1e-6
