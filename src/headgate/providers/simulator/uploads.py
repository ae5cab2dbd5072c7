"""Files that come in parts: an upload takes parts for an hour, and becomes a file when its parts are put in order.

Decides what an upload may still do; refuses to know forms. Parts are kept as the views that came.
"""

from collections.abc import Sequence
from hashlib import blake2b, md5
from typing import Annotated, Any, Literal

import msgspec

from headgate.core.clock import Clock
from headgate.providers.simulator.problem import Problem, invalid, too_large, too_small
from headgate.providers.simulator.question import decode
from headgate.providers.simulator.shelf import PURPOSES, File, Shelf, lifetime

_LARGEST_PART = 64 * 1024 * 1024
_LARGEST = 8 * 1024 * 1024 * 1024
_OPEN = 3600
"""Seconds that an upload takes parts."""

Text = Annotated[str, msgspec.Meta(min_length=1)]


class _New(msgspec.Struct):
    filename: Text
    purpose: str
    bytes: int
    mime_type: Text
    expires_after: Any = None


class _Complete(msgspec.Struct):
    part_ids: list[str]
    md5: str | None = None


_NEW = msgspec.json.Decoder(_New)
_COMPLETE = msgspec.json.Decoder(_Complete)


class _Upload:
    """One upload."""

    def __init__(self, name: str, asked: _New, created_at: int, seconds: int | None) -> None:
        self.id = name
        self.asked = asked
        self.created_at = created_at
        self.seconds = seconds
        self.parts: dict[str, bytes | memoryview] = {}
        self.state: Literal["pending", "completed", "cancelled", "expired"] = "pending"
        self.file: File | None = None

    def tell(self) -> dict[str, Any]:
        """The upload's object."""
        return {
            "id": self.id,
            "object": "upload",
            "bytes": self.asked.bytes,
            "created_at": self.created_at,
            "filename": self.asked.filename,
            "purpose": self.asked.purpose,
            "status": self.state,
            "expires_at": self.created_at + _OPEN,
            "file": None if self.file is None else self.file.tell(),
        }


class Uploads:
    """All uploads."""

    def __init__(self, clock: Clock, seed: int, shelf: Shelf) -> None:
        self._clock = clock
        self._seed = seed
        self._shelf = shelf
        self._count = 0
        self._uploads: dict[str, _Upload] = {}

    def begin(self, body: bytes) -> dict[str, Any]:
        """Begin an upload.

        Raises:
            Problem: 400; the request is not one.
        """
        wish = decode(_NEW, body)
        if wish.purpose not in PURPOSES:
            raise invalid("purpose", wish.purpose, PURPOSES)
        if wish.bytes < 1:
            raise too_small("bytes", wish.bytes, 1)
        if wish.bytes > _LARGEST:
            raise too_large("bytes", wish.bytes, _LARGEST)
        seconds = lifetime(wish.expires_after, "expires_after")
        upload = _Upload(f"upload_{self._key()}", wish, int(self._clock.time()), seconds)
        self._uploads[upload.id] = upload
        return upload.tell()

    def add(self, name: str, data: bytes | memoryview) -> dict[str, Any]:
        """Take a part.

        Raises:
            Problem: 404, 400 or 413; there is no such upload, it takes no more parts, or the part is too large.
        """
        upload = self._pending(name)
        if len(data) > _LARGEST_PART:
            message = f"Maximum content size limit ({_LARGEST_PART}) exceeded ({len(data)} bytes read)"
            raise Problem(413, message, param="data")
        if sum(map(len, upload.parts.values())) + len(data) > upload.asked.bytes:
            message = f"The parts are larger than the {upload.asked.bytes} bytes that the upload was created for."
            raise Problem(400, message, param="data")
        part = f"part_{self._key()}"
        upload.parts[part] = data
        created = int(self._clock.time())
        return {"id": part, "object": "upload.part", "created_at": created, "upload_id": upload.id}

    def complete(self, name: str, body: bytes) -> dict[str, Any]:
        """Make a file of the parts, in the order that is asked for.

        Raises:
            Problem: 404 or 400; there is no such upload or part, or their bytes are not those that were announced.
        """
        upload = self._pending(name)
        wish = decode(_COMPLETE, body)
        content = _in_order(upload, wish.part_ids)
        size = sum(map(len, content))
        if size != upload.asked.bytes:
            message = f"Expected {upload.asked.bytes} bytes in total, but the parts have {size}."
            raise Problem(400, message, param="part_ids")
        if wish.md5 is not None:
            digest = md5(usedforsecurity=False)
            for part in content:
                digest.update(part)
            if digest.hexdigest() != wish.md5.lower():
                message = f"Expected the md5 checksum {wish.md5}, but the parts have {digest.hexdigest()}."
                raise Problem(400, message, param="md5")
        upload.file = self._shelf.put(upload.asked.purpose, upload.asked.filename, content, seconds=upload.seconds)
        upload.state = "completed"
        upload.parts.clear()
        return upload.tell()

    def cancel(self, name: str) -> dict[str, Any]:
        """Take no more parts, and forget those that came.

        Raises:
            Problem: 404 or 400; there is no such upload, or it is not pending.
        """
        upload = self._pending(name)
        upload.state = "cancelled"
        upload.parts.clear()
        return upload.tell()

    def _pending(self, name: str) -> _Upload:
        upload = self._uploads.get(name)
        if upload is None:
            raise Problem(404, f"No such Upload object: {name}", param="id")
        if upload.state == "pending" and self._clock.time() >= upload.created_at + _OPEN:
            upload.state = "expired"
            upload.parts.clear()
        if upload.state != "pending":
            raise Problem(400, f"Upload {name} is not pending: its status is '{upload.state}'.", param="id")
        return upload

    def _key(self) -> str:
        self._count += 1
        return blake2b(b"upload %d %d" % (self._seed, self._count), digest_size=16).hexdigest()


def _in_order(upload: _Upload, names: Sequence[str]) -> list[bytes | memoryview]:
    """The parts of these names.

    Raises:
        Problem: 400; one is not there, or is named twice.
    """
    if len(set(names)) != len(names):
        raise Problem(400, "A part is named twice in 'part_ids'.", param="part_ids")
    for name in names:
        if name not in upload.parts:
            raise Problem(400, f"No such Part object: {name}", param="part_ids")
    return [upload.parts[name] for name in names]
