"""Streams that break and go on at another target, over real sockets."""

import asyncio
import json
from typing import Any

import openai
import pytest

from headgate.gate.tasks import Tasks
from headgate.stores.protocols import Query

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.parametrize("door", ["http", "process"]),
    pytest.mark.parametrize("api", ["chat", "responses"]),
]

WORDS = ("Gates ", "open ", "für alle \N{GRINNING FACE}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{ROCKET}.")
TEXT = "".join(WORDS)
ROUTE = {
    "m": {
        "recovery": "continue",
        "targets": [{"provider": "up", "model": "a"}, {"provider": "up", "model": "b", "priority": 2}],
    }
}


def _event(data: dict[str, Any], *, name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def _chat(model: str, words: tuple[str, ...]) -> list[bytes]:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _event(
            {"id": model, "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice]}
        )

    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    said = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": word}) for word in words)]
    return [*said, chunk({}, "stop"), _event({"id": model, "choices": [], "usage": usage}), b"data: [DONE]\n\n"]


def _responses(model: str, words: tuple[str, ...]) -> list[bytes]:
    part = {"type": "output_text", "text": "".join(words), "annotations": []}
    item = {"id": f"msg_{model}", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    usage = {
        "input_tokens": 3, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 8,
    }  # fmt: skip
    whole = {
        "id": f"resp_{model}", "object": "response", "created_at": 1, "model": model, "parallel_tool_calls": True,
        "tool_choice": "auto", "tools": [], "store": False,
    }  # fmt: skip
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    place = {"item_id": f"msg_{model}", "output_index": 0, "content_index": 0}
    steps: list[tuple[str, dict[str, Any]]] = [
        ("created", {"response": begun}),
        ("output_item.added", {"output_index": 0, "item": {**item, "content": []}}),
        ("content_part.added", {**place, "part": {**part, "text": ""}}),
        *(("output_text.delta", {**place, "delta": word, "logprobs": []}) for word in words),
        ("output_text.done", {**place, "text": "".join(words), "logprobs": []}),
        ("content_part.done", {**place, "part": part}),
        ("output_item.done", {"output_index": 0, "item": item}),
        ("completed", {"response": {**whole, "status": "completed", "output": [item], "usage": usage}}),
    ]
    return [
        _event({"type": f"response.{kind}", "sequence_number": number, **facts}, name=f"response.{kind}")
        for number, (kind, facts) in enumerate(steps)
    ]


def _answer(api: str, model: str, words: tuple[str, ...] = WORDS) -> list[bytes]:
    return (_chat if api == "chat" else _responses)(model, words)


def _body(api: str) -> dict[str, Any]:
    asked = {"messages": [{"role": "user", "content": "Hi"}]} if api == "chat" else {"input": "Hi", "store": False}
    return {"model": "m", "stream": True, **asked}


async def _listen(sdk: openai.AsyncOpenAI, api: str, heard: list[str]) -> None:
    """Hear a stream to its end."""
    if api == "chat":
        async for chunk in await sdk.chat.completions.create(**_body(api)):
            heard.extend(choice.delta.content or "" for choice in chunk.choices)
        return
    async for event in await sdk.responses.create(**_body(api)):
        heard.extend([event.delta] if event.type == "response.output_text.delta" else [])


def _until(api: str, words: int) -> int:
    """How many events come until so many words were said."""
    return words + (1 if api == "chat" else 3)


def _told(stand, door, story):
    async def whole():
        async with stand(door, up={"timeout": {"silence": 0.2}}, models=ROUTE) as at:
            return await story(at)

    return asyncio.run(whole())


@pytest.mark.parametrize("how", ["cut", "stalled", "ended"])
def test_it_arrives_whole(door, api, how, stand, streamed):
    """By the official SDK's own account; one beginning and one end; both attempts are booked."""
    breaks: Any = {"cut": None, "stalled": 3600.0, "ended": ...}[how]

    async def story(at):
        def answer(seen):
            if seen.json["model"] == "b":
                return streamed(*_answer(api, "b", (TEXT[:3], TEXT[3:11], TEXT[11:])))
            return streamed(*_answer(api, "a")[: _until(api, 2)], breaks, end=False)

        at.upstream.answer = answer
        if api == "chat":
            async with at.sdk.chat.completions.stream(
                model="m", messages=[{"role": "user", "content": "Hi"}]
            ) as stream:
                text = (await stream.get_final_completion()).choices[0].message.content
        else:
            async with at.sdk.responses.stream(model="m", input="Hi", store=False) as stream:
                text = (await stream.get_final_response()).output_text
        raw = await at.http.post("chat/completions" if api == "chat" else "responses", json=_body(api))
        rows = [row async for row in at.gate.rows(Query())]
        return text, raw.content, rows, at.gate.meter.counters

    text, raw, rows, counters = _told(stand, door, story)
    assert text == TEXT
    assert raw.count(b"data: [DONE]\n\n") == (api == "chat")
    assert raw.count(b'"role": "assistant"' if api == "chat" else b"response.created\ndata") == 1
    assert b"resp_b" not in raw
    attempts = [("a", "billed", "counted"), ("b", "billed", "reported")]
    assert sorted((row.model, row.settled, row.basis) for row in rows) == sorted(attempts * 2)
    assert (counters.calls, counters.errors, counters.in_flight) == (2, 0, 0)


def test_another_answer_ends_in_the_first_error(door, api, stand, streamed):
    """The words of the first target alone, then its error, in-band."""
    heard: list[str] = []

    async def story(at):
        def answer(seen):
            if seen.json["model"] == "b":
                return streamed(*_answer(api, "b", ("Doors ", "close.")))
            return streamed(*_answer(api, "a")[: _until(api, 2)], None, end=False)

        at.upstream.answer = answer
        with pytest.raises(openai.APIError, match="broke after its first word"):
            await _listen(at.sdk, api, heard)
        return [row async for row in at.gate.rows(Query())], at.gate.meter.counters

    rows, counters = _told(stand, door, story)
    assert "".join(heard) == "".join(WORDS[:2])
    assert sorted((row.model, row.basis, row.error_type) for row in rows) == [
        ("a", "counted", "stream_interrupted"), ("b", "counted", "cancelled"),
    ]  # fmt: skip
    assert (counters.calls, counters.errors, counters.in_flight) == (1, 1, 0)


def test_who_leaves_meanwhile_takes_the_second_answer_along(door, api, stand, streamed):
    """While it repeats what was said, nothing is heard of it; its connection is closed all the same."""
    second = asyncio.Event()

    async def story(at):
        def answer(seen):
            if seen.json["model"] == "b":
                second.set()
                return streamed(*_answer(api, "b")[: _until(api, 1)], 3600.0, end=False)
            return streamed(*_answer(api, "a")[: _until(api, 2)], None, end=False)

        at.upstream.answer = answer
        reading = Tasks().start(_listen(at.sdk, api, []), "reader")
        await second.wait()
        await asyncio.sleep(0.05)
        reading.cancel()
        async with asyncio.timeout(1):
            await at.upstream.left.wait()
        with pytest.raises(asyncio.CancelledError):
            await reading
        # Settled before the connection was closed.
        assert at.gate.meter.counters.in_flight == 0
        return [row async for row in at.gate.rows(Query())]

    async def whole():
        # A limit of silence would end it as well.
        async with stand(door, models=ROUTE) as at:
            return await story(at)

    rows = asyncio.run(whole())
    assert sorted((row.model, row.basis, row.error_type) for row in rows) == [
        ("a", "counted", "stream_interrupted"), ("b", "counted", "cancelled"),
    ]  # fmt: skip
