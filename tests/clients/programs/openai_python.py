"""The official OpenAI client for Python, 3.x and 2.x alike: chat and Responses, sync and async."""

import asyncio
import json
from typing import Any

from openai import AsyncOpenAI, NotFoundError, OpenAI
from telling import API_KEY, BASE_URL, EMBEDDING_MODEL, FIRST, MODEL, SECOND, SUNNY, TELL, TEXTS, WEATHER, tell

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "get_weather", "description": "The weather in a city.", "parameters": SCHEMA}
TOOL: Any = {"type": "function", "function": FUNCTION}
ASKED: Any = [{"role": "user", "content": FIRST}]


def tell_chat(door: str, task: str, chat: Any) -> Any:
    """Tell of a whole chat answer; gives its message."""
    message = chat.choices[0].message
    saw = {"text": message.content, "tokens": [chat.usage.prompt_tokens, chat.usage.completion_tokens]}
    for call in message.tool_calls or []:
        saw |= {"tool": call.function.name, "arguments": json.loads(call.function.arguments)}
    tell(door, task, **saw, request_id=chat._request_id)
    return message


def tell_stream(door: str, chunks: list[Any], request_id: str | None) -> None:
    """Tell of a streamed chat answer."""
    usage = chunks[-1].usage
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    tokens = [usage.prompt_tokens, usage.completion_tokens]
    tell(door, "stream", text=text, tokens=tokens, request_id=request_id)


def tell_vectors(door: str, made: Any) -> None:
    """Tell of embeddings."""
    tell(door, "embedding", vectors=[one.embedding for one in made.data], tokens=[made.usage.prompt_tokens, 0])


def tell_error(door: str, error: NotFoundError) -> None:
    """Tell of what was raised."""
    saw = {"error": type(error).__name__, "status": error.status_code, "code": error.code}
    tell(door, "error", **saw, request_id=error.request_id)


def talk_sync() -> None:
    """Chat, without `async`."""
    client = OpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0)

    chat = client.chat.completions.create(model=MODEL, messages=ASKED)
    said = tell_chat("sync", "conversation", chat)
    told = [*ASKED, said, {"role": "user", "content": SECOND}]
    tell_chat("sync", "conversation", client.chat.completions.create(model=MODEL, messages=told))

    options: Any = {"include_usage": True}
    told = [{"role": "user", "content": TELL}]
    stream = client.chat.completions.create(model=MODEL, messages=told, stream=True, stream_options=options)
    tell_stream("sync", list(stream), stream.response.headers["x-request-id"])

    told = [{"role": "user", "content": WEATHER}]
    said = tell_chat("sync", "tool", client.chat.completions.create(model=MODEL, messages=told, tools=[TOOL]))
    told += [said, {"role": "tool", "tool_call_id": said.tool_calls[0].id, "content": SUNNY}]
    tell_chat("sync", "tool", client.chat.completions.create(model=MODEL, messages=told, tools=[TOOL]))

    try:
        client.chat.completions.create(model="no-such-model", messages=ASKED)
    except NotFoundError as error:
        tell_error("sync", error)

    tell_vectors("sync", client.embeddings.create(model=EMBEDDING_MODEL, input=TEXTS))
    tell_vectors("sync", client.embeddings.create(model=EMBEDDING_MODEL, input=TEXTS, encoding_format="float"))


async def talk_async() -> None:
    """Chat, with `async`."""
    async with AsyncOpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0) as client:
        chat = await client.chat.completions.create(model=MODEL, messages=ASKED)
        said = tell_chat("async", "conversation", chat)
        told = [*ASKED, said, {"role": "user", "content": SECOND}]
        tell_chat("async", "conversation", await client.chat.completions.create(model=MODEL, messages=told))

        options: Any = {"include_usage": True}
        told = [{"role": "user", "content": TELL}]
        stream = await client.chat.completions.create(model=MODEL, messages=told, stream=True, stream_options=options)
        tell_stream("async", [chunk async for chunk in stream], stream.response.headers["x-request-id"])

        told = [{"role": "user", "content": WEATHER}]
        chat = await client.chat.completions.create(model=MODEL, messages=told, tools=[TOOL])
        said = tell_chat("async", "tool", chat)
        told += [said, {"role": "tool", "tool_call_id": said.tool_calls[0].id, "content": SUNNY}]
        tell_chat("async", "tool", await client.chat.completions.create(model=MODEL, messages=told, tools=[TOOL]))

        try:
            await client.chat.completions.create(model="no-such-model", messages=ASKED)
        except NotFoundError as error:
            tell_error("async", error)

        tell_vectors("async", await client.embeddings.create(model=EMBEDDING_MODEL, input=TEXTS))
        made = await client.embeddings.create(model=EMBEDDING_MODEL, input=TEXTS, encoding_format="float")
        tell_vectors("async", made)


def tell_response(task: str, response: Any, request_id: str | None = None) -> list[Any]:
    """Tell of an answer of Responses; gives the calls of tools in it."""
    calls = [item for item in response.output if item.type == "function_call"]
    saw = {"text": response.output_text, "tokens": [response.usage.input_tokens, response.usage.output_tokens]}
    for call in calls:
        saw |= {"tool": call.name, "arguments": json.loads(call.arguments)}
    tell("responses", task, **saw, request_id=request_id or response._request_id)
    return calls


def talk_responses() -> None:
    """Responses: the second question names the first answer, which the provider keeps."""
    client = OpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0)

    first = client.responses.create(model=MODEL, input=FIRST)
    tell_response("conversation", first)
    second = client.responses.create(model=MODEL, input=SECOND, previous_response_id=first.id)
    tell_response("conversation", second)

    with client.responses.stream(model=MODEL, input=TELL) as stream:
        final = stream.get_final_response()
        tell_response("stream", final, stream._raw_stream.response.headers["x-request-id"])

    tool: Any = {"type": "function", "strict": False, **FUNCTION}
    called = client.responses.create(model=MODEL, input=WEATHER, tools=[tool])
    (call,) = tell_response("tool", called)
    result: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": SUNNY}]
    done = client.responses.create(model=MODEL, input=result, tools=[tool], previous_response_id=called.id)
    tell_response("tool", done)

    try:
        client.responses.create(model="no-such-model", input=FIRST)
    except NotFoundError as error:
        tell_error("responses", error)


talk_sync()
asyncio.run(talk_async())
talk_responses()
