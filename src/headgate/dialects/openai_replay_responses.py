"""A whole response as the events of a stream, and the whole response that a stream of them holds.

Decides which events say what an item says, in the order in which the API sends them, and what of a response is only an
echo of who asked: it is never another caller's. Refuses to know why an answer is given again. Every id is kept.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from headgate.dialects import sse
from headgate.dialects.openai_said import parsed

_CALLS = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
}
_PARTS = {
    "output_text": ("text", "response.output_text"),
    "refusal": ("refusal", "response.refusal"),
    "reasoning_text": ("text", "response.reasoning_text"),
}
_END = b"response.completed"
# Of a response that has only begun, this is not known.
_LATER: Mapping[str, Any] = {"status": "in_progress", "output": [], "usage": None, "completed_at": None}
_WIRE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANY = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode

_ECHOED = ("metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "user")
_RESPONSE = b'"response"'

Event = tuple[str, dict[str, Any]]


def echo(view: Mapping[str, Any]) -> dict[str, Any]:
    """What a response repeats of a request though it has no part in the answer.

    Example:
        >>> echo({"input": "Hi", "user": "u-1"})
        {'user': 'u-1'}
    """
    return {name: view[name] for name in _ECHOED if view.get(name) is not None}


def echoing(response: dict[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """The same response, repeating what this caller has told."""
    nothing: dict[str, Any] = {"metadata": {}}
    mine = {name: told.get(name, nothing.get(name)) for name in _ECHOED if name in response}
    return {**response, **mine}


def echoing_event(raw: bytes, told: Mapping[str, Any]) -> bytes:
    """The same event; where it holds the response, it repeats what this caller has told."""
    if _RESPONSE not in raw:
        return raw
    name, data = parsed(raw)
    wire = _ANY.decode(data or b"null")
    if not isinstance(wire, dict) or not isinstance(wire.get("response"), dict):
        return raw
    return sse.write(_encode({**wire, "response": echoing(wire["response"], told)}), name)


def response_in(events: Iterable[bytes]) -> bytes | None:
    """The whole response that the last event holds; None where none of them does."""
    found = None
    for raw in events:
        if _END in raw:
            name, data = parsed(raw)
            wire = _WIRE.decode(data or b"null")
            kind = _ANY.decode(wire["type"]).encode() if "type" in wire else name
            if kind == _END and "response" in wire:
                found = bytes(wire["response"])
    return found


def response_events(response: dict[str, Any]) -> list[bytes]:
    """The events of a stream that says what a whole response says."""
    begun = {**response, **{name: value for name, value in _LATER.items() if name in response}}
    events: list[Event] = [("response.created", {"response": begun}), ("response.in_progress", {"response": begun})]
    for index, item in enumerate(response["output"]):
        events += _item(item, index)
    events.append(("response.completed", {"response": response}))
    return [
        sse.write(_encode({"type": name, "sequence_number": number, **facts}), name.encode())
        for number, (name, facts) in enumerate(events)
    ]


def _item(item: dict[str, Any], index: int) -> Iterator[Event]:
    place = {"item_id": item.get("id"), "output_index": index}
    begun = {**item, **{name: [] for name in ("content", "summary") if isinstance(item.get(name), list)}}
    if "status" in item:
        begun["status"] = "in_progress"
    call = _CALLS.get(item["type"])
    if call is not None:
        begun[call[0]] = ""
    yield "response.output_item.added", {"output_index": index, "item": begun}
    if call is not None:
        field, name = call
        yield f"{name}.delta", {**place, "delta": item[field]}
        named = {"name": item["name"]} if field == "arguments" else {}
        yield f"{name}.done", {**place, **named, field: item[field]}
    for number, part in enumerate(item.get("summary") or ()):
        yield from _summary(part, {**place, "summary_index": number})
    for number, part in enumerate(item.get("content") or ()):
        yield from _part(part, {**place, "content_index": number})
    yield "response.output_item.done", {"output_index": index, "item": item}


def _summary(part: dict[str, Any], place: dict[str, Any]) -> Iterator[Event]:
    yield "response.reasoning_summary_part.added", {**place, "part": {**part, "text": ""}}
    yield "response.reasoning_summary_text.delta", {**place, "delta": part["text"]}
    yield "response.reasoning_summary_text.done", {**place, "text": part["text"]}
    yield "response.reasoning_summary_part.done", {**place, "part": part}


def _part(part: dict[str, Any], place: dict[str, Any]) -> Iterator[Event]:
    field, name = _PARTS[part["type"]]
    logprobs = {"logprobs": part.get("logprobs") or []} if part["type"] == "output_text" else {}
    empty: dict[str, Any] = {name: [] for name in ("annotations", "logprobs") if name in part}
    yield "response.content_part.added", {**place, "part": {**part, **empty, field: ""}}
    yield f"{name}.delta", {**place, "delta": part[field], **logprobs}
    for number, annotation in enumerate(part.get("annotations") or ()):
        where = {**place, "annotation_index": number}
        yield "response.output_text.annotation.added", {**where, "annotation": annotation}
    yield f"{name}.done", {**place, field: part[field], **logprobs}
    yield "response.content_part.done", {**place, "part": part}
