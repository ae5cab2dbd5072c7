"""The schema, read as a list: every setting with its dotted key, type, default and description.

Decides how the types of `config.py` are said in words; refuses to know any value. The documentation is generated from
this list, and complaints about unknown keys find the known ones here.
"""

import types
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from headgate.core.secret import Secret
from headgate.gate.config import Config
from headgate.gate.problems import Path
from headgate.gate.section import Section
from headgate.gate.values import seconds

_WORDS: Mapping[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    Decimal: "number",
    bool: "true or false",
    date: "date",
    Secret: "secret",
    Any: "anything",
}


class Setting(msgspec.Struct, frozen=True):
    """One setting.

    Attributes:
        key: where it stands, such as `providers.NAME.timeout.connect` or `keys[].name`.
        type: what it takes, in words.
        default: as it would be written; None where it must be given, empty where absence is the default.
        description: what it does.
    """

    key: str
    type: str
    default: str | None
    description: str


def settings_reference() -> list[Setting]:
    """Every setting, sections before their parts, in the order of the schema.

    Example:
        >>> [setting.default for setting in settings_reference() if setting.key == "server.port"]
        ['4000']
    """
    return list(_settings(Config, ""))


def section_at(path: Path) -> type[Section] | None:
    """The section that a path leads to; None if it leads to a plain value, or nowhere."""
    found = _at(path)
    return next((part for part in _parts(found) if isinstance(part, type) and issubclass(part, Section)), None)


def is_secret(path: Path) -> bool:
    """Whether a path leads to a value that must never be shown. Where it leads nowhere, the value may be anything."""
    found = _at(path)
    return found is None or Secret in _parts(found)


def _settings(section: type[Section], prefix: str) -> Iterator[Setting]:
    for name, field in section.model_fields.items():
        key = prefix + name
        yield Setting(key, _type(field), _default(field), field.description or "")
        yield from _inside(field.annotation, key)


def _inside(annotation: Any, key: str) -> Iterator[Setting]:
    for part in _members(annotation):
        if isinstance(part, type) and issubclass(part, Section):
            yield from _settings(part, f"{key}.")
        elif get_origin(part) is dict:
            yield from _inside(get_args(part)[1], f"{key}.NAME")
        elif get_origin(part) is list:
            yield from _inside(get_args(part)[0], f"{key}[]")


def _type(field: FieldInfo) -> str:
    if any(isinstance(fact, BeforeValidator) and fact.func is seconds for fact in field.metadata):
        return "duration"
    return _said(field.annotation)


def _said(annotation: Any) -> str:
    words = []
    for part in _members(annotation):
        if get_origin(part) is Literal:
            words.append(" or ".join(f"`{choice}`" for choice in get_args(part)))
        elif get_origin(part) is dict:
            words.append("mapping")
        elif get_origin(part) is list:
            words.append(f"list of {_said(get_args(part)[0])}")
        else:
            words.append("mapping" if isinstance(part, type) and issubclass(part, Section) else _WORDS[part])
    return " or ".join(dict.fromkeys(words))


def _default(field: FieldInfo) -> str | None:
    # A secret default cannot be copied, which `get_default` would do.
    value = field.default if field.default_factory is None else field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return None
    if value is None or isinstance(value, (Section, Secret)) or value in ([], {}):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _at(path: Path) -> Any:
    """The annotation that a path leads to; None if it leads nowhere."""
    found: Any = Config
    for step in path:
        found = next((inner for part in _parts(found) if (inner := _step(part, step)) is not None), None)
    return found


def _step(part: Any, step: str | int) -> Any:
    if isinstance(part, type) and issubclass(part, Section):
        field = part.model_fields.get(str(step))
        return field.annotation if field else None
    if get_origin(part) is dict and isinstance(step, str):
        return get_args(part)[1]
    if get_origin(part) is list and isinstance(step, int):
        return get_args(part)[0]
    return Any if part is Any else None


def _members(annotation: Any) -> Iterator[Any]:
    """The alternatives of an annotation, without what is wrapped around them and without None."""
    if get_origin(annotation) is Annotated:
        yield from _members(get_args(annotation)[0])
    elif get_origin(annotation) in {Union, types.UnionType}:
        for part in get_args(annotation):
            yield from _members(part)
    elif annotation is not types.NoneType:
        yield annotation


def _parts(annotation: Any) -> list[Any]:
    return [] if annotation is None else list(_members(annotation))
