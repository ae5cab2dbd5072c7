"""An answer that was whole, as a stream, and one that was a stream, as a whole; and whether it may be given again.

Decides how the same words, calls, ids and usage look in the other form. Refuses to know who asks, and who keeps
answers. What it does not understand, it does not put together: then there is no other form.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from headgate.core.call import Operation
from headgate.dialects import sse
from headgate.dialects.openai_fields import UNREADABLE
from headgate.dialects.openai_refusals import refused
from headgate.dialects.openai_replay_responses import response_events, response_in
from headgate.dialects.openai_said import parsed

STREAMED = frozenset((Operation.CHAT, Operation.RESPONSES, Operation.COMPLETIONS))
"""Operations whose answers have both forms."""
_DONE = b"data: [DONE]\n\n"
_FINISHED = frozenset(("stop", "tool_calls", "function_call"))
_ITEMS = frozenset(("message", "function_call", "custom_tool_call", "reasoning"))
_GROWS = frozenset(("arguments", "content", "input", "reasoning", "reasoning_content", "refusal", "text", "transcript"))
"""Texts that come in pieces. Every other text comes whole, and may be repeated."""
_KINDS = {"chat.completion.chunk": "chat.completion", "text_completion": "text_completion"}
_ANY = msgspec.json.Decoder()
_OBJECT = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode


class _UnsureError(ValueError):
    """Nobody can say how this goes together."""


def may_be_repeated(operation: Operation, whole: bytes) -> bool:
    """Whether a whole answer is complete, no refusal, and the provider's own to nobody: then it may be given again.

    Example:
        >>> may_be_repeated(Operation.CHAT, b'{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}')
        True
        >>> may_be_repeated(Operation.CHAT, b'{"choices": [{"message": {"content": "Hi"}, "finish_reason": "length"}]}')
        False
    """
    try:
        answer = _OBJECT.decode(whole)
    except UNREADABLE:
        return False
    if answer.get("error"):
        return False
    if operation is Operation.RESPONSES:
        output = answer.get("output")
        return (
            answer.get("status") == "completed"
            and not answer.get("incomplete_details")
            and not answer.get("store")
            and not answer.get("background")
            and isinstance(output, list)
            and all(isinstance(item, dict) and item.get("type") in _ITEMS for item in output)
            and refused(answer) is None
        )
    if operation in STREAMED:
        choices = answer.get("choices")
        return (
            isinstance(choices, list)
            and bool(choices)
            and all(isinstance(choice, dict) and choice.get("finish_reason") in _FINISHED for choice in choices)
            and refused(answer) is None
        )
    return bool(answer.get("data") or answer.get("results"))


def as_events(operation: Operation, whole: bytes) -> list[bytes] | None:
    """The events of a stream that says what a whole answer says; None where that is not understood."""
    try:
        answer = _OBJECT.decode(whole)
        if operation is Operation.RESPONSES:
            return response_events(answer)
        return _chunks(answer, chat=operation is Operation.CHAT) if operation in STREAMED else None
    except (*UNREADABLE, KeyError, TypeError, ValueError, AttributeError):
        return None


def as_whole(operation: Operation, events: Iterable[bytes]) -> bytes | None:
    """The whole answer that says what a complete stream says; None where that is not understood."""
    try:
        if operation is Operation.RESPONSES:
            return response_in(events)
        return _joined(events, chat=operation is Operation.CHAT) if operation in STREAMED else None
    except (*UNREADABLE, KeyError, TypeError, ValueError, AttributeError):
        return None


def _chunks(answer: dict[str, Any], *, chat: bool) -> list[bytes]:
    identity = {name: value for name, value in answer.items() if name not in {"choices", "usage"}}
    if chat:
        identity["object"] = "chat.completion.chunk"

    def chunk(choices: Sequence[Any], **more: Any) -> bytes:
        return sse.write(_encode({**identity, "choices": choices, **more}))

    # All choices are begun before any of them ends: readers count those that were begun.
    pieces: list[tuple[int, dict[str, Any]]] = []
    for choice in answer["choices"]:
        begun = {"index": choice.get("index", 0), "logprobs": None, "finish_reason": None}
        said = _pieces(choice) if chat else _texts(choice)
        pieces += [(at, {**begun, **piece}) for at, piece in said]
    found = [chunk([piece]) for _, piece in sorted(pieces, key=lambda placed: placed[0])]
    if answer.get("usage") is not None:
        found.append(chunk([], usage=answer["usage"]))
    return [*found, _DONE]


def _pieces(choice: dict[str, Any]) -> Iterable[tuple[int, dict[str, Any]]]:
    """The role (0), everything that is said and the calls of tools (1), and the end (2)."""
    message = choice["message"]
    calls = message.get("tool_calls") or ()
    begun = "" if message.get("content") is not None else None
    yield 0, {"delta": {"role": message.get("role", "assistant"), "content": begun, "refusal": None}}
    said = {name: value for name, value in message.items() if name not in {"role", "tool_calls"} and value}
    if said:
        yield 1, {"delta": said, "logprobs": choice.get("logprobs")}
    for index, call in enumerate(calls):
        yield 1, {"delta": {"tool_calls": [{"index": index, **call}]}}
    rest = {name: value for name, value in choice.items() if name not in {"index", "message", "logprobs"}}
    yield 2, {"delta": {}, **rest}


def _texts(choice: dict[str, Any]) -> Iterable[tuple[int, dict[str, Any]]]:
    yield 1, {"text": choice["text"], "logprobs": choice.get("logprobs")}
    yield 2, {"text": "", "finish_reason": choice.get("finish_reason")}


def _joined(events: Iterable[bytes], *, chat: bool) -> bytes:
    answer: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    usage = None
    for raw in events:
        data = parsed(raw)[1]
        if not data or data.strip().startswith(b"[DONE]"):
            continue
        chunk = _OBJECT.decode(data)
        usage = chunk.get("usage") or usage
        for name, value in chunk.items():
            if name not in {"choices", "usage", "obfuscation"} and answer.get(name) is None:
                answer[name] = value
        for piece in chunk.get("choices") or ():
            index = piece.get("index") or 0
            choice = choices.setdefault(index, {"index": index})
            for name, value in piece.items():
                if name != "index":
                    choice[name] = _grown(name, choice.get(name), value)
    answer["object"] = _KINDS[answer["object"]]
    answer["choices"] = [_choice(choices[index], chat=chat) for index in sorted(choices)]
    if usage is not None:
        answer["usage"] = usage
    return _encode(answer)


def _choice(choice: dict[str, Any], *, chat: bool) -> dict[str, Any]:
    if not chat:
        return {"text": "", "logprobs": None, "finish_reason": None, **choice}
    said = choice.pop("delta")
    for call in said.get("tool_calls") or ():
        del call["index"]
    if said.get("tool_calls") and not said.get("content"):
        # A stream says that there are no words as it likes; a whole answer says null.
        said["content"] = None
    message = {"role": "assistant", "content": None, "refusal": None, **said}
    return {"message": message, "logprobs": None, "finish_reason": None, **choice}


def _grown(name: str, old: Any, new: Any) -> Any:
    """What a field is, that was something before and now comes again.

    Raises:
        _UnsureError: it could be this or that.
    """
    if old is None or new is None:
        return _copied(name, new) if old is None else old
    if isinstance(old, str) and isinstance(new, str):
        if name in _GROWS:
            return old + new
        if old and new and old != new:
            raise _UnsureError(name)
        return old or new
    if isinstance(old, list) and isinstance(new, list):
        return _longer(name, old, new)
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{inner: _grown(inner, old.get(inner), value) for inner, value in new.items()}}
    if old != new:
        raise _UnsureError(name)
    return old


def _copied(name: str, new: Any) -> Any:
    if isinstance(new, dict):
        return {inner: _copied(inner, value) for inner, value in new.items()}
    return _longer(name, [], new) if isinstance(new, list) else new


def _longer(name: str, old: list[Any], new: list[Any]) -> list[Any]:
    if name != "tool_calls":
        return old + new
    for call in new:
        index = call["index"]
        if index > len(old):
            raise _UnsureError(name)
        now = call if index == len(old) else _grown("", old[index], call)
        old = [*old[:index], now, *old[index + 1 :]]
    return old
