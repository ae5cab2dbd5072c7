"""The policy: which target is asked first, and whether a failure may be taken to the next one.

Refuses to know why a target failed: the error's own facts (`core/errors.py`) say whether the next one may be asked.
Falling back wraps the await only, so it can never repeat words already said.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import groupby

from msgspec.structs import replace

from headgate.catalog.abilities import Abilities
from headgate.catalog.names import LONGEST
from headgate.core.call import MODELLESS, Call, Operation, Target
from headgate.core.clock import Chance, Clock
from headgate.core.errors import BadRequestError, HeadgateError, NoTargetError, Onward, UnknownModelError
from headgate.core.policy import Handler
from headgate.core.reply import Reply
from headgate.policies.route.choice import Choice, Living, Speaks, choose
from headgate.policies.route.cost import Costs
from headgate.policies.route.draw import cache_key, draw, stick
from headgate.policies.route.latency import Latency
from headgate.policies.route.plan import ANY, Plan
from headgate.policies.route.telling import telling

MOST = 1000
"""Names whose choice is remembered. Where a route takes any name, callers can make models up."""


class Route:
    """The policy.

    Args:
        plans: by the name that callers use; `ANY` takes every other one.
        speaks: whether a provider (by name) has an operation.
        accounts: the providers that have an operation, in the order of the configuration: the first one gets what
            asks no model and names nothing that another one keeps.
        abilities: what targets are known not to be able to do.
        costs: what a call may cost at a target.
        chance: draws among equals.
        clock: tells when a deadline has passed, and how long targets take.
        living: what becomes of targets whose model is retired: the ones that may be asked. May refuse the call.
        moved: told of a target (provider and model) whenever a call goes on from it to another one.
    """

    def __init__(
        self,
        plans: Mapping[str, Plan],
        *,
        speaks: Speaks,
        accounts: Callable[[Operation], Sequence[str]],
        abilities: Abilities,
        costs: Costs,
        chance: Chance,
        clock: Clock,
        living: Living | None = None,
        moved: Callable[[str, str], None] = lambda _provider, _model: None,
    ) -> None:
        self._plans = plans
        self._speaks = speaks
        self._accounts = accounts
        self._abilities = abilities
        self._costs = costs
        self._chance = chance
        self._clock = clock
        self._living = living
        self._moved = moved
        self._latency = Latency(clock)
        # Of the day: what is known before a call comes.
        self._day = ""
        self._choices: dict[tuple[str, Operation], Choice] = {}

    def __call__(self, call: Call, next: Handler) -> Awaitable[Reply]:  # noqa: A002  the field's word
        """Ask the targets in turn until one answers.

        Raises:
            UnknownModelError: no route leads to the model, or only to models that are retired.
            BadRequestError: no target can do what the request needs, or has a part in what it names.
            NoTargetError: none of its targets has the operation, or none is left.
            HeadgateError: the failure that tells most, of those that the targets failed with.
        """
        if call.operation in MODELLESS:
            return next(replace(call, target=self._keeper(call), others=0))
        if call.day != self._day:
            self._day = call.day
            self._choices.clear()
        choice = self._choices.get((call.model, call.operation)) or self._choose(call)
        targets: Sequence[Target] = choice.targets
        if call.account is not None:
            targets = self._kept(call, choice)
        elif choice.differ:
            targets = choice.fitting(call)
        if call.avoid:
            targets = _unspent(call, targets)
        if len(targets) == 1 or call.account is not None:
            return next(replace(call, target=targets[0], others=0))
        return self._ask(call, next, choice, self._order(call, choice, targets))

    async def _ask(self, call: Call, next: Handler, choice: Choice, targets: Sequence[Target]) -> Reply:  # noqa: A002
        # Where the order is settled, there is nothing to learn.
        strategy = None if choice.settled else choice.plan.strategy
        failure: HeadgateError | None = None
        left = [*reversed(targets)]
        try:
            while left:
                target = left.pop()
                asked = replace(call, target=target, others=len(left))
                try:
                    reply = await (self._latency.ask(asked, next) if strategy == "latency" else next(asked))
                except HeadgateError as error:
                    if error.onward is Onward.NEVER:
                        raise
                    failure = telling(failure, error)
                    if error.onward is Onward.LARGER:
                        left = choice.larger(call, target, left)
                    if call.deadline is not None and self._clock.monotonic() >= call.deadline:
                        break
                    if left:
                        self._moved(target.provider, target.model or call.model)
                else:
                    if strategy == "cost":
                        self._costs.learn(call, reply)
                    return reply
            assert failure is not None, "there is at least one target"
            failure.attempts = call.trail
            raise failure
        finally:
            # An error knows this frame by its traceback: without this they would keep each other alive.
            failure = None

    def _choose(self, call: Call) -> Choice:
        plan = self._plans.get(call.model) or self._plans.get(ANY)
        if plan is None:
            message = f"The model {call.model!r} does not exist here."
            raise UnknownModelError(
                message, param="model", hint="`GET /v1/models` and `headgate models` list the names that do."
            )
        found = choose(call, plan, self._speaks, self._abilities, self._living)
        if len(call.model) <= LONGEST:
            if len(self._choices) >= MOST:
                self._choices.clear()
            self._choices[call.model, call.operation] = found
        return found

    def _kept(self, call: Call, choice: Choice) -> Sequence[Target]:
        """The targets at the account that keeps what the call names. One of them is asked: nobody else can answer."""
        keepers = [target for target in choice.able if target.provider == call.account]
        if not keepers:
            message = f"What this call names is kept by {call.account!r}, which has no part in {call.model!r}."
            raise BadRequestError(message, code="wrong_account", param="model")
        return keepers if self._living is None else self._living(call, keepers)

    def _order(self, call: Call, choice: Choice, targets: Sequence[Target]) -> Sequence[Target]:
        if choice.settled:
            return targets
        key = cache_key(call)
        drawn = draw(targets, self._chance) if key is None else stick(targets, key)
        strategy = choice.plan.strategy
        if strategy == "weighted":
            return drawn
        if strategy == "cost":
            drawn = self._costs.order(call, drawn)
        drawn.sort(key=_priority)
        if strategy == "latency" and key is None:
            groups = groupby(drawn, key=_priority)
            return [target for _, group in groups for target in self._latency.order(call, [*group])]
        return drawn

    def _keeper(self, call: Call) -> Target:
        """The account of a call that asks no model."""
        accounts = self._accounts(call.operation)
        account = call.account or (accounts[0] if accounts else None)
        if account is None or account not in accounts:
            message = f"No provider has the {call.operation} API."
            raise NoTargetError(message, hint="Configure a provider that has it.")
        return Target(account)


def _unspent(call: Call, targets: Sequence[Target]) -> Sequence[Target]:
    """The targets that have not failed the question already."""
    left = [target for target in targets if (target.provider, target.model or call.model) not in call.avoid]
    if not left:
        spent = ", ".join(f"{provider}/{model}" for provider, model in call.avoid)
        raise NoTargetError(f"No target of the model {call.model[:80]!r} is left (failed already: {spent}).")
    return left


def _priority(target: Target) -> int:
    return target.priority
