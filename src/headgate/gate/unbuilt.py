"""The settings whose policy has not been built yet.

Decides which settings are refused by name, so that nothing is silently without effect; refuses to know where they were
written. A value that asks for nothing (`enabled: false`, an empty list) is fine. Whoever builds a policy takes its
lines off this list.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from headgate.gate.config import Config
from headgate.gate.problems import Path, Places, Problem
from headgate.gate.section import Section

HINT = "Leave it out: a setting without effect would only look like a promise."


class Unbuilt(NamedTuple):
    """One line of the list.

    Attributes:
        pattern: the dotted key; `*` stands for any name, `[]` for any entry of a list.
        reason: what is missing, in a few words.
        asks: whether the value asks for it; the second argument is the section around it.
    """

    pattern: str
    reason: str
    asks: Callable[[Any, Any], bool] = lambda _value, _section: True


UNBUILT = (Unbuilt("providers.*.type", "providers of this type", lambda value, _: value in {"anthropic", "gemini"}),)


def unbuilt(config: Config, places: Places) -> list[Problem]:
    """One complaint for each setting that asks for what does not exist yet. Defaults ask for nothing."""
    found: dict[Path, Problem] = {}
    for line in UNBUILT:
        for path, value, section in _matches(config, line.pattern.replace("[]", ".[]").split("."), ()):
            inside_another = any(path[:n] in found for n in range(1, len(path)))
            if inside_another or not line.asks(value, section):
                continue
            makers = places.makers(path)
            text = f"is not built yet: {line.reason}."
            found[path] = Problem(path=path, text=text, hint=HINT, variable=" and ".join(makers) or None)
    return list(found.values())


def _matches(value: Any, pattern: list[str], at: Path, around: Any = None) -> Iterator[tuple[Path, Any, Any]]:
    """Every setting that fits a pattern and was given, with the section around it."""
    if not pattern:
        yield at, value, around
        return
    first, *rest = pattern
    if first == "[]":
        for number, item in enumerate(value):
            yield from _matches(item, rest, (*at, number), value)
    elif first == "*":
        for name, item in value.items():
            yield from _matches(item, rest, (*at, name), value)
    elif isinstance(value, Section) and first in value.model_fields_set:
        yield from _matches(getattr(value, first), rest, (*at, first), value)
