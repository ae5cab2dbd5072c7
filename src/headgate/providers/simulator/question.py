"""What is asked, in words that do not depend on the dialect, and the rules that both dialects share.

`read_chat.py` and `read_responses.py` make a `Question` of a request; `plan.py` decides the answer from nothing else.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec

from headgate.core.body import json_types
from headgate.providers.simulator.models import MODELS, Model, Serves
from headgate.providers.simulator.problem import (
    Problem,
    invalid,
    invalid_schema,
    missing,
    mistyped,
)
from headgate.providers.simulator.strict import why_not_strict

T = TypeVar("T")

# What stands in the prompt for an image: 85 tokens of four characters.
IMAGE = "<image" + "." * 333 + ">"

_TIERS = {
    None: "default",
    "auto": "default",
    "default": "default",
    "flex": "flex",
    "scale": "default",
    "priority": "priority",
    "fast": "priority",
    "ultrafast": "default",
}


class Tool(msgspec.Struct, frozen=True):
    """Something that the model may call.

    Attributes:
        name: its name.
        schema: the JSON schema of its arguments; None for a custom tool, which takes plain text.
    """

    name: str
    schema: Any = None

    @property
    def custom(self) -> bool:
        """It takes plain text."""
        return self.schema is None


class Past(msgspec.Struct, frozen=True):
    """What was said so far (Responses).

    Attributes:
        heard: as the model reads it, without instructions and tools: those do not carry over.
        items: as the API lists it, oldest first.
    """

    heard: str = ""
    items: tuple[dict[str, Any], ...] = ()


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One request, understood.

    Attributes:
        model: who is asked.
        prompt: everything that the model reads, as one text; what is counted and remembered.
        last: the last thing the user said; empty after a tool's result.
        stream, usage_wanted, obfuscate: how the answer is to be sent.
        n: how many answers.
        cap: output tokens allowed, for each of them.
        stop: texts that end an answer.
        effort: the reasoning effort in force.
        tier: the service tier used.
        tools: what may be called.
        mode: whether to call: `none`, `auto`, `required`.
        schema: the JSON schema that the answer must fit; `json` alone asks for any object.
        long_ttl: cache entries are kept for 12 hours.
        echo: fields of the request that the answer repeats (Responses).
        background: the answer is made after it was promised (Responses).
        past: what was said up to and including this question; None where the answer is not kept.
        skill: the share of sums that the model gets right; None for one that talks of other things when asked for one.
    """

    model: Model
    prompt: str
    last: str
    stream: bool = False
    usage_wanted: bool = True
    obfuscate: bool = True
    n: int = 1
    cap: int | None = None
    stop: tuple[str, ...] = ()
    effort: str = "none"
    tier: str = "default"
    tools: tuple[Tool, ...] = ()
    mode: Literal["none", "auto", "required"] = "none"
    schema: Any = None
    json: bool = False
    long_ttl: bool = False
    echo: Mapping[str, Any] = {}
    background: bool = False
    past: Past | None = None
    skill: float | None = None


_WHERE = re.compile(r"^(.*?)(?: - at `\$\.?(.*)`)?$", re.DOTALL)
_LACKS = re.compile(r"Object missing required field `(.*)`")


def decode(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    """Read a request's body.

    Raises:
        Problem: 400; it is not JSON, not an object, or a field is missing or mistyped.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise misfit(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"We could not parse the JSON body of your request. (HINT: {error})"
        raise Problem(400, message) from None


def misfit(error: str) -> Problem:
    """The refusal of a request that lacks a field or has one of a wrong type; `error` is what msgspec says of it."""
    found = _WHERE.match(error)
    what, where = (found[1], found[2] or "") if found else (error, "")
    lacks = _LACKS.match(what)
    if lacks:
        return missing(f"{where}.{lacks[1]}" if where else lacks[1])
    return mistyped(where or "body", json_types(what[0].lower() + what[1:].replace("`", "")))


def known_model(name: str, serves: Serves = "talk") -> Model:
    """The model of that name, if it can be asked for that.

    Raises:
        Problem: 404 model_not_found.
    """
    model = MODELS.get(name)
    if model is None:
        message = f"The model `{name}` does not exist or you do not have access to it."
        raise Problem(404, message, code="model_not_found")
    if model.serves not in (serves, "everything"):
        message = f"The model `{name}` is not supported here: it serves {model.serves}, and {serves} was asked for."
        raise Problem(404, message, code="model_not_found", param="model")
    return model


def tier_of(asked: str | None) -> str:
    """The service tier that a request gets: `ultrafast` and `scale` are served as `default`.

    Raises:
        Problem: 400; there is no such tier.
    """
    tier = _TIERS.get(asked)
    if tier is None:
        raise invalid("service_tier", asked, [name for name in _TIERS if name])
    return tier


def is_long_ttl(options: Mapping[str, Any] | None) -> bool:
    """Whether `prompt_cache_options` ask for 12 hours."""
    return options is not None and options.get("ttl") == "12h"


def check_schema(param: str, name: object, schema: object, *, strict: bool) -> None:
    """Refuse what is no schema, and what strict mode does not take.

    Raises:
        Problem: 400.
    """
    if not isinstance(schema, (dict, bool)):
        raise mistyped(param, "expected a JSON schema")
    if strict:
        why = why_not_strict(schema)
        if why:
            raise invalid_schema(param, str(name), why)


def text_of(content: str | Sequence[Mapping[str, Any]] | None, param: str) -> str:
    """The text of a message's content.

    Raises:
        Problem: 400; a part has no type, or a text part no text.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    said = []
    for at, part in enumerate(content):
        kind = part.get("type")
        if not isinstance(kind, str):
            raise missing(f"{param}[{at}].type")
        if kind in ("text", "input_text", "output_text", "refusal"):
            text = part.get("refusal" if kind == "refusal" else "text")
            if not isinstance(text, str):
                raise mistyped(f"{param}[{at}].text", "expected a string")
            said.append(text)
        elif "image" in kind:
            said.append(IMAGE)
        else:
            said.append(f"<{kind}>")
    return "".join(said)


def tool_of(entry: Mapping[str, Any], facts: object, param: str) -> Tool | None:
    """One tool; `facts` is the object that names it. None for a hosted tool: the simulator has none.

    Raises:
        Problem: 400.
    """
    kind = entry.get("type")
    if not isinstance(kind, str):
        raise missing(f"{param}.type")
    if kind not in ("function", "custom"):
        return None
    if not isinstance(facts, dict):
        raise missing(f"{param}.{kind}")
    name = facts.get("name")
    if not isinstance(name, str) or not name:
        raise missing(f"{param}.name")
    if kind == "custom":
        return Tool(name)
    schema = facts.get("parameters")
    if schema is None:
        schema = {"type": "object", "properties": {}}
    check_schema(f"{param}.parameters", name, schema, strict=facts.get("strict") is True)
    return Tool(name, schema)


def choose(tools: tuple[Tool, ...], choice: object) -> tuple[tuple[Tool, ...], Literal["none", "auto", "required"]]:
    """Which tools may be called, and whether one must be, after `tool_choice`.

    Raises:
        Problem: 400; the choice is no choice, or names a tool that was not given.
    """
    if choice is None:
        return tools, "auto" if tools else "none"
    if isinstance(choice, str):
        if choice not in ("none", "auto", "required"):
            raise invalid("tool_choice", choice, ["none", "auto", "required"])
        if choice == "required" and not tools:
            message = "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified."
            raise Problem(400, message, param="tool_choice")
        return tools, choice  # type: ignore[return-value]  # one of the three, as checked above
    if not isinstance(choice, dict):
        raise mistyped("tool_choice", "expected a string or an object")
    kind = choice.get("type")
    if kind == "allowed_tools":
        allowed = choice.get("allowed_tools", choice)
        listed = allowed.get("tools") if isinstance(allowed, dict) else None
        if not isinstance(listed, list):
            raise missing("tool_choice.allowed_tools.tools")
        names = [_name(entry) for entry in listed]
        left = tuple(tool for tool in tools if tool.name in names)
        return left, "required" if allowed.get("mode") == "required" and left else "auto"
    if kind not in ("function", "custom"):
        return tools, "auto"  # a hosted tool: the simulator has none
    named = tuple(tool for tool in tools if tool.name == _name(choice))
    if not named:
        message = f"Tool choice '{_name(choice)}' not found in 'tools' parameter."
        raise Problem(400, message, param="tool_choice")
    return named, "required"


def named_part(entry: Mapping[str, Any]) -> object:
    """The object of a chat tool, or of a choice of one, that stands under the tool's type: `function` or `custom`."""
    kind = entry.get("type")
    return entry.get(kind) if isinstance(kind, str) else None


def _name(entry: object) -> object:
    """The name of a tool in either dialect: in the entry itself, or in its object `function` or `custom`."""
    if not isinstance(entry, dict):
        return None
    inner = named_part(entry)
    return inner.get("name") if isinstance(inner, dict) else entry.get("name")
