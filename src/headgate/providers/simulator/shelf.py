"""The files of the simulated account: what was uploaded, and what batches wrote.

Decides names, purposes, sizes and how long a file stays; refuses to know how it came (forms, uploads, batches) and how
it leaves. Bytes are kept as the views that came: nothing is copied until it is read.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from headgate.core.clock import Clock
from headgate.providers.simulator.paging import page
from headgate.providers.simulator.problem import Problem, invalid, missing, mistyped, too_large, too_small

LARGEST = 512 * 1024 * 1024
"""Bytes of the largest file that comes in one piece."""

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
"""What a caller may upload a file for."""

_SHORTEST, _LONGEST = 3600, 2_592_000
_CHUNK = 256 * 1024
_LINE = re.compile(rb"[^\n]*")


class File(msgspec.Struct, frozen=True):
    """One file.

    Attributes:
        id, purpose, filename: as the API shows them.
        created_at, expires_at: seconds since 1970; None: it stays.
        content: its bytes, in order.
        size: how many.
    """

    id: str
    purpose: str
    filename: str
    created_at: int
    expires_at: int | None
    content: tuple[bytes | memoryview, ...]
    size: int

    def tell(self) -> dict[str, Any]:
        """The file's object."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.size,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }

    def chunks(self) -> Iterator[bytes]:
        """Its bytes, some at a time."""
        for part in self.content:
            view = memoryview(part)
            for at in range(0, len(view), _CHUNK):
                yield bytes(view[at : at + _CHUNK])


class Shelf:
    """All files."""

    def __init__(self, clock: Clock, seed: int) -> None:
        self._clock = clock
        self._seed = seed
        self._count = 0
        self._files: dict[str, File] = {}

    def put(
        self,
        purpose: str,
        filename: str,
        content: Sequence[bytes | memoryview],
        *,
        seconds: int | None = None,
        created_at: int | None = None,
    ) -> File:
        """Keep a file.

        Args:
            purpose: what it is for.
            filename: its name.
            content: its bytes, in order; they are not copied.
            seconds: how long it is kept; None: as the API does, 30 days for a batch's input, else for good.
            created_at: seconds since 1970, if not now.
        """
        self._count += 1
        created = int(self._clock.time()) if created_at is None else created_at
        if seconds is None and purpose == "batch":
            seconds = _LONGEST
        key = blake2b(b"file %d %d" % (self._seed, self._count), digest_size=12).hexdigest()
        expires = None if seconds is None else created + seconds
        file = File(f"file-{key}", purpose, filename, created, expires, tuple(content), sum(map(len, content)))
        self._files[file.id] = file
        return file

    def find(self, name: str) -> File:
        """The file of an id.

        Raises:
            Problem: 404; there is none, or no longer.
        """
        file = self._files.get(name)
        if file is not None and file.expires_at is not None and file.expires_at <= self._clock.time():
            del self._files[name]
            file = None
        if file is None:
            raise Problem(404, f"No such File object: {name}", param="id")
        return file

    def remove(self, name: str) -> dict[str, Any]:
        """Throw a file away.

        Raises:
            Problem: 404; there is none.
        """
        del self._files[self.find(name).id]
        return {"id": name, "object": "file", "deleted": True}

    def listed(self, wish: Mapping[str, str]) -> dict[str, Any]:
        """A page of the files' objects, of one `purpose` or of all.

        Raises:
            Problem: 400; the wish cannot be read.
        """
        now = self._clock.time()
        purpose = wish.get("purpose")
        live = (file for file in self._files.values() if file.expires_at is None or file.expires_at > now)
        told = [file.tell() for file in live if purpose in (None, file.purpose)]
        return page(told, wish, usual=10_000, most=10_000)


def check_new(purpose: str, filename: str, content: bytes | memoryview) -> None:
    """Refuse what may not be uploaded in one piece.

    Raises:
        Problem: 400 or 413.
    """
    if purpose not in PURPOSES:
        raise invalid("purpose", purpose, PURPOSES)
    if len(content) > LARGEST:
        message = f"Maximum content size limit ({LARGEST}) exceeded ({len(content)} bytes read)"
        raise Problem(413, message)
    if purpose == "batch" and not (filename.endswith(".jsonl") and _begins_with_json(content)):
        raise Problem(400, "Invalid file format for Batch API. Must be .jsonl", param="file")


def _begins_with_json(content: bytes | memoryview) -> bool:
    """Whether the first line is JSON; the others are looked at when a batch is made of them."""
    line = _LINE.match(content)
    try:
        msgspec.json.decode(content[: line.end() if line else 0])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def lifetime(policy: object, param: str) -> int | None:
    """The seconds of a policy like `{"anchor": "created_at", "seconds": 3600}`; None for no policy.

    Raises:
        Problem: 400; it is no such policy.

    Example:
        >>> lifetime({"anchor": "created_at", "seconds": "7200"}, "expires_after")
        7200
    """
    if policy is None:
        return None
    if not isinstance(policy, dict):
        raise mistyped(param, "expected an object")
    for name in ("anchor", "seconds"):
        if name not in policy:
            raise missing(f"{param}.{name}")
    anchor, seconds = policy["anchor"], policy["seconds"]
    if anchor != "created_at":
        raise invalid(f"{param}.anchor", anchor, ["created_at"])
    if isinstance(seconds, str) and seconds.isdecimal() and len(seconds) < 18:
        seconds = int(seconds)  # a form has no numbers
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        raise mistyped(f"{param}.seconds", "expected an integer")
    if seconds < _SHORTEST:
        raise too_small(f"{param}.seconds", seconds, _SHORTEST)
    if seconds > _LONGEST:
        raise too_large(f"{param}.seconds", seconds, _LONGEST)
    return seconds
