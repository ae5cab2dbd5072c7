"""Reads a Responses request into a Question, as strictly as the API documents."""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import msgspec

from headgate.providers.simulator.items import as_listed
from headgate.providers.simulator.problem import Problem, invalid, missing, mistyped, unknown, unsupported
from headgate.providers.simulator.question import (
    Past,
    Question,
    Tool,
    check_schema,
    choose,
    decode,
    is_long_ttl,
    known_model,
    text_of,
    tier_of,
    tool_of,
)
from headgate.providers.simulator.taking import (
    check_cache,
    check_cap,
    check_sampling,
    check_verbosity,
    effort_of,
)

_ROLES = ("developer", "system", "user", "assistant")
_LEAST_CAP = 16


class _StreamOptions(msgspec.Struct):
    include_obfuscation: bool | None = None


class _Request(msgspec.Struct):
    model: str
    input: str | list[dict[str, Any]] | None = None
    instructions: str | list[Any] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    reasoning: dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    background: bool | None = None
    include: list[str] | None = None
    service_tier: str | None = None
    store: bool | None = None
    metadata: dict[str, Any] | None = None
    truncation: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    messages: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    reasoning_effort: Any = None
    verbosity: Any = None
    response_format: Any = None
    n: Any = None
    stop: Any = None
    seed: Any = None
    presence_penalty: Any = None
    frequency_penalty: Any = None
    logit_bias: Any = None
    logprobs: Any = None
    prediction: Any = None
    modalities: Any = None
    audio: Any = None


# What of Chat Completions is called otherwise here, or is not there at all.
_MOVED = {
    "messages": "input", "max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort", "verbosity": "text.verbosity", "response_format": "text.format",
    **dict.fromkeys(
        ("n", "stop", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "prediction",
         "modalities", "audio"),
        "",
    ),
}  # fmt: skip
_LOGPROBS = "message.output_text.logprobs"
_DECODER = msgspec.json.Decoder(_Request)


Recall = Callable[[str], Past]
"""Gives what was said up to and including an answer that was kept; a Problem if there is none."""


def nothing(name: str) -> Past:
    """Recall nothing: nothing was kept."""
    message = f"Previous response with id '{name}' not found."
    raise Problem(400, message, code="previous_response_not_found", param="previous_response_id")


def read_responses(body: bytes, recall: Recall = nothing) -> Question:
    """Understand a request's body.

    Args:
        body: JSON.
        recall: gives what was said up to and including an earlier answer.

    Raises:
        Problem: 400 or 404, in the API's words.
    """
    asked = decode(_DECODER, body)
    model = known_model(asked.model)
    for name, moved in _MOVED.items():
        if getattr(asked, name) is not None:
            raise unknown(name, moved)
    if asked.input is None:
        raise missing("input")
    past = _past(asked, recall)
    reasoning = asked.reasoning or {}
    effort = effort_of(model, _string(reasoning.get("effort"), "reasoning.effort"), "reasoning.effort")
    sampling = {"temperature": asked.temperature, "top_p": asked.top_p, "top_logprobs": asked.top_logprobs}
    check_sampling(model, effort, sampling)
    if effort != "none" and _LOGPROBS in (asked.include or ()):
        raise unsupported("include", f"'{_LOGPROBS}' is not given while the model reasons.")
    check_verbosity("text.verbosity", (asked.text or {}).get("verbosity"))
    check_cache(model, asked.prompt_cache_options)
    check_cap(model, "max_output_tokens", asked.max_output_tokens, _LEAST_CAP)
    given = [tool_of(entry, entry, f"tools[{at}]") for at, entry in enumerate(asked.tools or ())]
    tools: tuple[Tool, ...] = tuple(tool for tool in given if tool is not None)
    may, mode = choose(tools, asked.tool_choice)
    schema, as_json = _format(asked.text)
    parts = [] if not asked.tools else [msgspec.json.encode(asked.tools).decode()]
    if schema is not None:
        parts.append(msgspec.json.encode(schema).decode())
    if isinstance(asked.instructions, str):
        parts.append(f"<system>{asked.instructions}\n")
    said: list[str] = []
    last = _input(asked.input, said)
    heard = past.heard + "".join(said)
    if asked.store is not False:
        # What was said names it: no two items of a conversation get the same id.
        key = blake2b(heard.encode(errors="surrogatepass"), digest_size=20).hexdigest()
        past = Past(heard, (*past.items, *as_listed(asked.input, key)))
    options = asked.stream_options
    return Question(
        model=model,
        last=last,
        prompt="".join(parts) + heard,
        stream=bool(asked.stream),
        obfuscate=options is None or options.include_obfuscation is not False,
        cap=asked.max_output_tokens,
        effort=effort,
        tier=tier_of(asked.service_tier),
        tools=may,
        mode=mode,
        schema=schema,
        json=as_json,
        long_ttl=is_long_ttl(asked.prompt_cache_options),
        echo=_echo(asked, effort),
        background=bool(asked.background),
        past=None if asked.store is False else past,
    )


def retold(items: list[dict[str, Any]]) -> str:
    """Output items as the model reads them when they come back."""
    parts: list[str] = []
    _input(items, parts)
    return "".join(parts)


def _past(asked: _Request, recall: Recall) -> Past:
    """What was said before.

    Raises:
        Problem: 400 or 404; it is not there, or the wishes exclude each other.
    """
    if asked.previous_response_id is not None and asked.conversation is not None:
        message = "Mutually exclusive parameters: 'previous_response_id' and 'conversation'."
        raise Problem(400, message, code="mutually_exclusive_parameters", param="previous_response_id")
    if asked.conversation is not None:
        raise Problem(404, "Conversation not found.", param="conversation")
    if asked.background and asked.store is False:
        raise Problem(400, "Background responses need to be stored: 'store' must not be false.", param="background")
    return Past() if asked.previous_response_id is None else recall(asked.previous_response_id)


def _echo(asked: _Request, effort: str) -> dict[str, Any]:
    """What the answer's object repeats of the request."""
    return {
        "instructions": asked.instructions,
        "max_output_tokens": asked.max_output_tokens,
        "max_tool_calls": asked.max_tool_calls,
        "parallel_tool_calls": asked.parallel_tool_calls is not False,
        "previous_response_id": asked.previous_response_id,
        "prompt_cache_key": asked.prompt_cache_key,
        "reasoning": {"effort": effort, "summary": (asked.reasoning or {}).get("summary")},
        "safety_identifier": asked.safety_identifier,
        "store": asked.store is not False,
        "temperature": 1.0 if asked.temperature is None else asked.temperature,
        "text": {"format": {"type": "text"}, "verbosity": "medium"} | (asked.text or {}),
        "tool_choice": "auto" if asked.tool_choice is None else asked.tool_choice,
        "tools": asked.tools or [],
        "top_logprobs": asked.top_logprobs or 0,
        "top_p": 1.0 if asked.top_p is None else asked.top_p,
        "truncation": asked.truncation or "disabled",
        "user": asked.user,
        "metadata": asked.metadata or {},
        "encrypted": effort != "none" and "reasoning.encrypted_content" in (asked.include or ()),
    }


def _format(text: dict[str, Any] | None) -> tuple[Any, bool]:
    """The schema that the answer must fit, and whether it must be JSON at all."""
    asked = (text or {}).get("format")
    if asked is None:
        return None, False
    if not isinstance(asked, dict):
        raise mistyped("text.format", "expected an object")
    kind = asked.get("type")
    if kind is None:
        raise missing("text.format.type")
    if kind not in ("text", "json_object", "json_schema"):
        raise invalid("text.format.type", kind, ["text", "json_object", "json_schema"])
    if kind != "json_schema":
        return None, kind == "json_object"
    if not isinstance(asked.get("name"), str):
        raise missing("text.format.name")
    schema = asked.get("schema")
    if schema is None:
        raise missing("text.format.schema")
    check_schema("text.format", asked["name"], schema, strict=asked.get("strict") is True)
    return schema, True


def _input(given: str | list[dict[str, Any]], parts: list[str]) -> str:
    """Adds what the model reads to `parts`; gives the last thing the user said."""
    if isinstance(given, str):
        parts.append(f"<user>{given}\n")
        return given
    if not given:
        message = "Invalid 'input': empty array. Expected an array with minimum length 1, but got an empty array."
        raise Problem(400, message, code="empty_array", param="input")
    last = ""
    for at, item in enumerate(given):
        kind = item.get("type", "message")
        if not isinstance(kind, str):
            raise mistyped(f"input[{at}].type", "expected a string")
        if kind != "message":
            parts.append(f"<{kind}>{_item_text(item)}\n")
            if kind.endswith("_output"):
                last = ""
            continue
        role = item.get("role")
        if role not in _ROLES:
            raise invalid(f"input[{at}].role", role, _ROLES)
        content = item.get("content")
        if not isinstance(content, str) and not (
            isinstance(content, list) and all(isinstance(part, dict) for part in content)
        ):
            raise mistyped(f"input[{at}].content", "expected a string or an array of objects")
        text = text_of(content, f"input[{at}].content")
        parts.append(f"<{role}>{text}\n")
        if role == "user":
            last = text
    return last


def _item_text(item: dict[str, Any]) -> str:
    said = [item.get(name) for name in ("name", "arguments", "input", "output")]
    return " ".join(text for text in said if isinstance(text, str))


def _string(value: object, param: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise mistyped(param, "expected a string")
    return value
