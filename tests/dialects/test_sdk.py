"""What we write into a stream, as the official OpenAI SDK reads it. No socket: its transport is a function."""

import asyncio

import httpx2
import openai
import pytest

from headgate.core.errors import TimeoutError as GateTimeoutError
from headgate.dialects.openai_chat import ChatDialect
from headgate.dialects.openai_responses import ResponsesDialect

CHUNK = b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Once"}}]}\n\n'
DELTA = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"Once","sequence_number":0,'
    b'"item_id":"i","output_index":0,"content_index":0,"logprobs":[]}\n\n'
)


def client_of(stream: bytes) -> openai.AsyncOpenAI:
    """The SDK in front of a server that always answers with this stream."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream)

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    return openai.AsyncOpenAI(api_key="unused", base_url="http://gate/v1", http_client=http, max_retries=0)


async def read_chat(stream: bytes, seen: list[str]) -> None:
    """Read a chat stream as the SDK's users do."""
    async with client_of(stream) as client:
        chunks = await client.chat.completions.create(model="m", messages=[], stream=True)
        async for chunk in chunks:
            seen.extend(choice.delta.content or "" for choice in chunk.choices)


async def read_responses(stream: bytes, seen: list[str]) -> None:
    """Read a stream of responses as the SDK's users do."""
    async with client_of(stream) as client:
        events = await client.responses.create(model="m", input="Hi", stream=True)
        async for event in events:
            seen.append(event.type)  # noqa: PERF401  what came before an error counts


@pytest.mark.parametrize(
    ("read", "dialect", "first", "shown"),
    [
        (read_chat, ChatDialect(), CHUNK, "Once"),
        (read_responses, ResponsesDialect(), DELTA, "response.output_text.delta"),
    ],
)
def test_the_sdk_raises_our_errors(read, dialect, first, shown):
    """An error in a stream is raised, with our code and type, after the words before it; it is never an event."""
    seen: list[str] = []
    error = GateTimeoutError("Nothing came for 30 s.")
    with pytest.raises(openai.APIError, match=r"Nothing came for 30 s\.") as caught:
        asyncio.run(read(first + dialect.write_error(error, sequence=1), seen))
    assert seen == [shown]
    assert (caught.value.code, caught.value.type) == ("upstream_timeout", "server_error")
