"""What the official SDK raises for a provider's error, with the gate in between and without it: the same."""

import asyncio
import json
from functools import partial
from typing import Any

import openai
import pytest

pytestmark = pytest.mark.e2e
KEY = "sk-upstream"
MESSAGES: Any = [{"role": "user", "content": "Hi"}]

# status, type, code, param, Retry-After
ERRORS = [
    (400, "invalid_request_error", "unsupported_parameter", "max_tokens", None),
    (400, "invalid_request_error", None, "messages", None),
    (400, "invalid_request_error", "context_length_exceeded", "messages", None),
    (400, "invalid_request_error", "content_policy_violation", None, None),
    (404, "invalid_request_error", "model_not_found", "model", None),
    (404, "invalid_request_error", None, "id", None),
    (409, "invalid_request_error", "conflict", None, None),
    (422, "invalid_request_error", "unprocessable", "input", None),
    (413, "invalid_request_error", "too_large", None, None),
    (418, "teapot", "short_and_stout", None, None),
]
# After these the gate leaves the model alone for a while: each has a gate of its own.
LIMITS = [
    (429, "rate_limit_error", "rate_limit_exceeded", None, "7"),
    (429, "insufficient_quota", "insufficient_quota", None, None),
]
OURS = [(401, "invalid_api_key"), (402, "billing"), (403, "permission_denied")]
THEIRS = [500, 502, 503, 504, 529]

CALLS = {
    "chat": lambda sdk: sdk.chat.completions.create(model="m", messages=MESSAGES),
    "stream": lambda sdk: sdk.chat.completions.create(model="m", messages=MESSAGES, stream=True),
    "responses": lambda sdk: sdk.responses.create(model="m", input="Hi"),
    "embeddings": lambda sdk: sdk.embeddings.create(model="m", input="Hi"),
    "moderations": lambda sdk: sdk.moderations.create(input="Hi"),
    "images": lambda sdk: sdk.images.generate(model="m", prompt="a fox"),
    "edit": lambda sdk: sdk.images.edit(model="m", prompt="a fox", image=b"png"),
    "speech": lambda sdk: sdk.audio.speech.create(model="m", voice="alloy", input="Hi"),
    "transcription": lambda sdk: sdk.audio.transcriptions.create(model="m", file=("a.wav", b"RIFF")),
    "completions": lambda sdk: sdk.completions.create(model="m", prompt="Hi"),
    "file": lambda sdk: sdk.files.create(file=b"{}", purpose="batch"),
    "files": lambda sdk: sdk.files.list(),
    "content": lambda sdk: sdk.files.content("file-1"),
    "upload": lambda sdk: sdk.uploads.create(bytes=1, filename="a", mime_type="text/plain", purpose="batch"),
    "batch": lambda sdk: sdk.batches.create(input_file_id="file-1", endpoint="/v1/responses", completion_window="24h"),
    "retrieve": lambda sdk: sdk.responses.retrieve("resp_1"),
    "tokens": lambda sdk: sdk.responses.input_tokens.count(model="m", input="Hi"),
}


@pytest.fixture(name="answer")
def _answer(whole):
    """Writes the provider's error."""
    return partial(error_answer, whole)


def error_answer(whole, *facts):
    """The provider's error."""
    status, kind, code, param, retry_after = facts
    body = {"error": {"message": "It says no.", "type": kind, "param": param, "code": code}}
    headers = [("content-type", "application/json"), ("x-request-id", "req_upstream")]
    if retry_after:
        headers.append(("retry-after", retry_after))
    return whole(json.dumps(body).encode(), status=status, headers=headers)


async def raised(call, sdk) -> openai.APIStatusError:
    """What the SDK raises."""
    with pytest.raises(openai.OpenAIError) as caught:
        await call(sdk)
    assert isinstance(caught.value, openai.APIStatusError)
    return caught.value


def facts(error):
    """All that a program can ask of an error."""
    return {
        "class": type(error),
        "status": error.status_code,
        "message": error.message,
        "body": error.body,
        "type": error.type,
        "code": error.code,
        "param": error.param,
        "retry_after": error.response.headers.get("retry-after"),
    }


@pytest.fixture(name="both")
def _both(stand):
    """Tells a story to the SDK at the gate, and to one that talks to the provider itself."""

    def both(door, story):
        async def told():
            # So many failures would open the breaker, which is not what this is about.
            async with stand(door, policies={"retry": {"max_attempts": 1}, "breaker": {"failures": 10_000}}) as at:
                url = f"{at.upstream.address}/v1"
                async with openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0) as direct:
                    await story(at, direct)

        asyncio.run(told())

    return both


@pytest.mark.parametrize("door", ["http", "process"])
@pytest.mark.parametrize("name", CALLS)
def test_an_error_that_speaks_to_the_caller_is_the_same(door, name, both, answer):
    """Class, status, body, code, type, param and Retry-After, for every address."""

    async def story(errors, at, direct):
        for error in errors:
            at.upstream.answer = lambda _, error=error: answer(*error)
            here, there = await raised(CALLS[name], at.sdk), await raised(CALLS[name], direct)
            assert facts(here) == facts(there), error
            assert here.request_id.startswith("req_")
            assert here.response.headers["x-headgate-upstream-request-id"] == there.request_id == "req_upstream"
            assert here.response.headers["x-should-retry"] == "false"

    for errors in (ERRORS, *([error] for error in LIMITS)):
        both(door, partial(story, errors))


@pytest.mark.parametrize("door", ["http", "process"])
def test_our_own_account_is_not_the_callers_fault(door, both, answer):
    """401, 402 and 403 of the provider are a 500 of ours, and say nothing of our key."""

    async def story(at, _direct):
        for status, code in OURS:
            at.upstream.answer = lambda _, status=status, code=code: answer(status, "error", code, None, None)
            for call in CALLS.values():
                error = await raised(call, at.sdk)
                assert type(error) is openai.InternalServerError
                assert (error.status_code, error.code) == (500, "upstream_authentication")
                assert KEY not in error.response.text

    both(door, story)


@pytest.mark.parametrize("door", ["http", "process"])
def test_a_broken_provider_is_a_bad_gateway(door, both, answer):
    """Its 5xx are 502, which the SDK raises as the class that it would have raised."""

    async def story(at, direct):
        for status in THEIRS:
            at.upstream.answer = lambda _, status=status: answer(status, "server_error", "server_error", None, None)
            for call in CALLS.values():
                here, there = await raised(call, at.sdk), await raised(call, direct)
                assert type(here) is type(there) is openai.InternalServerError
                assert here.status_code == 502

    both(door, story)


@pytest.mark.parametrize("door", ["http", "process"])
def test_an_error_inside_a_stream_is_raised_as_it_would_be(door, both, streamed):
    """The SDK raises the same class, code and message from the iteration."""
    first = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'  # noqa: E501  one event
    error = b'data: {"error":{"message":"It broke.","type":"server_error","param":null,"code":"server_error"}}\n\n'

    async def story(at, direct):
        at.upstream.answer = lambda _: streamed(first, error)
        seen = []
        for sdk in (at.sdk, direct):
            stream = await CALLS["stream"](sdk)
            with pytest.raises(openai.APIError) as caught:
                async for _ in stream:
                    pass
            seen.append((type(caught.value), caught.value.code))
        assert seen[0] == seen[1] == (openai.APIError, "server_error")

    both(door, story)
