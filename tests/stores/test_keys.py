"""Covers stores/keys.py: how keys and notes are put into words. What a book does stands in `contract/`."""

import asyncio
from datetime import date

import msgspec

from headgate.core.limits import Allowance, Limits
from headgate.stores.keys import KeyBook, KeyRecord, Note, Scope, only_if
from headgate.stores.tables import Expression


class Said:
    """Tables that keep what they are told, and answer with nothing."""

    def __init__(self) -> None:
        self.statements = []

    async def read(self, statement):
        self.statements.append(statement)
        return []

    async def change(self, statements):
        self.statements += statements
        return [[] for _ in statements]


NOTE = Note(time=1.5, actor="ann", origin="here", action="key.create", subject="web", details={"b": [1], "a": None})


def test_what_is_left_open_takes_no_room():
    """A scope is written down without what it does not say, and read again as it was."""
    assert msgspec.json.encode(Scope()) == b"{}"
    scope = Scope(limits=Limits(concurrency=1), budget=Allowance(limit=5), expires=date(2027, 1, 2), tags={"a": "b"})
    assert msgspec.json.decode(msgspec.json.encode(scope), type=Scope) == scope


def test_a_note_may_hang_on_a_question():
    """Its values stand before those of the question, and its number is the book's own."""
    statement = only_if(NOTE, Expression("SELECT 1 FROM x WHERE y = ?", (7,)))
    assert statement.sql.endswith(" WHERE EXISTS (SELECT 1 FROM x WHERE y = ?)")
    assert statement.sql.count("?") == len(statement.values) == 7
    assert statement.values == (1.5, "ann", "here", "key.create", "web", '{"b":[1],"a":null}', 7)


def test_as_many_values_as_marks():
    """In every statement."""
    tables = Said()
    book = KeyBook(tables)
    key = KeyRecord(id="1", name="web", sha256="0" * 64, scope=Scope(), created=1.0)

    async def story():
        await book.create(key, NOTE)
        await book.rotate("web", "1" * 64, NOTE)
        await book.rotate("web", "1" * 64, NOTE, until=2.0)
        await book.revoke("web", NOTE)
        await book.tell(NOTE)
        await book.keys(revoked=True)
        await book.find("web")
        await book.notes(3)

    asyncio.run(story())
    assert len(tables.statements) == 13
    assert [sql for sql, values in tables.statements if sql.count("?") != len(values)] == []
