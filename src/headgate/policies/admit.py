"""Admit: a caller gets what its key allows, and nobody waits here.

Decides whether a call is within its key's limits, and at which priority it goes on; refuses to know targets and their
limits (pace keeps those), and where the figures are kept. Which models a key may ask for is decided at the door.

Nothing queues: what is too fast is refused at once with the time at which it would not be, so that a flood costs next
to nothing. Unlike a provider's limits, which are spent evenly, a key's whole minute is there at once after a rest:
that is what `x-ratelimit-limit-*` and `-remaining-*` mean at OpenAI, and what clients reckon with. (A key with `spread`
or `sliding` gets what these words say.)

Tokens are held as they are expected, and corrected when the call has ended: by what its attempts really used; by
nothing where an answer said nothing or nobody knows; and where nothing has left, the call itself is given back, too.
What turns out longer than expected is a debt that the next calls work off, but never for longer than `DEBT`: one wrong
figure of a provider shall lock nobody out for weeks. The gate's own calls are not a caller's.
"""

from collections.abc import Awaitable
from functools import partial
from math import floor, inf, isinf

import msgspec

from headgate.catalog.forecast import Forecast
from headgate.core.attempt import Basis, Settled
from headgate.core.call import FREE, UNMEASURED, Call, Caller, Origin
from headgate.core.errors import Refused, SharedStoreError, TooFastError
from headgate.core.limits import Demand, Limits
from headgate.core.policy import Handler
from headgate.core.reply import Reply
from headgate.dialects.durations import go_duration
from headgate.stores.rates import Grant, Rates, Rule

MINUTE = 60.0
SOON = 1.0
"""Seconds after which a caller comes back who has too many calls under way: nobody knows when one will end."""
DEBT = 3600.0
"""Seconds' worth of a limit of tokens that one call may cost its key at most, whatever usage is claimed for it."""
MOST_MODELS = 1024
"""Models whose lengths are remembered. Where a route takes any name, callers can make models up."""
_NOTHING = Demand()
_WITHOUT_TOKENS = FREE | UNMEASURED
_TOKENS = ("tokens_per_minute", "input_tokens_per_minute", "output_tokens_per_minute")
# What is given back and taken again in binary fractions must not cost a whole call.
_DUST = 1e-6


class _Shown:
    """What a caller is told of one limit, by the names that clients of OpenAI know."""

    __slots__ = ("_left", "_limit", "_most", "_reset", "_text")

    def __init__(self, what: str, limit: float) -> None:
        self._limit = f"x-ratelimit-limit-{what}"
        self._left = f"x-ratelimit-remaining-{what}"
        self._reset = f"x-ratelimit-reset-{what}"
        self._most = limit
        self._text = f"{limit:.15g}"

    def tell(self, headers: dict[str, str], ahead: float, burst: float) -> None:
        left = floor((burst - ahead) * self._most / MINUTE + _DUST)
        headers[self._limit] = self._text
        headers[self._left] = str(left) if left > 0 else "0"
        headers[self._reset] = go_duration(ahead)


class _Known:
    """What is known of a key's limits before its calls come.

    Attributes:
        rule: as the store takes it.
        counts_tokens: some of them are of tokens.
        most: input and output tokens that one call may cost at most.
        requests, tokens: what is told of them. Of several limits of tokens the store tells how far the scarcest is used
            up; it is told as a share of the first one.
    """

    __slots__ = ("counts_tokens", "most", "requests", "rule", "tokens")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        limits = rule.limits
        self.counts_tokens = limits.counts_tokens
        together, minutes = limits.tokens_per_minute or inf, DEBT / MINUTE
        self.most = (
            minutes * min(limits.input_tokens_per_minute or inf, together),
            minutes * min(limits.output_tokens_per_minute or inf, together),
        )
        calls = limits.requests_per_minute
        tokens = limits.tokens_per_minute or limits.input_tokens_per_minute or limits.output_tokens_per_minute
        self.requests = None if calls is None else _Shown("requests", calls)
        self.tokens = None if tokens is None else _Shown("tokens", tokens)


class Admit:
    """The policy.

    Args:
        rates: where it is kept what each key has used.
    """

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._keys: dict[str | None, _Known] = {}
        self._forecasts: dict[str, Forecast] = {}

    def __call__(self, call: Call, next: Handler) -> Awaitable[Reply]:  # noqa: A002  the field's word
        """Let a call pass that is within its key's limits.

        Raises:
            TooFastError: it is not; `retry_after` is when it would be.
            SharedStoreError: nobody can tell, and limits are closed meanwhile.
        """
        caller = call.caller
        if call.origin is not Origin.CALLER:
            return next(call)
        if call.priority > caller.priority:
            call = msgspec.structs.replace(call, priority=caller.priority)
        return next(call) if caller.limits is None else self._within(call, self._known(caller, caller.limits), next)

    async def _within(self, call: Call, known: _Known, next: Handler) -> Reply:  # noqa: A002  the field's word
        rule, forecast, held = known.rule, None, _NOTHING
        if known.counts_tokens and call.operation not in _WITHOUT_TOKENS:
            forecast = self._forecast(call.model)
            held = forecast.expect(call)
        grant = self._rates.decide(rule, held) or await self._rates.take(rule, held)
        if grant.limited is not None:
            raise _refusal(call.caller, known, grant)
        end = partial(self._end, call, known, grant, held, forecast)
        try:
            reply = await next(call)
        except BaseException as error:
            end(error)
            raise
        reply.headers = {**reply.headers, **_headers(known, grant)}
        reply.watch(None, end)
        return reply

    def _known(self, caller: Caller, limits: Limits) -> _Known:
        known = self._keys.get(caller.key)
        if known is None or known.rule.limits is not limits:
            known = self._keys[caller.key] = _Known(Rule(f"admit:{caller.key or ''}", limits, burst=MINUTE))
        return known

    def _forecast(self, model: str) -> Forecast:
        found = self._forecasts.get(model)
        if found is None:
            while len(self._forecasts) >= MOST_MODELS:
                del self._forecasts[next(iter(self._forecasts))]
            found = self._forecasts[model] = Forecast()
        return found

    def _end(  # noqa: PLR0917  watchers get positions, and a record made for them takes longer
        self,
        call: Call,
        known: _Known,
        grant: Grant,
        held: Demand,
        forecast: Forecast | None,
        error: BaseException | None,
    ) -> None:
        """Give back what a call has taken and not used."""
        used = _used(call, held, error)
        if used is not None and forecast is not None:
            used = _credible(known.most, used)
        self._rates.settle(known.rule, grant, held, used)
        if forecast is None or not call.trail:
            return
        last = call.trail[-1]
        if last.usage is not None and last.basis is Basis.REPORTED:
            forecast.learn(call, last.usage)


def _used(call: Call, held: Demand, error: BaseException | None) -> Demand | None:
    """The tokens of all attempts, those of unknown outcome as they were held; None where nothing has left."""
    left, known = error is None, True
    tokens_in = tokens_out = 0
    for attempt in call.trail:
        left = left or attempt.sent or attempt.status is not None
        if attempt.usage is not None:
            tokens_in += attempt.usage.prompt_tokens
            tokens_out += attempt.usage.completion_tokens
        elif attempt.settled is not Settled.NOT_BILLED:
            known = False
    if not left:
        return None
    return Demand(tokens_in, tokens_out) if known else Demand(max(tokens_in, held.input), max(tokens_out, held.output))


def _credible(most: tuple[float, float], used: Demand) -> Demand:
    """The same, or as much as may be owed."""
    most_in, most_out = most
    if used.input <= most_in and used.output <= most_out:
        return used
    return Demand(int(min(used.input, most_in)), int(min(used.output, most_out)))


def _refusal(caller: Caller, known: _Known, grant: Grant) -> Refused:
    limits = known.rule.limits
    if grant.limited == "store":
        message = "The shared store of limits has started anew: until it knows who is at work, no call gets a place."
        return SharedStoreError(message, hint=f"Try again in {go_duration(grant.wait)}.", retry_after=grant.wait)
    wait = SOON if isinf(grant.wait) else grant.wait
    if grant.limited == "concurrency":
        exceeded = f"`concurrency` is {limits.concurrency}, and so many of its calls are under way"
    else:
        names = ("requests_per_minute",) if grant.limited == "requests" else _TOKENS
        set_to = ((name, getattr(limits, name)) for name in names)
        told = " and ".join(f"`{name}` is {value:.15g}" for name, value in set_to if value is not None)
        exceeded = f"{told}, and that is used up"
    return TooFastError(
        f"{'This caller' if caller.key is None else f'The key {caller.key!r}'} asks for too much: {exceeded}. "
        f"Try again in {go_duration(wait)}.",
        headers=_headers(known, grant),
        retry_after=wait,
    )


def _headers(known: _Known, grant: Grant) -> dict[str, str]:
    """What is left."""
    headers: dict[str, str] = {}
    rule = known.rule
    burst = 0.0 if rule.limits.spread else rule.burst
    if known.requests is not None:
        # Where a sliding minute says no, the store's figure may still say yes.
        spent = grant.limited == "requests"
        ahead = max(grant.requests, grant.wait) if spent else grant.requests
        known.requests.tell(headers, ahead, 0.0 if spent else burst)
    if known.tokens is not None:
        known.tokens.tell(headers, grant.tokens, burst)
    return headers
