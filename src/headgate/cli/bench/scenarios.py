"""What is measured: accounts with limits, and what befalls them.

Decides the scenarios and what the gate must reach in each; refuses to know how they are played. In all of them the
account was in use until a moment ago: nothing of a minute's allowance is saved up, so that whoever sends more than is
allowed meets a 429, and nobody can live on what others did not use. How long an answer will be stands in no request.
"""

from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from headgate.providers.simulator import Latency, Limits

GROUP = "account"
"""One set of limits for all models, strangers' included."""
LATENCY = Latency(first_token=1.0, per_token=0.01, jitter=0.3)


class Change(NamedTuple):
    """Other limits, from a second of the run on."""

    at: float
    limits: Limits


class Stranger(NamedTuple):
    """Somebody else's calls at the same account, as they happen to come.

    Attributes:
        since, until: seconds of the run.
        per_minute: calls, on average.
    """

    since: float
    until: float
    per_minute: float


class Scenario(NamedTuple):
    """One scenario.

    Attributes:
        name: in the table.
        limits: what the account may do.
        told: what the gate is told, as in the configuration.
        calls: how many are made.
        workers: how many of them wait for the gate's answer at the same time.
        semaphore: how many the SDK has in flight at the same time: as many as use the limit up, by Little's law and
            the mean length of an answer, which a user would have to know.
        lengths: the shortest and the longest answer in tokens; those between are spread evenly over the orders of
            magnitude.
        share: what of the binding limit the gate must use at least.
        refused: 429s per call that the gate may meet at most.
        changes: of the limits.
        stranger: who else is there.
    """

    name: str
    limits: Limits
    told: Mapping[str, object]
    calls: int
    workers: int
    semaphore: int
    lengths: tuple[int, int]
    share: float
    refused: float
    changes: tuple[Change, ...] = ()
    stranger: Stranger | None = None

    @property
    def upheavals(self) -> list[float]:
        """The seconds at which something changes."""
        found = [change.at for change in self.changes]
        return found if self.stranger is None else [*found, self.stranger.since, self.stranger.until]


def scenarios(minutes: float) -> list[Scenario]:
    """The scenarios, each with as many calls as the limits allow in so many minutes.

    Example:
        >>> [one.name for one in scenarios(10)][:2]
        ['requests', 'tokens']
    """
    seconds = minutes * 60
    requests = Limits(requests_per_minute=240, group=GROUP)
    tokens = Limits(tokens_per_minute=120_000, group=GROUP)
    few = Limits(tokens_per_minute=30_000, group=GROUP)
    places = Limits(concurrency=12, group=GROUP)
    third = seconds / 3
    return [
        _scenario("requests", requests, minutes, per_minute=240, steady=True),
        Scenario(
            "tokens", tokens, _told(tokens), calls=round(270 * minutes), workers=48, semaphore=24,
            lengths=(20, 2000), share=0.97, refused=0.005,
        ),
        # An answer may take four seconds of this account.
        Scenario(
            "few tokens", few, _told(few), calls=round(67 * minutes), workers=16, semaphore=6,
            lengths=(20, 2000), share=0.97, refused=0.005,
        ),
        Scenario(
            "concurrency", places, _told(places), calls=round(400 * minutes), workers=24, semaphore=12,
            lengths=(20, 200), share=0.97, refused=0.005,
        ),
        _scenario(
            "stranger", requests, minutes, per_minute=210, stranger=Stranger(third, 2 * third, 90),
        ),
        _scenario(
            "changing", requests, minutes, per_minute=200,
            changes=(Change(third, replace(requests, requests_per_minute=120)), Change(2 * third, requests)),
        ),
        _scenario(
            "no headers", replace(requests, headers=False), minutes, per_minute=240, share=0.88, refused=0.03,
            told={"requests_per_minute": 360},
        ),
    ]  # fmt: skip


def _told(limits: Limits) -> dict[str, object]:
    names = ("requests_per_minute", "tokens_per_minute", "concurrency")
    return {name: value for name in names if (value := getattr(limits, name)) is not None}


def _scenario(
    name: str,
    limits: Limits,
    minutes: float,
    *,
    per_minute: float,
    steady: bool = False,
    share: float = 0.95,
    refused: float = 0.01,
    told: Mapping[str, object] | None = None,
    changes: tuple[Change, ...] = (),
    stranger: Stranger | None = None,
) -> Scenario:
    """One whose limit is of requests."""
    return Scenario(
        name,
        limits,
        _told(limits) if told is None else told,
        calls=round(per_minute * minutes),
        workers=18,
        semaphore=8,
        lengths=(20, 200),
        share=0.97 if steady else share,
        refused=0.005 if steady else refused,
        changes=changes,
        stranger=stranger,
    )
