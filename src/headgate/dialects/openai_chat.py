"""The dialect of `/chat/completions` and the older `/completions`: requests, whole answers, streams, and errors.

Decides what a chunk means for the reply: nothing yet, words, the end, or what follows it. Refuses to know who asks,
and looks only at the fields that integrity and accounting need; everything else passes as the provider sent it, so
compatible servers with fields of their own are read as well.
"""

import re
from typing import Any

import msgspec

from headgate.core.body import Body, ObjectReader
from headgate.core.call import Operation
from headgate.core.caps import Fields, read_before
from headgate.core.errors import Answer, BadRequestError, GarbledError, HeadgateError, OverloadedError, ProviderError
from headgate.core.reply import Event, Kind
from headgate.core.upload import Form, Upload
from headgate.core.usage import TokenUsage
from headgate.dialects import sse
from headgate.dialects.dialect import RequestFacts, StreamReader
from headgate.dialects.openai_errors import error_from, error_object, error_of
from headgate.dialects.openai_fields import ABSENT, chat_usage, decode, measure, with_model, words
from headgate.dialects.openai_names import FILES, names
from headgate.dialects.sse import ServerEvent

_MORE = ("type", "audio", "web_search_options", "functions")
"""Words of which one stands in every request that holds more than text."""
_NULL = b"null"
_NOTHING = (b"", _NULL)
_BRACE = ord("{")
# The start of an object that is not empty.
_FIRST_FIELD = re.compile(rb'[ \t\n\r]*\{(?=[ \t\n\r]*")')


class _Options(msgspec.Struct):
    include_usage: bool | None = None


class _Request(Fields, frozen=True):
    model: str | None = None
    stream: bool | None = None
    stream_options: msgspec.Raw = ABSENT
    user: str | None = None
    safety_identifier: str | None = None


class _Outbound(msgspec.Struct):
    model: str | None = None
    stream_options: msgspec.Raw = ABSENT


class _Function(msgspec.Struct, gc=False):
    arguments: Any = None


class _Custom(msgspec.Struct, gc=False):
    input: Any = None


class _ToolCall(msgspec.Struct, gc=False):
    function: _Function | None = None
    custom: _Custom | None = None


class _Said(msgspec.Struct, gc=False):
    """A message, or a piece of one. Leaves are of any type: compatible servers vary them."""

    content: Any = None
    refusal: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None
    audio: Any = None


class _Piece(msgspec.Struct, gc=False):
    """A piece of a choice: of a message, or (in legacy completions) of a plain text."""

    index: int | None = None
    delta: _Said | None = None
    finish_reason: str | None = None
    text: Any = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Piece] | None = None
    usage: msgspec.Raw = ABSENT
    error: Any = None
    model: str | None = None
    service_tier: str | None = None


class _Choice(msgspec.Struct, gc=False):
    message: _Said | None = None
    finish_reason: str | None = None
    text: Any = None


class _Whole(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = ABSENT
    error: Any = None
    model: str | None = None
    service_tier: str | None = None


_FILES = frozenset(b'"%s"' % name.encode() for name in FILES)
_REQUEST = ObjectReader(_Request, marks=(*FILES, *_MORE))
_OPTIONS = ObjectReader(_Options)
_OUTBOUND = msgspec.json.Decoder(_Outbound)
_STREAM_OPTIONS = msgspec.json.Decoder(_Options)
_CHUNK = msgspec.json.Decoder(_Chunk)
_WHOLE = msgspec.json.Decoder(_Whole)


def _beside(said: _Said) -> bool:
    """Whether anything but `content` is said."""
    return bool(
        said.tool_calls or said.reasoning_content or said.reasoning or said.refusal or said.function_call or said.audio
    )


def _size_beside(said: _Said) -> int:
    """Bytes of output beside `content`. A server that gives reasoning under both names says it once."""
    size = measure(said.refusal) + measure(said.reasoning_content or said.reasoning)
    for tool in said.tool_calls or ():
        if tool.function is not None:
            size += measure(tool.function.arguments)
        if tool.custom is not None:
            size += measure(tool.custom.input)
    if said.function_call is not None:
        size += measure(said.function_call.arguments)
    if isinstance(said.audio, dict):
        size += measure(said.audio.get("transcript"))
    return size


def _size(choice: _Choice) -> int:
    said = choice.message
    if said is None:
        return measure(choice.text)
    return measure(said.content) + (_size_beside(said) if _beside(said) else 0)


class ChatReader:
    """Reads one stream of chunks.

    `usage` on an event replaces what an earlier event said: a server that repeats it repeats the total.
    """

    __slots__ = ("_finished", "_seen", "_usage_wanted")

    def __init__(self, *, usage_wanted: bool) -> None:
        self._usage_wanted = usage_wanted
        self._seen: set[int] = set()
        self._finished: dict[int, str] = {}

    @property
    def complete(self) -> bool:
        """Every choice that was begun has its finish reason."""
        return bool(self._finished) and len(self._finished) == len(self._seen)

    def read(self, event: ServerEvent) -> Event:
        """Understand one event of the stream.

        Raises:
            ProviderError: the event says that the answer failed.
            GarbledError: it cannot be read, or it ends the stream while the answer is not finished.
        """
        data = event.data
        if not data:
            return Event(kind=self._idle, raw=event.raw)
        if data[0] != _BRACE and data.strip().startswith(b"[DONE]"):
            if not self.complete:
                raise GarbledError("The provider ended its stream without a finish reason: words may be missing.")
            return Event(kind=Kind.TRAILER, raw=event.raw)
        chunk = decode(_CHUNK, data, "An event of the provider's stream")
        if chunk.error:
            raise error_of(chunk.error)
        usage = chat_usage(chunk.usage)
        if chunk.choices:
            return self._pieces(chunk, chunk.choices, usage, event.raw)
        return Event(
            kind=self._idle,
            raw=event.raw,
            usage=usage,
            model=chunk.model or None,
            tier=chunk.service_tier or None,
            hidden=not self._usage_wanted and usage is not None,
        )

    @property
    def _idle(self) -> Kind:
        """The kind of an event that says nothing."""
        return Kind.TRAILER if self.complete else Kind.PREAMBLE

    def _pieces(self, chunk: _Chunk, pieces: list[_Piece], usage: TokenUsage | None, raw: bytes) -> Event:
        text, size, finish, said = "", 0, None, False
        for piece in pieces:
            index = piece.index or 0
            self._seen.add(index)
            delta = piece.delta
            content = piece.text if delta is None else delta.content
            if content:
                said = True
                size += measure(content)
                if index == 0:
                    text += words(content)
            if delta is not None and _beside(delta):
                said = True
                size += _size_beside(delta)
            reason = piece.finish_reason
            if reason and index not in self._finished:
                if reason == "error":
                    raise OverloadedError("The provider failed while it answered and gave no reason.")
                self._finished[index] = finish = reason
        kind = Kind.CONTENT if said or finish else self._idle
        if finish and self.complete:
            kind = Kind.TERMINAL
            finish = self._finished.get(0, finish)
        return Event(
            kind=kind,
            raw=raw,
            text=text,
            size=size,
            finish=finish,
            usage=usage,
            model=chunk.model or None,
            tier=chunk.service_tier or None,
        )


class ChatDialect:
    """`headgate.dialects.dialect.Dialect` for chat completions, and for the older completions of a plain text.

    Args:
        operation: which of the two.
        path: its address.

    Example:
        >>> ChatDialect().read_request(b'{"model": "m", "stream": true, "messages": []}').stream
        True
    """

    def __init__(self, operation: Operation = Operation.CHAT, path: str = "/chat/completions") -> None:
        self.operation = operation
        self.path = path

    def read_request(self, raw: bytes | Form) -> RequestFacts:
        """Read the model, whether it streams, whether usage is wanted in the stream, and the end user.

        Raises:
            BadRequestError: it is malformed, mistyped or ambiguous.
        """
        assert isinstance(raw, bytes), "the address takes JSON"
        request, marks = _REQUEST.survey(raw)
        options = bytes(request.stream_options)
        wanted = options not in _NOTHING and _usage_wanted(options)
        user = request.user or request.safety_identifier or None
        found = names(raw) if marks and not marks.isdisjoint(_FILES) else ()
        return RequestFacts(request.model, bool(request.stream), wanted, user, False, found, request, not marks)  # noqa: FBT003  a record

    def prepare(self, body: Body | Upload, *, model: str | None, stream: bool) -> Body:
        """Set the model, and ask for usage if it streams; the same body where nothing is to be done."""
        assert isinstance(body, Body), "the address takes JSON"
        known = read_before(body)
        now = known if isinstance(known, _Request) else _OUTBOUND.decode(body.raw)
        if model is not None:
            body = with_model(body, now.model, model)
        return _asking_for_usage(body, bytes(now.stream_options)) if stream else body

    def read_answer(self, raw: bytes) -> Event:
        """Read a whole answer: the first choice's words, the size of all of them.

        Raises:
            ProviderError: it says itself that it failed.
            GarbledError: it cannot be read, or holds no choice.
        """
        answer = decode(_WHOLE, raw, "The provider's answer")
        if answer.error:
            raise error_of(answer.error)
        if not answer.choices:
            raise GarbledError("The provider's answer holds no choices.")
        first = answer.choices[0]
        if first.finish_reason == "error":
            raise OverloadedError("The provider failed while it answered and gave no reason.")
        size = 0
        for choice in answer.choices:
            if choice.message is None and choice.text is None:
                raise GarbledError("The provider's answer holds a choice without a message.")
            size += _size(choice)
        return Event(
            kind=Kind.TERMINAL,
            raw=raw,
            text=words(first.message.content if first.message else first.text),
            size=size,
            finish=first.finish_reason,
            usage=chat_usage(answer.usage),
            model=answer.model or None,
            tier=answer.service_tier or None,
        )

    def read_stream(self, *, usage_wanted: bool) -> StreamReader:
        """A reader for one stream."""
        return ChatReader(usage_wanted=usage_wanted)

    def read_error(self, answer: Answer) -> ProviderError:
        """Read an error answer as the class that its status and names call for."""
        return error_from(answer)

    def write_error(self, error: HeadgateError, *, sequence: int) -> bytes:  # noqa: ARG002  chunks are not numbered
        """An error as the last event of a stream; no `[DONE]` follows it."""
        return sse.write(msgspec.json.encode({"error": error_object(error)}))


def _usage_wanted(options: bytes) -> bool:
    name = "stream_options"
    if options[0] != _BRACE:
        raise BadRequestError(f"The field '{name}' must be an object.", code="invalid_type", param=name)
    try:
        return bool(_OPTIONS.read(options).include_usage)
    except BadRequestError as error:
        raise BadRequestError(f"In '{name}': {error.message}", code=error.code, param=name) from None


def _asking_for_usage(body: Body, now: bytes) -> Body:
    if not now:
        found = _FIRST_FIELD.match(body.raw)
        if found is not None:
            at = found.end()
            return Body(body.raw[:at] + b'"stream_options":{"include_usage":true},' + body.raw[at:])
    elif now != _NULL:
        if _STREAM_OPTIONS.decode(now).include_usage:
            return body
        return body.with_field("stream_options", Body(now).with_field("include_usage", b"true").raw)
    return body.with_field("stream_options", b'{"include_usage":true}')
