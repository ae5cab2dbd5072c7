"""Reads the requests for pictures, new ones and edited ones, as JSON or as a form, as strictly as the API documents.

Two differences to the API: only PNG is made, and whoever asks for another format is refused; a model must be named.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from headgate.providers.simulator.forms import Field, read_form, texts_of
from headgate.providers.simulator.models import Model
from headgate.providers.simulator.png import kind_of
from headgate.providers.simulator.problem import Problem, invalid, missing, mistyped, too_large, too_small
from headgate.providers.simulator.question import decode, known_model, misfit

T = TypeVar("T")

_LONGEST = 32_000
_MOST_PICTURES = 16
_LARGEST = 50 * 1024 * 1024
_SIZES = ("auto", "1024x1024", "1536x1024", "1024x1536")
_SIZE = re.compile(r"([1-9][0-9]{1,3})x([1-9][0-9]{1,3})")
_OLD = ("gpt-image-1.5", "gpt-image-1-mini", "chatgpt-image-latest")
"""Models that make three sizes only."""
_WIDEST, _MOST_PIXELS = 3840, 3840 * 2160
_QUALITIES = ("auto", "low", "medium", "high")
_DATA = re.compile(r"data:[^,]*;base64,")


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """One request for pictures, understood.

    Attributes:
        model: who is asked.
        prompt: what is to be seen.
        n: how many pictures.
        width, height: pixels.
        quality: `low` to `max`.
        transparent: without a background.
        stream: as events, with so many `partial` pictures before the last one.
        safety_identifier: repeated in the last event and in the answer; None: not named.
        sources: pictures to edit; None: one that is only named by its address.
    """

    model: Model
    prompt: str
    n: int
    width: int
    height: int
    quality: str
    transparent: bool
    stream: bool
    partial: int
    safety_identifier: str | None = None
    sources: tuple[bytes | memoryview | None, ...] = ()


class _Request(msgspec.Struct):
    prompt: str
    model: str | None = None
    n: int | None = None
    size: str | None = None
    quality: str | None = None
    background: str | None = None
    moderation: str | None = None
    output_format: str | None = None
    output_compression: int | None = None
    partial_images: int | None = None
    stream: bool | None = None
    input_fidelity: str | None = None
    safety_identifier: str | None = None
    user: str | None = None
    response_format: Any = None
    style: Any = None
    images: list[dict[str, Any]] | None = None
    mask: dict[str, Any] | None = None


_DECODER = msgspec.json.Decoder(_Request)


def read_generation(body: bytes) -> Wish:
    """Understand a request for new pictures.

    Raises:
        Problem: 400 or 404, in the API's words.
    """
    return _wish(decode(_DECODER, body), ())


def read_edit(body: bytes, content_type: str) -> Wish:
    """Understand a request for edited pictures: a form with files, or JSON with references.

    Raises:
        Problem: 400, 404, 413 or 415, in the API's words.
    """
    if content_type.partition(";")[0].strip().lower() == "application/json":
        asked = decode(_DECODER, body)
        if not asked.images:
            raise missing("images")
        given: list[bytes | memoryview | None] = [
            _referred(entry, f"images[{at}]") for at, entry in enumerate(asked.images)
        ]
        if asked.mask is not None:
            _referred(asked.mask, "mask")
    else:
        fields = read_form(body, content_type)
        asked = as_fields(texts_of(fields), _Request)
        given = [*(_checked(field, "image") for field in fields if field.name in ("image", "image[]"))]
        if not given:
            raise missing("image")
        for field in fields:
            if field.name == "mask":
                _checked(field, "mask")
    if len(given) > _MOST_PICTURES:
        message = (
            f"Invalid 'image': array too long. Expected an array with maximum length {_MOST_PICTURES}, "
            f"but got an array with length {len(given)} instead."
        )
        raise Problem(400, message, code="array_above_max_length", param="image")
    return _wish(asked, tuple(given))


def as_fields(texts: dict[str, str], kind: type[T]) -> T:
    """The fields of a form as those of a request: numbers and truths are written out in forms.

    Raises:
        Problem: 400; one is missing or mistyped.
    """
    try:
        return msgspec.convert(texts, kind, strict=False)
    except msgspec.ValidationError as error:
        raise misfit(str(error)) from None


def _checked(field: Field, param: str) -> memoryview:
    if field.filename is None:
        raise mistyped(param, "expected a file, but got a string instead")
    if len(field.content) >= _LARGEST:
        raise Problem(413, f"Maximum content size limit ({_LARGEST}) exceeded ({len(field.content)} bytes read)")
    _check_kind(field.content, param)
    return field.content


def _check_kind(picture: bytes | memoryview, param: str) -> None:
    if kind_of(picture) is None:
        message = f"Invalid file '{param}': unsupported image. Supported are 'png', 'jpeg' and 'webp'."
        raise Problem(400, message, code="invalid_image_file", param=param)


def _referred(entry: dict[str, Any], param: str) -> bytes | None:
    """The picture of a reference; None where it lies somewhere else: the simulator fetches nothing."""
    address, name = entry.get("image_url"), entry.get("file_id")
    if (address is None) == (name is None):
        message = f"Invalid '{param}': expected either 'image_url' or 'file_id'."
        raise Problem(400, message, code="invalid_value", param=param)
    value = name if address is None else address
    if not isinstance(value, str):
        raise mistyped(f"{param}.{'file_id' if address is None else 'image_url'}", "expected a string")
    found = None if address is None else _DATA.match(value)
    if found is None:
        return None
    try:
        picture = b64decode(value[found.end() :], validate=True)
    except (Base64Error, ValueError):
        raise Problem(400, f"Invalid '{param}': not base64.", code="invalid_base64", param=param) from None
    _check_kind(picture, param)
    return picture


def _wish(asked: _Request, sources: Sequence[bytes | memoryview | None]) -> Wish:
    if asked.model is None:
        raise missing("model")
    model = known_model(asked.model, "images")
    if not asked.prompt:
        raise Problem(400, "Invalid 'prompt': empty string.", code="empty_string", param="prompt")
    if len(asked.prompt) > _LONGEST:
        message = (
            f"Invalid 'prompt': string too long. Expected a string with maximum length {_LONGEST}, "
            f"but got a string with length {len(asked.prompt)} instead."
        )
        raise Problem(400, message, code="string_above_max_length", param="prompt")
    for name in ("response_format", "style"):
        if getattr(asked, name) is not None:
            raise Problem(400, f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)
    _check_format(asked)
    qualities = _QUALITIES if "2.5" not in model.name and model.name != "fake" else (*_QUALITIES, "xhigh", "max")
    quality = _one_of(asked.quality, "quality", qualities)
    background = _one_of(asked.background, "background", ("auto", "transparent", "opaque"))
    _one_of(asked.moderation, "moderation", ("auto", "low"))
    _one_of(asked.input_fidelity, "input_fidelity", ("low", "high"))
    n, partial = 1 if asked.n is None else asked.n, asked.partial_images or 0
    _check_range("n", n, 1, 10)
    _check_range("partial_images", partial, 0, 3)
    if asked.partial_images is not None and not asked.stream:
        message = "The 'partial_images' parameter is only allowed when 'stream' is enabled."
        raise Problem(400, message, code="invalid_parameter_combination", param="partial_images")
    if asked.stream and n > 1:
        # The events do not say which picture they are of.
        raise Problem(400, "Streaming is only supported with n=1.", code="invalid_parameter_combination", param="n")
    width, height = _size(asked.size or "auto", model)
    return Wish(
        model=model,
        prompt=asked.prompt,
        n=n,
        width=width,
        height=height,
        quality="medium" if quality == "auto" else quality,
        transparent=background == "transparent",
        stream=bool(asked.stream),
        partial=partial,
        safety_identifier=asked.safety_identifier or asked.user or None,
        sources=tuple(sources),
    )


def _check_format(asked: _Request) -> None:
    if asked.output_format not in (None, "png"):
        _one_of(asked.output_format, "output_format", ("png", "webp", "jpeg", "gif", "svg"))
        message = f"Unsupported value: '{asked.output_format}'. The simulator makes real pictures, and only 'png' ones."
        raise Problem(400, message, code="unsupported_value", param="output_format")
    if asked.output_compression not in (None, 100):
        message = "Compression less than 100 is not supported for PNG output format"
        raise Problem(400, message, code="invalid_png_output_compression", param="output_compression")


def _one_of(value: str | None, param: str, among: Sequence[str]) -> str:
    """A value, or the first one where none was named."""
    if value is None:
        return among[0]
    if value not in among:
        raise invalid(param, value, among)
    return value


def _check_range(param: str, value: int, least: int, most: int) -> None:
    if value < least:
        raise too_small(param, value, least)
    if value > most:
        raise too_large(param, value, most)


def _size(asked: str, model: Model) -> tuple[int, int]:
    found = _SIZE.fullmatch(_SIZES[1] if asked == "auto" else asked)
    if found is None or (model.name in _OLD and asked not in _SIZES):
        raise invalid("size", asked, _SIZES)
    width, height = int(found[1]), int(found[2])
    why = None
    if width % 16 or height % 16:
        why = "width and height must be divisible by 16"
    elif max(width, height) > 3 * min(width, height):
        why = "the aspect ratio must be between 1:3 and 3:1"
    elif max(width, height) > _WIDEST or width * height > _MOST_PIXELS:
        why = "the maximum supported resolution is 3840x2160"
    if why is not None:
        raise Problem(400, f"Invalid size '{asked}': {why}.", code="invalid_value", param="size")
    return width, height
