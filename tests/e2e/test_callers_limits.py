"""A key's own limits at the real HTTP door: the answer's head, and the official SDK that obeys it."""

import asyncio
import hashlib
import json

import pytest

pytestmark = pytest.mark.e2e
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-6-luna",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Paris"}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
    }
).encode()  # fmt: skip
ASK = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Name a city in France."}]}
KEY = {"authorization": "Bearer hg-callers-own"}


def on_a_server(stand, whole, story, **limits):
    """Run a story at the HTTP door of a gate that asks for keys."""

    async def run():
        key = {"name": "web", "sha256": hashlib.sha256(b"hg-callers-own").hexdigest(), "limits": limits}
        async with stand("http", server={"port": 0, "auth": "keys"}, keys=[key]) as standing:
            told = [*[("content-type", "application/json")], ("x-ratelimit-remaining-requests", "4999")]
            standing.upstream.answer = lambda _seen: whole(ANSWER, headers=told)
            return await story(standing)

    return asyncio.run(run())


def test_a_refusal_says_what_when_and_how_much(stand, whole):
    """429 in OpenAI's shape, with `Retry-After` and `x-ratelimit-*`, and without a word against trying again."""

    async def story(standing):
        return [await standing.http.post("chat/completions", json=ASK, headers=KEY) for _ in range(2)]

    good, refused = on_a_server(stand, whole, story, requests_per_minute=1)
    assert (good.status_code, refused.status_code) == (200, 429)
    assert good.headers["x-ratelimit-limit-requests"] == "1"
    assert good.headers["x-ratelimit-remaining-requests"] == "0", "ours, not the provider's"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert 55 <= int(refused.headers["retry-after"]) <= 60
    assert "x-should-retry" not in refused.headers
    error = refused.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("rate_limit_error", "rate_limit_exceeded", None)
    assert "'web'" in error["message"]
    assert "`requests_per_minute` is 1" in error["message"]


def test_the_sdk_waits_as_it_is_told_and_comes_back(stand, whole):
    """Two calls at once where one a second is allowed: both are answered, the second a second later, nothing else."""

    async def story(standing):
        loop, ends = asyncio.get_running_loop(), []
        start = loop.time()

        async def ask() -> None:
            raw = await standing.sdk.with_options(max_retries=1).chat.completions.with_raw_response.create(**ASK)
            assert raw.parse().choices[0].message.content == "Paris"
            ends.append((loop.time() - start, raw.retries_taken))

        await asyncio.gather(ask(), ask())
        return sorted(ends), len(standing.upstream.seen)

    (first, second), seen = on_a_server(stand, whole, story, requests_per_minute=60, spread=True)
    assert (first[1], second[1], seen) == (0, 1, 2)
    assert second[0] >= 0.99
