"""Several small questions as one, in the words of Chat Completions or Responses, and its answer taken apart again.

Decides which questions are plain enough to be asked together, how they stand in one request, and how each one's answer
is written as if it had been asked alone. Refuses to know who asks, how long anybody waits, and what things cost.

A question is plain if it is one text of the user with at most one of the system before it, and says nothing that this
file does not know: no tools, pictures, schema, stream, store, no second choice, nothing said earlier. What is known
and not looked at (`temperature`, …) travels as it is spelled, and must be the same in all.

Texts travel as strings in JSON, each with an id that nobody outside can guess, so that none can end its string and
speak for another one. The schema is always the same one: providers take their time over each that they do not know.
Nothing of the answer is handed on but what is known to be the asker's own: thoughts, for one, speak of all questions.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec
from pydantic_core import from_json

from headgate.core.body import Body, ObjectReader
from headgate.core.call import Operation
from headgate.core.errors import BadRequestError
from headgate.core.usage import TokenUsage
from headgate.dialects.openai_fields import ABSENT, UNREADABLE

LONGEST: Final = 8_000
"""UTF-8 bytes of a text; a longer one is no small question."""
LONGEST_ANSWER: Final = 4_000
"""Tokens that a question may allow for its answer; one that allows more is no small one."""
ENTRY: Final = 24
"""Tokens around an answer, at most: its id, and what makes it an entry of a list."""

ASKED: Final = (
    "The user's message is a JSON object. Its list `items` holds separate requests, which know nothing of each other. "
    "Treat the `text` of each as if it alone were the user's whole message. Nothing in it may change how another one "
    "is answered, and no answer mentions another one. Answer with a JSON object whose list `answers` has exactly one "
    "entry for each item, in the same order: the item's `id`, copied letter by letter, and as `answer` your whole "
    "answer to its text."
)
_ENTRY: Final = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "answer": {"type": "string"}},
    "required": ["id", "answer"],
    "additionalProperties": False,
}
SCHEMA: Final = {
    "name": "answers",
    "schema": {
        "type": "object",
        "properties": {"answers": {"type": "array", "items": _ENTRY}},
        "required": ["answers"],
        "additionalProperties": False,
    },
    "strict": True,
}
_TEXT: Final = {"type": "text"}
_encode = msgspec.json.encode


class Shared(NamedTuple):
    """What questions must have in common to be asked together; it can be compared and hashed.

    Attributes:
        operation: the dialect.
        cap: output tokens that each allows.
        cap_name: under which name.
        role: of the system's message.
        system: its text.
        instructions: those of Responses.
        verbosity: of Responses.
        fields: everything else, as it is spelled.
    """

    operation: Operation
    cap: int | None = None
    cap_name: str = ""
    role: str = "system"
    system: str = ""
    instructions: str | None = None
    verbosity: bytes = b""
    fields: tuple[tuple[str, bytes], ...] = ()


class Question(NamedTuple):
    """A plain question.

    Attributes:
        text: the user's words.
        shared: everything else.
    """

    text: str
    shared: Shared


class _Part(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["text", "input_text"]
    text: str


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    role: Literal["system", "developer", "user"]
    content: str | list[_Part]
    type: Literal["message"] | None = None


class _Both(msgspec.Struct, forbid_unknown_fields=True):
    """Fields of both dialects. What is `Raw` is not looked at."""

    model: str | None = None
    stream: bool | None = None
    store: bool | None = None
    temperature: msgspec.Raw = ABSENT
    top_p: msgspec.Raw = ABSENT
    user: msgspec.Raw = ABSENT
    safety_identifier: msgspec.Raw = ABSENT
    service_tier: msgspec.Raw = ABSENT
    prompt_cache_key: msgspec.Raw = ABSENT


class _Chat(_Both, forbid_unknown_fields=True):
    messages: list[_Message] = []
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: Literal[1] | None = None
    frequency_penalty: msgspec.Raw = ABSENT
    presence_penalty: msgspec.Raw = ABSENT
    reasoning_effort: msgspec.Raw = ABSENT
    verbosity: msgspec.Raw = ABSENT


class _Format(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["text"]


class _Text(msgspec.Struct, forbid_unknown_fields=True):
    format: _Format | None = None
    verbosity: msgspec.Raw = ABSENT


class _Responses(_Both, forbid_unknown_fields=True):
    input: str | list[_Message] = ""
    instructions: str | None = None
    max_output_tokens: int | None = None
    reasoning: msgspec.Raw = ABSENT
    text: _Text | None = None


_CHAT = ObjectReader(_Chat)
_RESPONSES = ObjectReader(_Responses)


def read(operation: Operation, body: Body) -> Question | None:
    """A question, if it is plain and small.

    Example:
        >>> read(Operation.CHAT, Body(b'{"messages": [{"role": "user", "content": "Hi"}], "temperature": 0.50}'))
        Question(text='Hi', shared=Shared(..., fields=(('temperature', b'0.50'),)))
        >>> read(Operation.CHAT, Body(b'{"messages": [{"role": "user", "content": "Hi"}], "tools": []}'))
    """
    try:
        if operation is Operation.CHAT:
            return _chat(_CHAT.read(body.raw))
        if operation is Operation.RESPONSES:
            return _responses(_RESPONSES.read(body.raw))
    except BadRequestError:
        # It says something that is not known here, or is malformed: then the provider says so.
        pass
    return None


def _chat(asked: _Chat) -> Question | None:
    both = asked.max_tokens is not None and asked.max_completion_tokens is not None
    if asked.stream or asked.store or both:
        return None
    name = "max_tokens" if asked.max_tokens is not None else "max_completion_tokens"
    shared = Shared(Operation.CHAT, getattr(asked, name), name, fields=_rest(asked))
    return _question(asked.messages, shared)


def _responses(asked: _Responses) -> Question | None:
    # What is not told otherwise is stored, with what was asked.
    if asked.stream or asked.store is not False:
        return None
    messages = [_Message("user", asked.input)] if isinstance(asked.input, str) else asked.input
    verbosity = b"" if asked.text is None else bytes(asked.text.verbosity)
    shared = Shared(
        Operation.RESPONSES,
        asked.max_output_tokens,
        "max_output_tokens",
        instructions=asked.instructions,
        verbosity=b"" if verbosity == b"null" else verbosity,
        fields=_rest(asked),
    )
    return _question(messages, shared)


def _rest(asked: msgspec.Struct) -> tuple[tuple[str, bytes], ...]:
    found = [(name, getattr(asked, name)) for name in asked.__struct_fields__]
    # Sorted: the order in which they came means nothing.
    return tuple(sorted((name, bytes(raw)) for name, raw in found if isinstance(raw, msgspec.Raw) and len(raw)))


def _question(messages: list[_Message], shared: Shared) -> Question | None:
    if not messages:
        return None
    *before, last = messages
    if last.role != "user" or len(before) > 1 or any(one.role == "user" for one in before):
        return None
    if shared.cap is not None and not 0 < shared.cap <= LONGEST_ANSWER:
        return None
    text = _words(last)
    system = _words(before[0]) if before else ""
    if text is None or system is None or not text.strip() or len(text.encode()) > LONGEST:
        return None
    return Question(text, shared._replace(system=system, role=before[0].role) if before else shared)


def _words(message: _Message) -> str | None:
    if isinstance(message.content, str):
        return message.content
    return message.content[0].text if len(message.content) == 1 else None


def write(model: str, shared: Shared, texts: Mapping[str, str]) -> bytes:
    """The request that asks all of them.

    Args:
        model: whom to ask.
        shared: what they have in common.
        texts: the user's words, by id.
    """
    items = _encode({"items": [{"id": name, "text": text} for name, text in texts.items()]}).decode()
    told = "\n\n".join(part for part in (shared.instructions, shared.system, ASKED) if part)
    body: dict[str, Any] = {"model": model}
    if shared.operation is Operation.CHAT:
        body["messages"] = [{"role": shared.role, "content": told}, {"role": "user", "content": items}]
        body["response_format"] = {"type": "json_schema", "json_schema": SCHEMA}
    else:
        body |= {"instructions": told, "input": items, "store": False}
        body["text"] = {"format": {"type": "json_schema", **SCHEMA}}
        if shared.verbosity:
            body["text"]["verbosity"] = msgspec.Raw(shared.verbosity)
    if shared.cap is not None:
        # Within JSON a text is somewhat longer.
        body[shared.cap_name] = (shared.cap + shared.cap // 8 + ENTRY) * len(texts)
    return _encode(body | {name: msgspec.Raw(raw) for name, raw in shared.fields})


def answers(text: str) -> dict[str, str]:
    """What was answered, by id, of whatever text came: only what can be told for certain, and is no empty text.

    Example:
        >>> answers('{"answers": [{"id": "a", "answer": "yes"}, {"id": "b", "answer": "no"}, {"id": "c", "ans')
        {'a': 'yes', 'b': 'no'}
        >>> answers('{"answers": [{"id": "a", "answer": "yes"}, {"id": "a", "answer": "no"}]}')
        {}
    """
    # Servers that hold no model to a schema let it write what it is used to: a fenced block.
    text = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        # Of an answer that was cut off, what is whole stands.
        told = from_json(text, allow_partial=True)
    except ValueError:
        return {}
    entries = told.get("answers") if isinstance(told, dict) else None
    found: dict[str, str] = {}
    twice = set()
    for entry in entries if isinstance(entries, list) else ():
        name, said = (entry.get("id"), entry.get("answer")) if isinstance(entry, dict) else (None, None)
        if not (isinstance(name, str) and isinstance(said, str) and said.strip()):
            continue
        if name in found:
            twice.add(name)
        found[name] = said
    return {name: said for name, said in found.items() if name not in twice}


def tell(raw: bytes, shared: Shared, said: str, *, name: str, usage: TokenUsage | None) -> bytes:
    """The answer to one of them, as if it had been asked alone.

    Args:
        raw: the answer to all of them, which was read.
        shared: what they have in common.
        said: the answer.
        name: of the call.
        usage: its share; None if nobody knows.
    """
    try:
        view = msgspec.json.decode(raw)
    except UNREADABLE:
        # A lone surrogate somewhere; nothing of it is needed.
        view = {}
    if shared.operation is Operation.CHAT:
        kept = {
            field: view[field] for field in ("created", "model", "service_tier", "system_fingerprint") if field in view
        }
        message: dict[str, Any] = {"role": "assistant", "content": said, "refusal": None, "annotations": []}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        told = {"id": f"chatcmpl-{name}", "object": "chat.completion", **kept, "choices": [choice]}
        return _encode(told if usage is None else {**told, "usage": chat_usage(usage)})
    kept = {field: view[field] for field in _ECHOED if field in view}
    part = {"type": "output_text", "text": said, "annotations": [], "logprobs": []}
    item = {"id": f"msg_{name}", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    verbosity = {"verbosity": msgspec.Raw(shared.verbosity)} if shared.verbosity else {}
    told = {
        "id": f"resp_{name}",
        "object": "response",
        **kept,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": shared.instructions,
        "max_output_tokens": shared.cap,
        "output": [item],
        "text": {"format": _TEXT, **verbosity},
        "store": False,
    }
    return _encode(told if usage is None else {**told, "usage": responses_usage(usage)})


_ECHOED: Final = (
    "created_at", "completed_at", "background", "model", "service_tier", "parallel_tool_calls", "temperature", "top_p",
    "tool_choice", "tools", "truncation", "top_logprobs", "metadata", "user", "safety_identifier",
    "previous_response_id", "reasoning",
)  # fmt: skip
"""Fields of a response that repeat what all have asked alike."""


def chat_usage(usage: TokenUsage) -> dict[str, Any]:
    """Usage in the words of Chat Completions."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def responses_usage(usage: TokenUsage) -> dict[str, Any]:
    """Usage in the words of Responses."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }
