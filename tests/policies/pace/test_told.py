"""Covers policies/pace/told.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.limits import Demand
from headgate.dialects.durations import go_duration
from headgate.policies.pace.told import LEAST, OURS, STALE, Ticket, Told, _count, _seconds

NOTHING = Demand()


def headers(limit=600, remaining=600, reset=None, kind="requests"):
    """What an answer says of one limit."""
    found = {f"x-ratelimit-limit-{kind}": str(limit), f"x-ratelimit-remaining-{kind}": str(remaining)}
    return found if reset is None else found | {f"x-ratelimit-reset-{kind}": reset}


def ticket(number, at=0.0, demand=NOTHING):
    """A call that was let through."""
    return Ticket(number, at, demand, None, None)


def told(**facts):
    """A model that has heard one answer."""
    model = Told()
    model.hear(headers(**facts), ticket(1), 1, 0.0)
    return model


def test_nothing_told_limits_nothing():
    """No headers, no bucket, no wait."""
    model = Told()
    assert model.hear({"x-request-id": "req_1"}, ticket(1), 1, 0.0) is False
    assert not model
    assert model.wait(Demand(10**9, 10**9), 0.0) == 0.0
    assert model.limit("requests") is None


def test_room_is_what_was_left_and_refilled_and_not_sent_since():
    """By the provider's own account."""
    model = told(remaining=300)
    assert model.state(0.0)["requests"] == {"limit": 600, "left": 300}
    model.take(ticket(2, 1.0))
    assert model.state(3.0)["requests"]["left"] == pytest.approx(300 + 30 - 1)
    assert model.state(100.0)["requests"]["left"] == pytest.approx(599)


def test_an_empty_bucket_is_waited_for():
    """One call and the reserve: as long as the refill takes."""
    model = told(remaining=0)
    wait = model.wait(NOTHING, 0.0)
    assert wait == pytest.approx((1 + LEAST * 600) / 10)
    assert model.wait(NOTHING, wait) == pytest.approx(0.0, abs=1e-9)


def test_what_is_left_is_spread():
    """A full bucket is not sent in one burst, but quicker than it is refilled."""
    model, now, sent = told(remaining=600), 0.0, 0
    while now < 10.0:
        wait = model.wait(NOTHING, now)
        if wait:
            now += wait
        else:
            sent += 1
            model.take(ticket(1 + sent, now))
            if now == 0.0:
                assert sent <= 80
    assert 300 <= sent <= 450


def test_the_latest_answer_counts():
    """An answer to an earlier call that comes later tells nothing new."""
    model = told(remaining=300)
    second, third = ticket(2, 1.0), ticket(3, 2.0)
    model.take(second)
    model.take(third)
    model.hear(headers(remaining=200), third, 3, 5.0)
    model.hear(headers(remaining=290), second, 3, 6.0)
    assert model.state(2.0)["requests"]["left"] == pytest.approx(200)


def test_strangers_are_learned_and_forgotten():
    """What is missing each second is expected to be missing on; without news, less and less."""
    model, left = told(remaining=600), 600
    for number in range(2, 40):
        one = ticket(number, number - 1.0)
        model.take(one)
        # Ours, and twelve more a second of somebody else's, while ten are refilled.
        left = min(left + 10, 600) - 1 - 12
        model.hear(headers(remaining=left), one, number, one.at + 0.5)
    now = 38.0
    assert model.state(now + 1)["requests"]["left"] - left == pytest.approx(OURS * 10, abs=0.5)
    assert model.state(now + 30)["requests"]["left"] - left > 100


def test_true_usage_is_what_counts():
    """Tokens that a call has not used are room again; a later answer has them already."""
    model = Told()
    model.hear(headers(60_000, 30_000, kind="tokens"), ticket(1), 1, 0.0)
    second = ticket(2, 0.0, Demand(100, 900))
    model.take(second)
    assert model.state(0.0)["tokens"]["left"] == 29_000
    model.correct(second, 1, Demand(100, 100))
    assert model.state(0.0)["tokens"]["left"] == 29_800
    model.hear(headers(60_000, 29_800, kind="tokens"), second, 2, 0.0)
    model.correct(second, 1, Demand(0, 0))
    assert model.state(0.0)["tokens"]["left"] == 29_800


def test_what_token_headers_count():
    """Input and output, or only the one that the configuration limits."""
    for weights, amount in (((1, 1), 30), ((1, 0), 10), ((0, 1), 20)):
        model = Told(weights)
        model.hear(headers(6000, 3000, kind="tokens"), ticket(1), 1, 0.0)
        model.take(ticket(2, 0.0, Demand(10, 20)))
        assert model.state(0.0)["tokens"]["left"] == 3000 - amount


def test_project_tokens_bind_too():
    """The tighter bucket decides."""
    model = Told()
    both = headers(6000, 6000, kind="tokens") | headers(600, 0, kind="project-tokens")
    model.hear(both, ticket(1), 1, 0.0)
    assert model.counts_tokens
    assert model.wait(Demand(10, 10), 0.0) == pytest.approx((20 + LEAST * 600) / 10)


def test_a_call_larger_than_the_bucket_waits_for_a_full_one():
    """Not for ever: the provider will say what is wrong with it."""
    model = Told()
    model.hear(headers(600, 300, kind="tokens"), ticket(1), 1, 0.0)
    assert 0 < model.wait(Demand(10_000, 0), 0.0) < 60
    assert model.wait(Demand(10_000, 0), 60.0) == 0.0


def test_the_allowance_of_a_day_is_not_refilled_in_a_minute():
    """The time until it is full tells the refill, where it is slower than a minute's worth a minute."""
    model = told(limit=14_400, remaining=0, reset="24h0m0s")
    assert model.state(60.0)["requests"]["left"] == pytest.approx(10.0)
    quick = told(limit=600, remaining=300, reset="1s")
    assert quick.state(1.0)["requests"]["left"] == pytest.approx(310.0)


def test_limits_change():
    """A new limit is told of, and holds at once."""
    model = told(limit=600, remaining=600)
    assert model.limit("requests") == 600
    assert model.hear(headers(60, 50), ticket(2, 1.0), 2, 1.0) is True
    assert model.limit("requests") == 60
    assert model.hear(headers(60, 49), ticket(3, 1.0), 3, 1.0) is False
    assert model.state(1.0)["requests"]["left"] == 49


def test_what_is_not_repeated_is_forgotten():
    """A provider that has stopped telling is not held to its word."""
    model = told(remaining=0)
    assert model.forget(STALE - 1) is False
    assert model.forget(STALE) is True
    assert not model


@pytest.mark.parametrize(
    "text", [None, "", "-1", "+1", "1.5", "1e3", "٣", "0x10", " 1", "1_000", "9" * 13, "nan", "unlimited"]
)
def test_what_is_no_count(text):
    """Azure's -1 for one, and whatever else somebody may send."""
    assert _count(text) is None


@pytest.mark.parametrize("limit", ["0", "-1", "many", ""])
def test_a_limit_that_is_none_is_absent(limit):
    """Azure says 0 or -1 where it does not limit."""
    model = Told()
    model.hear(headers(limit, 0), ticket(1), 1, 0.0)
    assert not model
    assert model.wait(NOTHING, 0.0) == 0.0


@given(st.floats(0, 1e6))
def test_durations_are_read_as_they_are_written(seconds):
    """To the millisecond."""
    assert _seconds(go_duration(seconds)) == pytest.approx(seconds, abs=0.00101)


TEXTS = st.one_of(st.text(max_size=20), st.integers(-(10**15), 10**15).map(str), st.from_regex(r"[0-9hms.]{0,12}"))


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS, st.floats(0, 1000)), max_size=8))
def test_no_header_breaks_it(answers):
    """Whatever is sent: every wait is a number, and nobody is locked out for ever."""
    model, now = Told(), 0.0
    for number, (limit, remaining, reset, seconds) in enumerate(answers, 1):
        now += seconds
        one = ticket(number, now)
        model.take(one)
        found = {"x-ratelimit-limit-requests": limit, "x-ratelimit-remaining-requests": remaining}
        model.hear(found | {"x-ratelimit-reset-requests": reset}, one, number, now)
        assert 0.0 <= model.wait(Demand(10, 10), now) <= STALE
    model.forget(now + STALE + 1)
    assert model.wait(NOTHING, now + STALE + 1) == 0.0
