"""What is said in a sound, in each of the formats."""

import json
import re
from itertools import pairwise

import pytest

from headgate.core.usage import TokenUsage
from headgate.providers.simulator.sound import wav_head
from headgate.providers.simulator.transcriptions import transcription_job, translation_job
from headgate.providers.simulator.words import count, tokens
from headgate.providers.simulator.write_chat import Identity

NAME = Identity("k" * 48, 0, "fp")
SEVEN = ("file", "a.wav", wav_head(7 * 48_000) + bytes(7 * 48_000))
"""Seven seconds: three sentences."""


@pytest.fixture
def hear(form):
    """The job of a form with these fields."""
    return lambda *files, seed=0, **fields: transcription_job(
        *form(*(files or [SEVEN]), **{"model": "whisper-1"} | fields), seed
    )


def said(job):
    """The body of its answer."""
    return job.whole(NAME, job.report(job.usage)).decode()


def test_the_bytes_decide(hear):
    """Equal bytes are the same words whatever the seed; others are others."""
    texts = [json.loads(said(job))["text"] for job in (hear(), hear(seed=1), hear(("file", "a.mp3", bytes(32_000))))]
    assert texts[0] == texts[1] != texts[2]


def test_json_of_a_model_that_is_paid_by_the_second(hear):
    """The seconds are told, charged, and no tokens are."""
    job = hear(model="gpt-transcribe", language="de")
    answer = json.loads(said(job))
    assert answer.keys() == {"text", "languages", "usage"}
    assert answer["languages"] == [{"code": "de"}]
    assert answer["usage"] == {"type": "duration", "seconds": 7}
    assert (job.usage, job.seconds) == (TokenUsage(), 7)


def test_json_of_a_model_that_is_paid_by_the_token(hear):
    """Ten tokens a second, those of the prompt, and those of the text."""
    job = hear(model="gpt-4o-transcribe", prompt="12345678", **{"include[]": "logprobs"})
    answer = json.loads(said(job))
    assert answer.keys() == {"text", "logprobs", "usage"}
    output = count(answer["text"])
    assert answer["usage"] == {
        "type": "tokens",
        "input_tokens": 72,
        "input_token_details": {"text_tokens": 2, "audio_tokens": 70},
        "output_tokens": output,
        "total_tokens": 72 + output,
    }
    assert job.usage == TokenUsage(prompt_tokens=72, prompt_audio_tokens=70, completion_tokens=output)
    assert job.seconds == 0
    assert "".join(one["token"] for one in answer["logprobs"]) == answer["text"]
    assert b"".join(bytes(one["bytes"]) for one in answer["logprobs"]).decode() == answer["text"]


def test_timestamps(hear):
    """Sentences follow each other until the end, and so do the words of each."""
    wish = {"response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"]}
    answer = json.loads(said(hear(**wish)))
    assert (answer["language"], answer["duration"]) == ("en", 7.0)
    segments, words = answer["segments"], answer["words"]
    assert [segment["id"] for segment in segments] == [0, 1, 2]
    assert " ".join(segment["text"] for segment in segments) == answer["text"]
    assert " ".join(word["word"] for word in words) == answer["text"]
    for row in (segments, words):
        assert row[0]["start"] == 0
        assert row[-1]["end"] == 7.0
        assert all(a["end"] == pytest.approx(b["start"], abs=0.002) for a, b in pairwise(row))
    assert answer["usage"] == {"type": "duration", "seconds": 7}
    plain = json.loads(said(hear(response_format="verbose_json")))
    assert "words" not in plain
    assert plain["segments"] == segments


def test_texts(hear):
    """Bare, and as subtitles of both kinds."""
    text = json.loads(said(hear()))["text"]
    assert said(hear(response_format="text")) == text + "\n"
    srt, vtt = said(hear(response_format="srt")), said(hear(response_format="vtt"))
    assert srt.startswith("1\n00:00:00,000 --> 00:00:02,333\n")
    assert len(re.findall(r"^\d\n[\d:,]{12} --> [\d:,]{12}\n.+\n\n", srt, re.MULTILINE)) == 3
    assert vtt.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:02.333\n")
    assert vtt.endswith("\n\n")
    assert hear(response_format="vtt").content_type == "text/plain; charset=utf-8"


def test_a_stream(hear):
    """Token by token; the last event has the whole text and, where there are tokens, the usage."""
    for model in ("gpt-4o-transcribe", "gpt-transcribe"):
        job = hear(model=model, stream="true")
        script = job.stream(NAME, job.report(job.usage), True)
        steps = list(script.body)
        found = [json.loads(step.data.removeprefix(b"data: ")) for step in steps]
        text = found[-1]["text"]
        assert [event["delta"] for event in found[:-1]] == tokens(text)
        assert {event["type"] for event in found[:-1]} == {"transcript.text.delta"}
        assert found[-1]["type"] == "transcript.text.done"
        assert found[-1].get("usage", {}).get("output_tokens") == (job.usage.completion_tokens or None)
        assert sum(step.output for step in steps) == job.usage.completion_tokens
        assert script.visible == len(tokens(text))


def test_a_translation(form):
    """The same words, without a usage, and charged by the second."""
    job = translation_job(*form(SEVEN, model="whisper-1"), 0)
    answer = json.loads(said(job))
    assert answer.keys() == {"text"}
    assert job.seconds == 7
    verbose = json.loads(said(translation_job(*form(SEVEN, model="whisper-1", response_format="verbose_json"), 0)))
    assert verbose.keys() == {"language", "duration", "text", "segments"}
