"""The dialect of `/responses`: requests, whole answers, streams of named events, and errors.

Decides what an event means for the reply by the `type` inside its data (the `event:` line is only a copy of it).
Refuses to know who asks, and looks only at the fields that integrity and accounting need. Output is counted where it
streams, in the `*.delta` events; the `*.done` events that repeat it count nothing.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from headgate.core.body import Body, ObjectReader
from headgate.core.call import Operation
from headgate.core.caps import Fields, read_before
from headgate.core.errors import Answer, GarbledError, HeadgateError, ProviderError
from headgate.core.reply import Event, Kind
from headgate.core.upload import Form, Upload
from headgate.dialects import sse
from headgate.dialects.dialect import RequestFacts, StreamReader
from headgate.dialects.openai_errors import error_from, error_object, error_of
from headgate.dialects.openai_fields import ABSENT, decode, measure, responses_usage, with_model, words
from headgate.dialects.openai_names import REFERENCES, marked_names
from headgate.dialects.sse import ServerEvent

_BRACE = ord("{")
_CALLS = frozenset(("function_call", "custom_tool_call"))
_LIFE = frozenset(
    f"response.{step}" for step in ("created", "queued", "in_progress", "completed", "incomplete", "failed")
)
_ENDS = frozenset(("response.completed", "response.incomplete"))
# Sound and pictures are output, but their bytes tell nothing about tokens.
_UNMEASURED = frozenset(("response.audio.delta", "response.shell_call_output_content.delta"))
_PICTURE = "response.image_generation_call.partial_image"
_FINISH = {"max_output_tokens": "length", "max_messages": "length"}


class _Request(Fields, frozen=True):
    model: str | None = None
    stream: bool | None = None
    user: str | None = None
    safety_identifier: str | None = None
    # Read elsewhere, with all other ids; here so that neither stands there twice, nor in another spelling.
    previous_response_id: Any = None
    conversation: Any = None


class _Outbound(msgspec.Struct):
    model: str | None = None


class _Wire(msgspec.Struct, gc=False):
    """One event's data, whatever its type."""

    type: str = ""
    delta: Any = None
    item: msgspec.Raw = ABSENT
    response: msgspec.Raw = ABSENT
    error: Any = None
    message: Any = None
    code: Any = None
    param: Any = None


class _Item(msgspec.Struct, gc=False):
    """One item of an answer's output. Leaves are of any type: each kind of item has its own."""

    type: str = ""
    id: Any = None
    container_id: Any = None
    content: Any = None
    summary: Any = None
    arguments: Any = None
    input: Any = None
    code: Any = None


class _Reason(msgspec.Struct, gc=False):
    reason: str | None = None


class _Named(msgspec.Struct, gc=False):
    id: Any = None
    container_id: Any = None


class _Response(msgspec.Struct, gc=False):
    id: Any = None
    store: Any = None
    output: list[_Item] | None = None
    status: str | None = None
    error: Any = None
    incomplete_details: _Reason | None = None
    usage: msgspec.Raw = ABSENT
    model: str | None = None
    service_tier: str | None = None


_MORE = frozenset((b'"type"', b'"prompt"'))
# Words beside these of which one stands in every request that holds more than text.
_REQUEST = ObjectReader(_Request, marks=(*REFERENCES, "type", "prompt"))
_OUTBOUND = msgspec.json.Decoder(_Outbound)
_WIRE = msgspec.json.Decoder(_Wire)
_RESPONSE = msgspec.json.Decoder(_Response)
_NAMED = msgspec.json.Decoder(_Named)
_ITEM_ADDED = "response.output_item.added"
# The work goes on when the answer is here.
_PENDING = frozenset(("queued", "in_progress"))


def _finish(response: _Response) -> str:
    """Why the answer ended, in the chat dialect's words; the status itself where it has not ended."""
    status = response.status or "completed"
    if status == "incomplete":
        reason = response.incomplete_details and response.incomplete_details.reason
        return _FINISH.get(reason or "", reason or "length")
    if status != "completed":
        return status
    return "tool_calls" if any(item.type in _CALLS for item in response.output or ()) else "stop"


def _checked(raw: bytes, what: str) -> _Response:
    """Decode a response object; one that failed is raised as the error that it names."""
    response = decode(_RESPONSE, raw, what)
    if response.error or response.status == "failed":
        raise error_of(response.error)
    return response


def _terminal(response: _Response, raw: bytes, *, said: bool) -> Event:
    """The end of an answer; with its words, unless they were said before."""
    output = () if said else response.output or ()
    return Event(
        kind=Kind.TERMINAL,
        raw=raw,
        made=() if said else _made(response),
        pending=response.status in _PENDING,
        text="".join(words(item.content) for item in output if item.type == "message"),
        size=sum(_size(item) for item in output),
        finish=_finish(response),
        usage=responses_usage(response.usage),
        model=response.model or None,
        tier=response.service_tier or None,
    )


def _made(response: _Response) -> tuple[str, ...]:
    """What the provider keeps of an answer: the response, its items and their containers, if it was not told not to."""
    if response.store is False or not isinstance(response.id, str):
        return ()
    items = response.output or ()
    return _ids(response.id, *(item.id for item in items), *(item.container_id for item in items))


def _ids(*found: Any) -> tuple[str, ...]:
    return tuple(name for name in found if isinstance(name, str))


def _size(item: _Item) -> int:
    size = measure(item.arguments) + measure(item.input) + measure(item.code)
    return size + _size_of(item.content) + _size_of(item.summary)


def _size_of(parts: Any) -> int:
    """Bytes of output in the `content` or `summary` of an item: its texts and refusals."""
    if not isinstance(parts, list):
        return measure(parts)
    said: Iterable[dict[str, Any]] = (part for part in parts if isinstance(part, dict))
    return sum(measure(part.get("text")) + measure(part.get("refusal")) for part in said)


class ResponsesReader:
    """Reads one stream of events."""

    __slots__ = ("_complete", "_kept", "_said")

    def __init__(self) -> None:
        self._complete = False
        self._said = False
        self._kept = False

    @property
    def complete(self) -> bool:
        """`response.completed` or `response.incomplete` has come."""
        return self._complete

    def read(self, event: ServerEvent) -> Event:
        """Understand one event of the stream.

        Raises:
            ProviderError: the event says that the answer failed.
            GarbledError: it cannot be read, or it ends the stream while the answer is not finished.
        """
        idle = Kind.TRAILER if self._complete else Kind.PREAMBLE
        data = event.data
        if not data:
            return Event(kind=idle, raw=event.raw)
        if data[0] != _BRACE and data.strip().startswith(b"[DONE]"):
            if not self._complete:
                raise GarbledError("The provider ended its stream without a finished response: words may be missing.")
            return Event(kind=idle, raw=event.raw)
        wire = decode(_WIRE, data, "An event of the provider's stream")
        kind = wire.type or event.name.decode(errors="replace")
        if kind.endswith(".delta"):
            return self._delta(kind, wire.delta, event.raw)
        if kind == "error" or wire.error:
            raise error_of(wire.error or {"message": wire.message, "code": wire.code, "param": wire.param})
        if kind in _LIFE:
            return self._life(kind, wire.response, event.raw)
        if kind == _ITEM_ADDED and self._kept:
            item = decode(_NAMED, bytes(wire.item) or b"{}", "An item of the provider's stream")
            return Event(kind=idle, raw=event.raw, made=_ids(item.id, item.container_id))
        return Event(kind=Kind.CONTENT if kind == _PICTURE else idle, raw=event.raw)

    def _life(self, kind: str, raw: msgspec.Raw, event: bytes) -> Event:
        response = _checked(bytes(raw), "The response in the provider's stream")
        if kind == "response.failed":
            raise error_of(None)
        if kind in _ENDS:
            self._complete = True
            # A server that streams no deltas says everything at once, at the end.
            return _terminal(response, event, said=self._said)
        made = () if self._kept else _made(response)
        self._kept = self._kept or bool(made)
        # Its `service_tier` is still the one that was asked for.
        return Event(kind=Kind.PREAMBLE, raw=event, model=response.model or None, made=made)

    def _delta(self, kind: str, delta: Any, raw: bytes) -> Event:
        if not delta:
            return Event(kind=Kind.PREAMBLE, raw=raw)
        self._said = True
        text = words(delta) if kind == "response.output_text.delta" else ""
        return Event(kind=Kind.CONTENT, raw=raw, text=text, size=0 if kind in _UNMEASURED else measure(delta))


class ResponsesDialect:
    """`headgate.dialects.dialect.Dialect` for responses.

    Example:
        >>> ResponsesDialect().read_request(b'{"model": "m", "input": "Hi"}').usage_wanted
        True
    """

    operation = Operation.RESPONSES
    path = "/responses"

    def read_request(self, raw: bytes | Form) -> RequestFacts:
        """Read the model, whether it streams, and the end user. The usage is always part of the stream.

        Raises:
            BadRequestError: it is malformed, mistyped or ambiguous.
        """
        assert isinstance(raw, bytes), "the address takes JSON"
        request, marks = _REQUEST.survey(raw)
        user = request.user or request.safety_identifier or None
        found = marked_names(raw, marks - _MORE)
        return RequestFacts(request.model, bool(request.stream), True, user, False, found, request, not marks)  # noqa: FBT003  a record

    def prepare(self, body: Body | Upload, *, model: str | None, stream: bool) -> Body:  # noqa: ARG002  usage comes unasked
        """Set the model; the same body where nothing is to be done."""
        assert isinstance(body, Body), "the address takes JSON"
        if model is None:
            return body
        known = read_before(body)
        now = known if isinstance(known, _Request) else _OUTBOUND.decode(body.raw)
        return with_model(body, now.model, model)

    def read_answer(self, raw: bytes) -> Event:
        """Read a whole answer. One that is still `queued` or `in_progress` is an answer without usage.

        Raises:
            ProviderError: it says itself that it failed.
            GarbledError: it cannot be read, or holds no output.
        """
        response = _checked(raw, "The provider's answer")
        if response.output is None:
            raise GarbledError("The provider's answer holds no output.")
        return _terminal(response, raw, said=False)

    def read_stream(self, *, usage_wanted: bool) -> StreamReader:  # noqa: ARG002  usage is part of the last event
        """A reader for one stream."""
        return ResponsesReader()

    def read_error(self, answer: Answer) -> ProviderError:
        """Read an error answer as the class that its status and names call for."""
        return error_from(answer)

    def write_error(self, error: HeadgateError, *, sequence: int) -> bytes:
        """An error as the last event of a stream.

        The flat fields are what the API documents; OpenAI's SDK hands those out as an ordinary event and raises only
        for the nested `error`, so both are written.
        """
        facts = error_object(error)
        flat = {"code": facts["code"], "message": facts["message"], "param": facts["param"]}
        event = {"type": "error", "sequence_number": sequence, **flat, "error": facts}
        return sse.write(msgspec.json.encode(event), b"error")
