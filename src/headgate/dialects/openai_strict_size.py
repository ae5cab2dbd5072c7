"""How large a strict schema may be, as OpenAI documents it, and the words in which one is refused.

Decides what is counted and where it is too much; refuses to know how a strict schema comes about.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from headgate.core.errors import BadRequestError

MOST_PROPERTIES: Final = 5_000
MOST_LEVELS: Final = 10
"""Objects inside objects, the root included; a definition that refers to itself counts once."""
MOST_CHARACTERS: Final = 120_000
"""Names of properties and definitions, and texts to choose among."""
MOST_CHOICES: Final = 1_000
"""Values of all `enum`s together."""
LONG_CHOICE: Final = 250
"""Texts in one `enum` from which on their length counts."""
MOST_OF_A_LONG_CHOICE: Final = 15_000

_REFERENCE = "#/$defs/"


def unstrict(path: str, what: str, cure: str) -> BadRequestError:
    """The refusal of a schema.

    Args:
        path: the place in what is asked for: `rooms[].size`; "" for all of it.
        what: what stands there.
        cure: what to write instead.
    """
    where = f"at `{path}`" if path else "as a whole"
    return BadRequestError(
        f"The schema asks {where} for {what}; a strict schema cannot.",
        code="unsupported_schema",
        param=path or "schema",
        hint=f"{cure} Or ask with `strict` off: the model is not held to the schema then, but its answer is validated.",
    )


def check_size(schema: Mapping[str, Any]) -> None:
    """See that a strict schema is not too large.

    Raises:
        BadRequestError: it is.
    """
    definitions = schema.get("$defs", {})
    properties = characters = choices = 0
    for name in definitions:
        characters += len(name)
    for part, path in _parts(schema, definitions):
        names = part.get("properties", {})
        properties += len(names)
        characters += sum(map(len, names))
        values = part.get("enum", ())
        choices += len(values)
        texts = [value for value in (*values, part.get("const")) if isinstance(value, str)]
        length = sum(map(len, texts))
        characters += length
        if len(values) > LONG_CHOICE and length > MOST_OF_A_LONG_CHOICE:
            what = f"a choice among {len(values)} texts of {length} characters in all (at most {MOST_OF_A_LONG_CHOICE})"
            raise unstrict(path, what, "Choose among fewer or shorter ones.")
        _most(path, choices, MOST_CHOICES, "values to choose among", "Ask for a text where there are many.")
        _most(path, properties, MOST_PROPERTIES, "properties", "Ask in several calls.")
        _most(path, characters, MOST_CHARACTERS, "characters of names and choices", "Shorten them.")
    _Levels(definitions).of(schema, "", 0)


def _most(path: str, number: int, most: int, what: str, cure: str) -> None:
    if number > most:
        raise unstrict(path, f"more than {most:,} {what} in all", cure)


def _parts(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    waiting: list[tuple[Mapping[str, Any], str]] = [(part, name) for name, part in definitions.items()]
    waiting.append((schema, ""))
    while waiting:
        part, path = waiting.pop()
        yield part, path
        waiting += _children(part, path)


def _children(part: Mapping[str, Any], path: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    for name, child in part.get("properties", {}).items():
        yield child, f"{path}.{name}" if path else name
    for at, child in enumerate(part.get("anyOf", ())):
        yield child, f"{path}.anyOf[{at}]"
    if "items" in part:
        yield part["items"], f"{path}[]"


class _Levels:
    """How many objects stand inside each other, below each definition."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self._seen: dict[str, int] = {}

    def of(self, part: Mapping[str, Any], path: str, above: int) -> int:
        """Levels down to the deepest object of a part that stands below so many. Each definition is walked once."""
        here = above + ("properties" in part)
        if here > MOST_LEVELS:
            raise unstrict(path, f"more than {MOST_LEVELS} levels of objects", "Nest less deeply.")
        if "$ref" in part:
            name = str(part["$ref"]).removeprefix(_REFERENCE).replace("~1", "/").replace("~0", "~")
            if name not in self._seen:
                self._seen[name] = 0  # what leads back to itself is not deeper
                self._seen[name] = self.of(self._definitions[name], path, 0)
            if above + self._seen[name] > MOST_LEVELS:
                raise unstrict(path, f"more than {MOST_LEVELS} levels of objects", "Nest less deeply.")
            return max(here, above + self._seen[name])
        return max((self.of(child, below, here) for child, below in _children(part, path)), default=here)
