"""Covers policies/pace/pace.py: what is given back on every way out."""

import asyncio

import pytest

from headgate.catalog.forecast import OUTPUT, Forecast
from headgate.core.attempt import Attempt, Basis
from headgate.core.body import Body
from headgate.core.call import Call, Operation, Target
from headgate.core.errors import APIError, BacklogError, OverloadedError, RateLimitError, TimeoutError  # noqa: A004
from headgate.core.limits import UNLIMITED, Demand, Limits
from headgate.core.reply import Event, Kind, Reply
from headgate.core.usage import TokenUsage
from headgate.policies.pace.gauge import Gauge
from headgate.policies.pace.pace import Pace
from headgate.stores.memory_rates import MemoryRates
from headgate.testing import VirtualClock, virtual_time

CLOCK = VirtualClock()
RAW = b'{"model":"m","messages":[{"role":"user","content":"Hello, how are you?"}]}'
USAGE = TokenUsage(prompt_tokens=10, completion_tokens=40)
HELD = Demand(round(len(RAW) / 4), OUTPUT)


class Recording(MemoryRates):
    """A store that notes what is given back."""

    def __init__(self) -> None:
        super().__init__(CLOCK)
        self.settled: list[tuple[Demand, Demand | None]] = []

    def settle(self, rule, grant, held, used):
        self.settled.append((held, used))
        super().settle(rule, grant, held, used)


def calling():
    """A call."""
    return Call(
        id="1", operation=Operation.CHAT, model="m", body=Body(RAW), started=0, day="2027-01-15",
        target=Target("p", "m"),
    )  # fmt: skip


class Below:
    """What stands below: budget and a provider, as far as pace can tell."""

    def __init__(self, *, error=None, opened=True, sent=True, status=None, usage=None, stream=False, headers=None):
        self.error, self.opened, self.sent, self.status = error, opened, sent, status
        self.usage, self.stream, self.headers = usage, stream, headers or {}

    async def __call__(self, call):
        if self.opened:
            attempt = Attempt(len(call.trail) + 1, "p", "m")
            attempt.sent, attempt.status, attempt.headers = self.sent, self.status, self.headers
            call.trail.append(attempt)
        if self.error is not None:
            raise self.error
        attempt.usage, attempt.basis = self.usage, Basis.REPORTED
        held = [Event(kind=Kind.CONTENT)]

        async def rest():
            yield Event(kind=Kind.TERMINAL)

        return Reply(held, rest() if self.stream else None)


def paced(below, *, limits=None, read=True):
    """Send one call through; gives what the store was given back, and the policy."""

    async def story():
        rates = Recording()
        allowed = Limits(tokens_per_minute=60_000) if limits is None else limits
        pace = Pace(Gauge("g", allowed, rates=rates, clock=CLOCK), Forecast())
        try:
            reply = await pace(calling(), below)
            if read:
                async for _ in reply:
                    pass
            await reply.close()
            await reply.close()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  whatever was told to happen
            assert error is below.error  # noqa: PT017
        assert pace.state()["busy"] == 0
        return rates.settled, pace

    return virtual_time(story())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("read", [False, True])
def test_an_answer_is_settled_with_what_it_used(stream, read):
    """Once, read or not, whole or streamed, closed twice."""
    settled, _ = paced(Below(usage=USAGE, stream=stream, status=200), read=read)
    assert settled == [(HELD, Demand(10, 40))]


def test_an_answer_without_usage_stays_as_expected():
    """Nobody knows better."""
    assert paced(Below(status=200))[0] == [(HELD, HELD)]


@pytest.mark.parametrize(
    ("below", "used"),
    [
        (Below(error=BacklogError("refused below"), opened=False), None),
        (Below(error=TimeoutError("no connection"), sent=False), None),
        (Below(error=asyncio.CancelledError(), sent=False), None),
        (Below(error=asyncio.CancelledError()), HELD),
        (Below(error=TimeoutError("silence")), HELD),
        (Below(error=OverloadedError("503"), status=503), HELD),
        (Below(error=APIError("400"), status=400), HELD),
        (Below(error=ValueError("a bug"), opened=False), None),
        (Below(error=RateLimitError("429", retry_after=1), status=429), Demand()),
    ],
    ids=lambda value: repr(value.error) if isinstance(value, Below) else "",
)
def test_a_failure_is_settled_once(below, used):
    """By the table: what never left is given back whole, a 429 its tokens, anything else nothing."""
    assert paced(below)[0] == [(HELD, used)]


def test_it_learns_from_what_is_reported():
    """The next call is expected to use what the last one did."""
    _, pace = paced(Below(usage=USAGE, status=200))
    assert pace.forecast.expect(calling()).output == 40


def test_tokens_are_not_counted_where_none_are_limited():
    """Then nothing is held, and nothing learned."""
    settled, pace = paced(Below(usage=USAGE, status=200), limits=Limits(requests_per_minute=60))
    assert settled == [(Demand(), Demand(10, 40))]
    assert pace.forecast.expect(calling()).output == OUTPUT
    assert paced(Below(usage=USAGE, status=200), limits=UNLIMITED)[0] == []


def test_headers_of_good_and_bad_answers_are_heard():
    """The provider's word counts, whatever it answers."""
    headers = {"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": "7"}
    for below in (
        Below(status=200, headers=headers),
        Below(error=OverloadedError("503"), status=503, headers=headers),
        Below(error=RateLimitError("429"), status=429, headers=headers),
    ):
        _, pace = paced(below, limits=UNLIMITED)
        assert pace.gauge._told.limit("requests") == 600
