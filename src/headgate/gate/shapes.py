"""What somebody asks for as an object: the schema that says so, and answers as objects of it.

Decides what may be asked for (a Pydantic model, any type that Pydantic knows, a JSON schema) and what counts as an
answer that fits. Refuses to know how a schema is spelled for providers (`dialects/openai_strict.py`), how it travels,
and what becomes of an answer that does not fit (`structured.py`).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar, cast

import msgspec
from pydantic import PydanticUndefinedAnnotation, PydanticUserError, TypeAdapter
from pydantic import ValidationError as Mismatch

from headgate.core.errors import (
    BadRequestError,
    FilteredError,
    RefusalError,
    TruncatedError,
    ValidationError,
)
from headgate.dialects.json_schema import check
from headgate.dialects.openai_fields import UNREADABLE
from headgate.dialects.openai_strict import as_it_is, strict

T = TypeVar("T")

Wanted = type[T] | TypeAdapter[T] | Mapping[str, Any]
"""What may be asked for: a Pydantic model or another type that Pydantic knows, an adapter of one, or a JSON schema."""

_UNNAMEABLE = re.compile(r"[^a-zA-Z0-9_-]+")
_SHOWN_PROBLEMS = 3
_NO_JSON = "it is not JSON"


class Said(NamedTuple):
    """What a model answered.

    Attributes:
        text: its words.
        finish: why it ended.
        refusal: its words where it refused.
    """

    text: str
    finish: str | None = None
    refusal: str | None = None


class _Unfit(Exception):  # noqa: N818  a finding
    """A text is not what was asked for."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(problems)
        self.problems = problems


class _Wrapped(msgspec.Struct):
    value: msgspec.Raw


class Shape(Generic[T]):
    """What is asked for.

    Args:
        name: of it, for the provider and for messages.
        schema: as it is sent.
        strict: the provider holds the model to it.
        wrapped: what was asked for is the property `value` of what comes.
        read: makes the object of its JSON.
    """

    def __init__(
        self, name: str, schema: Mapping[str, Any], read: Callable[[bytes], T], *, strict: bool, wrapped: bool
    ) -> None:
        self.name = name
        self.wire: Mapping[str, object] = {
            "name": _UNNAMEABLE.sub("_", name)[:64] or "answer",
            "schema": schema,
            "strict": strict,
        }
        self.wrapped = wrapped
        self._read = read

    def fit(self, said: Said) -> T:
        """Read an answer.

        Raises:
            RefusalError: the model refused.
            TruncatedError: the answer was cut off at its length limit, whether or not what came would fit.
            FilteredError: the provider's content filter cut it off.
            ValidationError: it does not fit; `problems` says why.
        """
        if said.refusal:
            raise RefusalError(f"The model refused to answer: {said.refusal}", text=said.refusal)
        if said.finish == "length":
            message = f"The answer was cut off at its length limit; no {self.name} came of it."
            raise TruncatedError(message, text=said.text)
        if said.finish == "content_filter":
            raise FilteredError("The provider's content filter cut the answer off.", text=said.text)
        try:
            return self._read(self._inside(said.text.encode(errors="replace")))
        except _Unfit as unfit:
            problems = unfit.problems
        shown = "; ".join(problems[:_SHOWN_PROBLEMS])
        more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        message = f"The answer does not fit {self.name}: {shown}{more}."
        raise ValidationError(message, text=said.text, problems=problems)

    def _inside(self, raw: bytes) -> bytes:
        if not self.wrapped:
            return raw
        try:
            return bytes(msgspec.json.decode(raw, type=_Wrapped).value)
        except msgspec.ValidationError:
            raise _Unfit(["it lacks 'value'"]) from None
        except UNREADABLE:
            raise _Unfit([_NO_JSON]) from None


def shape(into: Wanted[T], *, hold: bool = True, bounds: bool = True) -> Shape[T]:
    """What is asked for, checked.

    Args:
        into: see `Wanted`.
        hold: the provider shall hold the model to the schema, which must be a strict one then.
        bounds: it holds the model to patterns, formats and bounds, too.

    Raises:
        BadRequestError: it cannot be asked for; the message names the place, the hint the cure.

    Example:
        >>> shape(list[int]).fit(Said('{"value": [1, 2]}'))
        [1, 2]
    """
    if isinstance(into, Mapping):
        plain = _plain(into)
        title = plain.get("title")
        name = title if isinstance(title, str) and title else "answer"
        read = cast("Callable[[bytes], T]", _reading_json(check(plain)))
    else:
        name = getattr(into, "__name__", "answer")
        adapter, plain = _adapted(into)
        read = _reading(adapter)
    sent, wrapped = strict(plain, bounds=bounds) if hold else as_it_is(plain)
    return Shape(name, sent, read, strict=hold, wrapped=wrapped)


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema as nothing but JSON, and nobody else's."""
    try:
        plain = msgspec.json.decode(msgspec.json.encode(schema))
    except (TypeError, ValueError, RecursionError) as error:
        message = f"The JSON schema cannot be written as JSON: {error}."
        hint = "Make it of mappings, lists, texts, numbers, booleans and None."
        raise BadRequestError(message, code="invalid_schema", param="schema", hint=hint) from None
    return cast("dict[str, Any]", plain)


def _adapted(into: type[T] | TypeAdapter[T]) -> tuple[TypeAdapter[T], dict[str, Any]]:
    hint = "Give a Pydantic model, a type such as `list[City]` or a dataclass, or a JSON schema as a mapping."
    if into is None or isinstance(into, str):
        raise BadRequestError(f"{into!r} is no type to be asked for.", param="into", hint=hint)
    try:
        adapter = into if isinstance(into, TypeAdapter) else TypeAdapter(into)
        return adapter, adapter.json_schema()
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        message = f"{into!r} cannot be asked for: {error.message}"
        raise BadRequestError(message, code="unsupported_schema", param="into", hint=hint) from None


def _reading(adapter: TypeAdapter[T]) -> Callable[[bytes], T]:
    def read(raw: bytes) -> T:
        try:
            return adapter.validate_json(raw)
        except Mismatch as error:
            # Where it is wrong and why, never the values: they may be long, or private.
            found = error.errors(include_url=False, include_input=False, include_context=False)
        raise _Unfit([_dotted(problem["loc"]) + problem["msg"] for problem in found])

    return read


def _reading_json(problems_of: Callable[[Any], list[str]]) -> Callable[[bytes], Any]:
    def read(raw: bytes) -> Any:
        try:
            value = msgspec.json.decode(raw)
        except UNREADABLE:
            raise _Unfit([_NO_JSON]) from None
        problems = problems_of(value)
        if problems:
            raise _Unfit(problems)
        return value

    return read


def _dotted(place: tuple[int | str, ...]) -> str:
    return f"`{'.'.join(map(str, place))}`: " if place else ""
