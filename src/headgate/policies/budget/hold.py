"""What a call may cost at most, and the sum that is set aside for it.

Decides the worst case of a call, and what is done where there is none or where a budget has less; refuses to know
which budgets there are (the gate) and how sums are borrowed (`stores/purse.py`).

The worst case is the call's bytes as input tokens (no token is shorter than a byte) and its output cap as output, all
of them of the dearest kind and at the dearest tier that may serve. A call without a cap gets one: its route's or its
model's. Only where a budget is short the input is counted. Where bytes bound nothing (pictures, files, hosted tools,
what was said earlier) the route is asked: `refuse`, or `estimate` from what such calls mostly use.
"""

from collections.abc import Callable, Sequence
from math import ceil
from typing import Literal, NamedTuple

import msgspec
from msgspec import UNSET

from headgate.catalog.fit import bound
from headgate.catalog.forecast import Forecast
from headgate.catalog.models import Model
from headgate.catalog.prices import Prices
from headgate.catalog.tokens import COUNTED, Tokens
from headgate.core.body import Body
from headgate.core.call import FREE, Call, Operation
from headgate.core.caps import fields, is_plain, with_cap
from headgate.core.clock import Clock
from headgate.core.errors import BadRequestError, OverBudgetError, UnboundedError, UnpricedError
from headgate.core.shares import split
from headgate.core.upload import Upload
from headgate.core.usage import TokenUsage
from headgate.stores.money import Cap
from headgate.stores.purse import Hold, Purses
from headgate.stores.records import Told

LEAST_OUTPUT = 16
"""Output tokens below which a clamped answer is of no use."""
BATCH = "batch"
"""The service tier of a batch's rows."""
DOUBT = 0.1
"""Part by which a count may be too low."""
_CAPS = {
    Operation.CHAT: ("max_completion_tokens", "max_tokens"),
    Operation.RESPONSES: ("max_output_tokens",),
    Operation.COMPLETIONS: ("max_tokens",),
}
"""Where an operation's output cap may stand; first, where it is put for a call that has none. What another operation
calls its cap bounds nothing: a server that does not know it answers at any length."""
_NO_CAP = (None, UNSET)
_DRAWN = frozenset((Operation.IMAGES, Operation.IMAGE_EDITS))


class Held:
    """A sum that is set aside for one attempt.

    Attributes:
        told: what the journal says of it.
        clamped: the output cap that the call got because a budget was short; None where it was not.
        sure: it is the worst case; else an estimate.
    """

    __slots__ = ("_hold", "clamped", "sure", "told")

    def __init__(self, hold: Hold, told: Told, clamped: int | None, *, sure: bool) -> None:
        self._hold = hold
        self.told = told
        self.clamped = clamped
        self.sure = sure

    def settle(self, cost: int) -> None:
        """Set it free, but for what was spent. Once."""
        self._hold.settle(cost)


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What is done where a budget cannot tell; see `policies.budget` in the configuration.

    Attributes:
        on_shortage: a budget has less than the worst case.
        on_unknown: nobody knows how an attempt ended.
        unbounded: there is no worst case.
        unpriced: a model without a price is let through.
    """

    on_shortage: Literal["refuse", "clamp"] = "refuse"
    on_unknown: Literal["charge", "estimate", "release"] = "charge"
    unbounded: Literal["refuse", "estimate"] = "refuse"
    unpriced: bool = False


class _Case(NamedTuple):
    """What a call may use, and what is sent.

    Attributes:
        body: the request, with an output cap where it had none.
        prompt: input tokens.
        output: tokens of each choice.
        choices: how many there may be.
        tier: the service tier asked for.
        sure: it is the worst case; else an estimate.
    """

    body: Body | Upload
    prompt: int
    output: int
    choices: int = 1
    tier: str | None = None
    sure: bool = True


class Holds:
    """Sets sums aside for the attempts at one target.

    Args:
        caps: the budgets that a call for a model counts against.
        purses: where sums come from.
        prices: what tokens cost.
        price_list: whose prices hold at this target.
        find: what is known of a model.
        sure: the target is its maker's, so no answer is longer than its longest; elsewhere a name proves nothing.
        tokens: counts, where a budget is short.
        clock: for the date of a price.
        default_output: a route's own output cap, by the name that callers use.
        rules: what is done where nobody can tell.
    """

    def __init__(
        self,
        caps: Callable[[Call, str], Sequence[Cap]],
        purses: Purses,
        prices: Prices,
        *,
        price_list: str,
        find: Callable[[str], Model | None],
        sure: bool,
        tokens: Tokens,
        clock: Clock,
        default_output: Callable[[str], int | None],
        rules: Rules,
    ) -> None:
        self._caps = caps
        self._purses = purses
        self._prices = prices
        self._price_list = price_list
        self._find = find
        self._sure = sure
        self._tokens = tokens
        self._clock = clock
        self._default_output = default_output
        self._rules = rules
        self._estimates = "estimate" in (rules.on_unknown, rules.unbounded)
        self._forecast = Forecast()

    async def take(self, call: Call, model: str) -> tuple[Call, Held | None]:
        """Set aside what an attempt may cost; gives the call as it is to be sent.

        Raises:
            OverBudgetError: a budget has too little left.
            UnboundedError: there is no worst case, and `unbounded` is `refuse`.
            UnpricedError: there is no price, and it is not allowed to do without.
            BadRequestError: a cap in the request is no whole number.
            StoreError: more has to be borrowed, and the store is away.
        """
        batch = call.operation is Operation.BATCHES and call.address is not None and call.address.method == "POST"
        if call.prepaid or (call.operation in FREE and not batch):
            return call, None
        caps = self._caps(call, model)
        if not caps:
            return call, None
        if batch:
            # What its rows ask for is known to nobody here.
            if self._rules.unbounded == "refuse" and call.body.size:
                raise _unbounded("a batch")
            return call, None
        case = self._case(call, model)
        amount = self._price(call, model, case)
        if amount is None:
            if self._rules.unpriced:
                return call, None
            raise _unpriced(model)
        clamped = None
        try:
            hold = self._purses.at_once(caps, amount) or await self._purses.hold(caps, amount)
        except OverBudgetError as error:
            case, hold, clamped = await self._nearer(call, model, case, caps, error)
        if case.body is not call.body:
            call = msgspec.structs.replace(call, body=case.body)
        names = tuple([(cap.name, cap.window) for cap in caps])
        told = Told(self._purses.owner, names, hold.amount, self._if_unknown(call, model, case, hold.amount))
        return call, Held(hold, told, clamped, sure=case.sure)

    def worst(self, call: Call, model: str) -> tuple[Call, Sequence[Cap], int]:
        """What a row of a batch may cost, and under which caps; gives the call as it is to be sent. Nothing is held.

        Raises:
            UnboundedError: there is no worst case, and `unbounded` is `refuse`.
            UnpricedError: there is no price, and it is not allowed to do without.
            BadRequestError: a cap in the request is no whole number.
        """
        caps = self._caps(call, model)
        if call.operation in FREE or not caps:
            return call, (), 0
        case = self._case(call, model)
        # A row of a batch is served in no other tier; one that has no price of its own costs no more than at once.
        amount = self._price(call, model, case._replace(tier=BATCH), only=True)
        if amount is None:
            amount = self._price(call, model, case)
        if amount is None:
            if self._rules.unpriced:
                return call, (), 0
            raise _unpriced(model)
        return call if case.body is call.body else msgspec.structs.replace(call, body=case.body), caps, amount

    async def take_each(self, call: Call, model: str) -> tuple[Call, Sequence[Held | None]]:
        """The same for a call that was put together: each of its calls sets its own part of the worst case aside.

        Raises:
            OverBudgetError: a budget of one of them has too little left; nothing is held then for any of them.
            HeadgateError: as for `take`.
        """
        assert call.together is not None, "whoever asks has looked"
        members = call.together.calls
        caps = [self._caps(member, model) for member in members]
        held: list[Held | None] = [None] * len(members)
        if not any(caps):
            return call, held
        case = self._case(call, model)
        amount = self._price(call, model, case)
        if amount is None:
            if self._rules.unpriced:
                return call, held
            raise _unpriced(model)
        output = -(-case.output // len(members))
        prompts = split(case.prompt, call.together.asked)
        weights = [self._price(call, model, case._replace(prompt=prompt, output=output)) or 0 for prompt in prompts]
        amounts = split(amount, weights)
        unknown = split(self._if_unknown(call, model, case, amount), weights, amounts)
        try:
            for at, of_one in enumerate(caps):
                if of_one:
                    hold = await self._purses.hold(of_one, amounts[at])
                    names = tuple([(cap.name, cap.window) for cap in of_one])
                    told = Told(self._purses.owner, names, hold.amount, unknown[at])
                    held[at] = Held(hold, told, None, sure=case.sure)
        except BaseException:
            for one in held:
                if one is not None:
                    one.settle(0)
            raise
        return (call if case.body is call.body else msgspec.structs.replace(call, body=case.body)), held

    def learn(self, call: Call, usage: TokenUsage) -> None:
        """Take what a call has really used: estimates follow it, where there are any."""
        if self._estimates:
            self._forecast.learn(call, usage)

    def _case(self, call: Call, model: str) -> _Case:
        body, operation = call.body, call.operation
        prompt = None
        if isinstance(body, Body):
            prompt = body.size if is_plain(body) else bound(operation, body.raw)
        if prompt is None or not isinstance(body, Body):
            return self._estimate(call, model)
        asked = fields(body)
        tier = asked.service_tier if isinstance(asked.service_tier, str) else None
        names = _CAPS.get(operation)
        if names is None:
            return _Case(body, prompt, 0, tier=tier)
        given = [_whole(name, cap) for name in names if (cap := getattr(asked, name)) not in _NO_CAP]
        choices = 1 if asked.n is None else _whole("n", asked.n)
        if asked.best_of is not None:
            choices = max(choices, _whole("best_of", asked.best_of))
        if operation is Operation.COMPLETIONS:
            choices *= _prompts(body)
        known = self._find(model)
        most = known.max_output if known is not None and self._sure else None
        if given:
            output = max(given) if most is None else min(max(given), most)
            return _Case(body, prompt, output, choices, tier)
        default = self._default_output(call.model) or (known.default_max_output if known is not None else None)
        if default is not None and call.together is not None:
            # That is for one answer.
            default *= len(call.together.calls)
            default = default if most is None else min(default, most)
        if default is not None and default != most:
            # One that is null has to go.
            new = getattr(asked, names[0]) is UNSET
            body = with_cap(body, names[0], default) if new else body.with_field(names[0], b"%d" % default)
            return _Case(body, prompt, default, choices, tier)
        if most is not None:
            return _Case(body, prompt, most, choices, tier)
        return self._estimate(call, model)

    def _estimate(self, call: Call, model: str) -> _Case:
        if self._rules.unbounded == "refuse":
            raise _unbounded(f"this call to {model[:80]!r}")
        demand = self._forecast.expect(call)
        return _Case(call.body, demand.input, demand.output, sure=False)

    def _price(self, call: Call, model: str, case: _Case, *, only: bool = False) -> int | None:
        now, output = self._clock.time(), case.output * case.choices
        if case.sure:
            return self._prices.worst(
                model,
                prompt=case.prompt,
                completion=output,
                at=now,
                provider=self._price_list,
                tier=case.tier,
                kept_long=kept_long(call),
                only=only,
            )
        drawn = output if call.operation in _DRAWN else 0
        usage = TokenUsage(prompt_tokens=case.prompt, completion_tokens=output, completion_image_tokens=drawn)
        tier = case.tier if only else None
        return self._prices.cost(model, usage, at=now, provider=self._price_list, tier=tier)[0]

    def _if_unknown(self, call: Call, model: str, case: _Case, held: int) -> int:
        """What an attempt is charged whose outcome nobody knows."""
        if self._rules.on_unknown == "charge":
            return held
        if self._rules.on_unknown == "release":
            return 0
        demand = self._forecast.expect(call)
        likely = case._replace(prompt=min(demand.input, case.prompt), output=demand.output, choices=1)
        return min(held, self._price(call, model, likely) or 0)

    async def _nearer(
        self, call: Call, model: str, case: _Case, caps: Sequence[Cap], error: OverBudgetError
    ) -> tuple[_Case, Hold, int | None]:
        """Hold less, because a budget is short: what the input really is, and as much output as there is money for."""
        body = case.body
        if case.sure and isinstance(body, Body) and call.operation in COUNTED:
            count = await self._tokens.request(call.operation, body, model)
            counted = count.tokens if count.exact else ceil(count.tokens * (1 + DOUBT)) + LEAST_OUTPUT
            case = case._replace(prompt=min(case.prompt, counted))
            try:
                return case, await self._purses.hold(caps, self._price(call, model, case) or 0), None
            except OverBudgetError as still:
                error = still
        names = _CAPS.get(call.operation)
        if self._rules.on_shortage == "refuse" or not case.sure or names is None or not isinstance(body, Body):
            raise error
        # Each of the caps may be the one that is short.
        for _ in caps:
            output = self._affordable(call, model, case, error.left)
            if output is None:
                raise error
            given = [name for name in names if getattr(fields(body), name) not in _NO_CAP]
            for name in given or names[:1]:
                body = body.with_field(name, msgspec.json.encode(output))
            case = case._replace(body=body, output=output)
            try:
                return case, await self._purses.hold(caps, self._price(call, model, case) or 0), output
            except OverBudgetError as still:
                error = still
        raise error

    def _affordable(self, call: Call, model: str, case: _Case, left: int) -> int | None:
        """The largest output cap whose worst case is within a sum; None if it is below what makes sense."""
        low, high = LEAST_OUTPUT - 1, case.output
        while low < high:
            middle = (low + high + 1) // 2
            price = self._price(call, model, case._replace(output=middle))
            if price is not None and price <= left:
                low = middle
            else:
                high = middle - 1
        return low if low >= LEAST_OUTPUT else None


def _unbounded(what: str) -> UnboundedError:
    return UnboundedError(
        f"Nobody can tell what {what} may cost at most, and a budget holds for it.",
        hint="Send an output cap, leave out what the provider has to look up (pictures, files, hosted tools, earlier "
        "answers), or set `policies.budget.unbounded: estimate`.",
    )


def _unpriced(model: str) -> UnpricedError:
    return UnpricedError(
        f"Nobody knows what the model {model[:80]!r} costs, and a budget holds for this call.",
        param="model",
        hint="Give it prices in `catalog.models`, or set `policies.budget.unknown_price`.",
    )


def kept_long(call: Call) -> bool:
    """Whether the request asks the provider to keep what it caches for twelve hours."""
    body = call.body
    if not isinstance(body, Body):
        return False
    try:
        options = fields(body).prompt_cache_options
    except BadRequestError:
        # Where no door has read it, it may stand there twice.
        options = body.view.get("prompt_cache_options")
    return isinstance(options, dict) and options.get("ttl") == "12h"


def _whole(name: str, value: object) -> int:
    """A bound from a request. What the provider might read otherwise than we do is refused."""
    if type(value) is not int or value < 1:
        raise BadRequestError(f"`{name}` must be a whole number above 0.", code="invalid_value", param=name)
    return value


def _prompts(body: Body) -> int:
    """How many prompts a request for completions holds; each is answered."""
    prompt = body.view.get("prompt")
    if isinstance(prompt, list) and any(not isinstance(part, int) for part in prompt):
        return len(prompt)
    return 1
