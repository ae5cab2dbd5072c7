"""Who calls: keys of the configuration, found by their hash.

Decides whether a request may come in and on whose behalf; refuses to know what it wants. The value of a key is never
stored and never shown; a wrong key and an unknown one look the same.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from headgate.core.call import ANONYMOUS, Caller
from headgate.core.clock import Clock
from headgate.core.errors import InvalidKeyError
from headgate.gate import wiring
from headgate.gate.coherence import auth
from headgate.gate.config import Config, Key

Head = Mapping[bytes, bytes]
"""The headers of a request that the server reads; repeated ones are joined by commas."""

KEY_HEADERS = (b"authorization", b"api-key", b"x-api-key")
"""Where a key may stand: as the SDKs of OpenAI, Azure and Anthropic send it. The first one present counts."""


class Keys:
    """The keys of a configuration.

    Args:
        keys: as they stand in the configuration.
        clock: tells when one has expired.
    """

    def __init__(self, keys: Sequence[Key], clock: Clock) -> None:
        self._clock = clock
        entries = (_entry(key) for key in keys)
        self._entries = {entry.digest: entry for entry in entries}
        self._seen: dict[bytes, _Entry] = {}

    def caller(self, head: Head) -> Caller:
        """Whose key stands in the headers.

        Raises:
            InvalidKeyError: there is none, it is malformed or unknown, or it has expired.
        """
        presented = _presented(head)
        # A key that was found good is known again by a hash that costs a tenth. The value itself is not kept.
        mark = hashlib.blake2b(presented, digest_size=32).digest()
        entry = self._seen.get(mark)
        if entry is None:
            entry = self._seen[mark] = self._find(presented)
        if entry.ends is not None and self._clock.time() >= entry.ends:
            # Only a holder of the key gets here: telling helps, and betrays nothing.
            raise InvalidKeyError("The key has expired.", hint="Ask the operator of this gateway for a new one.")
        return entry.caller

    def _find(self, presented: bytes) -> "_Entry":
        digest = hashlib.sha256(presented).digest()
        # What the lookup's timing could tell is about a hash that nobody can steer; the decision takes constant time.
        entry = self._entries.get(digest)
        if entry is None or not hmac.compare_digest(entry.digest, digest):
            raise InvalidKeyError("The key is not valid here.")
        return entry


class Anyone:
    """No keys: whoever reaches the server may call."""

    def caller(self, _head: Head) -> Caller:
        """Nobody in particular."""
        return ANONYMOUS


class _Entry(NamedTuple):
    digest: bytes
    caller: Caller
    ends: float | None


def door(config: Config, clock: Clock) -> Keys | Anyone:
    """Who may call: `server.auth`, by default anyone on loopback and holders of keys elsewhere."""
    return Anyone() if auth(config) == "none" else Keys(config.keys, clock)


def _presented(head: Head) -> bytes:
    for name in KEY_HEADERS:
        value = head.get(name)
        if value is None:
            continue
        words = value.split()
        if name == b"authorization":
            if len(words) != 2 or words[0].lower() != b"bearer":
                raise InvalidKeyError("The header `Authorization` does not hold one bearer token.")
            del words[0]
        if len(words) != 1:
            raise InvalidKeyError(f"The header `{name.decode()}` does not hold one key.")
        return words[0]
    raise InvalidKeyError("This gateway needs a key, and the request has none.")


def _entry(key: Key) -> _Entry:
    digest = bytes.fromhex(key.sha256)
    caller = Caller(
        key=key.name,
        project=key.project,
        models=None if key.models is None else frozenset(key.models),
        tags=dict(key.tags),
        passthrough=tuple(key.passthrough),
        limits=None if key.limits is None else wiring.limits(key.limits),
        priority=9 if key.priority is None else key.priority,
    )
    if key.expires is None:
        return _Entry(digest, caller, None)
    # It works through its last day, to its end by UTC.
    midnight = datetime(key.expires.year, key.expires.month, key.expires.day, tzinfo=UTC)
    return _Entry(digest, caller, midnight.timestamp() + timedelta(days=1).total_seconds())
