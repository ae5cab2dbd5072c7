"""The dialects of questions with one answer: embeddings, moderations, images, speech, transcriptions, token counts.

Decides what the gate reads of such requests (JSON objects or forms) and of their answers: the model, the usage, and in
the streams of pictures, sound and subtitles, where they end. Everything else passes as it came.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from headgate.core.body import Body, ObjectReader
from headgate.core.call import Operation
from headgate.core.errors import Answer, BadRequestError, GarbledError, HeadgateError, ProviderError
from headgate.core.reply import Event, Kind
from headgate.core.upload import Form, Upload
from headgate.core.usage import TokenUsage
from headgate.dialects import sse
from headgate.dialects.dialect import RequestFacts, StreamReader
from headgate.dialects.openai_errors import error_from, error_object, error_of
from headgate.dialects.openai_fields import ABSENT, decode, measure, with_model, words
from headgate.dialects.openai_names import chat_names, form_names
from headgate.dialects.sse import ServerEvent

_CONTENT = (".delta", ".partial_image", ".segment")
_ENDS = (".done", ".completed")
_TEXTS = frozenset(("text", "srt", "vtt"))
_TRUE = frozenset(("true", "True", "1"))


class _Request(msgspec.Struct):
    model: str | None = None
    stream: bool | None = None
    user: str | None = None
    stream_format: Any = None
    # Of token counts; read elsewhere, with all other ids.
    previous_response_id: Any = None
    conversation: Any = None


class _Outbound(msgspec.Struct):
    model: str | None = None


class _Whole(msgspec.Struct, gc=False):
    usage: msgspec.Raw = ABSENT
    model: Any = None
    error: Any = None


class _Wire(msgspec.Struct, gc=False):
    type: str = ""
    delta: Any = None
    usage: msgspec.Raw = ABSENT
    error: Any = None


_REQUEST = ObjectReader(_Request)
_OUTBOUND = msgspec.json.Decoder(_Outbound)
_WHOLE = msgspec.json.Decoder(_Whole)
_WIRE = msgspec.json.Decoder(_Wire)

Reads = Callable[[msgspec.Raw], TokenUsage | None]
Names = Callable[[bytes], tuple[str, ...]]


class PlainReader:
    """Reads one stream of pictures, sound or subtitles."""

    __slots__ = ("_usage", "complete")

    def __init__(self, usage: Reads) -> None:
        self._usage = usage
        self.complete = False

    def read(self, event: ServerEvent) -> Event:
        """Understand one event of the stream.

        Raises:
            ProviderError: the event says that the answer failed.
            GarbledError: it cannot be read, or it ends the stream while the answer is not finished.
        """
        data = event.data
        if not data or data.strip() == b"[DONE]":
            if data and not self.complete:
                raise GarbledError("The provider ended its stream before the answer was finished.")
            return Event(kind=Kind.TRAILER if self.complete else Kind.PREAMBLE, raw=event.raw)
        wire = decode(_WIRE, data, "An event of the provider's stream")
        name = wire.type or event.name.decode(errors="replace")
        if wire.error or name == "error":
            raise error_of(wire.error or msgspec.json.decode(data))
        kind = Kind.TRAILER if self.complete else Kind.PREAMBLE
        if name.endswith(_ENDS):
            self.complete = True
            kind = Kind.TERMINAL
        elif name.endswith(_CONTENT):
            kind = Kind.CONTENT
        text = words(wire.delta)
        return Event(kind=kind, raw=event.raw, text=text, size=measure(text), usage=self._usage(wire.usage))


class PlainDialect:
    """`headgate.dialects.dialect.Dialect` for one of these questions.

    Args:
        operation: which.
        path: its address.
        usage: reads the `usage` of an answer.
        names: finds the ids of objects in a JSON request.
        opaque: the answer is sound and no JSON, unless it is asked for as a stream of events.
        streams: the answer may be a stream of events; where it may not, `stream` means nothing, as to the provider.

    Example:
        >>> from headgate.dialects.openai_fields import prompt_usage
        >>> dialect = PlainDialect(Operation.EMBEDDINGS, "/embeddings", prompt_usage)
        >>> dialect.read_answer(b'{"data": [], "usage": {"prompt_tokens": 2, "total_tokens": 2}}').usage.prompt_tokens
        2
    """

    def __init__(
        self,
        operation: Operation,
        path: str,
        usage: Reads,
        *,
        names: Names = chat_names,
        opaque: bool = False,
        streams: bool = False,
    ) -> None:
        self.operation = operation
        self.path = path
        self._usage = usage
        self._names = names
        self._opaque = opaque
        self._streams = streams

    def read_request(self, raw: bytes | Form) -> RequestFacts:
        """Read the model, whether it streams, and the end user, of a JSON object or a form.

        Raises:
            BadRequestError: it is malformed, mistyped or ambiguous.
        """
        if isinstance(raw, Form):
            return _read_form(raw, streams=self._streams)
        request = _REQUEST.read(raw)
        stream = request.stream_format == "sse" if self._opaque else self._streams and bool(request.stream)
        opaque = self._opaque and not stream
        return RequestFacts(request.model, stream, user=request.user, opaque=opaque, names=self._names(raw))

    def prepare(self, body: Body | Upload, *, model: str | None, stream: bool) -> Body | Upload:  # noqa: ARG002
        """Set the model; the same body where nothing is to be done."""
        if model is None:
            return body
        if isinstance(body, Form):
            return body if body.text("model") == model else body.with_field("model", model)
        assert isinstance(body, Body), "the address takes JSON or a form"
        return with_model(body, _OUTBOUND.decode(body.raw).model, model)

    def read_answer(self, raw: bytes) -> Event:
        """Read a whole answer.

        Raises:
            ProviderError: it says itself that it failed.
            GarbledError: it cannot be read.
        """
        answer = decode(_WHOLE, raw, "The provider's answer")
        if answer.error:
            raise error_of(answer.error)
        model = answer.model if isinstance(answer.model, str) else None
        return Event(kind=Kind.TERMINAL, raw=raw, usage=self._usage(answer.usage), model=model or None)

    def read_stream(self, *, usage_wanted: bool) -> StreamReader:  # noqa: ARG002  usage is part of the last event
        """A reader for one stream."""
        return PlainReader(self._usage)

    def read_error(self, answer: Answer) -> ProviderError:
        """Read an error answer as the class that its status and names call for."""
        return error_from(answer)

    def write_error(self, error: HeadgateError, *, sequence: int) -> bytes:  # noqa: ARG002  events are not numbered
        """An error as the last event of a stream."""
        return sse.write(msgspec.json.encode({"error": error_object(error)}), b"error")


def _read_form(form: Form, *, streams: bool) -> RequestFacts:
    """The facts of a form. A field that is read may stand there once: two parsers must not see two requests."""
    found = [part.name for part in form.parts if part.name in {"model", "stream", "user", "response_format"}]
    for name in found:
        if found.count(name) > 1:
            message = f"The field {name!r} stands in the form twice."
            raise BadRequestError(message, code="duplicate_field", param=name, hint="Send it once.")
    stream = streams and form.text("stream") in _TRUE
    opaque = form.text("response_format") in _TEXTS and not stream
    return RequestFacts(form.text("model"), stream, user=form.text("user"), opaque=opaque, names=form_names(form))
