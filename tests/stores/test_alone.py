"""Without the store: what each mode grants, and that parts make up the whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.errors import SharedStoreError
from headgate.core.limits import Demand, Limits
from headgate.stores.alone import LOOK_AGAIN, Alone, Among
from headgate.stores.rates import Rule

ONE = Demand()
ME = Among(1, 0)


class Clock:
    """A clock that stands still."""

    def monotonic(self):
        return 5.0

    def time(self):
        return 5.0

    def sleep(self, seconds):
        raise NotImplementedError(seconds)


def test_open_grants_everything():
    """No limit holds."""
    alone = Alone("open", Clock())
    rule = Rule("t", Limits(requests_per_minute=1, concurrency=1))
    grants = [alone.take(rule, ONE, ME, 5) for _ in range(100)]
    assert {(grant.wait, grant.limited) for grant in grants} == {(0.0, None)}
    alone.settle(rule, grants[0], ONE, None, ME)


def test_closed_refuses_at_once():
    """The error says why, and that the way back may be short."""
    with pytest.raises(SharedStoreError) as error:
        Alone("closed", Clock()).take(Rule("t", Limits()), ONE, ME, 0)
    assert error.value.http_status == 503
    assert error.value.retry_after == 1.0
    assert "shared" in error.value.hint


def test_share_divides_rates():
    """Of six a second three processes have two each."""
    alone = Alone("share", Clock())
    rule = Rule("t", Limits(requests_per_minute=360))
    granted = [alone.take(rule, ONE, Among(3, 1), 0).limited for _ in range(4)]
    assert granted == [None, None, "requests", "requests"]
    tokens = Rule("u", Limits(tokens_per_minute=360, input_tokens_per_minute=360, output_tokens_per_minute=360))
    assert alone.take(tokens, Demand(1, 1), Among(3, 1), 0).limited is None
    assert alone.take(tokens, Demand(1, 1), Among(3, 1), 0).limited == "tokens"


@given(places=st.integers(1, 50), processes=st.integers(1, 20))
def test_shares_of_places_make_up_the_whole(places, processes):
    """However many places and processes there are, the parts sum up to the limit, and differ by one at most."""
    rule = Rule("t", Limits(concurrency=places))
    parts = []
    for rank in range(processes):
        alone = Alone("share", Clock())
        parts.append(0)
        while alone.take(rule, ONE, Among(processes, rank), 0).limited is None:
            parts[-1] += 1
    assert sum(parts) == places
    assert max(parts) - min(parts) <= 1


def test_who_gets_no_place_waits_for_the_store():
    """One place, two processes: the second looks again soon, and is told that the store is what is missing."""
    alone = Alone("share", Clock())
    rule = Rule("t", Limits(concurrency=1))
    missing = alone.take(rule, ONE, Among(2, 1), 0)
    assert (missing.wait, missing.limited) == (LOOK_AGAIN, "store")
    granted = alone.take(rule, ONE, Among(2, 0), 0)
    refused = alone.take(rule, ONE, Among(2, 0), 0)
    assert (refused.wait, refused.limited) == (LOOK_AGAIN, "concurrency")
    alone.settle(rule, granted, ONE, ONE, Among(2, 0))
    assert alone.take(rule, ONE, Among(2, 0), 0).limited is None


def test_places_from_the_store_count():
    """Four places of this process, three of them held since before: one more."""
    alone = Alone("share", Clock())
    rule = Rule("t", Limits(concurrency=8))
    assert alone.take(rule, ONE, Among(2, 0), 3).limited is None
    assert alone.take(rule, ONE, Among(2, 0), 3).limited == "concurrency"
    assert alone.take(rule, ONE, Among(2, 0), 7).limited == "concurrency"
