"""The judge: arithmetic on a log."""

import pytest

from headgate.cli.bench.judge import SETTLING, Span, judge
from headgate.providers.simulator import Arrival, Latency, Limits, Request, Simulator
from headgate.testing import VirtualClock, virtual_time


def arrival(time, *, limited=None, model="m", tokens=(3, 7), busy=1, held=0.0, fault=None, status=200):
    """One line of the log."""
    into, out = (0, 0) if limited else tokens
    return Arrival(
        time=time, path="p", request_id="r", client_request_id=None, model=model, stream=False,
        status=429 if limited else status, fault=fault, prompt_tokens=into, completion_tokens=out, limited=limited,
        busy=busy, held=held,
    )  # fmt: skip


def test_a_share_of_requests_and_of_tokens():
    """30 calls of 10 tokens in a minute, of 40 calls and of 600 tokens: the calls bind."""
    log = [arrival(2 * n) for n in range(60)]
    limits = Limits(requests_per_minute=40, tokens_per_minute=600, output_tokens_per_minute=420)
    found = judge(log, [Span(0, limits)], start=30, end=90)
    assert found.shares == {
        "requests_per_minute": 0.75, "tokens_per_minute": 0.5, "output_tokens_per_minute": 0.5,
    }  # fmt: skip
    assert (found.binding, found.share, found.calls) == ("requests_per_minute", 0.75, 30)


def test_what_changes_in_between():
    """60 a minute for 30 seconds, then 20: 40 were allowed in that minute."""
    log = [arrival(2 * n) for n in range(60)]
    spans = [Span(0, Limits(requests_per_minute=60)), Span(60, Limits(requests_per_minute=20))]
    assert judge(log, spans, start=30, end=90).share == 30 / 40
    assert judge(log, spans, start=60, end=90).share == 15 / 10
    assert judge(log, spans, start=0, end=60).share == 30 / 60


def test_a_limit_that_does_not_always_hold_is_not_judged():
    """Nobody can say what a share of it is."""
    spans = [Span(0, Limits(requests_per_minute=60)), Span(60, Limits(tokens_per_minute=20))]
    found = judge([arrival(1)], spans, start=0, end=90)
    assert (found.shares, found.binding, found.share) == ({}, "", 0.0)


def test_strangers_leave_the_rest():
    """Of 60 they take 30; 15 of the other 30 are half. Their 429s are not ours."""
    log = sorted(
        [arrival(2 * n, model="theirs") for n in range(30)]
        + [arrival(2 * n + 0.5, model="theirs", limited="requests") for n in range(30)]
        + [arrival(4 * n + 1) for n in range(15)],
        key=lambda one: one.time,
    )
    spans = [Span(0, Limits(requests_per_minute=60))]
    found = judge(log, spans, start=0, end=60, ours=lambda one: one.model == "m")
    assert (found.share, found.calls, found.refused) == (0.5, 15, 0)
    everything = [Span(0, Limits(requests_per_minute=30))]
    assert judge(log, everything, start=0, end=60, ours=lambda one: one.model == "m").share == 0


def test_who_met_a_limit():
    """Refusals by admitted calls; a scripted 429 and an error are no limit's; near a change nobody is blamed."""
    log = [arrival(n) for n in range(100)]
    log[10] = arrival(10, limited="requests")
    log[50] = arrival(50, limited="concurrency")
    log[51] = arrival(51, fault="status", status=429)
    log[52] = arrival(52, tokens=(0, 0), status=400)
    found = judge(log, [Span(0, Limits(requests_per_minute=60))], start=0, end=100, changes=[40])
    assert (found.calls, found.refused) == (97, 2)
    assert found.refused_share == 2 / 97
    assert found.settled_share == 1 / (97 - SETTLING + 2)


def test_nobody_was_admitted():
    """Then every call met a limit; with no calls at all none did."""
    spans = [Span(0, Limits(requests_per_minute=60))]
    assert judge([arrival(1, limited="requests")], spans, start=0, end=9).refused_share == 1
    assert judge([], spans, start=0, end=9).refused_share == 0


def test_places_are_read_off_a_meter():
    """Three calls of four seconds at a time, of four places; the meter runs evenly between arrivals."""

    async def tell():
        clock = VirtualClock()
        simulator = Simulator(clock=clock, latency=Latency(first_token=4), limits=Limits(concurrency=4))
        body = b'{"model": "fake", "messages": [{"role": "user", "content": "1 token"}]}'
        for _ in range(20):
            answers = [simulator.take(Request("POST", "/v1/chat/completions", {}, body)) for _ in range(3)]
            for answer in answers:
                await answer.head()
        return simulator.log, clock.time()

    log, end = virtual_time(tell())
    found = judge(log, [Span(0, Limits(concurrency=4))], start=end - 70, end=end - 6)
    assert found.share == pytest.approx(0.75)
    assert (found.binding, found.peak) == ("concurrency", 3)


def test_a_meter_that_nobody_read():
    """Before the first arrival it stands at nothing, after the last one at what it said."""
    spans = [Span(0, Limits(concurrency=1))]
    assert judge([], spans, start=0, end=10).share == 0
    assert judge([arrival(1, held=0), arrival(5, model=None), arrival(6, held=4)], spans, start=0, end=10).share == 0.4


@pytest.mark.parametrize(("spans", "end"), [([], 10), ([Span(0, Limits())], 0)])
def test_nothing_to_judge(spans, end):
    """An interval without length, or without limits, is a mistake of whoever asks."""
    with pytest.raises(ValueError, match="Nothing to judge"):
        judge([], spans, start=0, end=end)
