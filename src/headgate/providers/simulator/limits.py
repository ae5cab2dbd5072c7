"""What the simulated account may do per minute, and the headers that say how much of it is left.

Token buckets that hold one minute's allowance and are refilled continuously. Tokens are taken on arrival: the prompt's
and those of the answer, whose length the simulator knows beforehand. Knows neither requests nor answers.
"""

from math import ceil, floor

from headgate.providers.simulator.arrivals import Limit
from headgate.providers.simulator.problem import Problem, retry_headers
from headgate.providers.simulator.settings import Limits

_BUSY = 0.1
"""Seconds after which a caller who met the concurrency limit is asked to come back."""


def go_duration(seconds: float) -> str:
    """A duration as Go prints it, which is how OpenAI's headers say it; milliseconds, rounded up.

    Example:
        >>> go_duration(0.012), go_duration(1), go_duration(360), go_duration(3723.5)
        ('12ms', '1s', '6m0s', '1h2m3.5s')
    """
    # The tiny share taken off keeps 0.3 s from becoming 301 ms because of its binary spelling.
    ms = max(0, ceil(seconds * 1000 - 1e-6))
    if ms < 1000:
        return f"{ms}ms" if ms else "0s"
    minutes, ms = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    left = f"{ms / 1000:g}s"
    if hours:
        return f"{hours}h{minutes}m{left}"
    return f"{minutes}m{left}" if minutes else left


_NAMES: dict[Limit, str] = {
    "requests": "requests per min (RPM)",
    "tokens": "tokens per min (TPM)",
    "input_tokens": "input tokens per min (ITPM)",
    "output_tokens": "output tokens per min (OTPM)",
}


class _Bucket:
    """So much a minute."""

    __slots__ = ("_at", "_level", "kind", "size")

    def __init__(self, kind: Limit, size: int, now: float) -> None:
        self.kind = kind
        self.size = size
        self._level = float(size)
        self._at = now

    def refill(self, now: float) -> None:
        self._level = min(self.size, self._level + (now - self._at) * self.size / 60)
        self._at = now

    def resize(self, size: int, now: float) -> None:
        """Another size from now on: what is left stays, as far as it fits."""
        self.refill(now)
        self.size = size
        self._level = min(size, self._level)

    def wait(self, amount: int) -> float:
        """Seconds until so much is there; more than the bucket holds never is."""
        lacking = amount - self._level
        # Rounding of the refill must not make somebody wait who has waited long enough.
        return lacking * 60 / self.size if lacking > 1e-9 * self.size else 0.0

    def take(self, amount: int) -> None:
        self._level = max(0.0, self._level - amount)

    def headers(self, what: str) -> dict[str, str]:
        return {
            f"x-ratelimit-limit-{what}": str(self.size),
            f"x-ratelimit-remaining-{what}": str(floor(self._level + 1e-9)),
            f"x-ratelimit-reset-{what}": go_duration((self.size - self._level) * 60 / self.size),
        }


class Allowance:
    """The limits of one model (or of one group of models).

    Attributes:
        busy: calls in flight.
    """

    def __init__(self, limits: Limits, now: float) -> None:
        self.busy = 0
        self._held = 0.0
        self._at = now
        self._buckets: dict[Limit, _Bucket] = {}
        self.change(limits, now)

    def change(self, limits: Limits, now: float) -> None:
        """Other limits from now on. What is left stays, as far as it fits; a limit that is new begins full."""
        sizes: dict[Limit, int | None] = {
            "requests": limits.requests_per_minute,
            "tokens": limits.tokens_per_minute,
            "input_tokens": limits.input_tokens_per_minute,
            "output_tokens": limits.output_tokens_per_minute,
        }
        buckets: dict[Limit, _Bucket] = {}
        for kind, size in sizes.items():
            if size is None:
                continue
            bucket = self._buckets.get(kind)
            if bucket is None:
                bucket = _Bucket(kind, size, now)
            else:
                bucket.resize(size, now)
            buckets[kind] = bucket
        self._buckets = buckets
        self._concurrency = limits.concurrency
        self._tells = limits.headers

    def admit(self, model: str, tokens_in: int, tokens_out: int, now: float) -> dict[str, str]:
        """Take a call's share and a place; gives the headers of its answer.

        Raises:
            Problem: 429; nothing was taken.
        """
        if self._concurrency is not None and self.busy >= self._concurrency:
            message = f"Rate limit reached for {model} on concurrent requests: Limit {self._concurrency}."
            raise self._limited(message, "concurrency", _BUSY)
        wanted: dict[Limit, int] = {
            "requests": 1, "tokens": tokens_in + tokens_out, "input_tokens": tokens_in, "output_tokens": tokens_out,
        }  # fmt: skip
        asked = [(bucket, wanted[kind]) for kind, bucket in self._buckets.items()]
        for bucket, amount in asked:
            bucket.refill(now)
            wait = bucket.wait(amount)
            if wait > 0:
                where = f"{model} on {_NAMES[bucket.kind]}: Limit {bucket.size}, Requested {amount}."
                if amount > bucket.size:
                    raise self._limited(f"Request too large for {where}", bucket.kind, wait)
                again = f" Please try again in {go_duration(wait)}." if self._tells else ""
                raise self._limited(f"Rate limit reached for {where}{again}", bucket.kind, wait)
        for bucket, amount in asked:
            bucket.take(amount)
        self._count(now)
        self.busy += 1
        return self._left()

    def leave(self, now: float) -> None:
        """Give the place back."""
        self._count(now)
        self.busy -= 1

    def held(self, now: float) -> float:
        """Seconds that calls have been in flight, all together."""
        self._count(now)
        return self._held

    def headers(self, now: float) -> dict[str, str]:
        """What is left."""
        for bucket in self._buckets.values():
            bucket.refill(now)
        return self._left()

    def _count(self, now: float) -> None:
        self._held += (now - self._at) * self.busy
        self._at = now

    def _left(self) -> dict[str, str]:
        if not self._tells:
            return {}
        buckets = self._buckets
        requests = buckets.get("requests")
        headers = {} if requests is None else requests.headers("requests")
        tokens = buckets.get("tokens") or buckets.get("input_tokens") or buckets.get("output_tokens")
        return headers if tokens is None else headers | tokens.headers("tokens")

    def _limited(self, message: str, limit: Limit, wait: float) -> Problem:
        kind = "requests" if limit in ("requests", "concurrency") else "tokens"
        headers = retry_headers(wait) if self._tells else {}
        return Problem(429, message, type=kind, code="rate_limit_exceeded", headers=headers, limited=limit)
