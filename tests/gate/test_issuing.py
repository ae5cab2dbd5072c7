"""How keys are made, replaced and ended."""

import asyncio
import base64
import hashlib
from datetime import UTC, datetime

import msgspec
import pytest

from headgate.core.errors import BadRequestError, InvalidKeyError, UnknownObjectError
from headgate.gate.config import Config
from headgate.gate.issuing import MOST_GRACE, Issuer, Who
from headgate.gate.keyring import Keyring
from headgate.gate.ports import SystemChance
from headgate.stores.keys import KeyBook
from headgate.stores.sqlite import SqliteLedger

ANN = Who("ann", "127.0.0.1")
OWN = {"name": "own", "sha256": hashlib.sha256(b"hg-own").hexdigest(), "models": ["fast"]}


class At:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = datetime(2027, 1, 15, 12, tzinfo=UTC).timestamp()

    def time(self) -> float:
        return self.now


class Place:
    """An issuer, and the door that its keys open."""

    def __init__(self, **settings) -> None:
        targets = [{"provider": "p"}]
        self.config = Config.model_validate(
            {
                "server": {"auth": "keys"}, "providers": {"p": {"type": "simulator"}},
                "models": {"fast": {"targets": targets}}, "keys": [OWN], **settings,
            }
        )  # fmt: skip
        self.ledger = SqliteLedger(":memory:")
        self.book = KeyBook(self.ledger)
        self.clock = At()
        self.ring = Keyring(self.config.keys, self.book, self.clock)
        self.issuer = Issuer(self.config, self.book, self.clock, SystemChance())

    async def whose(self, value) -> str | None:
        """The name of a key, None where it is not valid, after a look at the store."""
        await self.ring.refresh()
        try:
            return self.ring.caller(value.reveal().encode()).key
        except InvalidKeyError:
            return None


def on_a_place(story, **settings):
    """Run a story."""

    async def whole():
        place = Place(**settings)
        try:
            return await story(place)
        finally:
            await place.ledger.close()

    return asyncio.run(whole())


def test_a_key_is_made_once_and_opens_the_door():
    """`hg-` and 32 random bytes, no two alike; the store has the hash and a note, and never the key."""

    async def story(place):
        one = await place.issuer.create({"name": "web", "budget": {"limit_usd": 5}}, ANN)
        two = await place.issuer.create({"name": "app"}, ANN)
        for issued in (one, two):
            value = issued.value.reveal()
            assert value.startswith("hg-")
            assert len(base64.urlsafe_b64decode(value[3:] + "=")) == 32
            assert issued.record.sha256 == hashlib.sha256(value.encode()).hexdigest()
            assert issued.warnings == []
            assert value not in repr(issued)
        assert one.value != two.value
        assert [await place.whose(issued.value) for issued in (one, two)] == ["web", "app"]
        first, second = reversed(await place.book.notes())
        assert (first.action, first.subject, first.actor, first.origin) == ("key.create", "web", "ann", "127.0.0.1")
        assert first.time == place.clock.now
        assert first.details["budget"] == {"limit_usd": "5", "window": "day", "time_zone": "UTC"}
        assert second.subject == "app"
        rows = await place.ledger.read(("SELECT * FROM keys", ()))
        rows = [*rows, *await place.ledger.read(("SELECT * FROM audit", ()))]
        assert one.value.reveal()[3:] not in repr(rows)

    on_a_place(story)


@pytest.mark.parametrize(("name", "where"), [("own", "the configuration"), ("web", "the store")])
def test_a_name_that_is_taken_is_refused(name, where):
    """Whoever has it; nothing is written."""

    async def story(place):
        await place.issuer.create({"name": "web"}, ANN)
        with pytest.raises(BadRequestError, match=f"There is a key '{name}' in {where}.") as caught:
            await place.issuer.create({"name": name}, ANN)
        assert caught.value.code == "key_exists"
        assert len(await place.book.notes()) == 1

    on_a_place(story)


def test_a_key_that_has_expired_is_not_made():
    """Today it may still work."""

    async def story(place):
        with pytest.raises(BadRequestError, match="`expires` is 2027-01-14, which has passed"):
            await place.issuer.create({"name": "web", "expires": "2027-01-14"}, ANN)
        made = await place.issuer.create({"name": "web", "expires": "2027-01-15"}, ANN)
        assert await place.whose(made.value) == "web"
        assert (await place.issuer.show("web"))["status"] == "valid"
        place.clock.now += 12 * 3600
        assert (await place.issuer.show("web"))["status"] == "expired"

    on_a_place(story)


def test_what_its_maker_may_not_have_meant_is_told():
    """Models that nobody answers to, and a gateway that asks nobody."""

    async def story(place):
        made = await place.issuer.create({"name": "web", "models": ["fats", "zzz", "fast"]}, ANN)
        return made.warnings

    unknown = ["No model 'fats' is configured. Did you mean `fast`?", "No model 'zzz' is configured."]
    assert on_a_place(story) == unknown
    asked = on_a_place(story, server={}, models={"*": {"targets": [{"provider": "p"}]}}, keys=[])
    assert asked == ["This configuration asks nobody for a key: `server.auth` is `none`, the default on loopback."]


def test_a_rotation_replaces_the_value():
    """At once, or after a grace."""

    async def story(place):
        first = await place.issuer.create({"name": "web", "project": "shop"}, ANN)
        second = await place.issuer.rotate("web", ANN)
        assert second.record.scope == first.record.scope
        assert [await place.whose(issued.value) for issued in (first, second)] == [None, "web"]
        third = await place.issuer.rotate("web", ANN, grace=60)
        assert (await place.issuer.show("web"))["former_until"] == "2027-01-15T12:01:00.000Z"
        assert [await place.whose(issued.value) for issued in (first, second, third)] == [None, "web", "web"]
        place.clock.now += 60
        assert [await place.whose(issued.value) for issued in (first, second, third)] == [None, None, "web"]
        assert (await place.issuer.show("web"))["former_until"] is None
        notes = await place.book.notes()
        assert [note.details for note in notes[:2]] == [
            {"former_until": "2027-01-15T12:01:00.000Z"},
            {"former_until": None},
        ]

    on_a_place(story)


@pytest.mark.parametrize("grace", [-1.0, float("nan"), float("inf"), MOST_GRACE + 1])
def test_a_grace_has_an_end(grace):
    """Else a former value would be open for ever."""

    async def story(place):
        await place.issuer.create({"name": "web"}, ANN)
        with pytest.raises(BadRequestError, match="grace"):
            await place.issuer.rotate("web", ANN, grace=grace)

    on_a_place(story)


def test_a_revoked_key_is_refused():
    """It is told as such, cannot be revoked again, and its name is free."""

    async def story(place):
        first = await place.issuer.create({"name": "web"}, ANN)
        await place.issuer.rotate("web", ANN, grace=60)
        ended = await place.issuer.revoke("web", ANN)
        assert (ended["status"], ended["revoked"]) == ("revoked", "2027-01-15T12:00:00.000Z")
        assert await place.whose(first.value) is None
        assert (await place.issuer.show("web"))["status"] == "revoked"
        for again in (place.issuer.revoke("web", ANN), place.issuer.rotate("web", ANN)):
            with pytest.raises(UnknownObjectError, match="was revoked") as caught:
                await again
            assert caught.value.code == "key_not_found"
        assert [note.action for note in await place.book.notes()] == ["key.revoke", "key.rotate", "key.create"]
        second = await place.issuer.create({"name": "web"}, ANN)
        assert await place.whose(second.value) == "web"
        assert [key["name"] for key in await place.issuer.all()] == ["own", "web"]
        assert [key["status"] for key in await place.issuer.all(revoked=True)] == ["valid", "revoked", "valid"]

    on_a_place(story)


def test_there_is_no_such_key():
    """The error names it, in part where it is long."""

    async def story(place):
        for asked in (
            place.issuer.show("nobody"),
            place.issuer.revoke("nobody", ANN),
            place.issuer.rotate("nobody", ANN),
        ):
            with pytest.raises(UnknownObjectError, match="There is no key 'nobody'"):
                await asked
        with pytest.raises(UnknownObjectError) as caught:
            await place.issuer.show("x" * 1000)
        assert len(caught.value.message) < 120

    on_a_place(story)


def test_a_key_of_the_configuration_is_changed_there():
    """It is shown, and neither rotated nor revoked."""

    async def story(place):
        shown = await place.issuer.show("own")
        assert (shown["source"], shown["models"], shown["status"]) == ("configuration", ["fast"], "valid")
        for asked in (place.issuer.revoke("own", ANN), place.issuer.rotate("own", ANN)):
            with pytest.raises(BadRequestError, match="stands in the configuration") as caught:
                await asked
            assert caught.value.code == "key_configured"

    on_a_place(story)


def test_what_is_told_of_keys_holds_no_hash():
    """Neither of those of the configuration nor of those of the store."""

    async def story(place):
        made = await place.issuer.create({"name": "web"}, ANN)
        text = msgspec.json.encode([await place.issuer.all(revoked=True), await place.issuer.show("web")]).decode()
        for secret in (made.value.reveal(), made.record.sha256, OWN["sha256"]):
            assert secret not in text

    on_a_place(story)
