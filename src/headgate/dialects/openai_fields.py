"""Fields that both OpenAI dialects spell alike: the model's name, token usage, and how much was said.

Decides how such a field is read from a server that may lie, and how a model is renamed without touching another byte.
Refuses to know where in an answer the field stands; each dialect knows that of its own.
"""

import re
from typing import Annotated, Any, TypeVar

import msgspec

from headgate.core.body import Body
from headgate.core.errors import GarbledError
from headgate.core.usage import TokenUsage

T = TypeVar("T")

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What the JSON decoder raises for bytes that are no answer of the expected form."""

ABSENT = msgspec.Raw()

_MODEL = b'"model"'
_BACKSLASH = ord("\\")
# How every escape of a letter in `model` begins.
_DISGUISE = rb"\u006"
_MODEL_VALUE = re.compile(rb'"model"[ \t\n\r]*:[ \t\n\r]*("[^"\\]*")')
_PAIR = rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF = re.compile(rb"(\\[^u]|" + _PAIR + rb")|\\u[dD][89a-fA-F][0-9a-fA-F]{2}")

# Beyond this, a count of tokens is a lie or a bug, and multiplying it by a price does harm.
_MOST_TOKENS = 10**9
Tokens = Annotated[int, msgspec.Meta(ge=0, le=_MOST_TOKENS)]


def decode(decoder: msgspec.json.Decoder[T], raw: bytes, what: str) -> T:
    """Decode an answer or an event.

    Half of a surrogate pair (an emoji cut in two by a server that counts in UTF-16) is read as U+FFFD: the strict
    decoder refuses it, and the caller gets the provider's own bytes anyway.

    Raises:
        GarbledError: it cannot be read; the message begins with `what` and quotes nothing.
    """
    try:
        if not raw.isascii():
            raw.decode()  # the decoder does not look into the text of fields that it skips; the caller's parser does
        return decoder.decode(raw)
    except UNREADABLE as error:
        mended = _HALF.sub(lambda found: found[1] or rb"\ufffd", raw)
        if mended != raw:
            return decode(decoder, mended, what)
        reason = str(error) if isinstance(error, msgspec.ValidationError) else "it is not JSON in UTF-8"
    raise GarbledError(f"{what} cannot be read: {reason}.")


def measure(value: Any) -> int:
    """UTF-8 bytes of a piece of output; what is no text counts as its JSON.

    Example:
        >>> measure("né"), measure(None), measure({"a": 1})
        (3, 0, 7)
    """
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    return 0 if value is None else len(msgspec.json.encode(value))


def words(content: Any) -> str:
    """The visible text of a `content` field: a string, or a list of parts of which only those with text count."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, dict))
    return "".join(text for text in texts if isinstance(text, str))


class _Details(msgspec.Struct):
    cached_tokens: Tokens | None = None
    cache_write_tokens: Tokens | None = None
    reasoning_tokens: Tokens | None = None
    image_tokens: Tokens | None = None
    audio_tokens: Tokens | None = None


class _ChatUsage(msgspec.Struct):
    prompt_tokens: Tokens
    completion_tokens: Tokens
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _PromptUsage(msgspec.Struct):
    prompt_tokens: Tokens


class _ResponsesUsage(msgspec.Struct):
    input_tokens: Tokens
    output_tokens: Tokens
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None
    input_token_details: _Details | None = None  # as transcriptions spell it


class _Drawn(msgspec.Struct):
    text_tokens: Any = None
    image_tokens: Any = None


class _ImageUsage(msgspec.Struct):
    output_tokens_details: _Drawn | None = None


_PROMPT_USAGE = msgspec.json.Decoder(_PromptUsage)
_IMAGE_USAGE = msgspec.json.Decoder(_ImageUsage)
_CHAT_USAGE = msgspec.json.Decoder(_ChatUsage)
_RESPONSES_USAGE = msgspec.json.Decoder(_ResponsesUsage)
_NO_PARTS = (0, 0, 0, 0)


def chat_usage(raw: msgspec.Raw) -> TokenUsage | None:
    """Read a `usage` object in the words of Chat Completions; None where it is absent, null or not to be believed."""
    if len(raw) <= len(b"null"):
        return None
    try:
        told = _CHAT_USAGE.decode(raw)
    except UNREADABLE:
        return None
    return _usage(
        told.prompt_tokens, told.completion_tokens, told.prompt_tokens_details, told.completion_tokens_details
    )


def responses_usage(raw: msgspec.Raw) -> TokenUsage | None:
    """Read a `usage` object in the words of Responses; None where it is absent, null or not to be believed."""
    if len(raw) <= len(b"null"):
        return None
    try:
        told = _RESPONSES_USAGE.decode(raw)
    except UNREADABLE:
        return None
    asked = told.input_tokens_details or told.input_token_details
    return _usage(told.input_tokens, told.output_tokens, asked, told.output_tokens_details)


def image_usage(raw: msgspec.Raw) -> TokenUsage | None:
    """Read the `usage` of an image: what came out is a picture, unless it says otherwise."""
    usage = responses_usage(raw)
    if usage is None:
        return None
    drawn = _IMAGE_USAGE.decode(raw).output_tokens_details
    if drawn is not None and not (drawn.text_tokens is None and drawn.image_tokens is None):
        return usage
    return msgspec.structs.replace(usage, completion_image_tokens=usage.completion_tokens)


def prompt_usage(raw: msgspec.Raw) -> TokenUsage | None:
    """Read the `usage` of an embedding, which has no output; None where it is absent or not to be believed."""
    if len(raw) <= len(b"null"):
        return None
    try:
        return TokenUsage(prompt_tokens=_PROMPT_USAGE.decode(raw).prompt_tokens)
    except UNREADABLE:
        return None


def no_usage(_raw: msgspec.Raw) -> None:
    """Where nothing is charged, nothing is read."""


def _usage(prompt: int, completion: int, asked: _Details | None, said: _Details | None) -> TokenUsage:
    # Parts larger than their whole: the whole is believed, and priced as plain tokens.
    cached, written, seen, heard = _parts(asked, prompt) if asked else _NO_PARTS
    reasoning, _, drawn, spoken = _parts(said, completion) if said else _NO_PARTS
    return TokenUsage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
        prompt_image_tokens=seen,
        prompt_audio_tokens=heard,
        completion_image_tokens=drawn,
        completion_audio_tokens=spoken,
    )


def _parts(details: _Details, whole: int) -> tuple[int, int, int, int]:
    """Cached (or reasoning), cache-write, image and audio tokens."""
    first = details.cached_tokens or details.reasoning_tokens or 0
    written, pictures, sound = details.cache_write_tokens or 0, details.image_tokens or 0, details.audio_tokens or 0
    if first + written > whole:
        first = written = 0
    if pictures + sound > whole:
        pictures = sound = 0
    return first, written, pictures, sound


def with_model(body: Body, current: str | None, model: str) -> Body:
    """The same body asking for another model; only the bytes of its name change.

    Args:
        body: a request that was read: its `model` stands there at most once.
        current: the model that it asks for now.
        model: the model that it shall ask for.

    Example:
        >>> with_model(Body(b'{"seed": 1, "model": "a"}'), "a", "b").raw
        b'{"seed": 1, "model": "b"}'
    """
    if model == current:
        return body
    raw = body.raw
    new = msgspec.json.encode(model)
    at = raw.find(_MODEL)
    # The field is known to be there. If its name is found once in the bytes, and no escape can spell it otherwise,
    # then what was found is the field.
    if current is not None and raw.find(_MODEL, at + 1) < 0 and not (_BACKSLASH in raw and _DISGUISE in raw):
        found = _MODEL_VALUE.match(raw, at)
        if found is not None:
            return Body(raw[: found.start(1)] + new + raw[found.end(1) :])
    return body.with_field("model", new)
