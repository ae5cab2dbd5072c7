"""What the names that callers use lead to, as far as it is known: for `/v1/models`, `headgate models` and the banner.

Decides what is true of a name that has several targets: the smallest limits, what all of them can do, the day on which
the last one is gone. Refuses to know how it is shown.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime

import msgspec

from headgate.catalog.abilities import Abilities
from headgate.catalog.models import Catalog, Model
from headgate.catalog.retirement import Fate, fate
from headgate.core.call import Target
from headgate.policies.route import ANY, Plan


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """One name. What nobody knows is None.

    Attributes:
        name: as callers use it.
        targets: what is asked for it, in the order of the configuration; none for a model of the catalog.
        context, max_output: tokens that fit, whichever target answers.
        capabilities: what every target can do.
        retires: the first day on which nobody answers any more (UTC).
        successor: whom the maker of the model that goes last names in its place.
    """

    name: str
    targets: tuple[Target, ...] = ()
    context: int | None = None
    max_output: int | None = None
    capabilities: frozenset[str] | None = None
    retires: date | None = None
    successor: str | None = None


class Offers:
    """What a configuration offers.

    Args:
        plans: the routes, by name.
        catalog: what is known of models.
        makers: providers that serve a maker's own models, whose dates hold there.
    """

    def __init__(self, plans: Mapping[str, Plan], catalog: Catalog, makers: Mapping[str, str]) -> None:
        self._plans = plans
        self._catalog = catalog
        self._makers = makers

    def of(self, name: str, at: float) -> Offer:
        """What a name leads to.

        Args:
            name: of a route, or any other where the configuration has one for all others.
            at: when, in seconds since 1970 UTC: what is gone by then does not count while something is left.
        """
        day = datetime.fromtimestamp(at, UTC).date()
        plan = self._plans.get(name) or self._plans.get(ANY)
        targets = plan.targets if plan is not None else ()
        found = [self._known(target, name) for target in targets]
        living = [model for model in found if model is None or not model.retired(day)] or found
        last = max((model for model in living if model and model.retires), key=_end, default=None)
        mortal = all(model is not None and model.retires is not None for model in living)
        return Offer(
            name=name,
            targets=targets,
            context=_least([None if model is None else model.context for model in living]),
            max_output=_least([None if model is None else model.max_output for model in living]),
            capabilities=_common([None if model is None else model.capabilities for model in living]),
            retires=last.retires if last and mortal else None,
            successor=last.successor if last and mortal else None,
        )

    def lacks(self, name: str, capability: str) -> bool:
        """Whether every target of a name is known not to have a capability."""
        plan = self._plans.get(name) or self._plans.get(ANY)
        abilities = Abilities(self._catalog, self._makers)
        found = [abilities.known(target.provider, target.model or name) for target in plan.targets] if plan else []
        return bool(found) and all(model is not None and model.can(capability) is False for model in found)

    def known(self) -> list[Offer]:
        """Every model of the catalog, with what is known of it at its maker."""
        return [
            Offer(
                name=model.id,
                context=model.context,
                max_output=model.max_output,
                capabilities=model.capabilities,
                retires=model.retires,
                successor=model.successor,
            )
            for model in self._catalog.all()
        ]

    def fates(self, names: Sequence[str], at: float) -> Iterator[tuple[str, Fate]]:
        """The models behind names that are gone, or go soon; each once."""
        day = datetime.fromtimestamp(at, UTC).date()
        seen: set[str] = set()
        for name in names:
            for target in self.of(name, at).targets:
                model = target.model or name
                found = fate(self._catalog.find, model, day) if target.provider in self._makers else None
                if found is not None and found.model not in seen:
                    seen.add(found.model)
                    yield model, found

    def _known(self, target: Target, name: str) -> Model | None:
        model = self._catalog.find(target.model or name)
        if model is not None and target.provider not in self._makers:
            # Another server serves it for as long as it likes.
            return msgspec.structs.replace(model, retires=None, successor=None)
        return model


def _end(model: Model) -> date:
    return model.retires or date.max


def _least(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return min(known) if known and len(known) == len(values) else None


def _common(sets: Sequence[frozenset[str] | None]) -> frozenset[str] | None:
    known = [value for value in sets if value is not None]
    return frozenset.intersection(*known) if known and len(known) == len(sets) else None
