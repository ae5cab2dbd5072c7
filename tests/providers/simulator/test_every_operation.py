"""The whole surface through one door: whatever is asked for, faults, limits, log and bill work alike."""

import json

import pytest

from headgate.core.errors import UnreachableError
from headgate.core.usage import TokenUsage
from headgate.providers.simulator.bill import amount
from headgate.providers.simulator.operations import OPERATIONS
from headgate.providers.simulator.png import draw
from headgate.providers.simulator.settings import Limits
from headgate.providers.simulator.simulator import Simulator
from headgate.providers.simulator.sound import wav_head
from headgate.providers.simulator.visit import Request
from headgate.testing import VirtualClock, virtual_time

PICTURE = ("image", "a.png", draw(bytes(range(32)), 64, 64))
SOUND = ("file", "a.wav", wav_head(48_000) + bytes(48_000))
FORMS = {"/images/edits": PICTURE, "/audio/transcriptions": SOUND, "/audio/translations": SOUND}
FIELDS = {
    "/chat/completions": {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hello"}]},
    "/responses": {"model": "gpt-6-luna", "input": "Hello"},
    "/responses/input_tokens": {"model": "gpt-6-luna", "input": "Hello"},
    "/completions": {"model": "gpt-3.5-turbo-instruct", "prompt": "Hello"},
    "/embeddings": {"model": "text-embedding-3-small", "input": "Hello"},
    "/moderations": {"model": "omni-moderation-latest", "input": "Hello"},
    "/images/generations": {"model": "gpt-image-2", "prompt": "Hello"},
    "/images/edits": {"model": "gpt-image-2", "prompt": "Hello"},
    "/audio/speech": {"model": "gpt-4o-mini-tts", "input": "Hello", "voice": "ash", "response_format": "wav"},
    "/audio/transcriptions": {"model": "gpt-4o-transcribe"},
    "/audio/translations": {"model": "whisper-1"},
}
STREAMS = {
    path: {"stream_format": "sse"} if path == "/audio/speech" else {"stream": True}
    for path in FIELDS
    if path not in ("/responses/input_tokens", "/embeddings", "/moderations", "/audio/translations")
}


@pytest.fixture
def ask(form):
    """Asks a simulator at a path; gives status, headers, and the body, or what came before it broke."""

    async def asked(simulator, path, *, method="POST", fault=None, **more):
        fields = FIELDS[path] | more
        if path in FORMS:
            body, kind = form(FORMS[path], **{name: json.dumps(value).strip('"') for name, value in fields.items()})
        else:
            body, kind = json.dumps(fields).encode(), "application/json"
        headers = {"content-type": kind} | ({} if fault is None else {"x-simulate-fault": json.dumps(fault)})
        answer = simulator.take(Request(method, "/v1" + path, headers, body))
        said = b""
        try:
            await answer.head()
            while data := await answer.receive():
                said += data
        except UnreachableError:
            return None, answer.headers, said
        finally:
            answer.close()
        return answer.status, answer.headers, said

    return asked


def story(ask, *asks, **settings):
    """What several requests get, one after the other, and the simulator."""

    async def tell():
        simulator = Simulator(clock=VirtualClock(), **settings)
        return [await ask(simulator, path, **more) for path, more in asks], simulator

    return virtual_time(tell())


def test_the_table_is_whole():
    """Every operation is asked for here."""
    assert FIELDS.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("path", FIELDS)
def test_each_answers(ask, path):
    """Once for those who post, logged and charged; equal seeds answer equally."""
    [(status, headers, said), (refused, _, _)], simulator = story(ask, (path, {}), (path, {"method": "GET"}))
    assert (status, refused) == (200, 405)
    assert headers["x-request-id"] == simulator.log[0].request_id
    assert (simulator.log[0].model, simulator.log[0].stream) == (FIELDS[path]["model"], False)
    assert len(simulator.bill.lines) == 1
    assert story(ask, (path, {}))[0][0][2] == said


@pytest.mark.parametrize("path", FIELDS)
def test_what_is_reported_is_what_is_charged(ask, path):
    """Whole: the usage of the answer at the listed prices; where none is reported, what was served."""
    [(_, _, said)], simulator = story(ask, (path, {}))
    [line] = simulator.bill.lines
    usage = {} if path == "/audio/speech" else json.loads(said).get("usage") or {}
    into, out = (
        usage.get(a, usage.get(b, 0))
        for a, b in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
    )
    if usage:
        assert (into, out) == (line.usage.prompt_tokens, line.usage.completion_tokens)
    details = usage.get("input_tokens_details", usage.get("input_token_details", {}))
    read = TokenUsage(
        prompt_tokens=into,
        completion_tokens=out,
        prompt_image_tokens=details.get("image_tokens", 0),
        prompt_audio_tokens=details.get("audio_tokens", 0),
    )
    if path == "/audio/speech":
        read = TokenUsage(prompt_tokens=2, completion_tokens=4)
    seconds = 1 if path == "/audio/translations" else 0
    assert line.amount == amount(line.model, read, seconds=seconds)
    assert (line.amount > 0) == (path not in ("/moderations", "/responses/input_tokens"))


@pytest.mark.parametrize("path", STREAMS)
def test_each_stream(ask, path):
    """Is one, is logged as one, and costs what the whole answer costs."""
    asks = [(path, {}), (path, STREAMS[path])]
    answers, simulator = story(ask, *asks)
    assert answers[1][1]["content-type"] == "text/event-stream; charset=utf-8"
    assert [one.stream for one in simulator.log] == [False, True]
    whole, streamed = simulator.bill.lines
    assert (whole.usage, whole.amount) == (streamed.usage, streamed.amount)


@pytest.mark.parametrize("path", FIELDS)
def test_faults_of_whole_answers(ask, path):
    """An error status, a reset and a broken end, each as everywhere else."""
    kinds = [{"kind": "status", "status": 429}, {"kind": "reset"}, {"kind": "cut"}, {"kind": "malformed"}]
    [limited, reset, cut, malformed, good], simulator = story(
        ask, *[(path, {"fault": fault}) for fault in kinds], (path, {})
    )
    assert limited[0] == 429
    assert json.loads(limited[2])["error"]["code"] == "rate_limit_exceeded"
    assert (reset[0], reset[2]) == (None, b"")
    assert cut[0] is None
    assert 0 < len(cut[2]) < len(good[2])
    assert malformed[0] == 200
    assert 0 < len(malformed[2]) < len(good[2])
    assert [one.status for one in simulator.log] == [429, 0, 200, 200, 200]
    assert len(simulator.bill.lines) == 3


@pytest.mark.parametrize("path", STREAMS)
def test_faults_of_streams(ask, path):
    """Cut in the middle or ended with an error: what came is charged, and no more."""
    after = 0 if path.startswith("/images") else 1
    faults = [{"kind": "cut", "after_tokens": after}, {"kind": "error_event", "after_tokens": after}]
    [cut, error], simulator = story(ask, *[(path, STREAMS[path] | {"fault": fault}) for fault in faults])
    assert cut[0] is None
    assert error[0] == 200
    assert b'"code":"server_error"' in error[2]
    whole = story(ask, (path, STREAMS[path]))[1].bill.lines[0]
    assert [line.complete for line in simulator.bill.lines] == [False, False]
    assert all(line.amount < whole.amount for line in simulator.bill.lines)


@pytest.mark.parametrize("path", FIELDS)
def test_limits(ask, path):
    """Requests a minute, of each model; and tokens a minute, where there are any."""
    answers, _ = story(ask, (path, {}), (path, {}), limits=Limits(requests_per_minute=1))
    assert [status for status, _, _ in answers] == [200, 429]
    assert answers[1][1]["x-ratelimit-remaining-requests"] == "0"
    answers, simulator = story(ask, (path, {}), limits=Limits(tokens_per_minute=100_000))
    [line] = simulator.bill.lines
    assert answers[0][1]["x-ratelimit-remaining-tokens"] == str(100_000 - line.usage.total_tokens)


def test_models_do_what_they_are_for(ask):
    """Every other path answers that there is no such model there; `fake` does everything, for nothing."""
    asks = [
        (path, {"model": model})
        for path in FIELDS
        for model in ("gpt-image-2", "text-embedding-3-small", "gpt-4o", "fake")
    ]
    answers, simulator = story(ask, *asks)
    taken = [ask for ask, (status, _, _) in zip(asks, answers, strict=True) if status == 200]
    assert {status for status, _, _ in answers} == {200, 404}
    assert [(path, more["model"]) for path, more in taken if more["model"] != "fake"] == [
        ("/chat/completions", "gpt-4o"),
        ("/responses", "gpt-4o"),
        ("/responses/input_tokens", "gpt-4o"),
        ("/embeddings", "text-embedding-3-small"),
        ("/images/generations", "gpt-image-2"),
        ("/images/edits", "gpt-image-2"),
    ]
    assert [path for path, more in taken if more["model"] == "fake"] == list(FIELDS)
    assert all(line.amount == 0 for line in simulator.bill.lines if line.model == "fake")
