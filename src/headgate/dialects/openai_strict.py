"""JSON schemas as strict structured outputs take them: every object closed, every property asked for.

Decides how a schema is spelled so that providers can hold a model to it, what of it they do not enforce (that is told
to the model in a description, and validated here afterwards), and what strict mode cannot say at all (that is refused,
with the place and the cure). Refuses to know where the schema comes from and how it travels.

    | in the schema                                            | in the strict schema                              |
    |----------------------------------------------------------|---------------------------------------------------|
    | a property that may be left out                          | is asked for                                      |
    | `oneOf`                                                  | `anyOf`                                           |
    | an `allOf` of one                                        | that one                                          |
    | words beside a `$ref`                                    | beside an `anyOf` of that reference               |
    | a tuple (`prefixItems`)                                  | a list of as many; the order is told              |
    | lengths, `uniqueItems`, `contains`, further formats,     | told in the description                           |
    | patterns that look around                                |                                                   |
    | a root that is no object                                 | the only property, `value`, of one                |
    | `default`, `examples`, `$comment`, unknown words         | nothing                                           |
    | anything goes, free keys, `not`, conditions              | refused                                           |
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from headgate.core.errors import BadRequestError
from headgate.dialects.openai_strict_size import check_size, unstrict

VALUE: Final = "value"
"""The property that holds what is no object."""

_REFERENCE = "#/$defs/"
_ROOT = "Root"
_DEEPEST = 100
_FORMATS = frozenset(("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"))
_REFUSED: Final[Mapping[str, str]] = {
    "not": "Say what it is instead of what it is not.",
    "if": "Write the cases as a union (`anyOf`).",
    "then": "Write the cases as a union (`anyOf`).",
    "else": "Write the cases as a union (`anyOf`).",
    "dependentRequired": "Write the cases as a union (`anyOf`).",
    "dependentSchemas": "Write the cases as a union (`anyOf`).",
    "dependencies": "Write the cases as a union (`anyOf`).",
    "patternProperties": "Name the properties, or ask for a list of objects with `key` and `value`.",
    "$dynamicRef": "Refer with `$ref` to `#/$defs/…`.",
    "$recursiveRef": "Refer with `$ref` to `#/$defs/…`.",
}
_LOCAL: Final = (
    "minLength", "maxLength", "uniqueItems", "contains", "minContains", "maxContains", "minProperties",
    "maxProperties", "propertyNames", "contentEncoding", "contentMediaType",
)  # fmt: skip
"""What is told, and validated here."""
_BOUNDS: Final[Mapping[str, tuple[str, ...]]] = {
    "string": ("pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "array": ("minItems", "maxItems"),
}
_EVERY_BOUND: Final = tuple(dict.fromkeys(word for words in _BOUNDS.values() for word in words))
_KINDS: Final = ("string", "number", "integer", "boolean", "null", "array", "object")
_IMPLIED: Final[Mapping[str, str]] = {
    "properties": "object", "items": "array", "prefixItems": "array", "pattern": "string", "minLength": "string",
    "maxLength": "string", "format": "string",
}  # fmt: skip
_MIXED: Final = ("properties", "items", "prefixItems", "anyOf", "oneOf", "enum", "const")
# Look-around, named groups, back references: the engines that hold a model to a pattern are automata.
_BEYOND_AUTOMATA = re.compile(r"\(\?[=!<P>]|\\[1-9kbB]")


class Strict(NamedTuple):
    """A strict schema.

    Attributes:
        schema: as it is sent.
        wrapped: what was asked for is no object: it is the property `value` of the one that comes.
    """

    schema: dict[str, Any]
    wrapped: bool


def strict(schema: Mapping[str, Any], *, bounds: bool = True) -> Strict:
    """The strict spelling of a JSON schema.

    Args:
        schema: draft 2020-12, as Pydantic writes it or as somebody wrote it by hand; it is not changed.
        bounds: the model is held to patterns, formats, and bounds of numbers and lists. Fine-tuned models are not.

    Raises:
        BadRequestError: it cannot be said strictly; the message names the place, `param` too, and the hint the cure.

    Example:
        >>> strict({"type": "object", "properties": {"name": {"type": "string", "maxLength": 9}}}).schema
        {'type': 'object', 'properties': {'name': {'type': 'string', 'description': '(maxLength: 9)'}}, \
'required': ['name'], 'additionalProperties': False}
    """
    try:
        return _Conversion(schema, bounds=bounds).whole()
    except RecursionError:
        raise unstrict("", "more levels than can be read", "Nest less deeply.") from None


def as_it_is(schema: Mapping[str, Any]) -> Strict:
    """A schema that no model is held to: as it is, but for a root that is no object.

    Raises:
        BadRequestError: it is no object, and refers to places that are elsewhere in an object.
    """
    if schema.get("type") == "object" or "$ref" in schema:
        return Strict(dict(schema), wrapped=False)
    inside = {word: value for word, value in schema.items() if word != "$defs"}
    for reference in _references(inside):
        if not reference.startswith(_REFERENCE):
            raise unstrict("", f"a reference to {reference[:80]!r} in what is no object", "Put it into `$defs`.")
    wrapper = {"type": "object", "properties": {VALUE: inside}, "required": [VALUE], "additionalProperties": False}
    return Strict(wrapper | ({"$defs": schema["$defs"]} if "$defs" in schema else {}), wrapped=True)


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, Mapping):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


class _Conversion:
    """One schema on its way. Definitions are converted once, when something that is asked for refers to them."""

    def __init__(self, root: Any, *, bounds: bool) -> None:
        self._root = _mapping(root, "")
        self._bounds = bounds
        self._sources = dict(_mapping(self._root.get("definitions", {}), "definitions"))
        self._sources |= _mapping(self._root.get("$defs", {}), "$defs")
        self._itself = _ROOT if _ROOT not in self._sources else _ROOT + "_"
        self._sources[self._itself] = {k: v for k, v in self._root.items() if k not in {"$defs", "definitions"}}
        self._reached: dict[str, str] = {}

    def whole(self) -> Strict:
        """Convert all of it, and see that it is not too large."""
        source = self._inlined()
        found = self._part(source, "", 0)
        wrapped = found.get("type") != "object"
        if wrapped:
            found = {
                "type": "object", "properties": {VALUE: found}, "required": [VALUE], "additionalProperties": False,
            }  # fmt: skip
        definitions: dict[str, Any] = {}
        while waiting := self._reached.keys() - definitions.keys():
            for name in sorted(waiting):
                definitions[name] = self._part(self._sources[name], self._reached[name], 0)
        if definitions:
            found["$defs"] = {name: definitions[name] for name in self._sources if name in definitions}
        check_size(found)
        return Strict(found, wrapped=wrapped)

    def _inlined(self) -> Any:
        """The root, where it is a reference: what it leads to, for the root must be the object itself."""
        source: Any = self._sources[self._itself]
        for _ in range(len(self._sources) + 1):
            if not isinstance(source, Mapping) or "$ref" not in source:
                return source
            name = self._name(source["$ref"], "")
            source = {**_mapping(self._sources[name], ""), **{k: v for k, v in source.items() if k != "$ref"}}
        raise unstrict("", "a reference that leads in a circle", "Let it lead to a description of something.")

    def _part(self, schema: Any, path: str, depth: int) -> dict[str, Any]:
        if depth > _DEEPEST:
            raise unstrict(path, f"more than {_DEEPEST} levels", "Nest less deeply.")
        if isinstance(schema, bool):
            raise _anything(path) if schema else unstrict(path, "what nothing fits (`false`)", "Leave it out.")
        schema = self._without_all_of(_mapping(schema, path), path)
        for word, cure in _REFUSED.items():
            if schema.get(word):
                raise unstrict(path, f"`{word}`", cure)
        told = [_told(word, schema[word]) for word in _LOCAL if schema.get(word) not in (None, False)]
        if "$ref" in schema:
            found = self._referring(schema, path, told)
        elif "anyOf" in schema or "oneOf" in schema:
            found = self._union(schema, path, depth, told)
        elif "enum" in schema or "const" in schema:
            found = _choice(schema, path)
        else:
            found = self._typed(schema, path, depth, told)
        return _described(found, schema, told)

    def _without_all_of(self, schema: Mapping[str, Any], path: str) -> Mapping[str, Any]:
        if "allOf" not in schema:
            return schema
        parts = _list(schema["allOf"], path, "allOf")
        rest = {word: value for word, value in schema.items() if word != "allOf"}
        one = _mapping(parts[0], path) if len(parts) == 1 else {}
        if len(parts) != 1 or any(one[word] != rest[word] for word in one.keys() & rest.keys() - {"description"}):
            raise unstrict(path, "`allOf`", "Write what it combines as one object.")
        return self._without_all_of({**one, **rest}, path)

    def _name(self, reference: Any, path: str) -> str:
        name = None
        if reference == "#":
            name = self._itself
        elif isinstance(reference, str):
            for folder in (_REFERENCE, "#/definitions/"):
                if reference.startswith(folder):
                    name = reference.removeprefix(folder).replace("~1", "/").replace("~0", "~")
        if name not in self._sources:
            cure = "Refer to `#` or to something that stands in `$defs` of the root."
            raise unstrict(path, f"a reference to {str(reference)[:80]!r}", cure)
        return name

    def _referring(self, schema: Mapping[str, Any], path: str, told: list[str]) -> dict[str, Any]:
        name = self._name(schema["$ref"], path)
        self._refuse_mixed(schema, path, "$ref")
        self._reached.setdefault(name, path)
        told += [_told(word, schema[word]) for word in _EVERY_BOUND if word in schema]
        reference = {"$ref": _REFERENCE + name.replace("~", "~0").replace("/", "~1")}
        # A reference must stand alone; what is said beside it stands beside a union of one.
        return {"anyOf": [reference]} if told or "description" in schema or "title" in schema else reference

    def _union(self, schema: Mapping[str, Any], path: str, depth: int, told: list[str]) -> dict[str, Any]:
        word = "anyOf" if "anyOf" in schema else "oneOf"
        self._refuse_mixed(schema, path, word)
        told += [_told(bound, schema[bound]) for bound in _EVERY_BOUND if bound in schema]
        branches = _list(schema[word], path, word)
        return {"anyOf": [self._part(one, f"{path}.{word}[{at}]", depth + 1) for at, one in enumerate(branches)]}

    def _refuse_mixed(self, schema: Mapping[str, Any], path: str, word: str) -> None:
        mixed = next((other for other in _MIXED if other in schema and other != word), None)
        if mixed is not None:
            raise unstrict(path, f"`{word}` and `{mixed}` at once", "Write what they combine as one description.")

    def _typed(self, schema: Mapping[str, Any], path: str, depth: int, told: list[str]) -> dict[str, Any]:
        kinds = _kinds(schema, path)
        found: dict[str, Any] = {"type": schema.get("type", kinds[0])}
        for word in dict.fromkeys(word for kind in kinds for word in _BOUNDS.get(kind, ())):
            if word not in schema:
                continue
            if self._bounds and _enforced(word, schema[word]):
                found[word] = schema[word]
            else:
                told.append(_told(word, schema[word]))
        if "object" in kinds:
            found |= self._object(schema, path, depth)
        if "array" in kinds:
            found |= self._array(schema, path, depth, told)
        return found

    def _object(self, schema: Mapping[str, Any], path: str, depth: int) -> dict[str, Any]:
        closed = schema.get("additionalProperties")
        if closed not in (None, False) or (closed is None and "properties" not in schema):
            what = "properties of any name"
            cure = "Name the properties, or ask for a list of objects with `key` and `value`."
            raise unstrict(path, what, cure)
        if schema.get("unevaluatedProperties") not in (None, False):
            raise unstrict(path, "`unevaluatedProperties`", "Name the properties.")
        properties = _mapping(schema.get("properties", {}), path)
        for name in _list(schema.get("required", []), path, "required", least=0):
            if name not in properties:
                raise unstrict(path, f"a property {name!r} that it does not describe", "Add it to `properties`.")
        parts = {name: self._part(one, _below(path, str(name)), depth + 1) for name, one in properties.items()}
        return {"properties": parts, "required": list(parts), "additionalProperties": False}

    def _array(self, schema: Mapping[str, Any], path: str, depth: int, told: list[str]) -> dict[str, Any]:
        first = _list(schema.get("prefixItems", []), path, "prefixItems", least=0)
        rest = schema.get("items")
        if rest in (None, True) and not first:
            raise unstrict(path, "a list of anything", "Say in `items` what stands in it.")
        parts = [self._part(one, f"{path}[{at}]", depth + 1) for at, one in enumerate(first)]
        found: dict[str, Any] = {}
        if first:
            told.append(f"in this order: {', '.join(map(_short, parts))}")
            if rest in (None, False) and self._bounds:
                found["maxItems"] = min(schema.get("maxItems", len(first)), len(first))
        if rest not in (None, True, False):
            parts.append(self._part(rest, f"{path}[]", depth + 1))
        distinct = [part for at, part in enumerate(parts) if part not in parts[:at]]
        if not distinct:
            raise unstrict(path, "a list of nothing", "Leave it out.")
        return {"items": distinct[0] if len(distinct) == 1 else {"anyOf": distinct}} | found


def _choice(schema: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Some values. Each part must say its type."""
    word = "const" if "const" in schema else "enum"
    values = [schema["const"]] if word == "const" else _list(schema["enum"], path, "enum")
    kinds = list(dict.fromkeys(_kind(value, path) for value in values))
    if "number" in kinds and "integer" in kinds:
        kinds.remove("integer")
    return {"type": kinds[0] if len(kinds) == 1 else kinds, word: schema[word]}


def _kind(value: Any, path: str) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float) and math.isfinite(value):
        return "number"
    raise unstrict(path, "a choice among lists or objects", "Choose among texts and numbers, or write a union.")


def _kinds(schema: Mapping[str, Any], path: str) -> list[str]:
    kinds = schema.get("type")
    if kinds is None:
        kinds = next((kind for word, kind in _IMPLIED.items() if word in schema), None)
        if kinds is None:
            raise _anything(path)
    found = [kinds] if isinstance(kinds, str) else _list(kinds, path, "type")
    for kind in found:
        if kind not in _KINDS:
            raise unstrict(path, f"the type {kind!r}", f"There are: {', '.join(_KINDS)}.")
    return found


def _enforced(word: str, value: Any) -> bool:
    if word == "pattern":
        return isinstance(value, str) and not _BEYOND_AUTOMATA.search(value)
    return word != "format" or value in _FORMATS


def _told(word: str, value: Any) -> str:
    return f"{word}: {msgspec.json.encode(value).decode() if not isinstance(value, str) else value}"


def _short(part: Mapping[str, Any]) -> str:
    if "$ref" in part:
        return str(part["$ref"]).removeprefix(_REFERENCE)
    return " or ".join(map(_short, part["anyOf"])) if "anyOf" in part else str(part.get("type"))


def _described(found: dict[str, Any], schema: Mapping[str, Any], told: Sequence[str]) -> dict[str, Any]:
    """With what the model reads about it."""
    words = [schema["description"]] if isinstance(schema.get("description"), str) else []
    if told:
        words.append(f"({'; '.join(told)})")
    if isinstance(schema.get("title"), str) and "$ref" not in found:
        found["title"] = schema["title"]
    if words:
        found["description"] = " ".join(words)
    return found


def _anything(path: str) -> BadRequestError:
    return unstrict(path, "anything at all", "Say its type, or write a union of the types that it may have.")


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _mapping(value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise unstrict(path, f"{str(value)[:80]!r}, which is no schema", "A schema is a mapping.")
    return value


def _list(value: Any, path: str, word: str, *, least: int = 1) -> list[Any]:
    if not isinstance(value, list | tuple) or len(value) < least:
        least_of_it = " of at least one" if least else ""
        raise unstrict(path, f"`{word}` that is {str(value)[:80]!r}", f"`{word}` is a list{least_of_it}.")
    return list(value)
