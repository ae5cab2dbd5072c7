"""What is known of a route before a call comes: who can be asked for an operation on a day, and in what they differ.

Decides which of a plan's targets are left out for good (their provider has not the operation, their model is retired
or is not for it), and which of a call's needs make a difference among the others. A need that nobody is known to meet
is none that a route could help with: the provider says so itself.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from headgate.catalog.abilities import Abilities, larger
from headgate.catalog.models import Model
from headgate.core.call import Call, Operation, Target
from headgate.core.errors import BadRequestError, NoTargetError
from headgate.dialects.openai_needs import needs
from headgate.policies.route.plan import Plan

Living = Callable[[Call, Sequence[Target]], Sequence[Target]]
"""What becomes of targets whose model is retired: the ones that may be asked. May refuse the call."""
Speaks = Callable[[str, Operation], bool]
"""Whether a provider has an operation."""


class Choice(NamedTuple):
    """The targets of one name for one operation.

    Attributes:
        plan: they are of.
        able: those whose providers have the operation.
        targets: those of them that can be asked; where priorities count, in their order.
        settled: the order of `targets` is the one in which they are asked, whatever the call.
        models: what is known of each of `targets`.
        lacking: what each of `targets` cannot do.
        differ: what some of them cannot do and others may.
    """

    plan: Plan
    able: tuple[Target, ...]
    targets: tuple[Target, ...]
    settled: bool
    models: tuple[Model | None, ...] = ()
    lacking: tuple[frozenset[str], ...] = ()
    differ: frozenset[str] = frozenset()

    def fitting(self, call: Call) -> Sequence[Target]:
        """The targets whose models can do what the call needs.

        Raises:
            BadRequestError: there is none.
        """
        wanted = needs(call.operation, call.body, stream=call.stream, among=self.differ)
        if not wanted:
            return self.targets
        found = [target for target, lacks in zip(self.targets, self.lacking, strict=True) if not wanted & lacks]
        if not found:
            raise self._refusal(call, wanted)
        return found

    def larger(self, call: Call, target: Target, others: Sequence[Target]) -> list[Target]:
        """Those of the others that may take what is too long for a target."""
        known = dict(zip(self.targets, self.models, strict=True))
        name, model = target.model or call.model, known[target]
        return [other for other in others if larger(known[other], other.model or call.model, model, name)]

    def _refusal(self, call: Call, wanted: frozenset[str]) -> BadRequestError:
        looked = [
            f"{target.provider}/{target.model or call.model} lacks {', '.join(sorted(wanted & lacks))}"
            for target, lacks in zip(self.targets, self.lacking, strict=True)
        ]
        needed = ", ".join(sorted(wanted))
        return BadRequestError(
            f"This request needs {needed}; no target of the model {call.model[:80]!r} can: {'; '.join(looked)}.",
            code="unsupported_capability",
            param="model",
            hint="Ask for another model, or add a target that can; `catalog.models` says what a model of yours can do.",
        )


def choose(call: Call, plan: Plan, speaks: Speaks, abilities: Abilities, living: Living | None) -> Choice:
    """What is known of the targets of a plan, for the operation and the day of a call.

    Raises:
        NoTargetError: no provider has the operation.
        UnknownModelError: all models are retired.
    """
    able = tuple(target for target in plan.targets if speaks(target.provider, call.operation))
    if not able:
        names = ", ".join(sorted({target.provider for target in plan.targets}))
        raise NoTargetError(
            f"No provider of the model {call.model!r} has the {call.operation} API (asked: {names}).",
            hint="Use another API for this model, or set `responses: true` on a provider that has it.",
        )
    targets = tuple(able if living is None else living(call, able))
    if len(targets) == 1:
        return Choice(plan, able, targets, settled=True)
    known = {target: abilities.known(target.provider, target.model or call.model) for target in targets}
    taking = tuple(
        target for target in targets if (model := known[target]) is None or model.takes(call.operation) is not False
    )
    # Where nobody is for it, the provider says so.
    targets = taking or targets
    weighted = plan.strategy == "weighted"
    if not weighted:
        targets = tuple(sorted(targets, key=_priority))
    lacking = tuple(abilities.lacks(known[target], call.operation) for target in targets)
    return Choice(
        plan,
        able,
        targets,
        settled=len(targets) == 1 or (not weighted and len({target.priority for target in targets}) == len(targets)),
        models=tuple(known[target] for target in targets),
        lacking=lacking,
        differ=frozenset[str]().union(*lacking) - frozenset[str].intersection(*lacking),
    )


def _priority(target: Target) -> int:
    return target.priority
