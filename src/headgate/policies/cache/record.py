"""What is kept of an answer, and how it is given again.

Decides what of an answer is kept, how it is packed, and in which form a caller gets it. Refuses to know where it is
kept. It is read again as if the provider had sent it: what cannot be read is no answer.
"""

import asyncio
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from headgate.core.body import Body
from headgate.core.call import Call, Operation, Target
from headgate.core.errors import HeadgateError
from headgate.core.reply import Event, Reply
from headgate.dialects.openai_replay import as_events, as_whole
from headgate.dialects.openai_replay_responses import echo, echoing, echoing_event
from headgate.dialects.registry import DIALECTS
from headgate.dialects.sse import Decoder as Events

MOST_UNPACKED = 64 * 1024 * 1024
"""Bytes that a packed answer may have when it is unpacked."""
SMALL = 512
"""Bytes that are not worth packing."""
LARGE = 128 * 1024
"""Bytes whose packing would hold others up."""
_PLAIN, _ZLIB = b"0", b"z"
_LEVEL = 1
"""zlib's quickest: an answer is packed once, and waited for by nobody; every hit unpacks it."""
_OBJECT = msgspec.json.Decoder(dict[str, Any])
_to_json = msgspec.json.Encoder().encode


class Record(msgspec.Struct, frozen=True, array_like=True):
    """An answer.

    Attributes:
        made: when it ended, in seconds since 1970.
        provider, model: who gave it.
        simulated: it was made up.
        cost: what it cost, in picodollars; None where nobody knows.
        echo: what it repeats of whoever asked first.
        whole: its body; None where it came as a stream.
        events: the events of the stream.
    """

    made: float
    provider: str
    model: str | None
    simulated: bool
    cost: int | None
    echo: dict[str, Any]
    whole: bytes | None
    events: list[bytes]


_DECODER = msgspec.msgpack.Decoder(Record)
_to_bytes = msgspec.msgpack.Encoder().encode


async def packed(record: Record) -> bytes:
    """The bytes that are kept."""
    raw = _to_bytes(record)
    if len(raw) < SMALL:
        return _PLAIN + raw
    if len(raw) > LARGE:
        return _ZLIB + await asyncio.to_thread(zlib.compress, raw, _LEVEL)
    return _ZLIB + zlib.compress(raw, _LEVEL)


async def unpacked(raw: bytes) -> Record | None:
    """What was kept; None where that cannot be read."""
    try:
        if raw[:1] == _PLAIN:
            return _DECODER.decode(memoryview(raw)[1:])
        if len(raw) > LARGE:
            return _DECODER.decode(await asyncio.to_thread(_inflated, raw))
        return _DECODER.decode(_inflated(raw))
    except (zlib.error, msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def _inflated(raw: bytes) -> bytes:
    inflater = zlib.decompressobj()
    found = inflater.decompress(memoryview(raw)[1:], MOST_UNPACKED)
    if not inflater.eof:
        message = "cut off, or too large"
        raise zlib.error(message)
    return found


def told(call: Call) -> dict[str, Any]:
    """What an answer to this call repeats of it, though it has no part in the answer."""
    if call.operation is not Operation.RESPONSES:
        return {}
    assert isinstance(call.body, Body), "the address takes JSON"
    return echo(call.body.view)


def reply_of(record: Record, call: Call) -> Reply | None:
    """The answer as a caller wants it; None where it has not that form, or cannot be read."""
    held = shown(record.whole, record.events, call, record.echo)
    if held is None:
        return None
    reply = Reply(held, stream=call.stream, target=Target(record.provider, record.model))
    reply.simulated = record.simulated
    return reply


def shown(whole: bytes | None, events: Iterable[bytes], call: Call, first: Mapping[str, Any]) -> list[Event] | None:
    """The events of a complete answer in the form that a caller wants; None where it has none.

    Args:
        whole: the body, where it came whole.
        events: where it came as a stream.
        call: whose caller wants it.
        first: what the answer repeats of whoever asked first.
    """
    operation = call.operation
    mine = told(call)
    try:
        if call.stream:
            found = events if whole is None else as_events(operation, whole)
            if found is None:
                return None
            if mine != first:
                found = [echoing_event(event, mine) for event in found]
            reader = DIALECTS[operation].read_stream(usage_wanted=call.usage_wanted)
            read = [reader.read(event) for event in Events().feed(b"".join(found))]
            return read if reader.complete else None
        body = as_whole(operation, events) if whole is None else whole
        if body is None:
            return None
        if mine != first:
            body = _to_json(echoing(_OBJECT.decode(body), mine))
        return [DIALECTS[operation].read_answer(body)]
    except (HeadgateError, msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
