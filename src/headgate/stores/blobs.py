"""Bytes under names, for a while: what the cache keeps, and what an idempotent call came to.

Decides what a store of answers must be able to do, said once; refuses to know what the bytes mean and whose they are:
names are made by who asks, and nothing crosses tenants that has another name. A contract suite runs over every store.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Blobs(Protocol):
    """A store of bytes that forgets. All seconds are from now, by the store's clock.

    Every method raises `StoreError` where the store cannot be asked; who asks decides what that means (a cache misses).
    """

    async def open(self) -> None:
        """Reach for it, once; a store that is away is looked for behind the scenes."""
        ...

    async def get(self, name: str) -> bytes | None:
        """What stands under a name; None where nothing does, or no longer."""
        ...

    async def put(self, name: str, value: bytes, seconds: float, labels: Sequence[str] = ()) -> None:
        """Put it there, whatever stood there before. Labels are what `drop` finds it by."""
        ...

    async def claim(self, name: str, value: bytes, seconds: float) -> bytes | None:
        """Put it where nothing stands, and see what does, in one step over all processes.

        Returns:
            None where it is ours now, else what stands there.
        """
        ...

    async def replace(self, name: str, old: bytes, new: bytes | None, seconds: float) -> bool:
        """Exchange exactly `old` for `new` (None removes it); False where something else stands there by now."""
        ...

    async def drop(self, label: str | None = None) -> int:
        """Forget all that has a label (None: everything that was `put`); gives how many were forgotten."""
        ...

    async def health(self) -> Mapping[str, Any]:
        """`{"status": "ok" | "down", "kind": …, "error": …}`; never raises."""
        ...

    async def close(self) -> None:
        """Give everything back."""
        ...
