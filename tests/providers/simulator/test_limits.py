"""What the simulated account may do per minute."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.providers.simulator.limits import Allowance, go_duration
from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.settings import Limits


def refused(allowance, now, tokens_in=0, tokens_out=0):
    """The problem that a call meets."""
    with pytest.raises(Problem) as caught:
        allowance.admit("m", tokens_in, tokens_out, now)
    return caught.value


def test_go_durations():
    """As Go prints them."""
    spelled = {0: "0s", 0.012: "12ms", 0.3: "300ms", 1: "1s", 1.5: "1.5s", 60: "1m0s", 360: "6m0s", 3723.5: "1h2m3.5s"}
    assert {seconds: go_duration(seconds) for seconds in spelled} == spelled


def test_requests_refill_continuously():
    """With 60 a minute one comes back each second; the refusal says when, to the millisecond."""
    allowance = Allowance(Limits(requests_per_minute=60), 0.0)
    for _ in range(60):
        allowance.admit("m", 1, 1, 0.0)
    problem = refused(allowance, 0.25)
    assert (problem.status, problem.type, problem.code) == (429, "requests", "rate_limit_exceeded")
    assert problem.headers == {"retry-after": "1", "retry-after-ms": "750"}
    allowance.admit("m", 1, 1, 1.0)
    refused(allowance, 1.5)


def test_headers_tell_what_is_left():
    """Limit, remaining and reset, for requests and for tokens."""
    allowance = Allowance(Limits(requests_per_minute=10, tokens_per_minute=600), 0.0)
    assert allowance.admit("m", 100, 20, 0.0) == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-reset-requests": "6s",
        "x-ratelimit-limit-tokens": "600",
        "x-ratelimit-remaining-tokens": "480",
        "x-ratelimit-reset-tokens": "12s",
    }
    assert allowance.headers(6.0)["x-ratelimit-remaining-tokens"] == "540"
    assert Allowance(Limits(concurrency=1), 0.0).headers(0.0) == {}


def test_tokens_are_taken_together_or_apart():
    """Each kind of token has its own limit; a refused call takes nothing from any of them."""
    allowance = Allowance(Limits(requests_per_minute=2, input_tokens_per_minute=60, output_tokens_per_minute=30), 0.0)
    allowance.admit("m", 50, 10, 0.0)
    assert refused(allowance, 0.0, 20, 1).type == "tokens"
    assert "output tokens" in refused(allowance, 0.0, 1, 25).message
    allowance.admit("m", 10, 20, 0.0)
    assert refused(allowance, 0.0).type == "requests"


def test_what_never_fits_is_refused_for_good():
    """A request beyond the whole minute's allowance says so."""
    allowance = Allowance(Limits(tokens_per_minute=100), 0.0)
    assert refused(allowance, 0.0, 90, 20).message.startswith("Request too large")


def test_concurrency_is_a_place_that_is_given_back():
    """One at a time means one at a time."""
    allowance = Allowance(Limits(concurrency=1), 0.0)
    allowance.admit("m", 1, 1, 0.0)
    assert refused(allowance, 0.0).headers["retry-after-ms"] == "100"
    allowance.leave(0.0)
    allowance.admit("m", 1, 1, 0.0)


def test_a_meter_of_the_time_that_calls_are_in_flight():
    """Two for a second, then one for two seconds, then none."""
    allowance = Allowance(Limits(), 0.0)
    allowance.admit("m", 1, 1, 1.0)
    allowance.admit("m", 1, 1, 1.0)
    allowance.leave(2.0)
    assert (allowance.held(3.0), allowance.busy) == (3.0, 1)
    allowance.leave(4.0)
    assert (allowance.held(9.0), allowance.busy) == (4.0, 0)


def test_a_refusal_names_its_limit():
    """Of several, the one that was met."""
    allowance = Allowance(
        Limits(requests_per_minute=9, input_tokens_per_minute=60, output_tokens_per_minute=30, concurrency=2), 0.0
    )
    assert refused(allowance, 0.0, 61, 1).limited == "input_tokens"
    assert refused(allowance, 0.0, 1, 31).limited == "output_tokens"
    allowance.admit("m", 0, 0, 0.0)
    allowance.admit("m", 0, 0, 0.0)
    assert refused(allowance, 0.0).limited == "concurrency"


def test_a_silent_account():
    """Nothing tells what is left, or when to come back."""
    allowance = Allowance(Limits(requests_per_minute=1, tokens_per_minute=9, headers=False), 0.0)
    assert allowance.admit("m", 1, 1, 0.0) == allowance.headers(0.0) == {}
    problem = refused(allowance, 0.0)
    assert (problem.status, problem.headers, "again" in problem.message) == (429, {}, False)


def test_a_smaller_limit_keeps_what_fits():
    """Half of what was left goes when the bucket is halved; nothing comes back when it grows again."""
    allowance = Allowance(Limits(requests_per_minute=60, concurrency=1), 0.0)
    allowance.change(Limits(requests_per_minute=30), 0.0)
    allowance.change(Limits(requests_per_minute=60, tokens_per_minute=600), 0.0)
    headers = allowance.headers(0.0)
    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("60", "30")
    assert headers["x-ratelimit-remaining-tokens"] == "600"
    allowance.admit("m", 0, 0, 0.0)
    allowance.admit("m", 0, 0, 0.0)
    assert allowance.headers(4.0)["x-ratelimit-remaining-requests"] == "32"


@given(st.integers(1, 5000), st.lists(st.floats(0, 100), max_size=40))
def test_whoever_waits_as_told_is_admitted(per_minute, pauses):
    """After the time that a refusal names, the call fits; and the bucket never gives more than it holds and gains."""
    allowance = Allowance(Limits(requests_per_minute=per_minute), 0.0)
    now = 0.0
    for admitted, pause in enumerate(pauses, 1):
        now += pause
        try:
            allowance.admit("m", 0, 0, now)
        except Problem as problem:
            now += int(problem.headers["retry-after-ms"]) / 1000
            allowance.admit("m", 0, 0, now)
        assert admitted <= per_minute + now * per_minute / 60 + 1e-6
