"""Speech: requests understood, sounds made."""

import io
import json
import wave
from base64 import b64decode
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.usage import TokenUsage
from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.speech import speech_job
from headgate.providers.simulator.write_chat import Identity

NAME = Identity("k" * 48, 0, "fp")


def speak(seed=0, **fields):
    """The job of a request."""
    usual = {"model": "gpt-4o-mini-tts", "input": "Hello there!", "voice": "alloy"}
    return speech_job(json.dumps(usual | fields).encode(), "", seed)


def sound(job):
    """The bytes of its answer."""
    return job.whole(NAME, None)


def test_formats():
    """A WAV file, its bare samples, and an MP3 file for those who name no format."""
    wav, pcm, mp3 = speak(response_format="wav"), speak(response_format="pcm"), speak()
    assert [job.content_type for job in (wav, pcm, mp3)] == ["audio/wav", "audio/pcm", "audio/mpeg"]
    with wave.open(io.BytesIO(sound(wav))) as file:
        assert file.getnframes() == 3 * 2400
        assert file.readframes(8000) == sound(pcm)
    assert sound(mp3).startswith(b"\xff\xf3")


def test_what_decides():
    """Text, voice, instructions and seed; equal ones sound equal."""
    long = "Hello there, how are you today?"
    sounds = [
        sound(speak(seed, response_format="pcm", input=text, voice=voice))
        for seed, text, voice in [(0, long, "ash"), (0, long, "ash"), (1, long, "ash"), (0, long, "echo")]
    ]
    assert sounds[0] == sounds[1]
    assert len(set(sounds)) == 3
    assert len(sound(speak(response_format="pcm", speed=2))) == 3 * 2400


def test_what_it_takes():
    """Tokens in and tokens of sound; characters with the older models."""
    assert speak(instructions="Slow").usage == TokenUsage(
        prompt_tokens=4, completion_tokens=6, completion_audio_tokens=6
    )
    old = speak(model="tts-1")
    assert (old.usage, old.characters) == (TokenUsage(), 12)
    assert speak().characters == 0


@pytest.mark.parametrize("form", ["wav", "pcm", "mp3"])
def test_a_stream(form):
    """The pieces together are the file; the last event says what it took."""
    job = speak(stream_format="sse", response_format=form)
    script = job.stream(NAME, job.report(job.usage), True)
    steps = list(script.body)
    found = [json.loads(step.data.removeprefix(b"data: ")) for step in steps]
    assert [event["type"] for event in found] == ["speech.audio.delta"] * 3 + ["speech.audio.done"]
    assert b"".join(b64decode(event["audio"]) for event in found[:-1]) == sound(speak(response_format=form))
    assert found[-1]["usage"] == {"input_tokens": 3, "output_tokens": 6, "total_tokens": 9}
    assert [step.output for step in steps] == [2, 2, 2, 0]
    assert sum(step.output for step in steps) == job.usage.completion_tokens
    assert script.visible == 3


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"model": "whisper-1"}, "model_not_found", "model"),
        ({"input": ""}, "empty_string", "input"),
        ({"input": "x" * 4097}, "string_above_max_length", "input"),
        ({"voice": "nobody"}, "invalid_value", "voice"),
        ({"voice": {}}, "missing_required_parameter", "voice.id"),
        ({"voice": {"id": 3}}, "invalid_type", "voice.id"),
        ({"response_format": "flac"}, "unsupported_value", "response_format"),
        ({"response_format": "midi"}, "invalid_value", "response_format"),
        ({"speed": 0.2}, "decimal_out_of_range", "speed"),
        ({"speed": 4.1}, "decimal_out_of_range", "speed"),
        ({"stream_format": "x"}, "invalid_value", "stream_format"),
        ({"model": "tts-1", "stream_format": "sse"}, "unsupported_value", "stream_format"),
        ({"model": "tts-1-hd", "instructions": "x"}, "unsupported_parameter", "instructions"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refusals(fields, code, param):
    """Each names its field; a format that cannot be made is refused rather than lied about."""
    with pytest.raises(Problem) as caught:
        speak(**fields)
    assert (caught.value.code, caught.value.param) == (code, param)


def test_a_voice_of_ones_own():
    """Any id will do."""
    assert sound(speak(voice={"id": "voice_1234"}))


@given(
    st.dictionaries(
        st.sampled_from(["input", "voice", "speed", "response_format", "stream_format", "instructions"]),
        st.none() | st.integers() | st.floats() | st.text(max_size=9) | st.just({"id": "x"}),
        max_size=4,
    )
)
def test_nothing_but_a_problem_is_raised(fields):
    """Whatever stands in the fields, the request is understood or refused."""
    with suppress(Problem):
        sound(speak(**fields))
