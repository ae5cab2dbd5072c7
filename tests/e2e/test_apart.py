"""Many calls over few connections: each caller gets the answer to its own question."""

import asyncio
import json
from hashlib import blake2b

import httpx2
import openai
import pytest

from headgate.stores.protocols import Query

pytestmark = pytest.mark.e2e

CALLERS, ROUNDS, CONNECTIONS = 100, 3, 40


def _echo(whole, streamed):
    """Answers that repeat the question, in an order of their own; each is as long as its question says."""

    def answer(seen):
        question = seen.json["messages"][0]["content"]
        dice = blake2b(question.encode(), digest_size=2).digest()
        # A third of the answers take a while, so that later questions overtake earlier ones.
        pause = dice[0] / 255 * 0.05 if dice[1] % 3 == 0 else 0.0
        usage = {"prompt_tokens": len(question), "completion_tokens": 1, "total_tokens": len(question) + 1}
        fields = {"id": question, "created": 1, "model": question}
        if not seen.json.get("stream"):
            message = {"role": "assistant", "content": question}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            body = {**fields, "object": "chat.completion", "choices": [choice], "usage": usage}
            return [pause, *whole(json.dumps(body).encode())] if pause else whole(json.dumps(body).encode())
        chunks = [{"choices": [{"index": 0, "delta": {"content": letter}}]} for letter in question]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage})
        events = [b"data: %b\n\n" % json.dumps({**fields, **chunk}).encode() for chunk in chunks]
        if pause:
            events.insert(len(events) // 2, pause)
        return streamed(*events, b"data: [DONE]\n\n")

    return answer


@pytest.mark.parametrize("door", ["http", "process"])
def test_answers_are_kept_apart(door, stand, whole, streamed):
    """A hundred callers at once, whole and streamed, three rounds over kept connections: words, usage, rows."""

    async def story():
        async with stand(door) as at:
            at.upstream.answer = _echo(whole, streamed)
            sdk = at.sdk
            if door == "http":
                limits = httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
                client = httpx2.AsyncClient(limits=limits, timeout=httpx2.Timeout(20), trust_env=False)
                sdk = openai.AsyncOpenAI(
                    base_url=f"{at.address}/v1", api_key="unused", http_client=client, max_retries=0
                )
            wrong = []

            async def caller(number: int) -> None:
                for turn in range(ROUNDS):
                    question = f"caller {number}, turn {turn}: {'x' * (number % 7)}"
                    messages = [{"role": "user", "content": question}]
                    if (number + turn) % 2:
                        answer = await sdk.chat.completions.create(model="m", messages=messages)
                        heard, tokens = answer.choices[0].message.content, answer.usage.prompt_tokens
                    else:
                        heard, tokens = "", len(question)
                        async for chunk in await sdk.chat.completions.create(model="m", messages=messages, stream=True):
                            heard += chunk.choices[0].delta.content or ""
                            assert chunk.id == question
                    if (heard, tokens) != (question, len(question)):
                        wrong.append((question, heard, tokens))

            async with asyncio.TaskGroup() as group:
                for number in range(CALLERS):
                    group.create_task(caller(number))
            if door == "http":
                await sdk.close()
            rows = [row async for row in at.gate.rows(Query())]
            return wrong, rows, at.upstream.connections, at.gate.meter.counters

    wrong, rows, connections, counters = asyncio.run(story())
    assert wrong == []
    assert (counters.calls, counters.errors, counters.in_flight) == (CALLERS * ROUNDS, 0, 0)
    assert len({row.call_id for row in rows}) == len(rows) == CALLERS * ROUNDS
    # Each row's model is the question that this very answer echoed; so the usage is its own, too.
    assert all(row.prompt_tokens == len(row.model_served) and row.settled == "billed" for row in rows)
    assert len({row.model_served for row in rows}) == len(rows)
    assert connections <= (CONNECTIONS if door == "http" else CALLERS)
