"""Bytes under names in the memory of one process.

Decides by arithmetic alone: nothing here waits, and nothing can be away. What was used longest ago is forgotten first
when there is no room; what was claimed stays until nothing else is left to forget, because somebody counts on it.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from headgate.core.clock import Clock
from headgate.core.errors import StoreError

MOST_BYTES = 64 * 1024 * 1024
"""Bytes that are kept, names and labels included."""
OVERHEAD = 200
"""Bytes that a name costs beside its own and its value's."""


class _Blob(NamedTuple):
    value: bytes
    until: float
    labels: tuple[str, ...]
    size: int


class MemoryBlobs:
    """The store; see `stores.blobs.Blobs`.

    Args:
        clock: tells the time.
        most: bytes that are kept.

    Example:
        >>> from headgate.testing import VirtualClock, virtual_time
        >>> async def story():
        ...     blobs = MemoryBlobs(VirtualClock())
        ...     await blobs.put("a", b"1", seconds=60)
        ...     return await blobs.get("a")
        >>> virtual_time(story())
        b'1'
    """

    def __init__(self, clock: Clock, most: int = MOST_BYTES) -> None:
        self._clock = clock
        self._most = most
        # Each by when it was used.
        self._put: OrderedDict[str, _Blob] = OrderedDict()
        self._claimed: OrderedDict[str, _Blob] = OrderedDict()
        self._bytes = 0

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._bytes

    async def open(self) -> None:
        """It is always here."""

    async def get(self, name: str) -> bytes | None:
        """What stands under a name; None where nothing does, or no longer."""
        found = self._find(name)
        return None if found is None else found.value

    async def put(self, name: str, value: bytes, seconds: float, labels: Sequence[str] = ()) -> None:
        """Put it there, whatever stood there before; what is larger than all that is kept is not kept."""
        self._forget(name)
        self._keep(self._put, name, value, seconds, tuple(labels))

    async def claim(self, name: str, value: bytes, seconds: float) -> bytes | None:
        """Put it where nothing stands, and see what does.

        Raises:
            StoreError: it is larger than all that is kept.
        """
        found = self._find(name)
        if found is not None:
            return found.value
        if not self._keep(self._claimed, name, value, seconds, ()):
            raise _too_large(value)
        return None

    async def replace(self, name: str, old: bytes, new: bytes | None, seconds: float) -> bool:
        """Exchange exactly `old` for `new`.

        Raises:
            StoreError: `new` is larger than all that is kept; `old` stays.
        """
        found = self._find(name)
        if found is None or found.value != old:
            return False
        kept = self._put if name in self._put else self._claimed
        self._forget(name)
        if new is not None and not self._keep(kept, name, new, seconds, found.labels):
            self._keep(kept, name, old, found.until - self._clock.monotonic(), found.labels)
            raise _too_large(new)
        return True

    async def drop(self, label: str | None = None) -> int:
        """Forget all that has a label, or everything that was `put`."""
        now = self._clock.monotonic()
        found = [name for name, blob in self._put.items() if label is None or label in blob.labels]
        living = sum(self._put[name].until > now for name in found)
        for name in found:
            self._forget(name)
        return living

    async def health(self) -> Mapping[str, Any]:
        """It is always here."""
        return {"status": "ok", "kind": "memory", "error": None}

    async def close(self) -> None:
        """Forget everything."""
        self._put.clear()
        self._claimed.clear()
        self._bytes = 0

    def _find(self, name: str) -> _Blob | None:
        for kept in (self._put, self._claimed):
            found = kept.get(name)
            if found is not None:
                if found.until > self._clock.monotonic():
                    kept.move_to_end(name)
                    return found
                self._forget(name)
        return None

    def _keep(
        self, kept: OrderedDict[str, _Blob], name: str, value: bytes, seconds: float, labels: tuple[str, ...]
    ) -> bool:
        size = len(value) + len(name) + sum(map(len, labels)) + OVERHEAD
        if size > self._most:
            return False
        while self._bytes + size > self._most:
            self._forget(next(iter(self._put or self._claimed)))
        kept[name] = _Blob(value, self._clock.monotonic() + seconds, labels, size)
        self._bytes += size
        return True

    def _forget(self, name: str) -> None:
        found = self._put.pop(name, None) or self._claimed.pop(name, None)
        if found is not None:
            self._bytes -= found.size


def _too_large(value: bytes) -> StoreError:
    return StoreError(f"{len(value)} bytes are more than the store in memory keeps in all.")
