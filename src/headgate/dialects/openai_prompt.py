"""A plain prompt, in the words of the Python door, as a request of either OpenAI dialect.

Decides how `system`, `max_tokens`, `schema`, … are spelled on the wire; refuses to know what a model allows. Other
options pass unchanged under their own names; options that are None were not given.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from headgate.core.call import Operation
from headgate.core.errors import BadRequestError

# Responses refuses a smaller `max_output_tokens`.
_FEWEST_OUTPUT = 16
_ANY_OBJECT: Final = {"type": "json_object"}


def chat_prompt(prompt: str, options: Mapping[str, object]) -> dict[str, object]:
    """A request for `/chat/completions`.

    Args:
        prompt: the user's words; not used where `messages` is given.
        options: `messages` (a list, instead of the prompt), `images` (addresses, beside the prompt), `system` (goes
            first), `max_tokens`, `schema` (`{"name", "schema", "strict"}`; empty: any JSON object), `stream`; `model`,
            `temperature`, `top_p`, `reasoning_effort`, `verbosity`, `user` and everything else pass by their own names.

    Raises:
        BadRequestError: an option has the wrong form.

    Example:
        >>> chat_prompt("Hi", {"model": "m", "max_tokens": 5})
        {'model': 'm', 'messages': [{'role': 'user', 'content': 'Hi'}], 'max_completion_tokens': 5}
    """
    given = _given(options)
    request = _start(given)
    messages = _conversation(given, prompt) or [{"role": "user", "content": prompt}]
    if "system" in given:
        messages = [{"role": "system", "content": given.pop("system")}, *messages]
    request["messages"] = messages
    if "max_tokens" in given:
        request["max_completion_tokens"] = given.pop("max_tokens")
    if "schema" in given:
        schema = _object(given, "schema")
        request["response_format"] = {"type": "json_schema", "json_schema": schema} if schema else _ANY_OBJECT
    return request | given


def responses_prompt(prompt: str, options: Mapping[str, object]) -> dict[str, object]:
    """A request for `/responses`; it is not stored unless `store` says so.

    Args:
        prompt: the user's words; not used where `messages` is given.
        options: as for `chat_prompt`. `max_tokens` is raised to 16, the least that is allowed, unless it is no
            length at all; text and image parts of `messages` are respelled.

    Raises:
        BadRequestError: an option has the wrong form.

    Example:
        >>> responses_prompt("Hi", {"model": "m", "max_tokens": 5})
        {'model': 'm', 'input': 'Hi', 'max_output_tokens': 16, 'store': False}
    """
    given = _given(options)
    request = _start(given)
    messages = _conversation(given, prompt)
    request["input"] = [_item(message) for message in messages] if messages else prompt
    if "system" in given:
        request["instructions"] = given.pop("system")
    if "max_tokens" in given:
        most = given.pop("max_tokens")
        request["max_output_tokens"] = max(_FEWEST_OUTPUT, most) if type(most) is int and most > 0 else most
    if "schema" in given:
        schema = _object(given, "schema")
        given["text"] = _object(given, "text") | {"format": {"type": "json_schema"} | schema if schema else _ANY_OBJECT}
    if "verbosity" in given:
        given["text"] = _object(given, "text") | {"verbosity": given.pop("verbosity")}
    if "reasoning_effort" in given:
        given["reasoning"] = _object(given, "reasoning") | {"effort": given.pop("reasoning_effort")}
    request["store"] = False
    return request | given


PROMPTS: Final[Mapping[Operation, Callable[[str, Mapping[str, object]], dict[str, object]]]] = MappingProxyType(
    {Operation.CHAT: chat_prompt, Operation.RESPONSES: responses_prompt}
)
"""How each operation that takes a prompt spells it."""

OPTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "max_completion_tokens": "max_tokens",
        "max_output_tokens": "max_tokens",
        "reasoning.effort": "reasoning_effort",
        "text.verbosity": "verbosity",
        "response_format": "schema",
        "text.format": "schema",
    }
)
"""Which option stands behind a parameter of either API, where it has another name."""


def _given(options: Mapping[str, object]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _start(given: dict[str, Any]) -> dict[str, object]:
    """The fields that stand first in either request; a stream is asked for by name only where it is wanted."""
    stream = given.pop("stream", False)
    start = {"model": given.pop("model")} if "model" in given else {}
    return start | ({"stream": True} if stream else {})


def _conversation(given: dict[str, Any], prompt: str) -> list[Any]:
    """The messages, where there is more to say than a prompt: those that were given, or the prompt with images."""
    messages, images = _list(given, "messages"), _list(given, "images")
    if not images:
        return messages
    if messages:
        message = "`images` go with a prompt, not with `messages`."
        raise BadRequestError(message, param="images", hint="Put `image_url` parts into the messages.")
    pictures = [{"type": "image_url", "image_url": {"url": url}} for url in images]
    return [{"role": "user", "content": [{"type": "text", "text": prompt}, *pictures]}]


def _list(given: dict[str, Any], name: str) -> list[Any]:
    value = given.pop(name, [])
    if not isinstance(value, list | tuple):
        message = f"`{name}` must be a list, not {type(value).__name__}."
        raise BadRequestError(message, code="invalid_type", param=name)
    return list(value)


def _object(given: dict[str, Any], name: str) -> dict[str, Any]:
    value = given.pop(name, {})
    if not isinstance(value, Mapping):
        message = f"`{name}` must be a mapping, not {type(value).__name__}."
        raise BadRequestError(message, code="invalid_type", param=name)
    return dict(value)


def _item(message: Any) -> Any:
    """A chat message as an input item: its parts respelled, everything else as it is."""
    if not isinstance(message, Mapping) or not isinstance(message.get("content"), list):
        return message
    said = "output_text" if message.get("role") == "assistant" else "input_text"
    return dict(message) | {"content": [_part(part, said) for part in message["content"]]}


def _part(part: Any, said: str) -> Any:
    if not isinstance(part, Mapping):
        return part
    if part.get("type") == "text":
        return dict(part) | {"type": said}
    image = part.get("image_url")
    if part.get("type") == "image_url" and isinstance(image, Mapping):
        detail = {"detail": image["detail"]} if "detail" in image else {}
        return {"type": "input_image", "image_url": image.get("url")} | detail
    return part
