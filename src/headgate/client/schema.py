"""A Pydantic model as a strict JSON schema, and an answer as an object of that model.

Decides what providers accept as a strict schema (every object closed, every property required) and what counts as an
answer that fits. Refuses to know how the schema travels.
"""

import re
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic import ValidationError as Mismatch

from headgate.client.response import ModelResponse
from headgate.core.errors import BadRequestError, ValidationError

M = TypeVar("M", bound=BaseModel)

_UNNAMEABLE = re.compile(r"[^a-zA-Z0-9_-]+")
_REFERENCE = "#/$defs/"
_SHOWN_PROBLEMS = 3


def strict_schema(model: type[BaseModel]) -> dict[str, object]:
    """The schema that asks for an object of this model: `{"name", "schema", "strict"}`.

    Raises:
        BadRequestError: it is no Pydantic model, or the model's JSON is not an object.

    Example:
        >>> class City(BaseModel):
        ...     name: str
        >>> strict_schema(City)["schema"]["required"]
        ['name']
    """
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        hint = "Give the class itself, a subclass of `pydantic.BaseModel`."
        raise BadRequestError(f"{model!r} is not a Pydantic model.", param="schema", hint=hint)
    plain = model.model_json_schema()
    reference = plain.get("$ref", "")
    if reference.startswith(_REFERENCE):
        # A model that refers to itself is a reference at the root; the root must be the object itself.
        plain = {**plain["$defs"][reference.removeprefix(_REFERENCE)], "$defs": plain["$defs"]}
    if plain.get("type") != "object":
        raise BadRequestError(
            f"{model.__name__} is not an object in JSON.", param="schema", hint="Wrap it in a model with one field."
        )
    name = _UNNAMEABLE.sub("_", model.__name__)[:64]
    return {"name": name, "schema": _strict(plain), "strict": True}


def _strict(schema: Any) -> Any:
    """The same schema with every object closed and every property required."""
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key in {"properties", "$defs"}:
            found[key] = {name: _strict(part) for name, part in value.items()}
        elif key in {"anyOf", "oneOf"}:
            # Strict schemas know no `oneOf`; for the members of a tagged union the two mean the same.
            found["anyOf"] = [_strict(part) for part in value]
        elif key in {"allOf", "prefixItems"}:
            found[key] = [_strict(part) for part in value]
        elif key in {"items", "additionalProperties"}:
            found[key] = _strict(value)
        elif key not in {"default", "discriminator"}:
            # With everything required a default has no meaning.
            found[key] = value
    if found.get("type") == "object":
        found.setdefault("additionalProperties", False)
        found["properties"] = found.get("properties", {})
        found["required"] = list(found["properties"])
    if "$ref" in found and len(found) > 1:
        # A reference must stand alone; what is said beside it stands beside a union of one.
        return {"anyOf": [{"$ref": found.pop("$ref")}], **found}
    return found


def fit(model: type[M], response: ModelResponse) -> M:
    """Read an answer as an object of the model.

    Raises:
        ValidationError: the model refused, was cut short, or said something else; `text` is the answer as it came.
    """
    refusal = response.refusal
    if refusal is not None:
        raise ValidationError(f"The model refused to answer: {refusal}", code="refusal", text=refusal)
    if response.finish_reason == "length":
        message = "The answer was cut off at its length limit and does not fit the schema."
        raise ValidationError(message, code="truncated", text=response.text, hint="Raise `max_tokens`.")
    if response.finish_reason == "content_filter":
        message = "The provider's content filter cut the answer off."
        raise ValidationError(message, code="content_filter", text=response.text)
    try:
        return model.model_validate_json(response.text)
    except Mismatch as error:
        # Where it is wrong and why, never the values: they may be long, or private.
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        shown = "; ".join(f"{_dotted(problem['loc'])}{problem['msg']}" for problem in problems[:_SHOWN_PROBLEMS])
        more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        message = f"The answer does not fit {model.__name__}: {shown}{more}."
        raise ValidationError(message, text=response.text) from None


def _dotted(place: tuple[int | str, ...]) -> str:
    return f"`{'.'.join(map(str, place))}`: " if place else ""
