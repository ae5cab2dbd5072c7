"""Whole answers as streams and streams as whole answers: the same words, calls, ids and usage."""

import asyncio
import json

import httpx2
import openai
import pytest

from headgate.core.call import Operation
from headgate.core.reply import Kind
from headgate.dialects.openai_replay import as_events, as_whole, may_be_repeated
from headgate.dialects.registry import DIALECTS
from headgate.dialects.sse import Decoder

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
LOGPROBS = {"content": [{"token": "H", "logprob": -0.1, "bytes": [72], "top_logprobs": []}], "refusal": None}
FUNCTION = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
CUSTOM = {"id": "call_2", "type": "custom", "custom": {"name": "c", "input": "x y"}}


def choice(index=0, finish="stop", logprobs=None, **said):
    """One choice of a chat."""
    message = {"role": "assistant", "content": None, "refusal": None, **said}
    return {"message": message, "logprobs": logprobs, "finish_reason": finish, "index": index}


def chat(*choices, **more):
    """A whole chat."""
    facts = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "service_tier": "default"}
    return {**facts, "system_fingerprint": "fp", **more, "choices": list(choices), "usage": USAGE}


def message(text, **more):
    """An item of a response."""
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part], **more}


def response(*output, **more):
    """A whole response."""
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    facts = {"id": "resp_1", "object": "response", "created_at": 1, "completed_at": 2, "status": "completed"}
    return {**facts, "model": "m", "store": False, "output": list(output), "usage": usage, **more}


CHATS = [
    chat(choice(content="Hi, ä!")),
    chat(choice(content="")),
    chat(choice(content="Hi", logprobs=LOGPROBS)),
    chat(choice(finish="tool_calls", tool_calls=[FUNCTION, {**FUNCTION, "id": "call_3"}])),
    chat(choice(finish="tool_calls", content="Let me see.", tool_calls=[FUNCTION])),
    chat(choice(0, content="a"), choice(1, content="b")),
    chat(choice(content="Hi", reasoning_content="Hm.")),
    chat(choice(content="Hi", annotations=[{"type": "url_citation", "url_citation": {"url": "u"}}])),
    chat(choice(finish="function_call", function_call={"name": "f", "arguments": "{}"})),
]
CALL = {"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "call_1", "name": "f"}
RESPONSES = [
    response(message("Hi, ä!")),
    response({**CALL, "arguments": '{"a":1}'}),
    response({**CALL, "id": "ctc_1", "type": "custom_tool_call", "input": "x"}, message("And this.")),
    response(
        {
            "id": "rs_1",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "Hm."}],
            "content": [{"type": "reasoning_text", "text": "Hm, hm."}],
            "encrypted_content": "gAAA",
        },
        message("Hi"),
    ),
    response(message("Hi", phase="final_answer"), metadata={"a": "b"}),
]
TEXTS = [
    {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": "m",
        "choices": [{"text": "Hi", "index": 0, "logprobs": None, "finish_reason": "stop"}],
        "usage": USAGE,
    }
]
ALL = [
    *((Operation.CHAT, answer) for answer in CHATS),
    # Which the SDK cannot put together.
    (Operation.CHAT, chat(choice(finish="tool_calls", tool_calls=[FUNCTION, CUSTOM]))),
    *((Operation.RESPONSES, answer) for answer in RESPONSES),
    *((Operation.COMPLETIONS, answer) for answer in TEXTS),
]


def encoded(answer):
    """An answer's bytes."""
    return json.dumps(answer).encode()


@pytest.mark.parametrize(("operation", "answer"), ALL)
def test_there_and_back(operation, answer):
    """A whole answer comes back from its stream as it was; the dialect reads the same facts of both."""
    raw = encoded(answer)
    events = as_events(operation, raw)
    assert json.loads(as_whole(operation, events)) == answer
    whole = DIALECTS[operation].read_answer(raw)
    reader = DIALECTS[operation].read_stream(usage_wanted=False)
    read = [reader.read(event) for event in Decoder().feed(b"".join(events))]
    assert reader.complete
    assert [event.raw for event in read] == events
    assert "".join(event.text for event in read) == whole.text
    assert sum(event.size for event in read) == whole.size
    assert [event.finish for event in read if event.kind is Kind.TERMINAL] == [whole.finish]
    assert [event.usage for event in read if event.usage is not None] == [whole.usage]
    assert [event.hidden for event in read if event.usage is not None] == [operation is not Operation.RESPONSES]
    assert may_be_repeated(operation, raw)


def client_of(stream):
    """The SDK in front of a server that always answers with this stream."""

    def answer(_):
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream)

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    return openai.AsyncOpenAI(api_key="unused", base_url="http://gate/v1", http_client=http, max_retries=0)


@pytest.mark.parametrize("answer", CHATS)
def test_the_sdk_puts_our_chunks_together(answer):
    """Its own accumulation of our stream is the whole answer."""

    async def read():
        async with (
            client_of(b"".join(as_events(Operation.CHAT, encoded(answer)))) as client,
            client.chat.completions.stream(model="m", messages=[], stream_options={"include_usage": True}) as stream,
        ):
            return await stream.get_final_completion()

    found = asyncio.run(read()).model_dump(exclude_unset=True)
    assert found["id"] == answer["id"]
    assert found["usage"] == answer["usage"]
    for got, wanted in zip(found["choices"], answer["choices"], strict=True):
        said = wanted["message"]
        assert got["finish_reason"] == wanted["finish_reason"]
        assert (got["message"].get("content") or None) == (said["content"] or None)
        calls = got["message"].get("tool_calls") or []
        for call, asked in zip(calls, said.get("tool_calls", ()), strict=True):
            kind = asked["type"]
            assert (call["id"], call["type"]) == (asked["id"], kind)
            assert asked[kind].items() <= call[kind].items()


@pytest.mark.parametrize("answer", RESPONSES)
def test_the_sdk_reads_our_response_events(answer):
    """Typed, numbered, each piece in its place; the last one holds the whole response."""

    async def read():
        async with client_of(b"".join(as_events(Operation.RESPONSES, encoded(answer)))) as client:
            stream = await client.responses.create(model="m", input="Hi", stream=True)
            return [event async for event in stream]

    events = asyncio.run(read())
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1].type == "response.completed"
    assert events[-1].response.model_dump(exclude_unset=True)["output"] == answer["output"]
    assert events[0].response.output == []
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said == events[-1].response.output_text


def test_the_simulators_streams_go_together():
    """Chunks of many shapes: a role first, words one by one, calls of tools in pieces, usage at the end."""
    chunks = [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "a"},
        {"content": "b", "role": "assistant"},
        {"tool_calls": [{"index": 0, **FUNCTION, "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
        {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "f", "arguments": ":1}"}}]},
        {"tool_calls": [{"index": 1, **CUSTOM}]},
    ]
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "usage": None}
    pieces = [{"index": 0, "delta": delta, "finish_reason": None, "logprobs": None} for delta in chunks]
    pieces.append({"index": 0, "delta": {}, "finish_reason": "tool_calls"})
    events = [b"data: " + encoded({**head, "choices": [piece], "obfuscation": "x"}) + b"\n\n" for piece in pieces]
    events += [b"data: " + encoded({**head, "choices": [], "usage": USAGE}) + b"\n\n", b"data: [DONE]\n\n"]
    found = json.loads(as_whole(Operation.CHAT, [b": a comment\n\n", *events]))
    assert found == {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": USAGE,
        "choices": [choice(finish="tool_calls", content="ab", tool_calls=[FUNCTION, CUSTOM])],
    }  # fmt: skip


@pytest.mark.parametrize(
    "deltas",
    [
        [{"tool_calls": [{"index": 1, **FUNCTION}]}],
        [{"tool_calls": [{**FUNCTION}]}],
        [{"mood": "good"}, {"mood": "bad"}],
        [{"content": "a"}, {"content": ["b"]}],
    ],
)
def test_what_is_not_understood_is_not_put_together(deltas):
    """Rather no answer than another one."""
    head = {"id": "c", "object": "chat.completion.chunk"}
    events = [b"data: " + encoded({**head, "choices": [{"delta": delta}]}) + b"\n\n" for delta in deltas]
    assert as_whole(Operation.CHAT, events) is None


@pytest.mark.parametrize(
    ("operation", "raw"),
    [
        (Operation.CHAT, b"[]"),
        (Operation.CHAT, b'{"choices": [{}]}'),
        (Operation.CHAT, b"[" * 100_000),
        (Operation.RESPONSES, b'{"output": [{"type": "message", "content": [{"type": "new"}]}]}'),
        (Operation.EMBEDDINGS, b'{"data": [{}]}'),
    ],
)
def test_what_is_not_understood_has_no_stream(operation, raw):
    """Rather no answer than another one."""
    assert as_events(operation, raw) is None


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        (Operation.CHAT, chat(choice(finish="length", content="Once"))),
        (Operation.CHAT, chat(choice(finish="content_filter", content="Once"))),
        (Operation.CHAT, chat(choice(finish=None, content="Once"))),
        (Operation.CHAT, chat(choice(content="a"), choice(1, finish="length", content="b"))),
        (Operation.CHAT, chat(choice(refusal="I will not."))),
        (Operation.CHAT, {**chat(choice(content="a")), "error": {"message": "x"}}),
        (Operation.CHAT, chat()),
        (Operation.RESPONSES, response(message("Once"), status="incomplete")),
        (Operation.RESPONSES, response(message("Once"), incomplete_details={"reason": "max_output_tokens"})),
        (Operation.RESPONSES, response(message("Once"), store=True)),
        (Operation.RESPONSES, response(message("Once"), status="queued")),
        (Operation.RESPONSES, response({"id": "ws_1", "type": "web_search_call"}, message("Once"))),
        (Operation.RESPONSES, response(message("", content=[{"type": "refusal", "refusal": "I will not."}]))),
        (Operation.COMPLETIONS, {"choices": [{"text": "a", "finish_reason": "length"}]}),
        (Operation.EMBEDDINGS, {"data": []}),
    ],
)
def test_what_is_not_given_again(operation, answer):
    """Cut off, filtered, refused, failed, kept by the provider, or looked up in the world."""
    assert not may_be_repeated(operation, encoded(answer))


def test_what_has_one_form_is_given_again_in_it():
    """Embeddings, moderations and pictures."""
    assert may_be_repeated(Operation.EMBEDDINGS, b'{"data": [{"embedding": [0.1]}]}')
    assert may_be_repeated(Operation.MODERATIONS, b'{"results": [{}]}')
    assert as_whole(Operation.EMBEDDINGS, []) is None
    assert not may_be_repeated(Operation.IMAGES, b"no JSON")
