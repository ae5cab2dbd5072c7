"""The contract of the book of keys, over every database: one valid key a name, no change without its note."""

import asyncio
from datetime import date

import msgspec
import pytest

from headgate.core.errors import StoreError
from headgate.core.limits import Allowance, Limits
from headgate.stores.keys import KeyBook, KeyRecord, Note, Scope

SCOPE = Scope(
    project="shop",
    models=("fast", "slow"),
    limits=Limits(requests_per_minute=60, concurrency=4, spread=True),
    budget=Allowance(limit=5 * 10**12, window="week", zone="Europe/Berlin"),
    expires=date(2027, 6, 30),
    priority=3,
    tags={"team": "ünï'; DROP"},
    passthrough=("/v1/x/*",),
)


@pytest.fixture
def book(ledger):
    """A book of keys that is empty."""
    return KeyBook(ledger)


def key(name="web", number=0, **changes):
    """A key that was made just now."""
    facts = {"id": f"key_{number}", "name": name, "sha256": f"{number:064x}", "scope": Scope(), "created": 1.5}
    return KeyRecord(**{**facts, **changes})


def note(number=0, action="key.create", subject="web", **details):
    """What an operator did."""
    origin = "127.0.0.1"
    return Note(time=float(number), actor="ann", origin=origin, action=action, subject=subject, details=details)


def test_a_key_is_read_as_it_was_written(book):
    """Everything that it is good for; and so is the note."""

    async def story():
        made, told = key(scope=SCOPE), note(project="shop", models=["fast"])
        assert await book.version() == 0
        assert await book.create(made, told)
        assert await book.keys() == [made]
        assert await book.find("web") == made
        assert await book.find("Web") is None
        assert await book.notes() == [msgspec.structs.replace(told, number=1)]
        assert await book.version() == 1

    asyncio.run(story())


def test_of_two_keys_of_a_name_one_is_made(book):
    """The other leaves nothing behind, no note either."""

    async def story():
        assert await book.create(key(), note(1))
        assert not await book.create(key(number=1), note(2))
        assert [found.id for found in await book.keys()] == ["key_0"]
        assert [(found.number, found.time) for found in await book.notes()] == [(1, 1.0)]
        assert await book.version() == 1

    asyncio.run(story())


def test_a_rotation_ends_the_former_value(book):
    """At once, or at the end of its grace; what the key is good for stays."""

    async def story():
        await book.create(key(scope=SCOPE), note(1))
        softly = await book.rotate("web", "a" * 64, note(2, "key.rotate"), until=99.5)
        assert softly == key(scope=SCOPE, sha256="a" * 64, former=f"{0:064x}", former_until=99.5)
        assert await book.find("web") == softly
        at_once = await book.rotate("web", "b" * 64, note(3, "key.rotate"))
        assert at_once == key(scope=SCOPE, sha256="b" * 64)
        assert await book.version() == 3
        assert [found.action for found in await book.notes()] == ["key.rotate", "key.rotate", "key.create"]

    asyncio.run(story())


def test_what_is_not_there_is_not_changed(book):
    """No key, no note, no new number."""

    async def story():
        assert await book.rotate("web", "a" * 64, note(1)) is None
        assert await book.revoke("web", note(2)) is None
        assert await book.notes() == []
        assert await book.version() == 0

    asyncio.run(story())


def test_a_revoked_key_stays_in_the_book_and_its_name_is_free(book):
    """It is not among the valid ones; a new one may have its name, and is found by it."""

    async def story():
        await book.create(key(), note(1))
        ended = await book.revoke("web", note(7, "key.revoke"))
        assert ended == key(revoked_at=7.0)
        assert await book.keys() == []
        assert await book.find("web") == ended
        assert await book.revoke("web", note(8)) is None
        assert await book.rotate("web", "a" * 64, note(9)) is None
        assert await book.create(key(number=1, created=2.5), note(10))
        assert [found.id for found in await book.keys(revoked=True)] == ["key_0", "key_1"]
        assert (await book.find("web")).id == "key_1"
        assert await book.version() == 3

    asyncio.run(story())


def test_notes_of_other_things(book):
    """The newest first, so many as are asked for; the number of the keys does not change."""

    async def story():
        for number in range(5):
            await book.tell(note(number, "usage.resolve", f"call {number}"))
        assert [(found.number, found.subject) for found in await book.notes(2)] == [(5, "call 4"), (4, "call 3")]
        assert await book.version() == 0

    asyncio.run(story())


def test_keys_are_listed_by_name(book):
    """In the order of their bytes, in every database."""

    async def story():
        for number, name in enumerate(("b", "a", "B", "ä")):
            await book.create(key(name, number), note(number))
        assert [found.name for found in await book.keys()] == ["B", "a", "b", "ä"]

    asyncio.run(story())


def test_many_at_once_have_numbers_of_their_own(make_ledger):
    """Ten keys and a revocation from two processes' sides: each change is counted, none fails."""
    if make_ledger.kind == "memory":
        pytest.skip("there is one side only")

    async def story():
        one, two = KeyBook(make_ledger()), KeyBook(make_ledger())
        await one.create(key("z", 100), note(100))
        made = [(one, two)[number % 2].create(key(f"k{number}", number), note(number)) for number in range(10)]
        assert all(await asyncio.gather(*made, two.revoke("z", note(101))))
        assert await one.version() == 12
        assert len(await two.keys()) == 10

    asyncio.run(story())


def test_a_database_that_is_gone_is_away(make_ledger, tmp_path):
    """Whoever asks or tells it hears so."""
    if make_ledger.kind != "file":
        pytest.skip("a file can be taken away")

    async def story():
        book = KeyBook(make_ledger())
        await book.create(key(), note())
        (tmp_path / "headgate.db").rename(tmp_path / "elsewhere.db")
        with pytest.raises(StoreError, match="moved"):
            await book.keys()
        with pytest.raises(StoreError, match="moved"):
            await book.revoke("web", note(1))

    asyncio.run(story())
