"""Streams that break, over real sockets: never a truncated answer that looks like a whole one."""

import asyncio
import json
from typing import Any

import openai
import pytest

from headgate.stores.protocols import Query

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.parametrize("door", ["http", "process"]),
    pytest.mark.parametrize("api", ["chat", "responses"]),
]

WORDS = ("Gates ", "open ", "für alle \N{GRINNING FACE}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{ROCKET}.")


def _event(data: dict[str, Any], *, name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def _chunk(delta: dict[str, Any], *, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _event(
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}
    )


def _named(kind: str, number: int, **more: Any) -> bytes:
    return _event({"type": kind, "sequence_number": number, **more}, name=kind)


def _response(status: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": "".join(WORDS), "annotations": []}]
    item = {"id": "msg", "type": "message", "role": "assistant", "status": status, "content": content}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": status,
        "output": [item] if status == "completed" else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 3,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 8,
        }
        if status == "completed"
        else None,
    }


def _said(api: str) -> list[bytes]:
    """An answer up to its last word."""
    if api == "chat":
        return [_chunk({"role": "assistant", "content": ""}), *(_chunk({"content": word}) for word in WORDS)]
    place = {"item_id": "msg", "output_index": 0, "content_index": 0, "logprobs": []}
    words = (_named("response.output_text.delta", n, delta=word, **place) for n, word in enumerate(WORDS, 1))
    return [_named("response.created", 0, response=_response("in_progress")), *words]


def _end(api: str) -> list[bytes]:
    """What follows the last word, but for `[DONE]`."""
    if api == "chat":
        usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
        return [_chunk({}, finish="stop"), _event({"id": "c", "model": "m", "choices": [], "usage": usage})]
    return [_named("response.completed", 9, response=_response("completed"))]


ERROR = {"message": "The server had an error.", "type": "server_error", "code": "server_error", "param": None}
BROKEN = {
    "cut": (None,),
    "ended": (...,),
    "ended in order": (),
    "stalled": (3600.0,),
    "malformed": (b'data: {"choices": [{"index": 0, "del\n\n',),
    "half an event": (b'data: {"choices":',),
    "not UTF-8": (b'data: {"choices": [], "x": "\xff"}\n\n',),
    "not an object": (b"data: [1]\n\n",),
    "error inside": (_event({"error": ERROR}),),
    "error event": (_event({**ERROR, "type": "error", "error": ERROR}, name="error"),),
    "done too early": (b"data: [DONE]\n\n",),
}


def _told(stand, door, story, **up):
    async def whole():
        async with stand(door, up=up) as at:
            return await story(at)

    return asyncio.run(whole())


async def _listen(sdk: openai.AsyncOpenAI, api: str, heard: list[str]) -> None:
    """Ask for a stream and hear it to its end."""
    if api == "chat":
        messages: Any = [{"role": "user", "content": "Hi"}]
        async for chunk in await sdk.chat.completions.create(model="m", messages=messages, stream=True):
            heard.extend(choice.delta.content or "" for choice in chunk.choices)
        return
    async for event in await sdk.responses.create(model="m", input="Hi", stream=True):
        heard.extend([event.delta] if event.type == "response.output_text.delta" else [])


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_stream_raises(door, api, how, stand, streamed):
    """The words that came, then an error from the SDK; one call and one counted attempt, both failed, in the books."""
    heard: list[str] = []

    async def story(at):
        at.upstream.answer = lambda _: streamed(*_said(api), *BROKEN[how], end=how != "ended")
        with pytest.raises(openai.APIError) as caught:
            await _listen(at.sdk, api, heard)
        rows = [row async for row in at.gate.rows(Query())]
        return caught.value, rows, at.gate.meter.counters, at.connections()

    error, rows, counters, connections = _told(stand, door, story, timeout={"silence": 0.2})
    assert type(error) is openai.APIError
    assert "".join(heard) == "".join(WORDS)
    assert error.body["message"]
    (row,) = rows
    assert (row.settled, row.basis, row.stream) == ("billed", "counted", True)
    assert row.error_type is not None
    assert (counters.calls, counters.errors, counters.in_flight) == (1, 1, 0)
    # What is left of a broken answer must not be read as the next one; these two were whole as far as HTTP can tell.
    assert connections == (how in {"ended in order", "half an event"})


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_stream_never_says_done(door, api, how, stand, streamed):
    """On the wire: the provider's bytes as far as they can be trusted, then one error event, and no end mark."""

    async def story(at):
        at.upstream.answer = lambda _: streamed(*_said(api), *BROKEN[how], end=how != "ended")
        path = "chat/completions" if api == "chat" else "responses"
        return await at.http.post(path, json={"model": "m", "messages": [], "input": "Hi", "stream": True})

    answer = _told(stand, door, story, timeout={"silence": 0.2})
    said = b"".join(_said(api))
    assert answer.content.startswith(said)
    (told,) = answer.content.removeprefix(said).split(b"\n\n")[:-1]
    assert b"[DONE]" not in answer.content
    assert b"completed" not in told
    last = json.loads(told.partition(b"data: ")[2])
    assert set(last["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("how", ["end marks missing", "end marks cut", "done", "without its blank line"])
def test_a_missing_done_is_no_error(door, api, how, stand, streamed):
    """A finished answer is whole, with or without `[DONE]`, however the connection ends."""
    done: dict[str, tuple[Any, ...]] = {
        "end marks missing": (),
        "end marks cut": (None,),
        "done": (b"data: [DONE]\n\n",),
        "without its blank line": (b"data: [DONE]",),
    }
    heard: list[str] = []

    async def story(at):
        at.upstream.answer = lambda _: streamed(*_said(api), *_end(api), *done[how])
        await _listen(at.sdk, api, heard)
        return [row async for row in at.gate.rows(Query())], at.gate.meter.counters

    (row,), counters = _told(stand, door, story)
    assert "".join(heard) == "".join(WORDS)
    assert (row.settled, row.basis, row.error_type) == ("billed", "reported", None)
    assert (row.prompt_tokens, row.completion_tokens) == (3, 5)
    assert (counters.errors, counters.in_flight) == (0, 0)


@pytest.mark.parametrize("by", ["chunk", "segment"])
def test_a_character_in_pieces_arrives_whole(door, api, by, stand, streamed):
    """Cut at every byte: into HTTP chunks, or into TCP segments that end inside a chunk."""
    heard: list[str] = []
    events = b"".join([*_said(api), *_end(api)])

    async def story(at):
        if by == "chunk":
            script = streamed(*(bytes([byte]) for byte in events))
        else:
            head, *rest = streamed(events)
            script = [head, *(bytes([byte]) for byte in b"".join(rest))]
        at.upstream.answer = lambda _: script
        await _listen(at.sdk, api, heard)

    _told(stand, door, story)
    assert "".join(heard) == "".join(WORDS)


@pytest.mark.parametrize("how", ["cut", "ended", "ended in order", "stalled", "malformed", "error inside"])
def test_what_breaks_before_the_first_word_is_an_ordinary_error(door, api, how, stand, streamed):
    """The preamble is held back: the caller sees a status, and not the beginning of an answer."""

    async def story(at):
        preamble = _said(api)[0]
        at.upstream.answer = lambda _: streamed(preamble, *BROKEN[how], end=how != "ended")
        with pytest.raises(openai.APIStatusError) as caught:
            await _listen(at.sdk, api, [])
        return caught.value, [row async for row in at.gate.rows(Query())]

    error, (row,) = _told(stand, door, story, timeout={"first_token": 0.2})
    assert error.status_code == (504 if how == "stalled" else 502)
    assert error.response.headers["x-request-id"] == f"req_{row.call_id}"
    assert error.response.headers["x-should-retry"] == "false"
    assert row.settled == "unknown"
