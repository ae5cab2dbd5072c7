"""Writes an answer in the words of Chat Completions, whole or as a stream."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from headgate.providers.simulator.plan import Plan, Said
from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.question import Question
from headgate.providers.simulator.script import Script, Step

_encode = msgspec.json.encode
_PADDING = "aB3dE6gH9jK2mN5p"
DONE = b"data: [DONE]\n\n"
"""The end of a stream."""


class Identity(msgspec.Struct, frozen=True):
    """What names an answer.

    Attributes:
        key: 48 hexadecimal digits that no other answer of this simulator has.
        created: seconds since 1970.
        fingerprint: of the system that answered.
        ended: seconds since 1970; None: at once.
    """

    key: str
    created: int
    fingerprint: str
    ended: int | None = None


def _tool_call(said: Said, identity: Identity, index: int, arguments: str) -> dict[str, Any]:
    assert said.tool is not None
    call_id = f"call_{identity.key[:23]}{index}"
    name = said.tool.name
    if said.tool.custom:
        return {"id": call_id, "type": "custom", "custom": {"name": name, "input": arguments}}
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def whole_chat(question: Question, plan: Plan, identity: Identity, usage: dict[str, Any] | None) -> bytes:
    """The body of a whole answer; without a usage it is left out."""
    choices = []
    for index, said in enumerate(plan.answers):
        message: dict[str, Any] = {"role": "assistant", "content": said.text, "refusal": None, "annotations": []}
        if said.refuses:
            message |= {"content": None, "refusal": said.text}
        if said.tool is not None:
            message["content"] = None
            message["tool_calls"] = [_tool_call(said, identity, index, said.text)]
        choices.append({"index": index, "message": message, "logprobs": None, "finish_reason": said.finish})
    answer: dict[str, Any] = {
        "id": "chatcmpl-" + identity.key[:29],
        "object": "chat.completion",
        "created": identity.created,
        "model": question.model.name,
        "choices": choices,
    }
    if usage is not None:
        answer["usage"] = usage
    answer["service_tier"] = question.tier
    answer["system_fingerprint"] = identity.fingerprint
    return _encode(answer)


def stream_chat(
    question: Question, plan: Plan, identity: Identity, usage: dict[str, Any] | None, *, done: bool
) -> Script:
    """A streamed answer. `done`: end with `[DONE]`; without a usage its chunk is left out."""
    write = _writer(question, identity)
    opening = []
    for index, said in enumerate(plan.answers):
        content = '""' if said.tool is None and not said.refuses else "null"
        delta = f'{{"role":"assistant","content":{content},"refusal":null}}'.encode()
        opening.append(write(index, delta, None, 0))
    return Script(
        b"".join(opening),
        _body(question, plan, identity, usage, write, done=done),
        sum(len(said.tokens) for said in plan.answers),
        chat_error,
    )


_Write = Callable[[int, bytes, str | None, int], bytes]


def _writer(question: Question, identity: Identity) -> _Write:
    """Writes a chunk: everything that is the same in all of them is put together once."""
    head = b'data: {"id":"chatcmpl-%s","object":"chat.completion.chunk","created":%d,"model":%s,' % (
        identity.key[:29].encode(),
        identity.created,
        _encode(question.model.name),
    )
    head += b'"service_tier":"%s","system_fingerprint":"%s","choices":[{"index":' % (
        question.tier.encode(),
        identity.fingerprint.encode(),
    )
    usage = b',"usage":null' if question.usage_wanted else b""
    obfuscate = question.obfuscate

    def write(index: int, delta: bytes, finish: str | None, length: int) -> bytes:
        reason = b"null" if finish is None else b'"%s"' % finish.encode()
        padding = b',"obfuscation":"%s"' % _PADDING[length:].encode() if obfuscate else b""
        return b'%s%d,"delta":%s,"logprobs":null,"finish_reason":%s}]%s%s}\n\n' % (
            head, index, delta, reason, usage, padding,
        )  # fmt: skip

    return write


def _body(
    question: Question,
    plan: Plan,
    identity: Identity,
    usage: dict[str, Any] | None,
    write: _Write,
    *,
    done: bool,
) -> Iterator[Step]:
    hidden = sum(said.reasoning for said in plan.answers)
    for index, said in enumerate(plan.answers):
        if said.tool is not None:
            call = {"index": 0, **_tool_call(said, identity, index, "")}
            yield Step(write(index, _encode({"tool_calls": [call]}), None, 0), 1 + hidden)
            hidden = 0
    # All answers side by side, token by token, each ending when it is done.
    for at in range(max(len(said.tokens) for said in plan.answers)):
        for index, said in enumerate(plan.answers):
            if at < len(said.tokens):
                token = said.tokens[at]
                yield Step(write(index, _delta(said, token), None, len(token)), 1 + hidden, visible=True)
                hidden = 0
    for index, said in enumerate(plan.answers):
        yield Step(write(index, b"{}", said.finish, 0), hidden)
        hidden = 0
    if question.usage_wanted and usage is not None:
        last = {
            "id": "chatcmpl-" + identity.key[:29],
            "object": "chat.completion.chunk",
            "created": identity.created,
            "model": question.model.name,
            "service_tier": question.tier,
            "system_fingerprint": identity.fingerprint,
            "choices": [],
            "usage": usage,
        }
        if question.obfuscate:
            last["obfuscation"] = _PADDING
        yield Step(b"data: " + _encode(last) + b"\n\n")
    if done:
        yield Step(DONE)


def _delta(said: Said, token: str) -> bytes:
    if said.refuses:
        return b'{"refusal":%s}' % _encode(token)
    if said.tool is None:
        return b'{"content":%s}' % _encode(token)
    if said.tool.custom:
        return b'{"tool_calls":[{"index":0,"custom":{"input":%s}}]}' % _encode(token)
    return b'{"tool_calls":[{"index":0,"function":{"arguments":%s}}]}' % _encode(token)


def chat_error(code: str | None, type: str | None) -> bytes:  # noqa: A002  the API's word
    """An error as the last event of a stream."""
    problem = Problem(500, "Simulated fault in the stream.", type=type or "server_error", code=code or "server_error")
    return b"data: " + problem.body() + b"\n\n"
