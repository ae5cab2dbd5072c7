"""Whether a JSON value fits a JSON schema (draft 2020-12), and where it does not.

Decides which schemas are schemas at all, which formats are checked, and how a problem is told: the place and the rule,
never the value, which may be long, or private. Refuses to know what models are told of a schema (`openai_strict.py`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

import msgspec

from headgate.core.errors import BadRequestError

Check = Callable[[Any], list[str]]
"""The problems of a value; empty where it fits."""

_LONGEST_RULE = 200
_VALUES = frozenset(("const", "enum", "default", "examples"))
"""Words that hold values, not schemas."""
_DURATION = re.compile(r"P(?=.)(\d+W|(\d+Y)?(\d+M)?(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+S)?)?)", re.ASCII)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
_UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _match(pattern: re.Pattern[str]) -> Callable[[str], object]:
    def check(text: str) -> None:
        if pattern.fullmatch(text) is None:
            raise ValueError

    return check


def _date(text: str) -> None:
    _match(_DATE)(text)
    date.fromisoformat(text)


def _time(text: str) -> None:
    _match(_TIME)(text)
    time.fromisoformat(_whole_seconds(text))


def _date_time(text: str) -> None:
    day, _, clock = text.upper().partition("T")
    _date(day)
    _match(_TIME)(clock)
    datetime.fromisoformat(f"{day}T{_whole_seconds(clock)}")


def _whole_seconds(clock: str) -> str:
    # Python reads no more than six digits of a second, and no leap second.
    return re.sub(r"\.\d+", "", clock.upper()).replace(":60", ":59")


_FORMATS: Final[Mapping[str, Callable[[str], object]]] = {
    "date-time": _date_time,
    "date": _date,
    "time": _time,
    "duration": _match(_DURATION),
    "email": _match(_EMAIL),
    "hostname": _match(_HOSTNAME),
    "ipv4": IPv4Address,
    "ipv6": IPv6Address,
    "uuid": _match(_UUID),
}
"""The formats that strict structured outputs know. Any other is a remark."""


def check(schema: Mapping[str, Any]) -> Check:
    """What checks values against a schema.

    Args:
        schema: of plain JSON.

    Raises:
        BadRequestError: it is no schema; the message names the place.

    Example:
        >>> check({"properties": {"n": {"minimum": 3}}})({"n": 2})
        ['`n`: it must satisfy minimum: 3']
    """
    # Takes a while to import, and most programs never need it.
    import jsonschema  # noqa: PLC0415
    import referencing  # noqa: PLC0415

    kind = jsonschema.Draft202012Validator
    try:
        found = next(kind(kind.META_SCHEMA, format_checker=kind.FORMAT_CHECKER).iter_errors(schema), None)
    except RecursionError:
        raise _no_schema("it is nested too deeply", "") from None
    if found is not None:
        raise _no_schema(found.message[:_LONGEST_RULE], _dotted(found.absolute_path))
    _check_references(schema)
    formats = jsonschema.FormatChecker(formats=())
    for name, test in _FORMATS.items():
        formats.checks(name, raises=ValueError)(_of_texts(test))
    # An empty registry: the default one fetches what references name from wherever they say.
    validator = kind(schema, registry=referencing.Registry(), format_checker=formats)

    def problems(value: Any) -> list[str]:
        try:
            return list(dict.fromkeys(_told(error) for error in validator.iter_errors(value)))
        except RecursionError:
            return ["it is nested too deeply"]

    return problems


def _check_references(root: Mapping[str, Any]) -> None:
    """See that each reference leads to a place in the schema itself."""
    waiting: list[Any] = [{word: value for word, value in root.items() if word != "$id"}]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, Mapping):
            for word in ("$id", "$anchor", "$dynamicAnchor", "$dynamicRef"):
                if isinstance(part.get(word), str):
                    raise _no_schema(f"`{word}` is not supported", "")
            reference = part.get("$ref")
            if isinstance(reference, str) and not _leads_somewhere(root, reference):
                raise _no_schema(f"the reference {reference[:80]!r} leads to nothing in it", "")
            waiting += [value for word, value in part.items() if word not in _VALUES]


def _leads_somewhere(root: Any, reference: str) -> bool:
    if reference != "#" and not reference.startswith("#/"):
        return False
    found = root
    for step in reference[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return False
    return isinstance(found, Mapping | bool)


def _of_texts(test: Callable[[str], object]) -> Callable[[object], bool]:
    def fits(value: object) -> bool:
        if isinstance(value, str):
            test(value)
        return True

    return fits


def _told(error: Any) -> str:
    rule, wanted = str(error.validator), error.validator_value
    if rule == "required":
        lacking = [name for name in wanted if name not in error.instance]
        said = f"it lacks {', '.join(map(repr, lacking))}"
    elif rule == "additionalProperties":
        said = "it has properties that the schema does not name"
    else:
        said = f"it must satisfy {rule}: {msgspec.json.encode(wanted).decode()}"
    place = _dotted(error.absolute_path)
    return f"`{place}`: {said[:_LONGEST_RULE]}" if place else said[:_LONGEST_RULE]


def _dotted(path: Sequence[str | int]) -> str:
    return ".".join(map(str, path))


def _no_schema(why: str, place: str) -> BadRequestError:
    where = f" at `{place}`" if place else ""
    return BadRequestError(
        f"The JSON schema is none{where}: {why}.",
        code="invalid_schema",
        param=place or "schema",
        hint="Write it as draft 2020-12 of JSON Schema has it.",
    )
