"""What the simulated account may do per minute, and the headers that say how much of it is left.

Token buckets that hold one minute's allowance and are refilled continuously. Tokens are taken on arrival: the prompt's
and those of the answer, whose length the simulator knows beforehand. Knows neither requests nor answers.
"""

from math import ceil, floor

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


class _Bucket:
    """So much a minute."""

    __slots__ = ("_at", "_level", "name", "size")

    def __init__(self, name: str, size: int, now: float) -> None:
        self.name = name
        self.size = size
        self._level = float(size)
        self._at = now

    def refill(self, now: float) -> None:
        self._level = min(self.size, self._level + (now - self._at) * self.size / 60)
        self._at = now

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
    """The limits of one model (or of one group of models)."""

    def __init__(self, limits: Limits, now: float) -> None:
        def bucket(name: str, size: int | None) -> _Bucket | None:
            return None if size is None else _Bucket(name, size, now)

        self._requests = bucket("requests per min (RPM)", limits.requests_per_minute)
        self._tokens = bucket("tokens per min (TPM)", limits.tokens_per_minute)
        self._input = bucket("input tokens per min (ITPM)", limits.input_tokens_per_minute)
        self._output = bucket("output tokens per min (OTPM)", limits.output_tokens_per_minute)
        self._concurrency = limits.concurrency
        self._busy = 0

    def admit(self, model: str, tokens_in: int, tokens_out: int, now: float) -> dict[str, str]:
        """Take a call's share and a place; gives the headers of its answer.

        Raises:
            Problem: 429; nothing was taken.
        """
        wanted = (
            (self._requests, 1),
            (self._tokens, tokens_in + tokens_out),
            (self._input, tokens_in),
            (self._output, tokens_out),
        )
        asked = [(bucket, amount) for bucket, amount in wanted if bucket is not None]
        for bucket, _ in asked:
            bucket.refill(now)
        if self._concurrency is not None and self._busy >= self._concurrency:
            message = f"Rate limit reached for {model} on concurrent requests: Limit {self._concurrency}."
            raise self._limited(message, "requests", _BUSY)
        for bucket, amount in asked:
            wait = bucket.wait(amount)
            if wait > 0:
                where = f"{model} on {bucket.name}: Limit {bucket.size}, Requested {amount}."
                kind = "requests" if bucket is self._requests else "tokens"
                if amount > bucket.size:
                    raise self._limited(f"Request too large for {where}", kind, wait)
                message = f"Rate limit reached for {where} Please try again in {go_duration(wait)}."
                raise self._limited(message, kind, wait)
        for bucket, amount in asked:
            bucket.take(amount)
        self._busy += 1
        return self._left()

    def leave(self) -> None:
        """Give the place back."""
        self._busy -= 1

    def headers(self, now: float) -> dict[str, str]:
        """What is left."""
        for bucket in (self._requests, self._tokens, self._input, self._output):
            if bucket is not None:
                bucket.refill(now)
        return self._left()

    def _left(self) -> dict[str, str]:
        headers = {} if self._requests is None else self._requests.headers("requests")
        tokens = self._tokens or self._input or self._output
        return headers if tokens is None else headers | tokens.headers("tokens")

    @staticmethod
    def _limited(message: str, kind: str, wait: float) -> Problem:
        return Problem(429, message, type=kind, code="rate_limit_exceeded", headers=retry_headers(wait))
