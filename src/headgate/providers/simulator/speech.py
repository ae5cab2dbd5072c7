"""Speech: reads the request as strictly as the API documents, and speaks.

A token of the text (four characters) sounds for a tenth of a second at the speed of 1 and is two tokens of sound. Made
are `wav` and `pcm`, and `mp3`, which is what the API gives to those who name no format: real, but silent. The other
formats cannot be made with the standard library, and are refused.
"""

from base64 import b64encode
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import msgspec

from headgate.core.usage import TokenUsage
from headgate.providers.simulator.images import stream_error
from headgate.providers.simulator.job import Job, Told
from headgate.providers.simulator.models import Model
from headgate.providers.simulator.problem import Problem, invalid, missing, mistyped, unsupported, unsupported_value
from headgate.providers.simulator.question import decode, known_model
from headgate.providers.simulator.script import Script, Step
from headgate.providers.simulator.sound import silent_mp3, tones, wav_head
from headgate.providers.simulator.words import count
from headgate.providers.simulator.write_chat import Identity

_LONGEST = 4096
_VOICES = (
    "alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse", "marin", "cedar",
)  # fmt: skip
_FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
_MADE = {"mp3": "audio/mpeg", "wav": "audio/wav", "pcm": "audio/pcm"}
_OLD = ("tts-1", "tts-1-hd")
"""Models that are paid by the character, take no instructions and give no events."""
_SOUND = 2
"""Tokens of sound for a token of text."""


class _Request(msgspec.Struct):
    model: str
    input: str
    voice: str | dict[str, Any]
    instructions: str | None = None
    response_format: str | None = None
    speed: float | None = None
    stream_format: str | None = None


_DECODER = msgspec.json.Decoder(_Request)


def speech_job(body: bytes, _kind: str, seed: int) -> Job:
    """The answer to a request's body.

    Raises:
        Problem: 400 or 404, in the API's words.
    """
    asked = decode(_DECODER, body)
    model = known_model(asked.model, "speech")
    voice = _voice(asked.voice)
    made = _format(asked.response_format or "mp3")
    _check(asked, model)
    tokens = count(asked.input)
    digest = blake2b(f"{seed} {voice} {asked.instructions} {asked.input}".encode("utf-8", "surrogatepass"))
    speed = 1.0 if asked.speed is None else asked.speed

    def whole(_: Identity, __: Told) -> bytes:
        return b"".join(_spoken(made, tones(digest.digest(), tokens, speed)))

    def stream(_: Identity, told: Told, __: bool) -> Script:  # noqa: FBT001  a job's own form
        return _stream(_spoken(made, tones(digest.digest(), tokens, speed)), told)

    output = 0 if model.name in _OLD else tokens * _SOUND
    return Job(
        model=model.name,
        usage=TokenUsage(
            prompt_tokens=0 if model.name in _OLD else tokens + count(asked.instructions or ""),
            completion_tokens=output,
            completion_audio_tokens=output,
        ),
        report=_usage,
        whole=whole,
        stream=stream if asked.stream_format == "sse" else None,
        content_type=_MADE[made],
        characters=len(asked.input) if model.name in _OLD else 0,
    )


def _spoken(made: str, pieces: list[bytes]) -> list[bytes]:
    """The file, in as many pieces as there are tones."""
    if made == "mp3":
        return silent_mp3(pieces)
    if made == "wav":
        return [wav_head(sum(map(len, pieces))) + pieces[0], *pieces[1:]]
    return pieces


def _usage(usage: TokenUsage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def _stream(pieces: list[bytes], told: Told) -> Script:
    """The events: `speech.audio.delta`, one for each tone, and `speech.audio.done`."""

    def body() -> Iterator[Step]:
        for piece in pieces:
            data = msgspec.json.encode({"type": "speech.audio.delta", "audio": b64encode(piece).decode()})
            yield Step(b"data: " + data + b"\n\n", _SOUND, visible=True)
        last: dict[str, Any] = {"type": "speech.audio.done"}
        if told is not None:
            last["usage"] = told
        yield Step(b"data: " + msgspec.json.encode(last) + b"\n\n")

    return Script(b"", body(), len(pieces), stream_error)


def _voice(voice: str | dict[str, Any]) -> str:
    if isinstance(voice, str):
        if voice not in _VOICES:
            raise invalid("voice", voice, _VOICES)
        return voice
    name = voice.get("id")
    if name is None:
        raise missing("voice.id")
    if not isinstance(name, str):
        raise mistyped("voice.id", "expected a string")
    return name


def _format(asked: str) -> str:
    if asked not in _FORMATS:
        raise invalid("response_format", asked, _FORMATS)
    if asked not in _MADE:
        message = f"Unsupported value: '{asked}'. The simulator makes real sound: 'wav' and 'pcm', and silent 'mp3'."
        raise Problem(400, message, code="unsupported_value", param="response_format")
    return asked


def _check(asked: _Request, model: Model) -> None:
    if not asked.input:
        raise Problem(400, "Invalid 'input': empty string.", code="empty_string", param="input")
    if len(asked.input) > _LONGEST:
        message = (
            f"Invalid 'input': string too long. Expected a string with maximum length {_LONGEST}, "
            f"but got a string with length {len(asked.input)} instead."
        )
        raise Problem(400, message, code="string_above_max_length", param="input")
    if asked.speed is not None and not 0.25 <= asked.speed <= 4:
        message = f"Invalid 'speed': expected a number between 0.25 and 4.0, but got {asked.speed} instead."
        raise Problem(400, message, code="decimal_out_of_range", param="speed")
    if asked.stream_format not in (None, "sse", "audio"):
        raise invalid("stream_format", asked.stream_format, ["sse", "audio"])
    if model.name in _OLD and asked.stream_format == "sse":
        raise unsupported_value("stream_format", "sse", "Use 'audio' instead.")
    if model.name in _OLD and asked.instructions:
        raise unsupported("instructions")
