"""Makes up a value that fits a JSON schema, or says that it cannot.

Walks the schema once per try, folding `allOf`, references and one branch of each `anyOf`/`oneOf` into the schema at
hand, and then has the whole value checked by `validity.py`: what this file does not understand is found there. A few
tries with other choices follow before it gives up. Recursion is bounded: beyond a depth only what must be is made.
"""

from collections.abc import Mapping
from typing import Any

from headgate.providers.simulator.dice import Dice
from headgate.providers.simulator.formats import named_text
from headgate.providers.simulator.merge import merge
from headgate.providers.simulator.scalars import number, text
from headgate.providers.simulator.validity import BadSchemaError, fits, resolve, same

_TRIES = 40
_SOFT = 4
"""Depth beyond which optional things are left out and branches without references come first."""
_DEEPEST = 40
_FUEL = 20_000
"""Values made at most, in all tries; a quarter of it in one."""

_KINDS: dict[str, tuple[str, ...]] = {
    "object": (
        "properties", "required", "additionalProperties", "patternProperties", "minProperties", "maxProperties",
        "propertyNames",
    ),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"),
    "string": ("pattern", "format", "minLength", "maxLength"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}  # fmt: skip


class NoInstance(Exception):  # noqa: N818  a finding, not a failure
    """No value was found that fits."""


def instance(schema: Any, dice: Dice) -> Any:
    """A value that fits a schema.

    Args:
        schema: a JSON schema, decoded.
        dice: chooses among what fits.

    Raises:
        NoInstance: none was found; the text says why.

    Example:
        >>> instance({"type": "object", "properties": {"n": {"const": 3}}, "required": ["n"]}, Dice(b"x"))
        {'n': 3}
    """
    why = "no value fits it."
    fuel = _FUEL
    for attempt in range(_TRIES):
        if fuel <= 0:
            break
        maker = _Maker(schema, dice, careful=attempt % 3 == 2)
        try:
            value = maker.make(schema, "", 0)
            if fits(value, schema, schema):
                return value
        except BadSchemaError as error:
            raise NoInstance(f"{error}.") from None
        except NoInstance as error:
            why = str(error) or why
        except (TypeError, AttributeError, LookupError, ValueError, ArithmeticError) as error:
            raise NoInstance(f"it is malformed ({error}).") from None
        except RecursionError:
            why = "it is nested too deeply."
        fuel -= maker.made
    raise NoInstance(why)


class _Maker:
    """One try. `careful`: only what must be."""

    def __init__(self, root: Any, dice: Dice, *, careful: bool) -> None:
        self._root = root
        self._dice = dice
        self._careful = careful
        self.made = 0

    def make(self, schema: Any, name: str, depth: int) -> Any:
        """A value for a schema that stands under a property name."""
        self.made += 1
        if schema is False or depth > _DEEPEST or self.made > _FUEL // 4:
            message = "it demands more than can be made." if schema is not False else ""
            raise NoInstance(message)
        if schema is True:
            return named_text(name, self._dice)
        if not isinstance(schema, dict):
            raise BadSchemaError(f"{schema!r} is not a schema")
        flat = self._flat(schema)
        if flat is False:
            raise NoInstance
        if "if" in flat:
            met = {"allOf": [flat.pop("if"), flat.pop("then", True)]}
            flat = merge(flat, {"anyOf": [met, flat.pop("else", True)]})
        for word in ("anyOf", "oneOf"):
            if word in flat:
                return self._branch(flat, word, name, depth)
        if "const" in flat:
            return flat["const"]
        if "enum" in flat:
            return self._dice.pick(self._fitting(flat))
        return self._of_kind(self._kind(flat), flat, name, depth)

    def _flat(self, schema: Mapping[str, Any]) -> Any:
        """The schema with its references and `allOf` folded in."""
        flat: Any = dict(schema)
        for _ in range(_DEEPEST):
            if flat is False:
                return False
            if "$ref" in flat:
                flat = merge(resolve(self._root, flat.pop("$ref")), flat)
            elif "allOf" in flat:
                for part in flat.pop("allOf"):
                    flat = merge(flat, part)
            else:
                return flat
        raise NoInstance("its references lead in a circle.")

    def _branch(self, flat: dict[str, Any], word: str, name: str, depth: int) -> Any:
        branches = self._dice.shuffled(flat.pop(word))
        if depth > _SOFT or self._careful:
            branches.sort(key=_weight)
        elif self._dice.below(4):
            branches.sort(key=_is_null)  # mostly a value where null would do
        last = NoInstance()
        for branch in branches:
            try:
                made = self.make(merge(flat, branch), name, depth + 1)
            except NoInstance as error:
                last = error
                continue
            if word == "anyOf" or sum(fits(made, one, self._root) for one in branches) == 1:
                return made
        raise last

    def _fitting(self, flat: Mapping[str, Any]) -> list[Any]:
        among = [one for one in flat["enum"] if fits(one, flat, self._root)]
        if not among:
            raise NoInstance
        return among

    def _kind(self, flat: Mapping[str, Any]) -> str:
        kinds = flat.get("type")
        if isinstance(kinds, str):
            return kinds
        if isinstance(kinds, list) and kinds:
            real = [kind for kind in kinds if kind != "null"]
            return str(self._dice.pick(real) if real and (self._dice.below(4) or "null" not in kinds) else "null")
        if kinds is not None:
            raise NoInstance
        for kind, words in _KINDS.items():
            if any(word in flat for word in words):
                return kind
        return "string"

    def _of_kind(self, kind: str, flat: Mapping[str, Any], name: str, depth: int) -> Any:
        match kind:
            case "object":
                return self._object(flat, depth)
            case "array":
                return self._array(flat, name, depth)
            case "string":
                made: str | float | None = text(flat, name, self._dice)
            case "number" | "integer":
                made = number(flat, name, self._dice, whole=kind == "integer")
            case "boolean":
                return self._dice.below(2) == 0
            case "null":
                return None
            case _:
                raise BadSchemaError(f"{kind!r} is not a type")
        if made is None:
            raise NoInstance
        return made

    def _object(self, flat: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = flat.get("properties", {})
        required = flat.get("required", ())
        made: dict[str, Any] = {}
        # In the order of the schema, as the API does it; what is required and not listed comes after.
        for name in [*properties, *(name for name in required if name not in properties)]:
            if name in required:
                made[name] = self.make(properties.get(name, self._other(flat, name)), name, depth + 1)
            else:
                made[name] = _NOTHING
        self._add_optional(flat, made, depth)
        made = {name: value for name, value in made.items() if value is not _NOTHING}
        self._add_unlisted(flat, made, depth)
        for name, needs in flat.get("dependentRequired", {}).items():
            for other in needs if name in made else ():
                if other not in made:
                    made[other] = self.make(properties.get(other, self._other(flat, other)), other, depth + 1)
        return made

    def _add_optional(self, flat: Mapping[str, Any], made: dict[str, Any], depth: int) -> None:
        """Most of what is not required, unless it is time to stop."""
        properties = flat.get("properties", {})
        count = sum(value is not _NOTHING for value in made.values())
        for name in [name for name, value in made.items() if value is _NOTHING]:
            wanted = not (depth > _SOFT or self._careful or self._dice.below(4) == 0)
            if count >= flat.get("maxProperties", len(made)) or not (wanted or count < flat.get("minProperties", 0)):
                continue
            try:
                made[name] = self.make(properties[name], name, depth + 1)
                count += 1
            except NoInstance:
                continue

    def _add_unlisted(self, flat: Mapping[str, Any], made: dict[str, Any], depth: int) -> None:
        """As many properties under new names as the least number of properties demands."""
        least = flat.get("minProperties", 0)
        for at in range(4 * least + 20):
            if len(made) >= least:
                return
            name = self._new_name(flat, at + 1)
            if name not in made and name not in flat.get("properties", {}):
                made[name] = self.make(self._other(flat, name), name, depth + 1)

    def _other(self, flat: Mapping[str, Any], name: str) -> Any:
        """The schema of a property that is not listed."""
        found = [inner for pattern, inner in flat.get("patternProperties", {}).items() if _matches(pattern, name)]
        if not found:
            return flat.get("additionalProperties", True)
        folded = found[0]
        for inner in found[1:]:
            folded = merge(folded, inner)
        return folded

    def _new_name(self, flat: Mapping[str, Any], at: int) -> str:
        names = flat.get("propertyNames")
        if isinstance(names, dict):
            return str(self.make(names | {"type": "string"}, "", 0))
        patterns = flat.get("patternProperties")
        if patterns and flat.get("additionalProperties") is False:
            found = text({"pattern": self._dice.pick(list(patterns))}, "", self._dice)
            if found is None:
                raise NoInstance
            return found
        return f"key_{at}"

    def _array(self, flat: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        first = flat.get("prefixItems", ())
        rest = flat.get("items", True)
        contains = flat.get("contains")
        held = 0 if contains is None else flat.get("minContains", 1)
        least = max(flat.get("minItems", 0), held)
        most = flat.get("maxItems", max(least, 3))
        if rest is False:
            most = min(most, len(first))
        if least > most:
            raise NoInstance
        few = depth > _SOFT or self._careful
        length = least if few else self._dice.between(least, min(most, max(least, 1) + 2))
        if not few and length < len(first) <= most:
            length = len(first)
        made: list[Any] = []
        for at in range(length):
            inner = first[at] if at < len(first) else rest
            if held and at >= length - held:
                inner = merge(inner, contains)
            one = self._one_more(inner, made if flat.get("uniqueItems") else (), name, depth)
            if one is _NOTHING:
                if at >= least:
                    break
                raise NoInstance
            made.append(one)
        return made

    def _one_more(self, schema: Any, others: Any, name: str, depth: int) -> Any:
        """An item, unlike the others; `_NOTHING` if none was found."""
        singular = name.removesuffix("s")
        for _ in range(20):
            one = self.make(schema, singular, depth + 1)
            if not any(same(one, other) for other in others):
                return one
        if isinstance(schema, dict) and "enum" in schema:
            return next((one for one in schema["enum"] if not any(same(one, other) for other in others)), _NOTHING)
        return _NOTHING


_NOTHING = object()


def _is_null(branch: Any) -> bool:
    return isinstance(branch, dict) and branch.get("type") == "null"


def _weight(branch: Any) -> int:
    """How likely a branch is to go on without end: null, then scalars, then the rest, then references."""
    if not isinstance(branch, dict):
        return 0
    if "$ref" in str(branch):
        return 3
    return {"null": 0, "object": 2, "array": 2}.get(str(branch.get("type")), 1)


def _matches(pattern: str, name: str) -> bool:
    return fits(name, {"pattern": pattern}, True)  # noqa: FBT003  the schema that takes everything
