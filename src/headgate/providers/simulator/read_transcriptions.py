"""Reads the forms that ask for what is said in a sound, as strictly as the API documents."""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from typing import Any

import msgspec

from headgate.providers.simulator.forms import Field, file_of, read_form
from headgate.providers.simulator.models import Model
from headgate.providers.simulator.problem import Problem, invalid, unsupported_value
from headgate.providers.simulator.question import known_model
from headgate.providers.simulator.read_images import as_fields
from headgate.providers.simulator.sound import seconds_of

_LARGEST = 25 * 1024 * 1024
_SHORTEST = Fraction(1, 10)
_ENDINGS = ("flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "wav", "webm")
_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
_SIMPLE = ("json", "text")
"""Formats of the models that give no timestamps."""
_TIMED = ("whisper-1", "fake")
"""Models that give timestamps, and no events."""
_LISTS = ("timestamp_granularities", "include", "languages", "keywords")


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """One request, understood.

    Attributes:
        model: who is asked.
        sound: the bytes of the file.
        length: how long it is, in seconds.
        language: of the sound, as the caller says.
        prompt: what the model is told beforehand.
        form: the format of the answer.
        words, segments: timestamps that are wanted.
        logprobs: how sure the model was of each token.
        stream: as events.
    """

    model: Model
    sound: memoryview
    length: Fraction
    language: str = "en"
    prompt: str = ""
    form: str = "json"
    words: bool = False
    segments: bool = False
    logprobs: bool = False
    stream: bool = False

    @property
    def whole_seconds(self) -> int:
        """Seconds, the last one begun counted whole: what is charged by the hour is charged so."""
        return ceil(self.length)

    @property
    def by_duration(self) -> bool:
        """The model is paid by the length of the sound, and not by tokens."""
        return self.model.name in ("gpt-transcribe", "whisper-1")


class _Request(msgspec.Struct):
    model: str
    language: str | None = None
    prompt: str | None = None
    response_format: str | None = None
    temperature: float | None = None
    stream: bool | None = None
    timestamp_granularities: list[str] = []
    include: list[str] = []
    languages: list[str] = []
    keywords: list[str] = []


def read_transcription(body: bytes, content_type: str) -> Heard:
    """Understand a request for a transcription.

    Raises:
        Problem: 400, 404, 413 or 415, in the API's words.
    """
    asked, heard = _read(body, content_type)
    name = heard.model.name
    for wish in asked.timestamp_granularities:
        if wish not in ("word", "segment"):
            raise invalid("timestamp_granularities", wish, ["word", "segment"])
    if asked.timestamp_granularities and heard.form != "verbose_json":
        message = "The 'timestamp_granularities' parameter is only allowed with response_format 'verbose_json'."
        raise Problem(400, message, code="invalid_parameter_combination", param="timestamp_granularities")
    for wish in asked.include:
        if wish != "logprobs":
            raise invalid("include", wish, ["logprobs"])
    if asked.include and (not name.startswith("gpt-4o-") or heard.form != "json"):
        message = f"The 'include' parameter is not supported with model '{name}' and response_format '{heard.form}'."
        raise Problem(400, message, code="unsupported_parameter", param="include")
    for field in ("languages", "keywords"):
        if getattr(asked, field) and name not in ("gpt-transcribe", "fake"):
            message = f"Unsupported parameter: '{field}' is not supported with this model."
            raise Problem(400, message, code="unsupported_parameter", param=field)
    return msgspec.structs.replace(
        heard,
        words="word" in asked.timestamp_granularities,
        segments=not asked.timestamp_granularities or "segment" in asked.timestamp_granularities,
        logprobs=bool(asked.include),
        # The API's own word on whisper-1: the wish for a stream is ignored.
        stream=bool(asked.stream) and name != "whisper-1" and heard.form in _SIMPLE,
    )


def read_translation(body: bytes, content_type: str) -> Heard:
    """Understand a request for a translation into English.

    Raises:
        Problem: 400, 404, 413 or 415, in the API's words.
    """
    _, heard = _read(body, content_type)
    if heard.model.name not in _TIMED:
        raise unsupported_value("model", heard.model.name, "Only whisper-1 translates.")
    return msgspec.structs.replace(heard, segments=True, language="en")


def _read(body: bytes, content_type: str) -> tuple[_Request, Heard]:
    fields = read_form(body, content_type)
    asked = as_fields(_values(fields), _Request)
    model = known_model(asked.model, "transcriptions")
    form = asked.response_format or "json"
    if form not in _FORMATS:
        raise invalid("response_format", form, _FORMATS)
    if model.name not in _TIMED and form not in _SIMPLE:
        message = f"response_format '{form}' is not compatible with model '{model.name}'. Use 'json' or 'text' instead."
        raise Problem(400, message, code="unsupported_value", param="response_format")
    if asked.temperature is not None and not 0 <= asked.temperature <= 1:
        message = f"Invalid 'temperature': expected a number between 0 and 1, but got {asked.temperature} instead."
        raise Problem(400, message, code="decimal_out_of_range", param="temperature")
    file = file_of(fields, "file")
    _check_file(file)
    length = seconds_of(file.content)
    if length < _SHORTEST:
        message = "Audio file is too short. Minimum audio length is 0.1 seconds."
        raise Problem(400, message, code="audio_too_short", param="file")
    heard = Heard(
        model=model,
        sound=file.content,
        length=length,
        language=asked.language or "en",
        prompt=asked.prompt or "",
        form=form,
    )
    return asked, heard


def _values(fields: Sequence[Field]) -> dict[str, Any]:
    """The fields that are no files. Lists come as `name[]`, once for each entry, or as `name`."""
    values: dict[str, Any] = {}
    for field in fields:
        name = field.name.removesuffix("[]")
        if field.filename is not None:
            continue
        if name in _LISTS:
            values.setdefault(name, []).append(field.text())
        else:
            values[name] = field.text()
    return values


def _check_file(file: Field) -> None:
    if len(file.content) > _LARGEST:
        message = f"Maximum content size limit ({_LARGEST}) exceeded ({len(file.content)} bytes read)"
        raise Problem(413, message)
    ending = (file.filename or "").rpartition(".")[2].lower()
    if ending not in _ENDINGS:
        message = f"Invalid file format. Supported formats: {list(_ENDINGS)}"
        raise Problem(400, message, code="invalid_value", param="file")
