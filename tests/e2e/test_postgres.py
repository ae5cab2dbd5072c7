"""A gate whose books lie in Postgres: what every command and door does with them, and what happens while it is away."""

import asyncio
import json
from contextlib import suppress

import pytest

from headgate.core.call import Operation
from headgate.core.errors import BacklogError, ConfigError
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.stores.protocols import Query

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def settings(folder, store):
    """A configuration with books in Postgres and a simulator."""
    return {
        "store": store,
        "journal": {"path": f"{folder}/journal", "max_backlog_mb": 0.2},
        "providers": {"practice": {"type": "simulator"}},
        "models": {"gpt-6-luna": {"targets": [{"provider": "practice"}]}, "default": "gpt-6-luna"},
    }


def test_the_command_line_keeps_its_books_there(tmp_path, database, command):
    """`ask` books, `usage` reads it from another process, `doctor` sees it and hides the password."""
    store = database.replace("postgres@", "postgres:s3cret@")
    (tmp_path / "headgate.yaml").write_text(json.dumps(settings(tmp_path, store)))

    async def story():
        for _ in range(2):
            assert (await command(tmp_path, "ask", "Name a city.")).code == 0
        (sums,) = (await command(tmp_path, "usage", "--by", "model", "--json")).lines
        assert (sums["calls"], sums["attempts"], sums["unknown_attempts"]) == (2, 2, 0)
        assert [(group["model"], group["calls"]) for group in sums["by"]] == [("gpt-6-luna", 2)]
        rows = (await command(tmp_path, "usage", "--rows", "--json")).lines
        assert [row["settled"] for row in rows] == ["billed", "billed"]
        assert list((tmp_path / "journal").iterdir()) == []
        checked = await command(tmp_path, "doctor")
        assert "postgresql://***@" in checked.out + checked.said
        assert "s3cret" not in checked.out + checked.said

    asyncio.run(story())


def test_a_database_that_is_not_there_stops_the_start(tmp_path, postgres):
    """It would never come: told at once, with the cure."""
    told = settings(tmp_path, postgres.url.replace("/postgres?", "/nobody?"))
    config = load(None, environment={}, settings=told).config
    with pytest.raises(ConfigError, match='database "nobody" does not exist') as caught:
        asyncio.run(Gate.open(config))
    assert "change `store`" in caught.value.hint


def test_calls_go_on_while_it_is_away(tmp_path, own_postgres):
    """At the start and later: answered and journalled until that is full, told by health, booked when it is back."""
    config = load(None, environment={}, settings=settings(tmp_path, own_postgres.url)).config

    async def story():
        async with await Gate.open(config) as gate:
            assert not await gate.ready()
            health = await gate.health()
            assert (health["store"]["status"], health["store"]["kind"]) == ("down", "postgres")
            assert health["journal"]["status"] == "failing"
            answered = await asked(gate, 5)
            assert answered == 5
            await asyncio.to_thread(own_postgres.start)
            assert await booked(gate) == answered
            assert await gate.ready()
            await asyncio.to_thread(own_postgres.stop)
            more = await asked(gate, 2000)
            # The journal was full before the last of them.
            assert 50 < more < 2000
            await asyncio.to_thread(own_postgres.start)
            assert await booked(gate) == answered + more
            assert await asked(gate, 3) == 3
            assert await booked(gate) == answered + more + 3

    asyncio.run(story())


async def asked(gate, times):
    """How many of so many calls were answered."""
    body = b'{"model":"gpt-6-luna","max_completion_tokens":5,"messages":[{"role":"user","content":"Hi"}]}'
    answered = 0
    for _ in range(times):
        try:
            reply = await gate(gate.call(Operation.CHAT, body))
        except BacklogError:
            break
        async for _ in reply:
            pass
        await reply.close()
        answered += 1
    return answered


async def booked(gate):
    """How many calls stand in the books, once they can be asked."""
    for _ in range(600):
        with suppress(Exception):
            total, _ = await gate.usage(Query())
            return total.calls
        await asyncio.sleep(0.1)
    return None
