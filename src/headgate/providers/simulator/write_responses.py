"""Writes an answer in the words of Responses, whole or as a stream of numbered events."""

from collections.abc import Iterator
from typing import Any

import msgspec

from headgate.providers.simulator.plan import Plan, Said
from headgate.providers.simulator.question import Question
from headgate.providers.simulator.script import Script, Step
from headgate.providers.simulator.write_chat import Identity

_encode = msgspec.json.encode
_PADDING = "aB3dE6gH9jK2mN5p"
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def _response(
    question: Question,
    identity: Identity,
    status: str,
    *,
    output: list[Any] | None = None,
    usage: Any = None,
    reason: str | None = None,
    error: dict[str, str] | None = None,
    ended: int | None = None,
) -> dict[str, Any]:
    echo = dict(question.echo)
    echo.pop("encrypted", None)
    return {
        "id": "resp_" + identity.key,
        "object": "response",
        "created_at": identity.created,
        "completed_at": ended,
        "status": status,
        "background": question.background,
        "error": error,
        "incomplete_details": None if reason is None else {"reason": reason},
        "model": question.model.name,
        "output": output or [],
        "service_tier": "auto" if ended is None else question.tier,
        "usage": usage,
        **echo,
    }


class _Items:
    """The output items of an answer, begun and finished."""

    def __init__(self, question: Question, said: Said, identity: Identity) -> None:
        self.said = said
        self._key = identity.key
        self._encrypted = bool(question.echo.get("encrypted"))
        self.status = "incomplete" if said.finish in _INCOMPLETE else "completed"
        self.text = said.text

    def reasoning(self) -> dict[str, Any] | None:
        """The item that stands for the thinking, if there was any."""
        if not self.said.reasoning:
            return None
        item: dict[str, Any] = {"id": "rs_" + self._key, "type": "reasoning", "summary": []}
        if self._encrypted:
            item["encrypted_content"] = "gAAAAAB" + self._key
        return item

    def part(self, text: str) -> dict[str, Any]:
        """The one part of a message."""
        if self.said.refuses:
            return {"type": "refusal", "refusal": text}
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def item(self, *, done: bool) -> dict[str, Any]:
        """The message or the call."""
        tool = self.said.tool
        status = self.status if done else "in_progress"
        text = self.text if done else ""
        if tool is None:
            content = [self.part(text)] if done else []
            return {
                "id": "msg_" + self._key,
                "type": "message",
                "status": status,
                "role": "assistant",
                "content": content,
            }
        kind, prefix, field = (
            ("custom_tool_call", "ctc_", "input") if tool.custom else ("function_call", "fc_", "arguments")
        )
        call = {"call_id": "call_" + self._key[:24], "name": tool.name, field: text}
        return {"id": prefix + self._key, "type": kind, "status": status} | call

    def all(self) -> list[dict[str, Any]]:
        """Everything, finished."""
        reasoning = self.reasoning()
        return [self.item(done=True)] if reasoning is None else [reasoning, self.item(done=True)]


def whole_responses(question: Question, plan: Plan, identity: Identity, usage: dict[str, Any] | None) -> bytes:
    """The body of a whole answer."""
    return _encode(_ended(question, _Items(question, plan.answers[0], identity), identity, usage))


def pending_responses(question: Question, identity: Identity, status: str, error: dict[str, str] | None) -> bytes:
    """The body of an answer that is not there: not yet, not any more, or, with an error, never."""
    return _encode(_response(question, identity, status, error=error))


def output_items(question: Question, plan: Plan, identity: Identity) -> list[dict[str, Any]]:
    """The items of an answer."""
    return _Items(question, plan.answers[0], identity).all()


def _ended(question: Question, items: _Items, identity: Identity, usage: dict[str, Any] | None) -> dict[str, Any]:
    reason = _INCOMPLETE.get(items.said.finish)
    ended = identity.created if identity.ended is None else identity.ended
    return _response(question, identity, items.status, output=items.all(), usage=usage, reason=reason, ended=ended)


class _Events:
    """Numbers the events of one stream."""

    def __init__(self) -> None:
        self.number = 0

    def write(self, name: str, facts: dict[str, Any]) -> bytes:
        data = _encode({"type": name, "sequence_number": self.number, **facts})
        self.number += 1
        return b"event: %s\ndata: %s\n\n" % (name.encode(), data)


def stream_responses(
    question: Question,
    plan: Plan,
    identity: Identity,
    usage: dict[str, Any] | None,
    *,
    failure: dict[str, str] | None = None,
) -> Script:
    """A streamed answer. It has no `[DONE]`: its last event says that it ended.

    With a failure (`code` and `message`) it ends before its first word.
    """
    items = _Items(question, plan.answers[0], identity)
    events = _Events()
    begun = _response(question, identity, "in_progress")
    if question.background:
        queued = _response(question, identity, "queued")
        opening = events.write("response.created", {"response": queued})
        opening += events.write("response.queued", {"response": queued})
    else:
        opening = events.write("response.created", {"response": begun})
    opening += events.write("response.in_progress", {"response": begun})
    reasoning = None if failure else items.reasoning()
    if reasoning is not None:
        opening += events.write("response.output_item.added", {"output_index": 0, "item": reasoning})

    def error(code: str | None, type: str | None) -> bytes:  # noqa: A002, ARG001  there is no type in this dialect
        facts = {"code": code or "server_error", "message": "Simulated fault in the stream.", "param": None}
        return events.write("error", facts)

    if failure is not None:
        failed = _response(question, identity, "failed", error=failure)
        return Script(opening, iter((Step(events.write("response.failed", {"response": failed})),)), 0, error)
    body = _body(question, items, identity, events, usage)
    return Script(opening, body, len(items.said.tokens), error)


def _body(
    question: Question, items: _Items, identity: Identity, events: _Events, usage: dict[str, Any] | None
) -> Iterator[Step]:
    said = items.said
    reasoning = items.reasoning()
    at = 0
    if reasoning is not None:
        done = events.write("response.output_item.done", {"output_index": 0, "item": reasoning})
        yield Step(done, said.reasoning)
        at = 1
    begun = items.item(done=False)
    added = events.write("response.output_item.added", {"output_index": at, "item": begun})
    where = {"item_id": begun["id"], "output_index": at}
    if said.tool is None:
        yield Step(added)
        where["content_index"] = 0
        yield Step(events.write("response.content_part.added", {**where, "part": items.part("")}))
        name, extra, field = "response.output_text", b',"logprobs":[]', "text"
        if said.refuses:
            name, extra, field = "response.refusal", b"", "refusal"
    else:
        yield Step(added, 1)
        custom = said.tool.custom
        name = "response.custom_tool_call_input" if custom else "response.function_call_arguments"
        extra, field = b"", "input" if custom else "arguments"
    yield from _deltas(question, said, events, name=name, where=where, extra=extra)
    final: dict[str, Any] = {**where, field: items.text}
    if field == "text":
        final["logprobs"] = []
    yield Step(events.write(name + ".done", final))
    if said.tool is None:
        yield Step(events.write("response.content_part.done", {**where, "part": items.part(items.text)}))
    yield Step(events.write("response.output_item.done", {"output_index": at, "item": items.item(done=True)}))
    response = _ended(question, items, identity, usage)
    yield Step(events.write("response." + items.status, {"response": response}))


def _deltas(
    question: Question, said: Said, events: _Events, *, name: str, where: dict[str, Any], extra: bytes
) -> Iterator[Step]:
    """One event per token: everything that is the same in all of them is put together once."""
    name += ".delta"
    head = b'event: %s\ndata: {"type":"%s","sequence_number":' % (name.encode(), name.encode())
    middle = b"," + _encode(where)[1:-1] + b',"delta":'
    obfuscate = question.obfuscate
    for token in said.tokens:
        padding = b',"obfuscation":"%s"' % _PADDING[len(token) :].encode() if obfuscate else b""
        data = b"%s%d%s%s%s%s}\n\n" % (head, events.number, middle, _encode(token), extra, padding)
        events.number += 1
        yield Step(data, 1, visible=True)
