"""The keyring: who may call, as this process knows it at the moment.

Decides which keys are valid: those of the configuration, and those of the store, which come and go while the gateway
runs. Refuses to know where in a request a key stands, and how keys are made (`issuing.py`).

No request waits for the store: what it says is looked up every `INTERVAL`, by one small question as long as nothing has
changed. While it is away, the keys that were known are served. The configuration wins: a key of the store that has the
name or the value of one of its keys is not served.

Each key that is presented costs the same: one SHA-256, one look into a table by it, one comparison in constant time. So
the time of an answer tells nothing of a key but whether it is valid, which the answer says itself.
"""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from headgate.core.call import Caller
from headgate.core.clock import Clock
from headgate.core.errors import InvalidKeyError, StoreError
from headgate.gate import wiring
from headgate.gate.config import Key
from headgate.stores.keys import KeyBook, KeyRecord, Scope

INTERVAL = 2.0
"""Seconds between two looks at the store: what was revoked is refused everywhere within five."""

_log = logging.getLogger("headgate")


class _Entry(NamedTuple):
    """A value that is known: its SHA-256, whose it is, until when it is good, and what is said after that."""

    digest: bytes
    caller: Caller
    ends: float | None = None
    ended: str = "The key has expired."


_NOBODY = _Entry(bytes(32), Caller())
"""What an unknown value is compared with, so that it costs what a known one does. Nothing has this digest."""


class Keyring:
    """The keyring.

    Args:
        keys: of the configuration.
        book: of the store.
        clock: tells when a key has expired, and when to look again.

    Attributes:
        known: the store was read once since the start.
    """

    def __init__(self, keys: Sequence[Key], book: KeyBook, clock: Clock) -> None:
        self._book = book
        self._clock = clock
        self._configured: dict[str, tuple[Key, _Entry]] = {}
        self._stored: dict[str, tuple[KeyRecord, Caller]] = {}
        self._version: int | None = None
        self._entries: dict[bytes, _Entry] = {}
        self._error: str | None = None
        self._shadowed: frozenset[str] = frozenset()
        self._looking = asyncio.Lock()
        self.known = False
        self.renew(keys)

    def renew(self, keys: Sequence[Key]) -> None:
        """Know these keys of the configuration, and no others; those of the store are looked at again."""
        before = self._configured
        self._configured = {
            # The same caller as before, as below.
            key.name: before[key.name] if key.name in before and before[key.name][0] == key else (key, _configured(key))
            for key in keys
        }
        self._names = frozenset(self._configured)
        self._own = {entry.digest: entry for _, entry in self._configured.values()}
        self._version = None
        self._take([record for record, _ in self._stored.values()])

    def caller(self, value: bytes) -> Caller:
        """Whose key this is.

        Raises:
            InvalidKeyError: nobody's, or it has expired.
        """
        digest = hashlib.sha256(value).digest()
        # What the lookup's timing could tell is about a hash that nobody can steer.
        entry = self._entries.get(digest, _NOBODY)
        if not hmac.compare_digest(entry.digest, digest):
            raise InvalidKeyError("The key is not valid here: it is unknown, or was revoked.")
        if entry.ends is not None and self._clock.time() >= entry.ends:
            # Only a holder of the key gets here: telling helps, and betrays nothing.
            raise InvalidKeyError(entry.ended, hint="Ask the operator of this gateway for a new one.")
        return entry.caller

    async def refresh(self) -> None:
        """Look whether the keys of the store have changed, and know them.

        A store that is away is logged, once; the keys that are known go on being served.
        """
        try:
            # One look at a time: an older answer never takes the place of a newer one.
            async with self._looking:
                version = await self._book.version()
                if version != self._version:
                    self._take(await self._book.keys())
                    self._version = version
        except Exception as error:  # noqa: BLE001  who may call is decided by what is known, whatever the store does
            message = error.message if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"
            if self._error is None:
                _log.warning("The keys of the store cannot be read; those that are known are served. %s", message)
            self._error = message
        else:
            self.known = True
            self._error = None

    async def follow(self) -> None:
        """Look again, for ever. The caller owns the task."""
        while True:
            await self._clock.sleep(INTERVAL)
            await self.refresh()

    def health(self) -> Mapping[str, Any]:
        """`{"status": "ok" | "stale" | "unknown", "keys": how many are known, "error": …}`."""
        status = "unknown" if not self.known else "ok" if self._error is None else "stale"
        return {"status": status, "keys": len(self._names) + len(self._stored), "error": self._error}

    def _take(self, records: Iterable[KeyRecord]) -> None:
        """Serve these keys of the store, and no others."""
        entries, stored, shadowed = dict(self._own), {}, set()
        for record in records:
            if record.name in self._names or bytes.fromhex(record.sha256) in self._own:
                shadowed.add(record.name)
                continue
            before = self._stored.get(record.id)
            # The same caller as before: what has been counted for it goes on by who it is.
            same = before is not None and before[0].scope == record.scope
            caller = before[1] if before is not None and same else _caller(record.name, record.scope)
            stored[record.id] = (record, caller)
            for entry in _of(record, caller):
                entries.setdefault(entry.digest, entry)
        if shadowed - self._shadowed:
            names = ", ".join(sorted(shadowed))
            _log.warning("Keys of the store are not served, as the configuration has their names or values: %s.", names)
        self._shadowed = frozenset(shadowed)
        self._entries, self._stored = entries, stored


def _of(record: KeyRecord, caller: Caller) -> Iterable[_Entry]:
    ends = end_of(record.scope)
    yield _Entry(bytes.fromhex(record.sha256), caller, ends)
    if record.former is not None and record.former_until is not None:
        until = record.former_until if ends is None else min(record.former_until, ends)
        yield _Entry(bytes.fromhex(record.former), caller, until, "The key was replaced by another one.")


def scope_of(key: Key) -> Scope:
    """What a key of the configuration is good for."""
    return Scope(
        project=key.project,
        models=None if key.models is None else tuple(key.models),
        limits=None if key.limits is None else wiring.limits(key.limits),
        expires=key.expires,
        priority=key.priority,
        tags=dict(key.tags),
        passthrough=tuple(key.passthrough),
        cache=key.cache,
    )


def end_of(scope: Scope) -> float | None:
    """When a key has expired, in seconds since 1970: it works through its last day, to its end by UTC."""
    last = scope.expires
    if last is None:
        return None
    return (datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)).timestamp()


def _caller(name: str, scope: Scope) -> Caller:
    return Caller(
        key=name,
        project=scope.project,
        models=None if scope.models is None else frozenset(scope.models),
        tags=scope.tags,
        passthrough=scope.passthrough,
        limits=scope.limits,
        priority=9 if scope.priority is None else scope.priority,
        budget=scope.budget,
        cache=scope.cache,
    )


def _configured(key: Key) -> _Entry:
    scope = scope_of(key)
    return _Entry(bytes.fromhex(key.sha256), _caller(key.name, scope), end_of(scope))
