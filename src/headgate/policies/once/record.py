"""What stands in the store of a call that carries an `Idempotency-Key`, and under which name.

Decides what is remembered of a call and what makes two of them the same; refuses to know stores and tasks. Neither the
caller's key nor the request itself can be read from it: a name is a digest of the caller and the key, and a request is
kept as a digest that is salted with the name.
"""

import asyncio
import zlib
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import TypeVar

import msgspec

from headgate.core.body import Body
from headgate.core.call import Call, Origin, Target
from headgate.core.reply import Event, Reply
from headgate.core.upload import Form, Piece, Stretch

PREFIX = "once:"
_PIECE = 1024 * 1024
"""Bytes of an upload that are read at once."""
_MAKING = frozenset(("POST", "PATCH"))
"""Methods that do something anew each time; HTTP has the others repeatable as they are."""
UNREADABLE = (msgspec.MsgspecError, RecursionError, zlib.error)
PACKED = b"z"
"""What a compressed record begins with; no other one does."""
_WORTH_IT = 1024
_LONG = 64 * 1024
"""Bytes whose compression takes longer than a loop should be held up."""
T = TypeVar("T", bytes, memoryview)


class Claim(msgspec.Struct, frozen=True, tag="claim"):
    """Somebody is at work on it.

    Attributes:
        digest: of the request.
        owner: the name under which the lease of the process stands that works on it.
        call: the id of the call that works on it.
        left: something may have left for a provider; before that, nothing is lost if its process dies.
    """

    digest: bytes
    owner: str
    call: str
    left: bool = False


class Facts(msgspec.Struct, frozen=True):
    """What is known of an answer beside its events; see `Reply`."""

    stream: bool
    status: int
    headers: Mapping[str, str]
    target: Target | None
    simulated: bool


class Kept(msgspec.Struct, frozen=True, tag="kept"):
    """The outcome.

    Attributes:
        digest: of the request.
        call: the id of the call that it came to.
        facts: what is known of the answer.
        events: all of it.
    """

    digest: bytes
    call: str
    facts: Facts
    events: tuple[Event, ...]


class Lost(msgspec.Struct, frozen=True, tag="lost"):
    """There was an outcome, and it is not kept: it was too large, or the store was away for too long.

    Attributes:
        digest: of the request.
        call: the id of the call that it came to.
    """

    digest: bytes
    call: str


Record = Claim | Kept | Lost

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode


def write(record: Record) -> bytes:
    """A record, as it is kept."""
    return _encode(record)


async def pack(kept: Kept) -> bytes:
    """An outcome, as it is kept: compressed, away from the loop where that takes long."""
    raw = _encode(kept)
    return await _apart(lambda raw: PACKED + zlib.compress(raw, 1), raw) if len(raw) >= _WORTH_IT else raw


async def read(raw: bytes) -> Record | None:
    """A record that was kept; None where it cannot be read (another version has written it)."""
    try:
        if raw.startswith(PACKED):
            raw = await _apart(zlib.decompress, memoryview(raw)[len(PACKED) :])
        found: Record = _decode(raw)
    except UNREADABLE:
        return None
    return found


async def _apart(work: Callable[[T], bytes], raw: T) -> bytes:
    return await asyncio.to_thread(work, raw) if len(raw) > _LONG else work(raw)


def facts(reply: Reply) -> Facts:
    """What is known of a reply."""
    return Facts(reply.stream, reply.status, dict(reply.headers), reply.target, reply.simulated)


def concerns(call: Call) -> bool:
    """Whether a call is one that is made once: a caller's, with a key, that does something anew each time."""
    return (
        call.idempotency_key is not None
        and call.origin is Origin.CALLER
        and (call.address is None or call.address.method in _MAKING)
    )


def name(call: Call) -> str:
    """Where a call is remembered: equal keys of two callers never meet."""
    caller = call.caller
    whose = msgspec.json.encode((caller.project, caller.key, call.idempotency_key))
    return PREFIX + sha256(whose).hexdigest()


async def digest(call: Call, salt: str) -> bytes:
    """What a request is told by: where it goes and its body, byte for byte; of a form its parts."""
    where = (salt, call.operation, call.address and (call.address.method, call.address.path, call.address.query))
    found = sha256(msgspec.json.encode(where))
    if isinstance(call.body, Body):
        found.update(call.body.raw)
    else:
        upload = call.body

        def add() -> None:
            pieces: Iterator[Piece] = iter(upload.pieces)
            if isinstance(upload, Form):
                # How it is framed was drawn by us, and anew.
                pieces = (piece for part in upload.parts for piece in (part.head, part.data))
            else:
                found.update(upload.content_type.encode())
            for piece in pieces:
                size = piece.size if isinstance(piece, Stretch) else len(piece)
                found.update(b"%d:" % size)
                for data in _read(piece):
                    found.update(data)

        await asyncio.to_thread(add)
    return found.digest()


def _read(piece: Piece) -> Iterator[bytes]:
    if not isinstance(piece, Stretch):
        yield piece
        return
    end = piece.start + piece.size
    for at in range(piece.start, end, _PIECE):
        yield piece.read(min(_PIECE, end - at), at)
