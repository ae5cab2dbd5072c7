"""What is said in a sound: decided by its bytes, and written in each of the API's formats, whole or as a stream.

Nobody listens: the text is drawn from a digest of the bytes, a sentence for each three seconds, the same whatever the
seed. Sound is ten tokens a second.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from hashlib import blake2b
from math import ceil
from typing import Any

import msgspec

from headgate.core.usage import TokenUsage
from headgate.providers.simulator.dice import Dice
from headgate.providers.simulator.images import stream_error
from headgate.providers.simulator.job import Job, Told
from headgate.providers.simulator.read_transcriptions import Heard, read_transcription, read_translation
from headgate.providers.simulator.script import Script, Step
from headgate.providers.simulator.words import count, sentence, tokens
from headgate.providers.simulator.write_chat import Identity

_SENTENCE = 3
"""Seconds that a sentence takes."""
_MOST = 400
"""Sentences of one sound."""
_A_SECOND = 10
_TEXTS = {"text": "text/plain; charset=utf-8", "srt": "text/plain; charset=utf-8", "vtt": "text/plain; charset=utf-8"}


class _Segment(msgspec.Struct, frozen=True):
    """A sentence, and when it is said, in seconds."""

    text: str
    start: float
    end: float


def transcription_job(body: bytes, content_type: str, seed: int) -> Job:  # noqa: ARG001  it changes nothing
    """The answer to a request for a transcription.

    Raises:
        Problem: 400, 404, 413 or 415, in the API's words.
    """
    return _job(read_transcription(body, content_type), translated=False)


def translation_job(body: bytes, content_type: str, seed: int) -> Job:  # noqa: ARG001  it changes nothing
    """The answer to a request for a translation.

    Raises:
        Problem: 400, 404, 413 or 415, in the API's words.
    """
    return _job(read_translation(body, content_type), translated=True)


def _job(heard: Heard, *, translated: bool) -> Job:
    segments = _listen(heard)
    text = " ".join(segment.text for segment in segments)
    if heard.by_duration:
        usage = TokenUsage()
    else:
        sound = ceil(heard.length * _A_SECOND)
        usage = TokenUsage(
            prompt_tokens=sound + count(heard.prompt), prompt_audio_tokens=sound, completion_tokens=count(text)
        )

    def whole(_: Identity, told: Told) -> bytes:
        return _WRITERS[heard.form](heard, segments, text, None if translated else told)

    def report(usage: TokenUsage) -> Told:
        return {"type": "duration", "seconds": heard.whole_seconds} if heard.by_duration else _token_usage(usage)

    return Job(
        model=heard.model.name,
        usage=usage,
        report=report,
        whole=whole,
        stream=(lambda _, told, __: _stream(heard, text, told)) if heard.stream else None,
        content_type=_TEXTS.get(heard.form, "application/json"),
        seconds=heard.whole_seconds if heard.by_duration else 0,
    )


def _listen(heard: Heard) -> list[_Segment]:
    dice = Dice(blake2b(heard.sound, digest_size=16).digest())
    number = min(_MOST, max(1, ceil(heard.length / _SENTENCE)))
    each = heard.length / number
    return [_Segment(sentence(dice), _second(each * at), _second(each * (at + 1))) for at in range(number)]


def _second(at: Fraction) -> float:
    return round(float(at), 3)


def _token_usage(usage: TokenUsage) -> dict[str, Any]:
    return {
        "type": "tokens",
        "input_tokens": usage.prompt_tokens,
        "input_token_details": {
            "text_tokens": usage.prompt_tokens - usage.prompt_audio_tokens,
            "audio_tokens": usage.prompt_audio_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def _json(heard: Heard, _: list[_Segment], text: str, told: Told) -> bytes:
    answer: dict[str, Any] = {"text": text}
    if heard.model.name == "gpt-transcribe":
        answer["languages"] = [{"code": heard.language}]
    if heard.logprobs:
        answer["logprobs"] = [_logprob(token) for token in tokens(text)]
    if told is not None:
        answer["usage"] = told
    return msgspec.json.encode(answer)


def _verbose(heard: Heard, segments: list[_Segment], text: str, told: Told) -> bytes:
    answer: dict[str, Any] = {"language": heard.language, "duration": _second(heard.length), "text": text}
    if heard.segments:
        answer["segments"] = [_told(at, segment) for at, segment in enumerate(segments)]
    if heard.words:
        answer["words"] = [word for segment in segments for word in _words(segment)]
    if told is not None and told.get("type") == "duration":
        answer["usage"] = told
    return msgspec.json.encode(answer)


def _told(at: int, segment: _Segment) -> dict[str, Any]:
    return {
        "id": at,
        "seek": 0,
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": list(range(50_364, 50_364 + count(segment.text))),
        "temperature": 0.0,
        "avg_logprob": -0.25,
        "compression_ratio": 1.2,
        "no_speech_prob": 0.01,
    }


def _words(segment: _Segment) -> Iterator[dict[str, Any]]:
    """The words of a sentence, each as long as the others."""
    said = segment.text.split()
    each = (segment.end - segment.start) / len(said)
    for at, word in enumerate(said):
        start = segment.start + each * at
        yield {"word": word, "start": round(start, 3), "end": round(start + each, 3)}


def _plain(_: Heard, __: list[_Segment], text: str, ___: Told) -> bytes:
    return text.encode() + b"\n"


def _srt(_: Heard, segments: list[_Segment], __: str, ___: Told) -> bytes:
    parts = [
        f"{at}\n{_clock(segment.start, ',')} --> {_clock(segment.end, ',')}\n{segment.text}\n\n"
        for at, segment in enumerate(segments, 1)
    ]
    return "".join(parts).encode()


def _vtt(_: Heard, segments: list[_Segment], __: str, ___: Told) -> bytes:
    parts = [f"{_clock(segment.start, '.')} --> {_clock(segment.end, '.')}\n{segment.text}\n\n" for segment in segments]
    return ("WEBVTT\n\n" + "".join(parts)).encode()


def _clock(seconds: float, point: str) -> str:
    whole, ms = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{ms:03}"


_WRITERS: dict[str, Callable[[Heard, list[_Segment], str, Told], bytes]] = {
    "json": _json,
    "verbose_json": _verbose,
    "text": _plain,
    "srt": _srt,
    "vtt": _vtt,
}


def _stream(heard: Heard, text: str, told: Told) -> Script:
    """The events: `transcript.text.delta`, one for each token, and `transcript.text.done`."""
    said = tokens(text)
    # What is paid by duration has no tokens that a reader who leaves could have had.
    each = 0 if heard.by_duration else 1

    def event(kind: str, facts: dict[str, Any]) -> bytes:
        return b"data: " + msgspec.json.encode({"type": "transcript.text." + kind, **facts}) + b"\n\n"

    def body() -> Iterator[Step]:
        for token in said:
            facts: dict[str, Any] = {"delta": token}
            if heard.logprobs:
                facts["logprobs"] = [_logprob(token)]
            yield Step(event("delta", facts), each, visible=True)
        last: dict[str, Any] = {"text": text}
        if heard.model.name == "gpt-transcribe":
            last["languages"] = [{"code": heard.language}]
        if heard.logprobs:
            last["logprobs"] = [_logprob(token) for token in said]
        if told is not None and told.get("type") != "duration":
            last["usage"] = told  # the event has no words for a duration
        yield Step(event("done", last))

    return Script(b"", body(), len(said), stream_error)


def _logprob(token: str) -> dict[str, Any]:
    """How sure a model was of a token: always nearly."""
    return {"token": token, "logprob": -0.01 * len(token), "bytes": list(token.encode())}
