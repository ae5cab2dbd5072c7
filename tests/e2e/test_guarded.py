"""The guard over real sockets: what is blocked is on no wire, and what is masked in no file."""

import asyncio
import json
import signal
import sys
from itertools import pairwise
from typing import Any

import httpx2
import openai
import pytest

from headgate.gate.ports import SystemChance

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

SECRET = "sk-" + "Zq7x" * 8
MARK = b"Zq7x"
TEXT = f"Dear friend, with the key {SECRET} the door opens. ACT \n NOW, before it is gone, says ÄCT Öne."
SHOWN = TEXT.replace(SECRET, "[openai_key]")
BLOCK = {"kind": "patterns", "name": "deal", "patterns": [r"\bact\s{1,3}now\b"]}
MASK = {"kind": "secrets", "name": "keys", "action": "mask"}
PATHS = {"chat": "chat/completions", "completions": "completions", "responses": "responses"}
ASKED: dict[str, Any] = {
    "chat": {"messages": [{"role": "user", "content": "Hi"}]},
    "completions": {"prompt": "Hi"},
    "responses": {"input": "Hi"},
}


def event(data, name=""):
    """One event of a stream."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def events(api, pieces):
    """An answer in pieces, as a provider gives it."""
    if api != "responses":

        def chunk(word, finish=None):
            said = {"text": word} if api == "completions" else {"delta": {"content": word}}
            choice = {"index": 0, **said, "finish_reason": finish}
            return event(
                {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
            )

        return [*map(chunk, pieces), chunk("", "stop"), b"data: [DONE]\n\n"]
    text, where = "".join(pieces), {"item_id": "msg", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"id": "msg", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    facts = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "tools": [], "tool_choice": "auto"}
    facts |= {"parallel_tool_calls": True, "store": False}
    told = [
        {"type": "response.created", "response": {**facts, "status": "in_progress", "output": []}},
        *({"type": "response.output_text.delta", **where, "delta": piece, "logprobs": []} for piece in pieces),
        {"type": "response.output_text.done", **where, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **where, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {**facts, "status": "completed", "output": [item]}},
    ]
    return [event({**one, "sequence_number": number}, one["type"]) for number, one in enumerate(told)]


def cuttings():
    """Ways to cut a text: each letter by itself, all at once, and some by chance."""
    chance = SystemChance(7)
    yield list(TEXT)
    yield [TEXT]
    for many in range(2, 26, 4):
        places = sorted({0, len(TEXT), *(int(chance.random() * len(TEXT)) for _ in range(many))})
        yield [TEXT[a:b] for a, b in pairwise(places)]


def words(api, raw):
    """What a client puts together."""
    found = ""
    for line in raw.decode().splitlines():
        if not line.startswith("data: {"):
            continue
        data = json.loads(line.removeprefix("data: "))
        if api == "responses":
            found += data["delta"] if data.get("type", "").endswith(".delta") else ""
        else:
            for choice in data.get("choices", ()):
                found += choice.get("text") or choice.get("delta", {}).get("content") or ""
    return found


async def heard(sdk, api):
    """What the official SDK hears, and how it ends."""
    found, error = "", None
    asked = {"model": "m", "stream": True, **ASKED[api]}
    try:
        if api == "responses":
            async for one in await sdk.responses.create(**asked):
                found += one.delta if one.type == "response.output_text.delta" else ""
        elif api == "chat":
            async for one in await sdk.chat.completions.create(**asked):
                found += "".join(choice.delta.content or "" for choice in one.choices)
        else:
            async for one in await sdk.completions.create(**asked):
                found += "".join(choice.text for choice in one.choices)
    except openai.APIError as caught:
        error = caught
    return found, error


@pytest.mark.parametrize("door", ["http", "process"])
@pytest.mark.parametrize("api", PATHS)
def test_however_it_is_cut_nothing_blocked_is_on_the_wire(api, door, stand, streamed):
    """Neither the words nor their first letters; the key is masked; the official SDK hears the same, and the error."""
    before = SHOWN[: SHOWN.index("ACT")]

    async def blocked():
        async with stand(door, policies={"guard": {"output": [BLOCK, MASK]}}) as at:
            for pieces in cuttings():
                at.upstream.answer = lambda _, pieces=pieces: streamed(*events(api, pieces))
                answer = await at.http.post(PATHS[api], json={"model": "m", "stream": True, **ASKED[api]})
                assert MARK not in answer.content
                assert b"ACT" not in answer.content
                assert b"[DONE]" not in answer.content
                assert b"completed" not in answer.content
                assert before.startswith(words(api, answer.content))
                last = json.loads(answer.content.strip().rpartition(b"data: ")[2] or answer.content)
                assert last["error"]["code"] == "blocked"
                assert last["error"]["guard"]["rule"] == "deal"
                told, error = await heard(at.sdk, api)
                assert before.startswith(told)
                assert error is not None
                assert (error.body or {}).get("code", error.code) == "blocked"
            assert at.gate.meter.counters.in_flight == 0

    async def masked():
        async with stand(door, policies={"guard": {"output": [MASK]}}) as at:
            for pieces in cuttings():
                at.upstream.answer = lambda _, pieces=pieces: streamed(*events(api, pieces))
                answer = await at.http.post(PATHS[api], json={"model": "m", "stream": True, **ASKED[api]})
                assert MARK not in answer.content
                assert words(api, answer.content) == SHOWN
                assert await heard(at.sdk, api) == (SHOWN, None)

    asyncio.run(blocked())
    asyncio.run(masked())


MODERATION = {"kind": "moderation", "name": "mod"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("side", ["input", "output"])
def test_a_moderation_that_is_down_closes_or_opens_as_declared(side, stream, tmp_path, serve):
    """Over HTTP: 503 `guard_unavailable` and not a word of the answer, or all of it."""
    rule = {**MODERATION, **({"buffer": "sentence"} if side == "output" else {})}
    rules = [{**rule, "models": ["closed"]}, {**rule, "models": ["opened"], "on_failure": "open"}]
    fault = {"kind": "status", "status": 500}
    providers = {"words": {"type": "simulator"}, "judge": {"type": "simulator", "faults": [fault], "max_retries": 0}}
    routes: dict[str, Any] = {"omni-moderation-latest": {"targets": [{"provider": "judge"}]}}
    routes |= {name: {"targets": [{"provider": "words", "model": "gpt-6-luna"}]} for name in ("closed", "opened")}
    given = {"store": "memory://", "providers": providers, "models": routes, "policies": {"guard": {side: rules}}}
    (tmp_path / "headgate.yaml").write_text(json.dumps(given))

    async def story():
        async with serve(tmp_path) as at, httpx2.AsyncClient(base_url=f"{at.address}/v1/", timeout=30) as http:
            for api in ("chat", "responses"):
                asked = {"stream": stream, **ASKED[api]}
                closed = await http.post(PATHS[api], json={"model": "closed", **asked})
                assert closed.status_code == 503
                assert closed.json()["error"]["code"] == "guard_unavailable"
                opened = await http.post(PATHS[api], json={"model": "opened", **asked})
                assert opened.status_code == 200
                assert words(api, opened.content) if stream else opened.json()
                if not stream:
                    assert opened.headers["x-headgate-guard"] == f"flag {side} mod"

    asyncio.run(story())


EFFORT = {"reasoning_effort": "none"}
NAMES = (
    "gpt-6-luna", "gpt-3.5-turbo-instruct", "text-embedding-3-small", "gpt-image-2", "gpt-4o-mini-tts",
    "omni-moderation-latest",
)  # fmt: skip


def asking():
    """Requests with the secret wherever a caller may write: path, body, headers."""
    key = f"the key {SECRET} here"
    tool = {"id": "1", "type": "function", "function": {"name": "f", "arguments": json.dumps({"k": key})}}
    declared = {"type": "function", "function": {"name": "f", "description": key}}
    chat = {"messages": [{"role": "system", "content": key}, {"role": "user", "content": "Hi"}], "user": SECRET}
    talk: list[Any] = [{"role": "user", "content": [{"type": "text", "text": key}]}]
    talk += [{"role": "assistant", "tool_calls": [tool]}, {"role": "tool", "tool_call_id": "1", "content": key}]
    for up in ("", "up/"):
        luna = {"model": f"{up}gpt-6-luna"}
        for stream in (False, True):
            yield "chat/completions", {**luna, "stream": stream, **chat, "tools": [declared], **EFFORT}, {}
            yield "responses", {**luna, "stream": stream, "input": key, "instructions": key, "user": SECRET}, {}
            yield "completions", {"model": f"{up}gpt-3.5-turbo-instruct", "stream": stream, "prompt": [key]}, {}
        yield "chat/completions", {**luna, "messages": talk, "metadata": {"k": key}, **EFFORT}, {}
        yield "embeddings", {"model": f"{up}text-embedding-3-small", "input": [key], "user": SECRET}, {}
        yield "images/generations", {"model": f"{up}gpt-image-2", "prompt": key, "user": SECRET}, {}
        yield "audio/speech", {"model": f"{up}gpt-4o-mini-tts", "input": key, "voice": "alloy"}, {}
        yield "moderations", {"model": f"{up}omni-moderation-latest", "input": key}, {}
    chat["model"] = "gpt-6-luna"
    yield "chat/completions", {**chat, SECRET: key}, {}
    yield "chat/completions", {**chat, "temperature": key}, {}
    yield "chat/completions", {**chat, "model": "nobody"}, {}
    yield "chat/completions", {**chat, "model": SECRET}, {}
    yield "chat/completions", {**chat, "model": f"up/{SECRET}"}, {"x-headgate-tags": f"note={SECRET}"}
    yield "chat/completions", {**chat, "stop": "acme corp"}, {}
    yield "chat/completions", chat, {"x-headgate-tags": f"note={SECRET}", "idempotency-key": "1"}
    yield "chat/completions", {**chat, "user": f"acme corp {SECRET}"}, {}


def test_a_masked_secret_is_in_no_answer_no_request_and_no_file(tmp_path, serve, recording, whole):
    """Planted everywhere, then grepped: a simulator's log, what a provider got, answers, log, journal, books, cache."""
    found: list[bytes] = []
    echo = json.dumps({"error": {"message": "No.", "type": "x", "code": "y"}}).encode()

    async def story():
        async with (
            recording().listening() as upstream,
            serve(tmp_path, "simulate", "--log", "arrived.jsonl") as simulated,
        ):
            upstream.answer = lambda _: whole(echo, status=400)
            hosted = {"type": "openai", "api_key": "k", "responses": True}
            given = {
                "server": {"log_level": "debug"},
                "store": "sqlite:///books.db",
                "journal": {"path": "journal"},
                "providers": {
                    "sim": {**hosted, "base_url": f"{simulated.address}/v1"},
                    "up": {**hosted, "base_url": f"{upstream.address}/v1"},
                },
                "models": {
                    "*": {"targets": [{"provider": "sim"}], "cache": True},
                    **{f"up/{name}": {"targets": [{"provider": "up", "model": name}], "cache": True} for name in NAMES},
                },
                "policies": {"guard": {"input": [MASK, {"kind": "words", "name": "rivals", "words": ["acme corp"]}]}},
            }
            (tmp_path / "headgate.yaml").write_text(json.dumps(given))
            with (tmp_path / "said.txt").open("wb") as said:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "headgate", "serve", "--port", "0", cwd=tmp_path, stdout=said, stderr=said,
                    env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
                )  # fmt: skip
                try:
                    async with asyncio.timeout(30):
                        while b"listens on http" not in (text := (tmp_path / "said.txt").read_bytes()):
                            assert process.returncode is None, text
                            await asyncio.sleep(0.05)
                    address = text.split(b"listens on ")[1].split()[0].decode()
                    async with httpx2.AsyncClient(base_url=f"{address}/v1/", timeout=30) as http:
                        for path, body, headers in asking():
                            answer = await http.post(path, json=body, headers=headers)
                            found.append(f"{answer.status_code} {path} {answer.headers} ".encode() + answer.content)
                finally:
                    # Stopped hard: what is in the journal stays there, too.
                    process.send_signal(signal.SIGKILL)
                    await process.wait()
            return [seen.line.encode() + repr(seen.headers).encode() + seen.body for seen in upstream.seen]

    got = asyncio.run(story())
    statuses = [int(answer[:3]) for answer in found]
    assert statuses[:11] == [200] * 11
    assert statuses[11:22] == [400] * 11
    assert statuses[22:] == [200, 400, 404, 404, 404, 403, 200, 403]
    assert len(got) >= 10
    assert sum(b"[openai_key]" in body for body in got) >= 10, "what is masked was sent"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"said.txt", "arrived.jsonl", "books.db"} <= {path.name for path in files}
    assert any("journal" in str(path) for path in files)
    everything = [*found, *got, *(str(path).encode() + path.read_bytes() for path in files)]
    assert any(b"gpt-6-luna" in one for one in everything)
    leaks = [one[max(one.index(MARK) - 200, 0) :][:300] for one in everything if MARK in one]
    assert leaks == []
