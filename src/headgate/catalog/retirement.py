"""Models that their maker shuts down: which targets can still be asked, and who stands in for the others.

Decides what a date of retirement means for a target on a day; refuses to know routes and policies. Only where a model
is asked of whoever makes it: another server may serve any name for as long as it likes.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Literal, NamedTuple

import msgspec

from headgate.catalog.models import MOST, Model
from headgate.core.call import Call, Target
from headgate.core.errors import UnknownModelError

NEAR = 90
"""Days before it retires from which on a model says so."""
SOON = 30
"""Days from which on it says so urgently."""
_log = logging.getLogger("headgate.catalog")

OnRetired = Literal["refuse", "successor"]
"""What becomes of a call for a retired model."""
Find = Callable[[str], Model | None]


class Fate(NamedTuple):
    """What is coming for a model on a day, or has come.

    Attributes:
        model: the name that all its others lead to.
        retires: the first day without an answer.
        days: until then; 0 or less: it is gone.
        successor: the living model that its maker names in its place.
    """

    model: str
    retires: date
    days: int
    successor: str | None

    @property
    def gone(self) -> bool:
        """Whether it does not answer any more."""
        return self.days <= 0

    def told(self, name: str) -> str:
        """The same in a sentence, such as a log or a banner has it."""
        instead = f"; its successor is {self.successor!r}" if self.successor else ""
        if self.gone:
            return f"The model {name[:80]!r} was shut down by its maker on {self.retires}{instead}."
        when = "tomorrow" if self.days == 1 else f"in {self.days} days"
        soon = "SOON: " if self.days <= SOON else ""
        return f"{soon}The model {name[:80]!r} retires {when}, on {self.retires}{instead}."


def fate(find: Find, name: str, day: date) -> Fate | None:
    """What is known of a model's end, if it is within `NEAR` days, or past; else None."""
    model = find(name)
    if model is None or model.retires is None:
        return None
    days = (model.retires - day).days
    return Fate(model.id, model.retires, days, _heir(find, model, day)) if days <= NEAR else None


def _heir(find: Find, model: Model, day: date) -> str | None:
    """The first successor that lives, through as many as it takes."""
    seen = {model.id}
    while model.successor is not None and model.successor not in seen:
        seen.add(model.successor)
        following = find(model.successor)
        if following is None or not following.retired(day):
            return model.successor
        model = following
    return None


class Retirement:
    """What route asks before it asks targets.

    Args:
        find: what is known of a model, by its name.
        makers: providers (by name) that serve a maker's own models, and that maker.
        on_retired: `successor`: the successor is asked instead.
    """

    def __init__(self, find: Find, makers: Mapping[str, str], on_retired: OnRetired) -> None:
        self._find = find
        self._makers = makers
        self._instead = on_retired == "successor"
        self._day = ""
        # Of the day: models by name; most have none.
        self._fates: dict[str, Fate | None] = {}
        self._told: set[str] = set()

    def living(self, call: Call, targets: Sequence[Target]) -> Sequence[Target]:
        """The targets that can be asked: as they are, with their model's last day, or with the model's successor.

        Raises:
            UnknownModelError: none of them can; it names the successor.
        """
        if call.day != self._day:
            self._day = call.day
            self._fates.clear()
            self._told.clear()
        for target in targets:
            if target.provider in self._makers and self._fate(target.model or call.model) is not None:
                break
        else:
            # As nearly always.
            return targets
        found = [now for target in targets if (now := self._now(target, target.model or call.model)) is not None]
        if not found:
            raise self._refusal(call, targets[0].model or call.model)
        return found

    def _now(self, target: Target, name: str) -> Target | None:
        """What the target is today; None if it cannot be asked."""
        fate = self._fate(name) if target.provider in self._makers else None
        if fate is None:
            return target
        if fate.model not in self._told:
            # Names come from outside, and many may mean one model.
            self._told.add(fate.model)
            _log.warning("%s", fate.told(fate.model))
        if not fate.gone:
            return msgspec.structs.replace(target, retires=fate.retires.isoformat())
        if not self._instead or fate.successor is None:
            return None
        following = self._fate(fate.successor)
        retires = None if following is None else following.retires.isoformat()
        return msgspec.structs.replace(target, model=fate.successor, retires=retires, instead_of=name)

    def _fate(self, name: str) -> Fate | None:
        try:
            return self._fates[name]
        except KeyError:
            pass
        if len(self._fates) >= MOST:
            self._fates.clear()
        found = self._fates[name] = fate(self._find, name, date.fromisoformat(self._day))
        return found

    def _refusal(self, call: Call, name: str) -> UnknownModelError:
        found = self._fate(name)
        assert found is not None, "only what is retired is refused"
        behind = "" if name == call.model else f" It is what {call.model[:80]!r} leads to."
        hint = f"Ask for {found.successor!r}." if found.successor else "Ask for another model."
        if found.successor and not self._instead:
            hint += " `policies.on_retired: successor` would do so for every caller."
        return UnknownModelError(found.told(name) + behind, param="model", hint=hint)
