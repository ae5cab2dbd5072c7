"""Covers stores/drain.py: everything is booked, exactly once, whatever fails and whenever the process dies."""

import asyncio
import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.core.attempt import Settled
from headgate.core.errors import BacklogError, ConfigError, StoreError
from headgate.gate.ports import SystemChance, SystemClock
from headgate.stores.drain import BATCH, LONGEST_WAIT, Drain
from headgate.stores.journal import FileJournal, MemoryJournal
from headgate.stores.protocols import Query
from headgate.stores.recent import Recent
from headgate.stores.records import CallEnd, Intent, Outcome, Owner
from headgate.stores.segments import Segment
from headgate.stores.sqlite import SqliteLedger
from headgate.testing import VirtualClock, virtual_time

FOR_EVER = 10**9


class Away(Exception):  # noqa: N818  what it is, rather than what it is called
    """The ledger is away."""


class Death(BaseException):
    """The process dies here."""


class Unreliable:
    """A real ledger that is away when told so, or dies with the process before or after a transaction."""

    def __init__(self) -> None:
        self.real = SqliteLedger(":memory:")
        self.away = False
        self.batches = []

    async def book(self, entries, objects=()):
        if self.away:
            raise Away("the ledger is away")
        self.batches.append(len(entries))
        step("before a transaction")
        await self.real.book(entries, objects)
        step("after a transaction")

    async def inherit(self, owner):
        if self.away:
            raise StoreError("the ledger is away")
        step("before loans end")
        await self.real.inherit(owner)
        step("after loans have ended")


class Steps:
    """Counts the points at which a process may die, and lets it die at one of them."""

    left = FOR_EVER


def step(_where):
    """One such point."""
    Steps.left -= 1
    if Steps.left < 0:
        raise Death


@pytest.fixture(autouse=True)
def steps(monkeypatch):
    """The deletion of each file is a point to die at, too: before it and after it."""
    Steps.left = FOR_EVER
    discard = Segment.discard

    def dangerous(self):
        step("before a file is deleted")
        discard(self)
        step("after a file is deleted")

    monkeypatch.setattr(Segment, "discard", dangerous)


@pytest.fixture
def ledger():
    """A ledger that fails on demand."""
    made = Unreliable()
    yield made
    asyncio.run(made.real.close())


def story(coroutine):
    """Run in virtual time."""
    return virtual_time(coroutine)


async def booked(ledger):
    """What the books say: settled and cost by attempt, and error by call."""
    rows = [row async for row in ledger.real.rows(Query())]
    attempts = {(row.call_id, row.attempt): (row.settled, row.cost) for row in rows}
    assert len(attempts) == len(rows)
    ended = "SELECT DISTINCT call_id, call_attempts, call_error_type FROM attempts WHERE cache IS NOT NULL"
    found = ledger.real._connection.execute(ended).fetchall()
    calls = {call: (number, error) for call, number, error in found}
    assert len(calls) == len(found)
    return attempts, calls


BILLED = (Settled.BILLED, 15_000_000)
UNKNOWN = (Settled.UNKNOWN, None)


def write(journal, pen, call):
    """A whole call."""
    journal.intent(pen.intent(call))
    journal.outcome(pen.outcome(call))
    journal.call(pen.end(call))


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_what_was_written_is_booked_once(tmp_path, pen, ledger, kind):
    """Complete calls are in the ledger after a round, open ones after their end; no round doubles."""

    async def tell():
        journal = FileJournal(tmp_path, SystemChance()) if kind == "file" else MemoryJournal()
        drain = Drain(journal, ledger, VirtualClock())
        await drain.adopt()
        write(journal, pen, "a")
        journal.intent(pen.intent("b"))
        await drain.once()
        await drain.once()
        assert await booked(ledger) == ({("a", 1): BILLED}, {"a": (1, None)})
        journal.outcome(pen.outcome("b"))
        journal.call(pen.end("b"))
        journal.call(pen.end("c", attempts=0, error_type="refused"))
        await drain.once()
        assert await booked(ledger) == (
            {("a", 1): BILLED, ("b", 1): BILLED, ("c", 0): (Settled.NOT_BILLED, 0)},
            {"a": (1, None), "b": (1, None), "c": (0, "refused")},
        )
        assert drain.health()["status"] == "ok"
        await drain.finish()
        assert list(tmp_path.iterdir()) == []

    story(tell())


def test_what_an_answer_made_is_booked_with_it(tmp_path, pen, die, ledger):
    """Booked by a round, and by who adopts: an object has its owner as soon as its attempt is on the books."""

    async def tell():
        for number, adopted in enumerate((False, True)):
            journal = FileJournal(tmp_path, SystemChance())
            drain = Drain(journal, ledger, VirtualClock())
            name = f"resp_{number}"
            journal.intent(pen.intent(name))
            journal.outcome(pen.outcome(name, made=(name,)))
            journal.call(pen.end(name))
            if adopted:
                die(journal)
                drain = Drain(FileJournal(tmp_path, SystemChance()), ledger, VirtualClock())
                await drain.adopt()
            await drain.finish()
            assert await ledger.real.owners([name]) == {name: Owner("project:team-a", "openai")}

    story(tell())


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_what_no_ledger_could_book_stops_nothing(tmp_path, pen, kind):
    """A figure that no table has room for fails one round; the next one books everything else, and it is told."""

    async def tell():
        real = SqliteLedger(":memory:")
        journal = FileJournal(tmp_path, SystemChance()) if kind == "file" else MemoryJournal()
        drain = Drain(journal, real, VirtualClock())
        write(journal, pen, "a")
        journal.intent(pen.intent("b"))
        journal.outcome(pen.outcome("b", cost=2**63))
        journal.call(pen.end("b"))
        write(journal, pen, "c")
        with pytest.raises(OverflowError):
            await drain.once()
        await drain.once()
        assert [row.call_id async for row in real.rows(Query())] == ["a", "c"]
        assert (drain.health()["bad_lines"], drain.health()["status"]) == (1, "ok")
        await drain.finish()
        await real.close()

    story(tell())


def test_many_records_go_in_batches(tmp_path, pen, ledger):
    """Transactions are bounded, and all of the backlog goes in one round."""

    async def tell():
        journal = FileJournal(tmp_path, SystemChance(), segment=100_000)
        drain = Drain(journal, ledger, VirtualClock())
        for number in range(3 * BATCH):
            write(journal, pen, f"c{number}")
        assert journal.backlog > 1_000_000
        await drain.once()
        assert journal.backlog == 0
        assert sum(ledger.batches) == 3 * BATCH
        assert 3 <= len(ledger.batches) <= 6
        assert len(list(tmp_path.glob("*.jsonl"))) == 1
        await drain.finish()

    story(tell())


def test_a_long_call_keeps_its_piece_of_journal(tmp_path, pen, ledger):
    """What is booked is deleted up to the oldest call that is still open, and no further."""

    async def tell():
        journal = FileJournal(tmp_path, SystemChance(), segment=1)
        drain = Drain(journal, ledger, VirtualClock())
        write(journal, pen, "a")
        journal.intent(pen.intent("long"))
        write(journal, pen, "b")
        await drain.once()
        assert journal.backlog == 0
        assert len(list(tmp_path.glob("*.jsonl"))) == 3
        journal.outcome(pen.outcome("long"))
        await drain.once()
        assert len(list(tmp_path.glob("*.jsonl"))) == 4
        journal.call(pen.end("long"))
        await drain.once()
        assert len(list(tmp_path.glob("*.jsonl"))) == 1
        await drain.finish()

    story(tell())


def test_a_ledger_that_is_away_loses_nothing(tmp_path, pen, ledger):
    """Calls go on until the backlog is full; when the ledger is back, all of them are booked, and room is made."""

    async def tell():
        journal = FileJournal(tmp_path, SystemChance(), max_backlog=20_000)
        drain = Drain(journal, ledger, VirtualClock())
        ledger.away = True
        made = 0
        with suppress(BacklogError):
            while made < 1000:
                write(journal, pen, f"c{made}")
                made += 1
                with suppress(Away):
                    await drain.once()
        assert 20 < made < 100
        assert drain.health()["status"] == "failing"
        assert "away" in drain.health()["error"]
        ledger.away = False
        await drain.once()
        write(journal, pen, "next")
        await drain.once()
        attempts, calls = await booked(ledger)
        assert attempts == {(f"c{number}", 1): BILLED for number in range(made)} | {("next", 1): BILLED}
        assert len(calls) == made + 1
        assert drain.health()["error"] is None

    story(tell())


class Cramped(FileJournal):
    """A journal on a disk with room for so many files."""

    room = 3

    def _write(self, line, *, sync):
        if len(list(self._folder.glob("*.jsonl"))) >= self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super()._write(line, sync=sync)


def test_a_full_disk_does_not_stop_the_booking_that_empties_it(tmp_path, pen, ledger):
    """The journal filled its disk while the ledger was away: booking makes room, and what was owed is written."""

    async def tell():
        journal = Cramped(tmp_path, SystemChance(), segment=1)
        drain = Drain(journal, ledger, VirtualClock())
        ledger.away = True
        write(journal, pen, "a")
        journal.intent(pen.intent("b"))
        journal.outcome(pen.outcome("b"))
        await asyncio.sleep(0)
        with pytest.raises(BacklogError):
            journal.intent(pen.intent("c"))
        journal.call(pen.end("b"))
        assert journal.health()["owed"] > 0
        with pytest.raises(Away):
            await drain.once()
        ledger.away = False
        await drain.once()
        assert journal.health()["owed"] == 0
        await drain.once()
        assert await booked(ledger) == ({("a", 1): BILLED, ("b", 1): BILLED}, {"a": (1, None), "b": (1, None)})
        assert drain.health()["status"] == "ok"
        journal.intent(pen.intent("c"))
        await drain.finish()

    story(tell())


def test_a_disk_that_stays_full_is_told_after_the_booking(tmp_path, pen, ledger):
    """Somebody else took the disk: what was written before is booked all the same, and the round says what is wrong."""

    async def tell():
        journal = Cramped(tmp_path, SystemChance())
        drain = Drain(journal, ledger, VirtualClock())
        write(journal, pen, "a")
        journal.intent(pen.intent("b"))
        journal.room = 0
        journal.outcome(pen.outcome("b"))
        journal.call(pen.end("b"))
        with pytest.raises(OSError, match="No space"):
            await drain.once()
        assert (await booked(ledger))[0] == {("a", 1): BILLED}
        assert drain.health()["status"] == "failing"
        journal.room = 3
        await drain.once()
        assert (await booked(ledger))[0] == {("a", 1): BILLED, ("b", 1): BILLED}
        await drain.finish()

    story(tell())
    assert list(tmp_path.iterdir()) == []


def test_rounds_come_at_intervals_and_more_rarely_while_they_fail(tmp_path, pen, ledger, caplog):
    """One second while all is well; 2, 4, 8 … 30 while the ledger is away, told once; at once back to one."""

    async def tell():
        clock = VirtualClock()
        times = []

        class Noting(Drain):
            async def once(self):
                times.append(clock.monotonic())
                await super().once()

        journal = FileJournal(tmp_path, SystemChance())
        drain = Noting(journal, ledger, clock, interval=1.0)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(drain.run())
            await asyncio.sleep(2.5)
            ledger.away = True
            write(journal, pen, "a")
            await asyncio.sleep(110)
            ledger.away = False
            await asyncio.sleep(60)
            running.cancel()
        assert times[:9] == [0, 1, 2, 3, 5, 9, 17, 33, 33 + LONGEST_WAIT]
        assert times[-1] - times[-2] == 1
        assert (await booked(ledger))[0] == {("a", 1): BILLED}

    story(tell())
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


def test_the_dead_are_adopted(tmp_path, pen, die, ledger):
    """Outcomes are booked as they are, open attempts as unknown, calls without an end as crashed; the files go."""
    dead = FileJournal(tmp_path, SystemChance(), segment=300)
    write(dead, pen, "whole")
    dead.intent(pen.intent("settled"))
    dead.outcome(pen.outcome("settled"))
    dead.intent(pen.intent("open"))
    dead.intent(pen.intent("own", parent="whole"))
    dead.call(pen.end("refused", attempts=0))
    die(dead)

    async def tell():
        journal = FileJournal(tmp_path, SystemChance())
        drain = Drain(journal, ledger, VirtualClock())
        await drain.adopt()
        assert await booked(ledger) == (
            {
                ("whole", 1): BILLED,
                ("settled", 1): BILLED,
                ("open", 1): UNKNOWN,
                ("own", 1): UNKNOWN,
                ("refused", 0): (Settled.NOT_BILLED, 0),
            },
            {"whole": (1, None), "settled": (1, "crashed"), "open": (1, "crashed"), "refused": (0, None)},
        )
        await drain.finish()
        assert list(tmp_path.iterdir()) == []

    story(tell())


def test_the_living_are_left_alone(tmp_path, pen, ledger):
    """Two gates in one folder: neither takes what the other holds."""

    async def tell():
        first = FileJournal(tmp_path, SystemChance())
        first.intent(pen.intent("a"))
        second = Drain(FileJournal(tmp_path, SystemChance()), ledger, VirtualClock())
        await second.adopt()
        assert await booked(ledger) == ({}, {})
        drain = Drain(first, ledger, VirtualClock())
        first.outcome(pen.outcome("a"))
        first.call(pen.end("a"))
        await drain.once()
        assert await booked(ledger) == ({("a", 1): BILLED}, {"a": (1, None)})
        await second.finish()
        await drain.finish()

    story(tell())
    assert list(tmp_path.iterdir()) == []


def test_two_who_adopt_at_once_do_not_double(tmp_path, pen, die, ledger):
    """Each dead journal is taken by one of them; the ledger would pass over the other's rows anyway."""
    for number in range(10):
        dead = FileJournal(tmp_path, SystemChance())
        write(dead, pen, f"w{number}")
        dead.intent(pen.intent(f"o{number}"))
        die(dead)

    async def tell():
        drains = [Drain(FileJournal(tmp_path, SystemChance()), ledger, VirtualClock()) for _ in range(3)]
        await asyncio.gather(*(drain.adopt() for drain in drains))
        attempts, calls = await booked(ledger)
        assert len(attempts) == len(calls) == 20
        assert sum(found == UNKNOWN for found in attempts.values()) == 10
        for drain in drains:
            await drain.finish()

    story(tell())
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_adopted_at_start_is_adopted_later(tmp_path, pen, die, ledger):
    """A ledger that is away at start stops nobody: the loop adopts when it is back."""
    dead = FileJournal(tmp_path, SystemChance())
    dead.intent(pen.intent("open"))
    die(dead)

    async def tell():
        drain = Drain(FileJournal(tmp_path, SystemChance()), ledger, VirtualClock())
        ledger.away = True
        await drain.adopt()
        assert drain.health()["status"] == "failing"
        async with asyncio.TaskGroup() as group:
            running = group.create_task(drain.run())
            await asyncio.sleep(5)
            ledger.away = False
            await asyncio.sleep(60)
            running.cancel()
        assert (await booked(ledger))[0] == {("open", 1): UNKNOWN}
        assert drain.health()["status"] == "ok"

    story(tell())


def test_a_wrong_store_is_known_at_start(tmp_path):
    """A configuration that cannot work is an error at once, not a loop that fails for ever."""
    drain = Drain(MemoryJournal(), SqliteLedger(tmp_path / "nowhere" / "h.db"), VirtualClock())
    with pytest.raises(ConfigError, match="nowhere"):
        asyncio.run(drain.adopt())


def test_bad_lines_are_counted_and_kept(tmp_path, pen, die, ledger, caplog):
    """A line that cannot be read costs nothing but itself: the rest is booked, and the file is kept aside as `.bad`."""
    dead = FileJournal(tmp_path, SystemChance())
    write(dead, pen, "a")
    dead.intent(pen.intent("b"))
    dead._write(b"garbage\n", sync=False)
    dead.outcome(pen.outcome("b"))
    dead.outcome(pen.outcome("lost"))
    dead.call(pen.end("b"))
    die(dead)

    async def tell():
        drain = Drain(FileJournal(tmp_path, SystemChance()), ledger, VirtualClock())
        await drain.adopt()
        attempts, _ = await booked(ledger)
        assert attempts == {("a", 1): BILLED, ("b", 1): BILLED}
        assert drain.health()["bad_lines"] == 1
        assert drain.health()["orphans"] == 1
        await drain.finish()

    story(tell())
    assert [path.suffix for path in tmp_path.iterdir()] == [".bad"]
    assert "lost" in caplog.text


def test_bad_lines_of_its_own_are_kept_as_well(tmp_path, pen, ledger):
    """The same while the process lives, and health says so."""

    async def tell():
        journal = FileJournal(tmp_path, SystemChance())
        drain = Drain(journal, ledger, VirtualClock())
        write(journal, pen, "a")
        journal._write(b"garbage\n", sync=False)
        write(journal, pen, "b")
        await drain.once()
        assert len((await booked(ledger))[0]) == 2
        assert drain.health()["bad_lines"] == 1
        await drain.finish()

    story(tell())
    assert [path.suffix for path in tmp_path.iterdir()] == [".bad"]


def test_the_end_books_the_rest(tmp_path, pen, ledger):
    """`finish` books what is complete; what is open stays on disk and becomes unknown at the next start."""

    async def tell():
        journal = FileJournal(tmp_path, SystemChance())
        drain = Drain(journal, ledger, VirtualClock())
        write(journal, pen, "a")
        journal.intent(pen.intent("open"))
        await drain.finish()
        assert (await booked(ledger))[0] == {("a", 1): BILLED}
        after = Drain(FileJournal(tmp_path, SystemChance()), ledger, VirtualClock())
        await after.adopt()
        assert (await booked(ledger))[0] == {("a", 1): BILLED, ("open", 1): UNKNOWN}
        await after.finish()

    story(tell())
    assert list(tmp_path.iterdir()) == []


def test_an_end_without_the_ledger_leaves_all_on_disk(tmp_path, pen, ledger):
    """The gate closes without an error; the next start books everything."""

    async def tell():
        ledger.away = True
        journal = FileJournal(tmp_path, SystemChance())
        drain = Drain(journal, ledger, VirtualClock())
        write(journal, pen, "a")
        await drain.finish()
        ledger.away = False
        after = Drain(FileJournal(tmp_path, SystemChance()), ledger, VirtualClock())
        await after.adopt()
        assert await booked(ledger) == ({("a", 1): BILLED}, {"a": (1, None)})
        await after.finish()

    story(tell())
    assert list(tmp_path.iterdir()) == []


def test_a_round_that_is_cancelled_is_taken_up_again(tmp_path, pen):
    """Cancelled while the ledger works: the next round books the same rows, and the ledger passes over them."""

    async def tell():
        ledger = SqliteLedger(tmp_path / "h.db")
        await ledger.open()
        journal = FileJournal(tmp_path / "j", SystemChance())
        drain = Drain(journal, ledger, SystemClock())
        for number in range(300):
            write(journal, pen, f"c{number}")
            if number % 10 == 9:
                async with asyncio.TaskGroup() as group:
                    running = group.create_task(drain.once())
                    await asyncio.sleep(0)
                    running.cancel()
        await drain.finish()
        total, _ = await ledger.usage(Query())
        assert (total.calls, total.attempts, total.cost) == (300, 300, 300 * 15_000_000)
        await ledger.close()

    asyncio.run(tell())
    assert list((tmp_path / "j").iterdir()) == []


SHAPES = ["billed", "retried", "refused", "own", "billed"]


def records_of(pen, number):
    """What one call writes, in its order."""
    call = f"c{number}"
    shape = SHAPES[number]
    if shape == "refused":
        return [pen.end(call, attempts=0)]
    if shape == "own":
        return [pen.intent(call, parent="c0"), pen.outcome(call)]
    found = [pen.intent(call), pen.outcome(call)]
    if shape == "retried":
        found = [pen.intent(call), pen.outcome(call, settled=Settled.NOT_BILLED, basis=None, cost=0)]
        found += [pen.intent(call, attempt=2), pen.outcome(call, attempt=2)]
    return [*found, pen.end(call, attempts=len(found) // 2)]


def expected(written):
    """What the books must say of the records that reached the disk."""
    attempts, calls = {}, {}
    for record in written:
        if isinstance(record, Intent):
            attempts[record.call_id, record.attempt] = UNKNOWN
            if record.parent is None:
                calls[record.call_id] = (record.attempt, "crashed")
        elif isinstance(record, Outcome):
            attempts[record.call_id, record.attempt] = (record.settled, record.cost)
        else:
            calls[record.call_id] = (record.attempts, None)
            if not record.attempts:
                attempts[record.call_id, 0] = (Settled.NOT_BILLED, 0)
    return attempts, calls


class History:
    """Processes that come and go over one folder and one ledger."""

    def __init__(self, folder, pen, die):
        self.folder = folder
        self.ledger = Unreliable()
        self.pen = pen
        self.die = die
        self.written = []

    async def work(self, script, segment, most):
        """A process writes the records of its calls, with rounds of its drain in between, until it dies."""
        journal = FileJournal(self.folder, SystemChance(), segment=segment)
        journal._recent = Recent(most=most)
        drain = Drain(journal, self.ledger, VirtualClock())
        left = [records_of(self.pen, number) for number in range(len(SHAPES))]
        write = {Intent: journal.intent, Outcome: journal.outcome, CallEnd: journal.call}
        with suppress(Death):
            for what in script:
                if what == "drain":
                    await drain.once()
                elif left[what]:
                    record = left[what].pop(0)
                    write[type(record)](record)
                    self.written.append(record)
                    # An outcome is on the disk when the loop goes on.
                    await asyncio.sleep(0)
        last = journal._segments[-1].path if journal._segments else None
        self.die(journal)
        return last

    def tear(self, path, size):
        """The last line is cut off after so many bytes. Whole but for its line break, it counts."""
        record = self.pen.intent("torn")
        line = msgspec.json.encode(record)
        with path.open("ab") as file:
            file.write(line[:size])
        if size >= len(line):
            self.written.append(record)

    async def adopt(self, steps):
        """A process starts, and dies after so many steps of booking and deleting, or lives and ends in peace."""
        Steps.left = steps
        journal = FileJournal(self.folder, SystemChance())
        drain = Drain(journal, self.ledger, VirtualClock())
        try:
            await drain.adopt()
            await drain.finish()
        except Death:
            self.die(journal)


@given(data=st.data())
@settings(max_examples=300)
def test_death_at_any_point_neither_doubles_nor_loses(data, pen, die):
    """Processes die one after the other, at any step of booking and deleting, the first with a torn last line.

    Each next one adopts what is left. In the end every attempt that was written is booked once, as it ended.
    """
    script = data.draw(st.lists(st.sampled_from([*range(len(SHAPES)), "drain"]), max_size=40), "script")
    deaths = data.draw(st.lists(st.integers(0, 30), max_size=3), "steps until each death")
    segment = data.draw(st.sampled_from([1, 500, 100_000]), "segment")
    most = data.draw(st.sampled_from([0, 1000, 100_000]), "bytes that are remembered")
    torn = data.draw(st.integers(0, 400), "bytes of the torn line")

    async def tell(folder):
        history = History(folder, pen, die)
        Steps.left = deaths[0] if deaths else FOR_EVER
        last = await history.work(script, segment, most)
        if last is not None and last.exists():
            history.tear(last, torn)
        for steps in deaths[1:]:
            await history.adopt(steps)
        await history.adopt(FOR_EVER)
        assert await booked(history.ledger) == expected(history.written)
        await history.ledger.real.close()

    with tempfile.TemporaryDirectory() as name:
        virtual_time(tell(Path(name)))
        assert list(Path(name).iterdir()) == []
