"""Issuing keys: how they are made, replaced and ended, for whoever administers the gateway by whichever door.

Decides what may be asked for and what a new key looks like; refuses to know who may ask (the doors do) and where keys
are kept. A key is `hg-` and 32 random bytes; it is told once, here, to whoever made it. Nothing of it stays but its
SHA-256. Whatever is done stands in the store beside the note of who did it.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from headgate.core.clock import Chance, Clock
from headgate.core.errors import BadRequestError, UnknownObjectError
from headgate.core.secret import Secret
from headgate.gate import key_wish
from headgate.gate.coherence import ANY, DEFAULT, auth, routes
from headgate.gate.config import Config, Key
from headgate.gate.key_wish import told
from headgate.gate.keyring import end_of, scope_of
from headgate.gate.problems import nearest
from headgate.stores.keys import KeyBook, KeyRecord, Note, Scope
from headgate.stores.report import iso

PREFIX = "hg-"
MOST_GRACE = 90 * 86400.0
"""Seconds for which a former value may be good: whoever forgets it must not leave it open for ever."""


class Who(NamedTuple):
    """Who does something by hand, and from where."""

    actor: str
    origin: str


class Issued(NamedTuple):
    """A key that was made or replaced.

    Attributes:
        record: what is kept of it.
        value: the key itself. Nobody can tell it again.
        told: what is told of it besides.
        warnings: what its maker may not have meant, one sentence each.
    """

    record: KeyRecord
    value: Secret
    told: Mapping[str, Any]
    warnings: Sequence[str] = ()


class Issuer:
    """Makes, replaces and ends keys.

    Args:
        config: the keys that it has, and the models that they may ask for.
        book: where keys are kept.
        clock: tells when.
        chance: makes keys.
    """

    def __init__(self, config: Config, book: KeyBook, clock: Clock, chance: Chance) -> None:
        self._config = config
        self._own = {key.name: key for key in config.keys}
        self._book = book
        self._clock = clock
        self._chance = chance

    async def create(self, facts: Mapping[str, Any], who: Who) -> Issued:
        """Make a key.

        Args:
            facts: the fields of a `key_wish.KeyWish`.
            who: makes it.

        Raises:
            BadRequestError: a field is wrong, or there is a key of that name.
            StoreError: the store cannot be told.
        """
        wish = key_wish.read(facts)
        scope = key_wish.scope(wish)
        if _status(scope, self._clock.time()) == "expired":
            message = f"`expires` is {wish.expires}, which has passed."
            raise BadRequestError(message, param="expires", hint="Name the last day on which the key shall work.")
        if wish.name in self._own:
            raise _taken(wish.name, "the configuration")
        value, sha256 = self._value()
        now = self._clock.time()
        record = KeyRecord(id=f"key_{self._chance.token()}", name=wish.name, sha256=sha256, scope=scope, created=now)
        note = _note(now, who, "key.create", wish.name, told(scope))
        if not await self._book.create(record, note):
            raise _taken(wish.name, "the store")
        return Issued(record, value, self._stored(record), self._warnings(scope))

    async def rotate(self, name: str, who: Who, *, grace: float = 0.0) -> Issued:
        """Give a key a new value.

        Args:
            name: of the key.
            who: does it.
            grace: seconds for which the former value is good yet.

        Raises:
            BadRequestError: the key stands in the configuration, or the grace is no such time.
            UnknownObjectError: there is no such key, or it was revoked.
            StoreError: the store cannot be told.
        """
        if not 0 <= grace <= MOST_GRACE:
            message = f"The grace is {grace:g} s; it may be up to {MOST_GRACE / 86400:g} days."
            raise BadRequestError(message, param="grace")
        self._must_be_stored(name)
        value, sha256 = self._value()
        now = self._clock.time()
        until = now + grace if grace else None
        note = _note(now, who, "key.rotate", name, {"former_until": iso(until)})
        record = await self._book.rotate(name, sha256, note, until=until)
        if record is None:
            raise await self._missing(name)
        return Issued(record, value, self._stored(record))

    async def revoke(self, name: str, who: Who) -> dict[str, Any]:
        """End a key; gives what is told of it.

        Raises:
            BadRequestError: the key stands in the configuration.
            UnknownObjectError: there is no such key, or it was revoked before.
            StoreError: the store cannot be told.
        """
        self._must_be_stored(name)
        record = await self._book.revoke(name, _note(self._clock.time(), who, "key.revoke", name, {}))
        if record is None:
            raise await self._missing(name)
        return self._stored(record)

    async def show(self, name: str) -> dict[str, Any]:
        """What is known of a key, for people and programs: never its value, nor its hash.

        Raises:
            UnknownObjectError: there is no such key.
            StoreError: the store cannot be asked.
        """
        if name in self._own:
            return _configured(self._own[name], self._clock.time())
        record = await self._book.find(name)
        if record is None:
            raise await self._missing(name)
        return self._stored(record)

    async def all(self, *, revoked: bool = False) -> list[dict[str, Any]]:
        """The same of every key, those of the configuration first; `revoked`: of those that have ended, too.

        Raises:
            StoreError: the store cannot be asked.
        """
        found = [_configured(key, self._clock.time()) for key in self._own.values()]
        return [*found, *(self._stored(record) for record in await self._book.keys(revoked=revoked))]

    def _stored(self, record: KeyRecord) -> dict[str, Any]:
        now = self._clock.time()
        status = "revoked" if record.revoked_at is not None else _status(record.scope, now)
        return {
            "name": record.name,
            "status": status,
            "source": "store",
            "id": record.id,
            **told(record.scope),
            "created": iso(record.created),
            "revoked": iso(record.revoked_at),
            "former_until": iso(record.former_until) if (record.former_until or 0.0) > now else None,
        }

    def _value(self) -> tuple[Secret, str]:
        random = bytes.fromhex(self._chance.token() + self._chance.token())
        value = PREFIX + base64.urlsafe_b64encode(random).decode().rstrip("=")
        return Secret(value), hashlib.sha256(value.encode()).hexdigest()

    def _warnings(self, scope: Scope) -> list[str]:
        found: list[str] = []
        known = routes(self._config)
        short = {provider.model for provider in self._config.providers.values() if provider.model}
        if known and ANY not in known:
            names = {*known, *short, DEFAULT}
            unknown = [model for model in scope.models or () if model not in names]
            found += [f"No model {model!r} is configured. {nearest(model, names)}".rstrip() for model in unknown]
        if auth(self._config) == "none":
            found.append("This configuration asks nobody for a key: `server.auth` is `none`, the default on loopback.")
        return found

    def _must_be_stored(self, name: str) -> None:
        if name in self._own:
            message = f"The key {name!r} stands in the configuration."
            raise BadRequestError(message, code="key_configured", param="name", hint="Change it there, under `keys`.")

    async def _missing(self, name: str) -> UnknownObjectError:
        record = await self._book.find(name)
        if record is not None and record.revoked_at is not None:
            message, hint = f"The key {name!r} was revoked.", "Make a new one; it may have the same name."
        else:
            message, hint = f"There is no key {name[:80]!r}.", "`headgate keys list` and `GET /admin/keys` name them."
        return UnknownObjectError(message, code="key_not_found", param="name", hint=hint)


def _note(now: float, who: Who, action: str, subject: str, details: Mapping[str, Any]) -> Note:
    return Note(time=now, actor=who.actor, origin=who.origin, action=action, subject=subject, details=details)


def _configured(key: Key, now: float) -> dict[str, Any]:
    scope = scope_of(key)
    return {"name": key.name, "status": _status(scope, now), "source": "configuration", **told(scope)}


def _status(scope: Scope, now: float) -> str:
    ends = end_of(scope)
    return "valid" if ends is None or now < ends else "expired"


def _taken(name: str, where: str) -> BadRequestError:
    hint = "Choose another name; `headgate keys rotate` gives a key of the store a new value."
    return BadRequestError(f"There is a key {name!r} in {where}.", code="key_exists", param="name", hint=hint)
