"""The simulator's answers, held against OpenAI's own descriptions: its OpenAPI document and its Python SDK.

Whole answers and every event of every stream are validated twice: against the document's schemas (`openapi.json`, which
`python -m tools.openapi` makes) and against the types of the installed SDK, strictly: no field of another type, none
that the type does not have, none missing. The document is three months older than the SDK: where they differ, the SDK
is right. `DIFFERENCES` has everything that is not so, and nothing else.

The SDK has no types for the events of speech, and the document none for errors inside of streams.
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from jsonschema import Draft202012Validator
from openai._models import construct_type
from openai.types import (
    Completion,
    CreateEmbeddingResponse,
    ImageEditStreamEvent,
    ImageGenStreamEvent,
    ImagesResponse,
    Model,
    ModerationCreateResponse,
)
from openai.types.audio import (
    Transcription,
    TranscriptionStreamEvent,
    TranscriptionVerbose,
    Translation,
    TranslationVerbose,
)
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.input_token_count_response import InputTokenCountResponse
from openai.types.shared import ErrorObject
from pydantic import BaseModel, TypeAdapter, ValidationError

from headgate.providers.simulator.png import draw
from headgate.providers.simulator.simulator import Simulator
from headgate.providers.simulator.sound import wav_head
from headgate.providers.simulator.visit import Request
from headgate.testing import VirtualClock, virtual_time

DOCS = Path(__file__).parents[3] / "docs" / "simulator.md"
COPY = json.loads(Path(__file__).with_name("openapi.json").read_text("utf-8"))
SCHEMAS = COPY["components"]["schemas"]


class Difference(NamedTuple):
    """Places where answers are not as a description says, and why."""

    than: str
    what: str
    places: str
    why: str


DIFFERENCES = (
    Difference(
        "the document",
        "another value",
        "ImagesResponse.size ImagesResponse.quality ImageGenPartialImageEvent.size ImageGenPartialImageEvent.quality "
        "ImageGenCompletedEvent.size ImageGenCompletedEvent.quality",
        "newer models draw other sizes and qualities; the SDK has them",
    ),
    Difference(
        "the document",
        "lacks a field",
        "ResponseFunctionCallArgumentsDoneEvent.name",
        "the SDK's event does not have it",
    ),
    Difference(
        "the document",
        "another type",
        "Response.user ResponseCreatedEvent.response.user ResponseInProgressEvent.response.user "
        "ResponseQueuedEvent.response.user ResponseCompletedEvent.response.user ResponseIncompleteEvent.response.user",
        "null where the caller named none, as the SDK has it",
    ),
    Difference(
        "the document",
        "another type",
        "Response.usage ResponseCreatedEvent.response.usage ResponseInProgressEvent.response.usage "
        "ResponseQueuedEvent.response.usage",
        "null until the answer is there, as the SDK has it",
    ),
    Difference(
        "the document",
        "another type",
        "CreateCompletionResponse.choices.finish_reason CreateCompletionResponse.usage",
        "the chunks of a stream are described like whole answers; both are null until its end",
    ),
    Difference("the SDK", "another value", "Completion.choices.finish_reason", "ditto"),
    Difference(
        "the document",
        "another type",
        "CreateEmbeddingResponse.data.embedding",
        "base64, where that was asked for",
    ),
    Difference("the SDK", "another type", "CreateEmbeddingResponse.data.embedding", "ditto; it decodes by itself"),
    Difference(
        "the document",
        "another value",
        "CreateChatCompletionStreamResponse.choices.delta.tool_calls.type",
        "calls of custom tools are streamed like those of functions; both descriptions forgot them",
    ),
    Difference("the SDK", "another value", "ChatCompletionChunk.choices.delta.tool_calls.type", "ditto"),
    Difference("the SDK", "one field more", "ChoiceDeltaToolCall.custom", "ditto"),
    Difference(
        "the SDK",
        "one field more",
        "ResponseTextDeltaEvent.obfuscation ResponseFunctionCallArgumentsDeltaEvent.obfuscation "
        "ResponseCustomToolCallInputDeltaEvent.obfuscation",
        "padding, which the API sends unless told not to, and which readers ignore",
    ),
    Difference(
        "the SDK", "one field more", "Response.store ResponseCustomToolCall.status", "in the API's own examples"
    ),
    Difference(
        "the SDK",
        "leaves out",
        "ChoiceDelta.content ChoiceDelta.refusal ChoiceDelta.role ChoiceDelta.tool_calls ChoiceDeltaToolCall.function "
        "ChoiceDeltaToolCall.id ChoiceDeltaToolCall.type ChoiceDeltaToolCallFunction.name",
        "a delta has only what is new",
    ),
    Difference(
        "the SDK",
        "leaves out",
        "ChatCompletionMessage.tool_calls CustomTool.description CustomTool.format FunctionTool.description "
        "ImagesResponse.safety_identifier ImageGenCompletedEvent.safety_identifier "
        "ImageEditCompletedEvent.safety_identifier ResponseReasoningItem.encrypted_content Transcription.logprobs "
        "TranscriptionTextDeltaEvent.logprobs TranscriptionTextDoneEvent.logprobs",
        "there only where the caller sent it or asked for it",
    ),
    Difference(
        "the SDK",
        "leaves out",
        "Transcription.languages TranscriptionTextDoneEvent.languages TranscriptionTextDoneEvent.usage",
        "not with every model",
    ),
    Difference(
        "the SDK",
        "leaves out",
        "CompletionTokensDetails.text_tokens PromptTokensDetails.image_tokens PromptTokensDetails.text_tokens "
        "InputTokensDetails.cache_write_tokens_details",
        "shares of a usage that nothing is charged by",
    ),
    Difference(
        "the SDK",
        "leaves out",
        "Image.revised_prompt Image.url ChatCompletionMessage.function_call ChoiceDelta.function_call "
        "Reasoning.generate_summary Response.prompt Response.prompt_cache_retention",
        "of retired models and fields",
    ),
    Difference(
        "the SDK",
        "leaves out",
        "ChatCompletion.metadata ChatCompletion.moderation ChatCompletionChunk.moderation ChatCompletionMessage.audio "
        "ChoiceDelta.audio CustomTool.allowed_callers CustomTool.async_ CustomTool.defer_loading "
        "FunctionTool.allowed_callers FunctionTool.async_ FunctionTool.defer_loading FunctionTool.output_schema "
        "ImagesResponse.svg_usage Reasoning.context Reasoning.mode Response.access_programs Response.conversation "
        "Response.image Response.input_transformations Response.moderation Response.prompt_cache_diagnostics "
        "Response.prompt_cache_options Response.tool_usage ResponseCustomToolCall.async_ ResponseCustomToolCall.caller "
        "ResponseCustomToolCall.namespace ResponseFunctionToolCall.async_ ResponseFunctionToolCall.caller "
        "ResponseFunctionToolCall.namespace ResponseOutputMessage.phase ResponseReasoningItem.content "
        "ResponseReasoningItem.status TranscriptionTextDeltaEvent.segment_id ErrorObject.misalignment",
        "of features that the simulator does not have",
    ),
)


PICTURE = ("image", "a.png", draw(bytes(range(32)), 64, 64))
SOUND = ("file", "a.wav", wav_head(48_000) + bytes(48_000))
FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}
EVENTS = {"stream": True}
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
TIMES = {"response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"]}


class Case(NamedTuple):
    """A request, and what describes its answer or the events of it."""

    path: str
    fields: dict[str, Any]
    schema: str
    type: Any
    file: tuple[str, str, bytes] | None = None


def chat() -> Iterator[Case]:
    """Chat Completions and Responses: words, several of them, reasoning, calls, ends of all kinds."""
    hello = {"messages": [{"role": "user", "content": "Hello"}]}
    chat_asks = [
        {"model": "gpt-4o"},
        {"model": "gpt-6-luna", "n": 2},
        {"model": "gpt-4o", "tools": [{"type": "function", "function": FUNCTION}], "tool_choice": "required"},
        {"model": "gpt-4o", "tools": [{"type": "custom", "custom": {"name": "c"}}], "tool_choice": "required"},
        {"model": "gpt-4o", "max_tokens": 1},
        {"model": "gpt-4o", "response_format": {"type": "json_object"}},
    ]
    for ask in chat_asks:
        yield Case("/chat/completions", hello | ask, "CreateChatCompletionResponse", ChatCompletion)
        yield Case("/chat/completions", hello | ask | USAGE, "CreateChatCompletionStreamResponse", ChatCompletionChunk)
    responses_asks = [
        {"model": "gpt-6-luna"},
        {"model": "gpt-4o", "instructions": "Be kind.", "metadata": {"a": "b"}, "user": "u"},
        {"model": "gpt-6-luna", "tools": [{"type": "function", "strict": False, **FUNCTION}]},
        {"model": "gpt-6-luna", "tools": [{"type": "custom", "name": "c"}]},
        {"model": "gpt-6-luna", "max_output_tokens": 16},
        {"model": "gpt-6-luna", "include": ["reasoning.encrypted_content"], "background": True},
        {"model": "gpt-4o", "text": {"format": {"type": "json_object"}}, "previous_response_id": "that of the first"},
    ]
    for ask in responses_asks:
        fields = {"input": "Hello", **ask} | ({"tool_choice": "required"} if "tools" in ask else {})
        yield Case("/responses", fields, "Response", Response)
        yield Case("/responses", fields | EVENTS, "ResponseStreamEvent", ResponseStreamEvent)


def others() -> Iterator[Case]:
    """Everything else."""
    texts = {"model": "text-embedding-3-small", "input": ["a", "b"]}
    yield Case("/embeddings", texts, "CreateEmbeddingResponse", CreateEmbeddingResponse)
    yield Case("/embeddings", texts | {"encoding_format": "base64"}, "CreateEmbeddingResponse", CreateEmbeddingResponse)
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/gore.png"}}
    for said in ("I will kill you", ["a", "b"], [{"type": "text", "text": "x"}, picture], [picture]):
        yield Case("/moderations", {"input": said}, "CreateModerationResponse", ModerationCreateResponse)
    large = {"size": "512x768", "quality": "max", "background": "transparent", "user": "u"}
    for wish in ({"model": "gpt-image-2"}, {"model": "gpt-image-2.5-flare"} | large):
        fields = {"prompt": "An otter", **wish}
        events = EVENTS | {"partial_images": 1}
        yield Case("/images/generations", fields, "ImagesResponse", ImagesResponse)
        yield Case("/images/generations", fields | events, "ImageGenStreamEvent", ImageGenStreamEvent)
    edit = {"model": "gpt-image-2", "prompt": "An otter"}
    yield Case("/images/edits", edit, "ImagesResponse", ImagesResponse, PICTURE)
    events = {"stream": "true", "partial_images": "1"}
    yield Case("/images/edits", edit | events, "ImageEditStreamEvent", ImageEditStreamEvent, PICTURE)
    completion = {"model": "gpt-3.5-turbo-instruct", "prompt": "x"}
    yield Case("/completions", completion, "CreateCompletionResponse", Completion)
    yield Case("/completions", completion | USAGE, "CreateCompletionResponse", Completion)
    counted = {"model": "gpt-6-luna", "input": "x"}
    yield Case("/responses/input_tokens", counted, "TokenCountsResource", InputTokenCountResponse)
    yield Case("/models/gpt-4o", {}, "Model", Model)
    yield Case("/models/fake", {}, "Model", Model)


def sound() -> Iterator[Case]:
    """Speech, transcriptions and translations."""
    spoken = {"model": "gpt-4o-mini-tts", "input": "Hello", "voice": "ash", "stream_format": "sse"}
    yield Case("/audio/speech", spoken, "CreateSpeechResponseStreamEvent", None)
    path, plain = "/audio/transcriptions", "CreateTranscriptionResponseJson"
    for model in ("gpt-transcribe", "gpt-4o-transcribe", "whisper-1"):
        yield Case(path, {"model": model}, plain, Transcription, SOUND)
    sure = {"model": "gpt-4o-transcribe", "include[]": "logprobs"}
    yield Case(path, sure, plain, Transcription, SOUND)
    timed = {"model": "whisper-1", **TIMES}
    yield Case(path, timed, "CreateTranscriptionResponseVerboseJson", TranscriptionVerbose, SOUND)
    for fields in ({"model": "gpt-transcribe"}, {"model": "gpt-4o-transcribe"}, sure):
        events = fields | {"stream": "true"}
        yield Case(path, events, "CreateTranscriptionResponseStreamEvent", TranscriptionStreamEvent, SOUND)
    english = {"model": "whisper-1"}
    path = "/audio/translations"
    yield Case(path, english, "CreateTranslationResponseJson", Translation, SOUND)
    verbose = english | {"response_format": "verbose_json"}
    yield Case(path, verbose, "CreateTranslationResponseVerboseJson", TranslationVerbose, SOUND)


CASES = (*chat(), *others(), *sound())


async def answered(simulator: Simulator, case: Case, form: Any) -> list[Any]:
    """The answer's object, or the objects of its events."""
    path, fields = case.path, case.fields
    if "previous_response_id" in fields:
        first = Case(path, {"model": "gpt-4o", "input": "Hi"}, "", None)
        fields = fields | {"previous_response_id": (await answered(simulator, first, form))[0]["id"]}
    method = "GET" if path.startswith("/models") else "POST"
    body, kind = (json.dumps(fields).encode(), "application/json") if case.file is None else form(case.file, **fields)
    answer = simulator.take(Request(method, "/v1" + path, {"content-type": kind}, body))
    await answer.head()
    said = b""
    while data := await answer.receive():
        said += data
    assert answer.status == 200, said
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return [json.loads(said)]
    lines = [line.removeprefix(b"data: ") for line in said.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


@cache
def validator(name: str) -> Draft202012Validator:
    """Of a component of the document."""
    return Draft202012Validator({"$ref": "#/components/schemas/" + name, "components": {"schemas": SCHEMAS}})


def component(name: str, value: Any) -> str:
    """The component that describes an object: of the events of a stream the one of its type."""
    for choice in SCHEMAS[name].get("anyOf") or SCHEMAS[name].get("oneOf") or ():
        inner = choice["$ref"].rpartition("/")[2]
        if SCHEMAS[inner].get("properties", {}).get("type", {}).get("enum") == [value["type"]]:
            return str(inner)
    return name


def by_the_document(name: str, value: Any) -> Iterator[tuple[str, str, str]]:
    """Where an object is not as the document says."""
    name = component(name, value)
    found = {}
    for error in validator(name).iter_errors(value):
        path = [name, *(part for part in error.absolute_path if isinstance(part, str))]
        if error.validator == "required":
            path.append(error.message.split("'")[1])
        what = {"required": "lacks a field", "enum": "another value"}.get(error.validator, "another type")
        # What is null where only some words may be is of another type, first of all.
        if found.get(".".join(path)) != "another type":
            found[".".join(path)] = what
    yield from (("the document", what, where) for where, what in found.items())


def by_the_sdk(kind: Any, value: Any) -> Iterator[tuple[str, str, str]]:
    """Where an object is not as the SDK's type says, read strictly."""
    built = construct_type(type_=kind, value=value)
    assert isinstance(built, BaseModel)
    try:
        built = TypeAdapter(type(built)).validate_python(value, strict=True)
    except ValidationError as error:
        for one in error.errors():
            where = ".".join([type(built).__name__, *(part for part in one["loc"] if isinstance(part, str))])
            yield "the SDK", "another value" if one["type"] == "literal_error" else "another type", where
    yield from fields_of(built)


def fields_of(built: Any) -> Iterator[tuple[str, str, str]]:
    """Fields that a type does not have, and fields of it that are missing, here and in everything below."""
    if isinstance(built, BaseModel):
        name = type(built).__name__
        yield from (("the SDK", "one field more", f"{name}.{field}") for field in built.model_extra or ())
        for field, facts in type(built).model_fields.items():
            if field in built.model_fields_set:
                yield from fields_of(getattr(built, field))
            elif facts.is_required():
                yield "the SDK", "lacks a field", f"{name}.{field}"
            else:
                yield "the SDK", "leaves out", f"{name}.{field}"
    elif isinstance(built, (list, dict)):
        for part in built.values() if isinstance(built, dict) else built:
            yield from fields_of(part)


LISTED = {
    (difference.than, difference.what, place): difference.why
    for difference in DIFFERENCES
    for place in difference.places.split()
}


def found_in(case: Case, form: Any) -> set[tuple[str, str, str]]:
    """All differences of a case."""

    async def tell() -> list[Any]:
        return await answered(Simulator(clock=VirtualClock()), case, form)

    objects = virtual_time(tell())
    assert objects
    found = {one for value in objects for one in by_the_document(case.schema, value)}
    if case.type is not None:
        found |= {one for value in objects for one in by_the_sdk(case.type, value)}
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.path[1:]}-{case.schema}")
def test_answers_are_as_they_are_described(case, form):
    """But for the differences that are listed."""
    assert sorted(found_in(case, form) - LISTED.keys()) == []


def refusal(path: str) -> Any:
    """The body of an answer to somebody who asks for nothing that can be understood."""

    async def tell() -> Any:
        answer = Simulator(clock=VirtualClock()).take(Request("POST", "/v1" + path, {}, b"{"))
        await answer.head()
        assert answer.status >= 400
        return json.loads(await answer.receive())

    return virtual_time(tell())


@pytest.mark.parametrize("path", ["/chat/completions", "/embeddings", "/images/edits", "/nowhere", "/models/nobody"])
def test_errors_are_as_they_are_described(path):
    """Every one of them."""
    error = refusal(path)
    assert list(by_the_document("ErrorResponse", error)) == []
    assert set(by_the_sdk(ErrorObject, error["error"])) <= LISTED.keys()


def test_every_difference_is_there(form):
    """None is listed that is not, and none twice."""
    found = {one for case in CASES for one in found_in(case, form)}
    found |= set(by_the_sdk(ErrorObject, refusal("/nowhere")["error"]))
    assert sorted(LISTED.keys() - found) == []
    assert len(LISTED) == sum(len(difference.places.split()) for difference in DIFFERENCES)


def test_the_list_of_models():
    """Each as one is described."""

    async def tell() -> Any:
        answer = Simulator(clock=VirtualClock()).take(Request("GET", "/v1/models", {}))
        await answer.head()
        return json.loads(await answer.receive())

    listed = virtual_time(tell())
    assert list(by_the_document("ListModelsResponse", listed)) == []
    assert [one for model in listed["data"] for one in by_the_sdk(Model, model)] == []


def test_the_checks_can_fail():
    """A wrong type, a field more, a field less and an unknown event are each seen."""
    embedding = {"object": "list", "data": [], "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": "1"}}
    assert list(by_the_document("CreateEmbeddingResponse", embedding)) == [
        ("the document", "another type", "CreateEmbeddingResponse.usage.total_tokens")
    ]
    assert list(by_the_sdk(CreateEmbeddingResponse, embedding | {"more": 1})) == [
        ("the SDK", "another type", "CreateEmbeddingResponse.usage.total_tokens"),
        ("the SDK", "one field more", "CreateEmbeddingResponse.more"),
    ]
    del embedding["usage"]
    assert ("the document", "lacks a field", "CreateEmbeddingResponse.usage") in by_the_document(
        "CreateEmbeddingResponse", embedding
    )
    assert ("the SDK", "lacks a field", "CreateEmbeddingResponse.usage") in by_the_sdk(
        CreateEmbeddingResponse, embedding
    )
    assert list(by_the_document("ResponseStreamEvent", {"type": "response.nonsense"})) != []


def test_the_documentation_has_the_table():
    """Each difference with its reason, in the same words."""
    text = DOCS.read_text("utf-8")
    for than, what, places, why in DIFFERENCES:
        line = f"| {than} | {what} | {', '.join(f'`{place}`' for place in places.split())} | {why} |\n"
        assert line in text
