"""The order of the house, in one page, in the order in which a call travels.

     -  outlive   a call with an Idempotency-Key goes on when its caller leaves
     1  meter     records every outcome
     -  names     judges the names that a call goes by
     2  admit     per-caller limits
     -  once      a call with an Idempotency-Key is made once
     3  guard     judges words in and out
     4  cache     answers from the past, joins identical calls
     -  own       objects belong to who made them, and lead to the account that keeps them
     -  recover   goes on with a stream that broke, at another target
     -  combine   small calls that arrive together leave as one
     5  route     picks a target; falls back
     -  defaults  the parameters that the provider's settings add
     -  fit       the parameters that the model takes
     -  compress  prompts get shorter and say the same
     -  room      what cannot fit into the model's context is refused
     6  retry     repeats at the same target
     7  breaker   rests a failing target
     8  pace      waits for the provider's limits
     -  look      what has waited for a target that rests by now is not sent
     -  leaving   who makes a call once says that it may have left
     9  budget    writes the intent, settles the truth
     -  provider  translates and sends

Layers down to `route` stand once in a gate; those below it stand once per target, because what they learn (waits,
failures, limits) belongs to a target: a provider and the model that it is really asked for. A layer that a
configuration does not use is not in its stack.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import NamedTuple

from headgate.catalog.abilities import Abilities
from headgate.catalog.forecast import Forecast
from headgate.catalog.models import Catalog, Model
from headgate.catalog.prices import Prices
from headgate.catalog.retirement import Retirement
from headgate.catalog.tokens import Tokens
from headgate.core.attempt import Attempt
from headgate.core.call import Call, Operation, Target
from headgate.core.clock import Chance, Clock
from headgate.core.limits import UNLIMITED
from headgate.core.policy import Handler, Policy, compose
from headgate.core.reply import Reply
from headgate.gate import combining, guarding, makers, wiring
from headgate.gate.caps import Caps
from headgate.gate.coherence import auth
from headgate.gate.config import Config
from headgate.gate.config import Route as RouteSettings
from headgate.gate.lasting import Lasting
from headgate.gate.tasks import Start
from headgate.policies.admit import Admit
from headgate.policies.breaker import Breaker
from headgate.policies.budget.budget import Budget
from headgate.policies.budget.hold import Holds, Rules
from headgate.policies.cache.cache import Cache
from headgate.policies.compress.compress import Compress
from headgate.policies.compress.shorten import How
from headgate.policies.defaults import Defaults
from headgate.policies.fit import Fit
from headgate.policies.meter import Meter
from headgate.policies.once.once import Once
from headgate.policies.own import Own, Owners
from headgate.policies.pace.gauges import Gauges
from headgate.policies.pace.pace import Pace
from headgate.policies.recover import Recover
from headgate.policies.retry import Retry
from headgate.policies.room import Room
from headgate.policies.route import ANY, Costs, Plan, Route
from headgate.providers.provider import Provider
from headgate.stores.protocols import Journal
from headgate.stores.purse import Purses
from headgate.stores.rates import Rates


class Parts(NamedTuple):
    """What policies are made of."""

    config: Config
    clock: Clock
    chance: Chance
    journal: Journal
    prices: Prices
    catalog: Catalog
    tokens: Tokens
    providers: Mapping[str, Provider]
    plans: Mapping[str, Plan]
    configured: frozenset[tuple[str, str]]
    abilities: Abilities
    meter: Meter
    once: Once
    cache: Cache
    owners: Owners
    caps: Caps
    purses: Purses
    rates: Rates
    gauges: Gauges
    exceeded: Callable[[str, Attempt, int], None]
    start: Start

    def accounts(self, operation: Operation) -> list[str]:
        """The providers that have an operation, in the order of the configuration."""
        return [name for name, provider in self.providers.items() if provider.speaks(operation)]


class Layer(NamedTuple):
    """One line of the page. What builds nothing is not in the stack."""

    name: str
    because: str
    build: Callable[[Parts], Policy | None]


class TargetLayer(NamedTuple):
    """One line of the page, below route: one policy per target, which always names its model (none: `""`)."""

    name: str
    because: str
    build: Callable[[Parts, Target], Policy | None]


class SecondLook(NamedTuple):
    """One line of the page, below route: what stands further up looks again. Built from what is built above it."""

    name: str
    because: str
    build: Callable[[Mapping[str, Policy]], Policy | None]


FITTING = ("defaults", "fit", "room")
"""The layers that make a call fit its target, and nothing else."""
MOST_CHAINS = 1024
"""Targets whose policies are remembered. Where a route takes any name, callers can make models up."""


def _meter(parts: Parts) -> Policy:
    named = {model for _, model in parts.configured if model} | parts.plans.keys()
    return parts.meter.knowing(named - {ANY}, parts.configured)


def _moved(parts: Parts, provider: str, model: str) -> None:
    parts.meter.counters.target(provider, model).fallbacks += 1


def _names(parts: Parts) -> Policy | None:
    return guarding.names(parts.config)


def _admit(parts: Parts) -> Policy | None:
    # Keys come while the gateway runs, and any of them may have limits.
    return Admit(parts.rates) if auth(parts.config) == "keys" else None


def _recover(parts: Parts) -> Policy | None:
    routes = parts.config.models.items()
    continues = {name: route.recovery == "continue" for name, route in routes if not isinstance(route, str)}
    if not any(continues.values()):
        return None

    def prefills(provider: str, name: str) -> bool:
        model = parts.abilities.known(provider, name)
        return model is not None and model.can("prefill") is True

    return Recover(lambda name: continues.get(name, continues.get(ANY, False)), prefills, parts.clock)


def _combine(parts: Parts, *, always: bool = False) -> Policy | None:
    return combining.combine(
        parts.config,
        always=always,
        plans=parts.plans,
        abilities=parts.abilities,
        tokens=parts.tokens,
        start=parts.start,
        clock=parts.clock,
        chance=parts.chance,
    )


def _route(parts: Parts) -> Policy:
    def speaks(provider: str, operation: Operation) -> bool:
        return parts.providers[provider].speaks(operation)

    served = makers.makers(parts.config)
    retirement = Retirement(parts.catalog.find, served, parts.config.policies.on_retired)
    lists = {name: makers.price_list(provider, parts.prices) for name, provider in parts.config.providers.items()}
    return Route(
        parts.plans,
        speaks=speaks,
        accounts=parts.accounts,
        abilities=parts.abilities,
        costs=Costs(parts.prices, lists, parts.clock),
        chance=parts.chance,
        clock=parts.clock,
        living=retirement.living if served else None,
        moved=partial(_moved, parts),
    )


def _defaults(parts: Parts, target: Target) -> Policy | None:
    defaults = parts.config.providers[target.provider].defaults
    return Defaults(defaults) if defaults else None


def _fit(parts: Parts, target: Target) -> Policy:
    find: Callable[[str], Model | None] = parts.catalog.find
    if parts.config.providers[target.provider].type == "local":
        # Whatever name it is asked for, another model answers.
        find = partial(parts.abilities.known, target.provider)
    return Fit(find, parts.config.policies.on_unsupported)


def _compress(parts: Parts, _: Target) -> Policy | None:
    routes = parts.config.models.items()
    asked = {name: route.compress for name, route in routes if not isinstance(route, str)}
    hows = {name: None if found is None else How(**found.model_dump()) for name, found in asked.items()}
    if not any(hows.values()):
        return None
    return Compress(lambda name: hows.get(name, hows.get(ANY)), parts.tokens)


def _room(parts: Parts, target: Target) -> Policy:
    return Room(partial(parts.abilities.known, target.provider), parts.tokens)


def _retry(parts: Parts, target: Target) -> Policy:
    settings = parts.config.policies.retry
    provider = parts.config.providers[target.provider]
    return Retry(
        max_attempts=settings.max_attempts if provider.max_retries is None else provider.max_retries + 1,
        max_wait=settings.max_wait,
        patience=provider.timeout.total,
        budget=settings.budget,
        clock=parts.clock,
        chance=parts.chance,
    )


def _breaker(parts: Parts, target: Target) -> Policy:
    settings = parts.config.policies.breaker
    return Breaker(
        f"{target.provider}/{target.model}",
        failures=settings.failures,
        window=settings.window,
        rest=settings.rest,
        probes=settings.probes,
        timeouts=wiring.timeouts(parts.config.providers[target.provider]),
        rates=parts.rates,
        clock=parts.clock,
        rested=parts.meter.counters.target(target.provider, target.model or "").rested,
    )


def _look(above: Mapping[str, Policy]) -> Policy | None:
    breaker = above["breaker"]
    assert isinstance(breaker, Breaker)
    # Without a queue nothing has waited.
    return breaker.look if "pace" in above else None


def _pace(parts: Parts, target: Target) -> Policy | None:
    if not target.model:
        return None  # what asks no model has none of a model's limits
    allowed = parts.config.providers[target.provider].limits
    limits, group = (UNLIMITED, None) if allowed is None else (wiring.limits(allowed), allowed.group)
    gauge = parts.gauges.of(f"{target.provider}/{target.model}", limits, group)
    return Pace(gauge, Forecast(), parts.meter.counters.target(target.provider, target.model).waited)


def holds(parts: Parts, provider: str) -> Holds | None:
    """What sets sums aside for what a provider is asked; None where there are no budgets."""
    # A key may bring a budget of its own, and come while the gateway runs.
    if not parts.config.budgets and auth(parts.config) != "keys":
        return None
    settings = parts.config.policies.budget
    return Holds(
        parts.caps,
        parts.purses,
        parts.prices,
        price_list=makers.price_list(parts.config.providers[provider], parts.prices),
        find=parts.catalog.find,
        sure=provider in makers.makers(parts.config),
        tokens=parts.tokens,
        clock=parts.clock,
        default_output=partial(_default_output, parts.config),
        rules=Rules(
            on_shortage=settings.on_shortage,
            on_unknown=settings.on_unknown,
            unbounded=settings.unbounded,
            unpriced=settings.unknown_price == "allow",
        ),
    )


def _budget(parts: Parts, target: Target) -> Policy:
    return Budget(
        parts.journal,
        parts.prices,
        parts.clock,
        price_list=makers.price_list(parts.config.providers[target.provider], parts.prices),
        must_know=parts.config.policies.budget.unknown_price == "refuse",
        holds=holds(parts, target.provider),
        exceeded=parts.exceeded,
        count=parts.meter.counters.target(target.provider, target.model or "").settled,
    )


def _default_output(config: Config, model: str) -> int | None:
    """The output cap that a route gives to calls that name none."""
    route = config.models.get(model, config.models.get(ANY))
    return route.default_max_output if isinstance(route, RouteSettings) else None


ABOVE = (
    Layer(
        "outlive",
        "what stands below runs to its end without the caller, so that its row, its places and its tokens are true",
        lambda parts: parts.once.outlive,
    ),
    Layer("meter", "it must see refusals and hits too", _meter),
    Layer("names", "a refusal is written down, too, and nothing may be that a rule masks", _names),
    Layer("admit", "a flood must not reach anything that costs", _admit),
    Layer(
        "once",
        "a flood of repeats is a flood, and the first outcome, as it was guarded then, is given again byte for byte",
        lambda parts: parts.once,
    ),
    Layer("guard", "a cached answer still obeys today's rules", lambda parts: guarding.guard(parts.config)),
    Layer("cache", "a hit spends nothing", lambda parts: parts.cache),
    Layer(
        "own",
        "whose a thing is comes before where it is kept, and a list is asked of several accounts",
        lambda parts: Own(parts.owners, parts.accounts),
    ),
    Layer("recover", "its second question is routed like the first one", _recover),
    Layer(
        "combine",
        "what is judged, limited and answered from the past is each caller's own; one question of many is routed once",
        _combine,
    ),
    Layer("route", "one question, several targets", _route),
)
BELOW: tuple[TargetLayer | SecondLook, ...] = (
    TargetLayer("defaults", "before fit, or what a model does not take would come back by a default", _defaults),
    TargetLayer(
        "fit",
        "what a model takes is known once there is one, is the same for each attempt, and bounds what is held for it",
        _fit,
    ),
    TargetLayer(
        "compress",
        "below cache, whose key is of the caller's words; each target counts by its own vocabulary, and what is left "
        "must fit and is held for",
        _compress,
    ),
    TargetLayer(
        "room",
        "what a model holds is known once there is one, and a question that cannot fit is neither retried nor paid for",
        _room,
    ),
    TargetLayer("retry", "closest to the target it repeats", _retry),
    TargetLayer("breaker", "each attempt counts", _breaker),
    TargetLayer("pace", "the last queue before the wire", _pace),
    SecondLook("look", "a queue may be longer than the time in which a target fails", _look),
    TargetLayer(
        "leaving",
        "what has only queued another process may make, what may have left it may not; nothing is held yet",
        lambda parts, _: parts.once.leaving,
    ),
    TargetLayer(
        "budget",
        "nothing is held while queueing; every attempt that may be billed is journalled first",
        _budget,
    ),
)


class Stack:
    """The whole stack, from the door to the wire. Calling it sends a call through.

    Args:
        parts: what policies are made of.
        former: the stack of the configuration before; what its policies know of targets goes on.
    """

    def __init__(self, parts: Parts, former: "Stack | None" = None) -> None:
        self._parts = parts
        self._chains: dict[tuple[str, str], tuple[Handler, Mapping[str, Policy]]] = {}
        self.always_combining = False
        self.lasting = Lasting(parts.config)
        if former is not None:
            self.lasting.carry(former.lasting, former.targets())
        self._above = {layer.name: layer.build(parts) for layer in ABOVE}
        self._compose()
        if former is not None and former.always_combining:
            self.combining()

    def _compose(self) -> None:
        self._handle = compose([policy for policy in self._above.values() if policy is not None], self._dispatch)

    def combining(self) -> None:
        """From now on calls may ask for themselves to be put together with others, whatever their routes say."""
        self.always_combining = True
        if self._above["combine"] is None:
            self._above["combine"] = _combine(self._parts, always=True)
            self._compose()

    def __call__(self, call: Call) -> Awaitable[Reply]:
        """Send a call through."""
        return self._handle(call)

    async def fitted(self, call: Call) -> Call:
        """A call as its target would get it, for what travels another way (a row of a batch); nothing is sent.

        Raises:
            HeadgateError: what the target cannot be asked.
        """
        passed: list[Call] = []

        async def keep(call: Call) -> Reply:
            passed.append(call)
            return Reply(())

        _, policies = self._found(call)
        await compose([policies[name] for name in FITTING if name in policies], keep)(call)
        return passed[0]

    def targets(self) -> Mapping[tuple[str, str], Mapping[str, Policy]]:
        """The policies of each target that was asked so far, by provider and model, and by the layer's name."""
        return {name: policies for name, (_, policies) in self._chains.items()}

    def _dispatch(self, call: Call) -> Awaitable[Reply]:
        return self._found(call)[0](call)

    def _found(self, call: Call) -> tuple[Handler, Mapping[str, Policy]]:
        target = call.target
        assert target is not None, "route has picked one"
        # What a target learns belongs to a provider and a model, whichever routes lead there with whatever weight.
        name = (target.provider, target.model or call.model)
        return self._chains.get(name) or self._chain(name)

    def _chain(self, name: tuple[str, str]) -> tuple[Handler, Mapping[str, Policy]]:
        while len(self._chains) >= MOST_CHAINS:
            # The oldest that somebody has made up; what it has learned is learned again.
            made_up = (known for known in self._chains if known not in self._parts.configured)
            del self._chains[next(made_up, next(iter(self._chains)))]
        target = Target(*name)
        policies: dict[str, Policy] = {}
        for layer in BELOW:
            built = layer.build(policies) if isinstance(layer, SecondLook) else layer.build(self._parts, target)
            built = self.lasting.going_on(built, layer.name, target)
            if built is not None:
                policies[layer.name] = built
        handle = compose(list(policies.values()), self._parts.providers[target.provider])
        found = self._chains[name] = (handle, policies)
        return found
