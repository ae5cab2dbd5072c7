"""Reads a Chat Completions request into a Question, as strictly as the API documents."""

from typing import Any

import msgspec

from headgate.providers.simulator.models import Model
from headgate.providers.simulator.problem import (
    Problem,
    invalid,
    missing,
    mistyped,
    too_large,
    too_small,
    unknown,
    unsupported,
    unsupported_value,
)
from headgate.providers.simulator.question import (
    Question,
    Tool,
    check_schema,
    choose,
    decode,
    is_long_ttl,
    known_model,
    named_part,
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

_ROLES = ("developer", "system", "user", "assistant", "tool", "function")


class _Message(msgspec.Struct):
    role: str
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[dict[str, Any]] | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class _Request(msgspec.Struct):
    model: str
    messages: list[_Message]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    reasoning_effort: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    functions: list[Any] | None = None
    service_tier: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    verbosity: Any = None
    prediction: Any = None
    modalities: Any = None
    audio: Any = None
    max_output_tokens: Any = None
    reasoning: Any = None
    text: Any = None
    input: Any = None
    instructions: Any = None


_OF_RESPONSES = ("max_output_tokens", "reasoning", "text", "input", "instructions")
_DECODER = msgspec.json.Decoder(_Request)


def read_chat(body: bytes) -> Question:
    """Understand a request's body.

    Raises:
        Problem: 400 or 404, in the API's words.
    """
    asked = decode(_DECODER, body)
    model = known_model(asked.model)
    if not asked.messages:
        message = "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array."
        raise Problem(400, message, code="empty_array", param="messages")
    if asked.functions:
        raise unsupported("functions", "The simulator does not speak this deprecated form: use 'tools'.")
    for name in _OF_RESPONSES:
        if getattr(asked, name) is not None:
            raise unknown(name)
    effort = _effort(model, asked)
    check_verbosity("verbosity", asked.verbosity)
    check_cache(model, asked.prompt_cache_options)
    cap = _cap(model, asked)
    n = 1 if asked.n is None else asked.n
    if n < 1:
        raise too_small("n", n, 1)
    if n > 128:
        raise too_large("n", n, 128)
    tools: tuple[Tool, ...] = ()
    if asked.tools:
        tools = _tools(model, asked, effort)
    may, mode = choose(tools, asked.tool_choice)
    schema, as_json = _format(asked.response_format)
    parts = [] if not asked.tools else [msgspec.json.encode(asked.tools).decode()]
    if schema is not None:
        parts.append(msgspec.json.encode(schema).decode())
    options = asked.stream_options
    if options is not None and not asked.stream:
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise Problem(400, message, param="stream_options")
    return Question(
        model=model,
        last=_messages(asked.messages, parts),
        prompt="".join(parts),
        stream=bool(asked.stream),
        usage_wanted=options is not None and bool(options.include_usage),
        obfuscate=options is None or options.include_obfuscation is not False,
        n=n,
        cap=cap,
        stop=stops(asked.stop),
        effort=effort,
        tier=tier_of(asked.service_tier),
        tools=may,
        mode=mode,
        schema=schema,
        json=as_json,
        long_ttl=is_long_ttl(asked.prompt_cache_options),
    )


def _effort(model: Model, asked: _Request) -> str:
    effort = effort_of(model, asked.reasoning_effort, "reasoning_effort")
    if effort == "max" and not model.chat_max:
        raise unsupported_value("reasoning_effort", "max", "Use /v1/responses instead.")
    sampling = {
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "stop": asked.stop,
        "presence_penalty": asked.presence_penalty,
        "frequency_penalty": asked.frequency_penalty,
        "logit_bias": asked.logit_bias,
        "logprobs": asked.logprobs,
        "top_logprobs": asked.top_logprobs,
        "prediction": asked.prediction,
        "modalities": asked.modalities,
        "audio": asked.audio,
    }
    check_sampling(model, effort, sampling)
    return effort


def _cap(model: Model, asked: _Request) -> int | None:
    if asked.max_tokens is not None and model.efforts:
        raise unsupported("max_tokens", "Use 'max_completion_tokens' instead.")
    if asked.max_tokens is not None and asked.max_completion_tokens is not None:
        message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise Problem(400, message, code="invalid_parameter_combination", param="max_tokens")
    check_cap(model, "max_tokens", asked.max_tokens, 1)
    check_cap(model, "max_completion_tokens", asked.max_completion_tokens, 1)
    return asked.max_tokens if asked.max_completion_tokens is None else asked.max_completion_tokens


def stops(stop: str | list[str] | None) -> tuple[str, ...]:
    """The texts that end an answer.

    Raises:
        Problem: 400; there are more than four.
    """
    if stop is None:
        return ()
    texts = (stop,) if isinstance(stop, str) else tuple(stop)
    if len(texts) > 4:
        message = f"Invalid 'stop': array too long. Expected an array with maximum length 4, but got {len(texts)}."
        raise Problem(400, message, code="array_above_max_length", param="stop")
    return tuple(text for text in texts if text)


def _tools(model: Model, asked: _Request, effort: str) -> tuple[Tool, ...]:
    if model.chat_tools == "no":
        message = f"Function tools are not supported with {model.name} in /v1/chat/completions. Use /v1/responses."
        raise Problem(400, message, code="unsupported_parameter", param="tools")
    if model.chat_tools != "yes" and effort != "none":
        message = (
            f"Function tools with reasoning_effort are not supported for {model.name} in /v1/chat/completions. "
            "Please use /v1/responses instead."
        )
        raise Problem(400, message, code="unsupported_parameter", param="reasoning_effort")
    tools = []
    for at, entry in enumerate(asked.tools or ()):
        tool = tool_of(entry, named_part(entry), f"tools[{at}]")
        if tool is None:
            raise invalid(f"tools[{at}].type", entry["type"], ["function", "custom"])
        tools.append(tool)
    return tuple(tools)


def _format(asked: dict[str, Any] | None) -> tuple[Any, bool]:
    """The schema that the answer must fit, and whether it must be JSON at all."""
    if asked is None:
        return None, False
    kind = asked.get("type")
    if kind is None:
        raise missing("response_format.type")
    if kind not in ("text", "json_object", "json_schema"):
        raise invalid("response_format.type", kind, ["text", "json_object", "json_schema"])
    if kind != "json_schema":
        return None, kind == "json_object"
    facts = asked.get("json_schema")
    if not isinstance(facts, dict):
        raise missing("response_format.json_schema")
    if not isinstance(facts.get("name"), str):
        raise missing("response_format.json_schema.name")
    schema = facts.get("schema")
    if schema is None:
        return None, True
    check_schema("response_format", facts["name"], schema, strict=facts.get("strict") is True)
    return schema, True


def _messages(messages: list[_Message], parts: list[str]) -> str:
    """Adds what the model reads to `parts`; gives the last thing the user said."""
    last = ""
    for at, message in enumerate(messages):
        role = message.role
        if role not in _ROLES:
            raise invalid(f"messages[{at}].role", role, _ROLES)
        if message.content is None and role != "assistant":
            raise mistyped(f"messages[{at}].content", "expected a string or an array of objects, got null")
        text = text_of(message.content, f"messages[{at}].content")
        calls = "" if not message.tool_calls else msgspec.json.encode(message.tool_calls).decode()
        parts.append(f"<{role}>{text}{calls}\n")
        if role == "user":
            last = text
        elif role in ("tool", "function"):
            last = ""
    return last
