"""Route: one question, several targets.

Decides which target is asked first and whether a failure may be taken to the next one. Refuses to know why a target
failed: the error's own facts (`core/errors.py`) say whether the next one may be asked. Falling back wraps the await
only, so it can never repeat words already said.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from headgate.core.call import MODELLESS, Call, Operation, Target
from headgate.core.clock import Chance, Clock
from headgate.core.errors import BadRequestError, HeadgateError, NoTargetError, Onward, UnknownModelError
from headgate.core.policy import Handler
from headgate.core.reply import Reply

ANY = "*"
"""The route of every name that has none of its own."""


Living = Callable[[Call, Sequence[Target]], Sequence[Target]]


class Plan(msgspec.Struct, frozen=True):
    """Who answers to one name.

    Attributes:
        targets: in the order of the configuration.
        strategy: `priority` asks the lowest number first and draws among equals by weight; `weighted` draws among all.
    """

    targets: tuple[Target, ...]
    strategy: Literal["priority", "weighted"] = "priority"


class Route:
    """The policy.

    Args:
        plans: by the name that callers use; `ANY` takes every other one.
        speaks: whether a provider (by name) has an operation.
        accounts: the providers that have an operation, in the order of the configuration: the first one gets what
            asks no model and names nothing that another one keeps.
        chance: draws among equals.
        clock: tells when a deadline has passed.
        living: what becomes of targets whose model is retired: the ones that may be asked. May refuse the call.
    """

    def __init__(
        self,
        plans: Mapping[str, Plan],
        *,
        speaks: Callable[[str, Operation], bool],
        accounts: Callable[[Operation], Sequence[str]],
        chance: Chance,
        clock: Clock,
        living: Living | None = None,
    ) -> None:
        self._plans = plans
        self._able: dict[tuple[Plan, Operation], tuple[Target, ...]] = {}
        self._speaks = speaks
        self._accounts = accounts
        self._chance = chance
        self._clock = clock
        self._living = living

    async def __call__(self, call: Call, next: Handler) -> Reply:  # noqa: A002  the field's word
        """Ask the targets in turn until one answers.

        Raises:
            UnknownModelError: no route leads to the model, or only to models that are retired.
            NoTargetError: none of its targets has the operation.
            HeadgateError: what the last target that was asked failed with.
        """
        targets = self._order(call)
        if self._living is not None:
            targets = self._living(call, targets)
        remaining = len(targets)
        for target in targets:
            remaining -= 1
            try:
                return await next(msgspec.structs.replace(call, target=target, others=remaining))
            except HeadgateError as error:
                if not remaining or error.onward in {Onward.NEVER, Onward.LARGER} or self._late(call):
                    raise
        raise AssertionError("a plan has at least one target")  # pragma: no cover

    def _order(self, call: Call) -> Sequence[Target]:
        if call.operation in MODELLESS:
            return (self._keeper(call),)
        plan = self._plans.get(call.model) or self._plans.get(ANY)
        if plan is None:
            message = f"The model {call.model!r} does not exist here."
            raise UnknownModelError(
                message, param="model", hint="`GET /v1/models` and `headgate models` list the names that do."
            )
        targets = self._able.get((plan, call.operation))
        if targets is None:
            able = (target for target in plan.targets if self._speaks(target.provider, call.operation))
            targets = self._able[plan, call.operation] = tuple(able)
        if not targets:
            names = ", ".join(sorted({target.provider for target in plan.targets}))
            raise NoTargetError(
                f"No provider of the model {call.model!r} has the {call.operation} API (asked: {names}).",
                hint="Use another API for this model, or set `responses: true` on a provider that has it.",
            )
        if call.account is not None:
            # Nobody else can answer, so nobody else is asked.
            keepers = [target for target in targets if target.provider == call.account]
            if not keepers:
                message = f"What this call names is kept by {call.account!r}, which has no part in {call.model!r}."
                raise BadRequestError(message, code="wrong_account", param="model")
            return keepers[:1]
        if len(targets) == 1:
            return targets
        if plan.strategy == "weighted":
            return self._draw(list(targets))
        ordered: list[Target] = []
        for priority in sorted({target.priority for target in targets}):
            ordered += self._draw([target for target in targets if target.priority == priority])
        return ordered

    def _keeper(self, call: Call) -> Target:
        """The account of a call that asks no model."""
        accounts = self._accounts(call.operation)
        account = call.account or (accounts[0] if accounts else None)
        if account is None or account not in accounts:
            message = f"No provider has the {call.operation} API."
            raise NoTargetError(message, hint="Configure a provider that has it.")
        return Target(account)

    def _draw(self, targets: list[Target]) -> list[Target]:
        """All of them, in a random order in which the weight is the chance of coming first."""
        drawn: list[Target] = []
        while len(targets) > 1:
            point = self._chance.random() * sum(target.weight for target in targets)
            for index, target in enumerate(targets):
                point -= target.weight
                if point < 0 or index == len(targets) - 1:
                    drawn.append(target)
                    targets = targets[:index] + targets[index + 1 :]
                    break
        return drawn + targets

    def _late(self, call: Call) -> bool:
        return call.deadline is not None and self._clock.monotonic() >= call.deadline
