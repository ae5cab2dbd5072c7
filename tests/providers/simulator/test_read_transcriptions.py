"""Requests for what is said in a sound, understood."""

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.read_transcriptions import read_transcription, read_translation
from headgate.providers.simulator.sound import wav_head

WAV = ("file", "a.wav", wav_head(72_000) + bytes(72_000))


@pytest.fixture
def hear(form):
    """Understands a form with these fields and a sound of a second and a half."""
    return lambda *files, **fields: read_transcription(*form(*(files or [WAV]), **{"model": "whisper-1"} | fields))


def test_the_usual(hear):
    """Segments are timed, words are not."""
    heard = hear()
    assert (heard.model.name, heard.length, heard.whole_seconds) == ("whisper-1", Fraction(3, 2), 2)
    assert (heard.form, heard.language, heard.prompt, heard.stream) == ("json", "en", "", False)
    assert (heard.segments, heard.words, heard.logprobs, heard.by_duration) == (True, False, False, True)
    assert bytes(heard.sound) == WAV[2]


def test_lists(hear):
    """Come as often as they have entries."""
    wish = {"response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"]}
    assert (hear(**wish).words, hear(**wish).segments) == (True, True)
    heard = hear(**wish | {"timestamp_granularities[]": "word"})
    assert (heard.words, heard.segments) == (True, False)
    heard = hear(model="gpt-4o-transcribe", **{"include[]": "logprobs"})
    assert (heard.logprobs, heard.by_duration) == (True, False)
    assert hear(model="gpt-transcribe", **{"languages[]": ["en", "de"], "keywords[]": "otter"}).by_duration


def test_streams(hear):
    """For the newer models; the oldest ignores the wish, and subtitles are never streamed."""
    assert hear(model="gpt-transcribe", stream="true").stream is True
    assert hear(model="gpt-4o-transcribe", stream="True").stream is True
    assert hear(stream="true").stream is False
    assert hear(model="fake", stream="true", response_format="srt").stream is False


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"model": "gpt-4o"}, "model_not_found", "model"),
        ({"response_format": "xml"}, "invalid_value", "response_format"),
        ({"model": "gpt-transcribe", "response_format": "srt"}, "unsupported_value", "response_format"),
        ({"temperature": "1.5"}, "decimal_out_of_range", "temperature"),
        ({"temperature": "hot"}, "invalid_type", "temperature"),
        ({"stream": "perhaps"}, "invalid_type", "stream"),
        ({"timestamp_granularities[]": "word"}, "invalid_parameter_combination", "timestamp_granularities"),
        ({"timestamp_granularities[]": "hour"}, "invalid_value", "timestamp_granularities"),
        ({"include[]": "logprobs"}, "unsupported_parameter", "include"),
        ({"include[]": "all"}, "invalid_value", "include"),
        ({"languages[]": "en"}, "unsupported_parameter", "languages"),
        ({"keywords[]": "x"}, "unsupported_parameter", "keywords"),
    ],
    ids=str,
)
def test_refusals(hear, fields, code, param):
    """Each names its field."""
    with pytest.raises(Problem) as caught:
        hear(**fields)
    assert (caught.value.code, caught.value.param) == (code, param)


@pytest.mark.parametrize(
    ("file", "status", "code"),
    [
        (("file", "a.txt", bytes(9000)), 400, "invalid_value"),
        (("file", "wav", bytes(9000)), 200, None),
        (("file", "", bytes(9000)), 400, "invalid_value"),
        (("file", "a.mp3", bytes(1599)), 400, "audio_too_short"),
        (("file", "a.MP3", bytes(1600)), 200, None),
        (("file", "a.mp3", b""), 400, "audio_too_short"),
        (("file", "a.mp3", bytes(25 * 1024 * 1024 + 1)), 413, None),
        (("other", "a.mp3", bytes(1600)), 400, "missing_required_parameter"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_files(hear, file, status, code):
    """By the ending of their names, not too short, not too large."""
    if status == 200:
        assert hear(file).length > 0
        return
    with pytest.raises(Problem) as caught:
        hear(file)
    assert (caught.value.status, caught.value.code) == (status, code)


def test_translations(form):
    """Only the oldest model translates, and into English."""
    heard = read_translation(*form(WAV, model="whisper-1", response_format="srt", language="de"))
    assert (heard.language, heard.form) == ("en", "srt")
    with pytest.raises(Problem) as caught:
        read_translation(*form(WAV, model="gpt-transcribe"))
    assert caught.value.param == "model"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["model", "response_format", "stream", "temperature", "include[]", "language"]),
        st.sampled_from(["whisper-1", "gpt-4o-transcribe", "json", "true", "1", "logprobs", "", "ä"]),
    )
)
def test_nothing_but_a_problem_is_raised(hear, fields):
    """Whatever stands in the fields, the request is understood or refused."""
    with suppress(Problem):
        hear(**fields)
