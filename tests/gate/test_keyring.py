"""Which keys are valid, as a process knows it."""

import asyncio
import hashlib
import logging
from datetime import UTC, date, datetime

import pytest

from headgate.core.errors import InvalidKeyError, StoreError
from headgate.core.limits import Allowance, Limits
from headgate.gate import keyring as module
from headgate.gate.config import Key
from headgate.gate.keyring import INTERVAL, Keyring
from headgate.stores.keys import KeyBook, KeyRecord, Note, Scope
from headgate.stores.sqlite import SqliteLedger
from headgate.testing import VirtualClock, virtual_time


def digest(value: str) -> str:
    """What is written down of a key."""
    return hashlib.sha256(value.encode()).hexdigest()


def key(value: str, **facts) -> Key:
    """A key of the configuration."""
    return Key(sha256=digest(value), **{"name": "web", **facts})


def record(value: str, name: str, **facts) -> KeyRecord:
    """A key of the store."""
    return KeyRecord(**{"id": f"key_{value}", "name": name, "sha256": digest(value), "scope": Scope(), "created": 1.0,
                        **facts})  # fmt: skip


def note(number: int = 0, time: float = 0.0) -> Note:
    """What an operator did."""
    return Note(time=time or number, actor="a", origin="b", action="c", subject="d")


class At:
    """A clock that stands still."""

    def __init__(self, moment: str = "2027-01-01T00:00:00") -> None:
        self.now = datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()

    def time(self) -> float:
        return self.now


class Away(SqliteLedger):
    """A store that can be taken away, and counts questions."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.away = False
        self.asked = 0

    async def read(self, statement):
        self.asked += 1
        if self.away:
            raise StoreError("gone fishing")
        return await super().read(statement)


def on_a_book(story, *keys: Key, clock=None):
    """Run a story with a store, its book and a keyring that has read it."""

    async def whole():
        store = Away()
        book = KeyBook(store)
        ring = Keyring(keys, book, clock or At())
        try:
            return await story(store, book, ring)
        finally:
            await store.close()

    return asyncio.run(whole())


def whose(ring: Keyring, value: str) -> str | None:
    """The name of a key, None where it is not valid."""
    try:
        return ring.caller(value.encode()).key
    except InvalidKeyError:
        return None


def test_a_key_of_the_configuration_makes_its_caller():
    """With all that it says; the caller is made once."""

    async def story(_store, _book, ring):
        caller = ring.caller(b"hg-one")
        assert (caller.key, caller.project, caller.models) == ("web", "p", frozenset({"a", "b"}))
        assert (caller.tags, caller.priority, caller.limits) == ({"team": "x"}, 9, Limits(concurrency=2))
        assert caller.budget is None
        assert ring.caller(b"hg-one") is caller

    on_a_book(story, key("hg-one", project="p", models=["a", "b"], tags={"team": "x"}, limits={"concurrency": 2}))


def test_a_key_of_the_store_makes_its_caller():
    """With all that the book says."""
    scope = Scope(
        project="p", models=("a",), limits=Limits(requests_per_minute=3), budget=Allowance(limit=5, window="day"),
        priority=2, tags={"team": "x"}, passthrough=("/v1/z",),
    )  # fmt: skip

    async def story(_store, book, ring):
        await book.create(record("hg-s", "stored", scope=scope), note())
        assert whose(ring, "hg-s") is None
        await ring.refresh()
        caller = ring.caller(b"hg-s")
        assert (caller.key, caller.project, caller.models) == ("stored", "p", frozenset({"a"}))
        assert (caller.limits, caller.budget, caller.priority) == (scope.limits, scope.budget, 2)
        assert (caller.tags, caller.passthrough) == ({"team": "x"}, ("/v1/z",))

    on_a_book(story)


def test_a_hash_is_no_key():
    """Whoever reads the configuration or the store cannot call with what stands there."""

    async def story(_store, book, ring):
        await book.create(record("hg-s", "stored"), note())
        await ring.refresh()
        for value in (digest("hg-one"), digest("hg-s"), "", "0" * 64):
            assert whose(ring, value) is None
        with pytest.raises(InvalidKeyError):
            ring.caller(bytes.fromhex(digest("hg-one")))

    on_a_book(story, key("hg-one"))


def test_a_key_works_through_its_last_day():
    """`expires` is the last day on which it works, by UTC; then it is refused, and told why."""
    clock = At("2027-01-15T23:59:59")
    last = date(2027, 1, 15)

    async def story(_store, book, ring):
        await book.create(record("hg-s", "stored", scope=Scope(expires=last)), note())
        await ring.refresh()
        assert (whose(ring, "hg-one"), whose(ring, "hg-s")) == ("web", "stored")
        clock.now += 1
        for value in (b"hg-one", b"hg-s"):
            with pytest.raises(InvalidKeyError, match="expired"):
                ring.caller(value)

    on_a_book(story, key("hg-one", expires=last), clock=clock)


def test_changes_are_known_at_the_next_look():
    """What is made is served, what was revoked is refused; the caller of what stays is the same one."""

    async def story(store, book, ring):
        await book.create(record("hg-s", "stored"), note(1))
        await book.create(record("hg-t", "other", scope=Scope(limits=Limits(concurrency=1))), note(2))
        await ring.refresh()
        caller = ring.caller(b"hg-t")
        asked = store.asked
        await ring.refresh()
        assert store.asked == asked + 1, "nothing has changed: one question"
        await book.revoke("stored", note(3))
        assert whose(ring, "hg-s") == "stored"
        await ring.refresh()
        assert whose(ring, "hg-s") is None
        assert ring.caller(b"hg-t") is caller

    on_a_book(story)


def test_a_rotated_key_is_good_until_its_grace_ends():
    """Both values are the same caller; then the former one is refused, and told why. Without grace it is so at once."""
    clock = At()

    async def story(_store, book, ring):
        await book.create(record("hg-s", "stored"), note(1))
        await book.rotate("stored", digest("hg-new"), note(2), until=clock.now + 60)
        await ring.refresh()
        assert ring.caller(b"hg-s") is ring.caller(b"hg-new")
        clock.now += 60
        assert whose(ring, "hg-new") == "stored"
        with pytest.raises(InvalidKeyError, match="replaced"):
            ring.caller(b"hg-s")
        await book.rotate("stored", digest("hg-newest"), note(3))
        await ring.refresh()
        assert [whose(ring, value) for value in ("hg-s", "hg-new", "hg-newest")] == [None, None, "stored"]

    on_a_book(story, clock=clock)


def test_grace_does_not_outlive_the_key():
    """A former value expires with its key."""
    clock = At("2027-01-15T23:59:59")

    async def story(_store, book, ring):
        await book.create(record("hg-s", "stored", scope=Scope(expires=date(2027, 1, 15))), note(1))
        await book.rotate("stored", digest("hg-new"), note(2), until=clock.now + 3600)
        await ring.refresh()
        assert whose(ring, "hg-s") == "stored"
        clock.now += 1
        assert (whose(ring, "hg-s"), whose(ring, "hg-new")) == (None, None)

    on_a_book(story, clock=clock)


def test_the_configuration_wins(caplog):
    """A key of the store with the name or the value of one of its keys is not served; that is told once."""

    async def story(_store, book, ring):
        await book.create(record("hg-other", "web", scope=Scope(project="evil")), note(1))
        await book.create(record("hg-one", "twin", scope=Scope(project="evil")), note(2))
        await ring.refresh()
        await book.create(record("hg-third", "third"), note(3))
        await ring.refresh()
        assert ring.caller(b"hg-one").project == "p"
        assert [whose(ring, value) for value in ("hg-other", "hg-one", "hg-third")] == [None, "web", "third"]

    with caplog.at_level(logging.WARNING):
        on_a_book(story, key("hg-one", project="p"))
    assert [line.message for line in caplog.records] == [
        "Keys of the store are not served, as the configuration has their names or values: twin, web."
    ]


def test_a_store_that_is_away_changes_nothing(caplog):
    """What was known is served; the state is told, and the log has one line, until it is back."""

    async def story(store, book, ring):
        assert ring.health() == {"status": "unknown", "keys": 1, "error": None}
        store.away = True
        await ring.refresh()
        assert ring.health() == {"status": "unknown", "keys": 1, "error": "gone fishing"}
        assert not ring.known
        assert whose(ring, "hg-one") == "web"
        store.away = False
        await book.create(record("hg-s", "stored"), note(1))
        await ring.refresh()
        assert ring.health() == {"status": "ok", "keys": 2, "error": None}
        store.away = True
        await ring.refresh()
        await ring.refresh()
        assert ring.health() == {"status": "stale", "keys": 2, "error": "gone fishing"}
        assert ring.known
        assert (whose(ring, "hg-one"), whose(ring, "hg-s")) == ("web", "stored")

    with caplog.at_level(logging.WARNING):
        on_a_book(story, key("hg-one"))
    assert len(caplog.records) == 2


def test_a_book_that_cannot_be_read_stops_nothing(caplog):
    """Not what nobody foresaw either: the next look is made all the same."""

    async def story(store, book, ring):
        await book.create(record("hg-s", "stored"), note(1))
        await ring.refresh()
        await store.change([("UPDATE keys SET scope = 'nonsense', version = 9", ())])
        await ring.refresh()
        assert ring.health()["status"] == "stale"
        assert whose(ring, "hg-s") == "stored"

    with caplog.at_level(logging.WARNING):
        on_a_book(story)
    assert "JSON" in caplog.text


def test_it_looks_again_and_again():
    """Every two seconds, for as long as its owner wants."""

    async def story():
        store = Away()
        clock = VirtualClock()
        ring = Keyring([], KeyBook(store), clock)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(ring.follow())
            await asyncio.sleep(INTERVAL * 5 + 0.1)
            task.cancel()
        await store.close()
        return store.asked

    assert virtual_time(story()) == 6, "five looks, the first of which reads the keys too"


def test_a_value_costs_the_same_whatever_it_is(monkeypatch):
    """One hash and one comparison for a key of the configuration, of the store, an unknown and an empty one."""
    compared, hashed = [], []
    compare, sha256 = module.hmac.compare_digest, hashlib.sha256
    monkeypatch.setattr(module.hmac, "compare_digest", lambda a, b: compared.append((len(a), len(b))) or compare(a, b))

    async def story(_store, book, ring):
        await book.create(record("hg-s", "stored"), note(1))
        await ring.refresh()
        monkeypatch.setattr(module.hashlib, "sha256", lambda value: hashed.append(value) or sha256(value))
        for value in ("hg-one", "hg-s", "hg-none", "", "hg-one"):
            whose(ring, value)

    on_a_book(story, key("hg-one"))
    assert compared == [(32, 32)] * 5
    assert len(hashed) == 5
