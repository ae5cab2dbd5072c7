"""Covers stores/journal.py: what is written survives, and what cannot be written is refused or owed."""

import asyncio
import os
import resource
import signal
import stat
import subprocess
import sys
import weakref
from contextlib import contextmanager, nullcontext, suppress

import pytest

from headgate.core.errors import BacklogError, ConfigError
from headgate.gate.ports import SystemChance
from headgate.stores.journal import FileJournal, MemoryJournal, _forked
from headgate.stores.segments import dead_journals, take_lock


@contextmanager
def full_disk(size):
    """No file of this process may grow beyond so many bytes: writes come short, or fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def files(journal, pattern="*"):
    """The names in a journal's folder."""
    return sorted(path.name for path in journal._folder.glob(pattern))


def contents(journal):
    """Every record that this journal holds, in order."""
    records, position = [], 0
    while True:
        page = journal.read(position)
        if page.end == position:
            return records
        records += page.records
        position = page.end


def test_nothing_is_touched_before_it_is_used(tmp_path):
    """Making a journal makes no file."""
    journal = FileJournal(tmp_path / "journal", SystemChance())
    assert list(tmp_path.iterdir()) == []
    assert journal.health() == {"kind": "file", "backlog_bytes": 0, "owed": 0, "unwritten": 0, "error": None}


def test_a_record_is_on_disk_when_the_call_returns(journal, pen):
    """Another reader sees each record at once: one line, one write."""
    journal.intent(pen.intent())
    [name] = files(journal, "*.jsonl")
    path = journal._folder / name
    assert path.read_bytes().count(b"\n") == 1
    journal.outcome(pen.outcome())
    journal.call(pen.end())
    assert path.read_bytes().count(b"\n") == 3
    assert journal.backlog == path.stat().st_size
    assert contents(journal) == [pen.intent(), pen.outcome(), pen.end()]


def test_the_books_are_nobody_elses_business(journal, pen):
    """Folder and files are for their owner only: they name users."""
    journal.intent(pen.intent())
    assert stat.S_IMODE(journal._folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in journal._folder.iterdir()} == {0o600}


def test_a_live_journal_is_locked(journal, pen):
    """As long as its process lives, nobody adopts it; after that, everybody may."""
    journal.intent(pen.intent())
    assert list(dead_journals(journal._folder)) == []
    assert list(journal.dead()) == []
    os.close(journal._lock)
    journal._lock = -1
    assert len(list(journal.dead())) == 1


def test_a_name_that_is_taken_is_not_shared(tmp_path, pen):
    """If somebody holds the lock that chance named, the next token is drawn."""
    other = SystemChance(seed=1).token()
    (tmp_path / "journal").mkdir()
    held = take_lock(tmp_path / "journal" / f"{other}.lock")
    journal = FileJournal(tmp_path / "journal", SystemChance(seed=1))
    journal.intent(pen.intent())
    assert journal.token != other
    journal.close(needed=10**9)
    os.close(held)


def test_two_starts_never_share_a_name(tmp_path):
    """Process ids come back; tokens do not."""
    tokens = set()
    for _ in range(20):
        journal = FileJournal(tmp_path, SystemChance())
        journal.open()
        tokens.add(journal.token)
        journal.close(needed=0)
    assert len(tokens) == 20


def test_files_are_begun_anew_by_size(tmp_path, pen):
    """Each file ends after the limit, and they are deleted from the oldest on when nothing in them is needed."""
    journal = FileJournal(tmp_path, SystemChance(), segment=700)
    for number in range(20):
        journal.intent(pen.intent(f"c{number}"))
    segments = files(journal, "*.jsonl")
    assert len(segments) > 4
    assert [record.call_id for record in contents(journal)] == [f"c{number}" for number in range(20)]
    middle = journal._segments[2].end
    journal.release(booked=journal._segments[-1].end, needed=middle - 1)
    assert files(journal, "*.jsonl") == segments[2:]
    journal.release(booked=journal._segments[-1].end, needed=journal._segments[-1].end)
    assert files(journal, "*.jsonl") == segments[-1:]
    assert journal.backlog == 0
    position = journal._segments[-1].end
    journal.intent(pen.intent("later"))
    assert list(journal.read(position).records) == [pen.intent("later")]
    journal.close(needed=0)


def test_a_full_backlog_refuses_intents_only(tmp_path, pen):
    """Beyond the limit no new call is made; calls that are out can still be settled; booking makes room again."""
    journal = FileJournal(tmp_path, SystemChance(), max_backlog=1000)
    while journal.backlog < 750:
        journal.intent(pen.intent("c0"))
    before = journal.backlog
    with pytest.raises(BacklogError, match="limit 1000"):
        journal.intent(pen.intent("c1"))
    assert journal.backlog == before <= 1000
    journal.outcome(pen.outcome("c0"))
    journal.call(pen.end("c0"))
    assert journal.backlog > before
    journal.release(booked=journal._segments[-1].end, needed=0)
    journal.intent(pen.intent("next"))
    assert [record.call_id for record in contents(journal)][-1] == "next"
    journal.close(needed=0)


@pytest.mark.parametrize("room", [0, 1, 150, 299, 300, 301])
def test_a_full_disk_refuses_calls_and_loses_no_outcome(tmp_path, pen, room):
    """Wherever the disk ends, also in mid-line: no call is made unwritten, and every outcome is written later."""
    journal = FileJournal(tmp_path, SystemChance())
    journal.intent(pen.intent("a"))
    with full_disk(journal.backlog + room):
        taken = []
        for number in range(5):
            try:
                journal.intent(pen.intent(f"b{number}"))
                taken.append(f"b{number}")
            except BacklogError as error:
                assert "cannot be written" in str(error)  # noqa: PT017  some may fit
        assert len(taken) < 2
        journal.outcome(pen.outcome("a"))
        journal.call(pen.end("a"))
        health = journal.health()
        assert health["owed"] == 2
        assert health["error"]
        with pytest.raises(BacklogError):
            journal.intent(pen.intent("late"))
        with pytest.raises(OSError, match=r"File too large|No space left"):
            journal.flush()
        assert journal.health()["owed"] == 2
    journal.intent(pen.intent("after"))
    assert journal.health()["owed"] == 0
    assert [record.call_id for record in contents(journal)] == ["a", *taken, "a", "a", "after"]
    assert journal.read(0).bad == 0
    journal.close(needed=0)


@pytest.mark.parametrize("what", ["disk", "backlog", "memory"])
def test_refused_calls_fill_neither_disk_nor_memory(tmp_path, pen, what):
    """While no call can leave, calls that never left are only counted; the ends of the others are kept as ever."""
    journal = (
        MemoryJournal(max_backlog=2) if what == "memory" else FileJournal(tmp_path, SystemChance(), max_backlog=1000)
    )
    journal.intent(pen.intent("a"))
    journal.intent(pen.intent("b"))
    with full_disk(journal.backlog) if what == "disk" else nullcontext():
        refused = 0
        with suppress(BacklogError):
            while refused < 10:
                journal.intent(pen.intent("c"))
                refused += 1
        before = journal.health()
        for _ in range(100):
            journal.call(pen.end("refused", attempts=0))
        assert journal.health() == {**before, "unwritten": 100}
        journal.outcome(pen.outcome("a"))
        journal.call(pen.end("a"))
    journal.flush()
    assert {type(record).__name__ for record in journal.read(0).records} == {"Intent", "Outcome", "CallEnd"}
    page = journal.read(0)
    journal.release(booked=page.end, needed=page.end)
    journal.call(pen.end("refused later", attempts=0))
    assert [record.call_id for record in journal.read(page.end).records] == ["refused later"]
    journal.close(needed=0)


def test_a_change_of_folder_changes_nothing(tmp_path, pen, monkeypatch):
    """A relative path means what it meant when the journal was made."""
    monkeypatch.chdir(tmp_path)
    journal = FileJournal("journal", SystemChance(), segment=1)
    journal.intent(pen.intent("a"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    journal.intent(pen.intent("b"))
    assert [record.call_id for record in contents(journal)] == ["a", "b"]
    journal.close(needed=10**9)
    assert list((tmp_path / "journal").iterdir()) == []
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_is_owed_is_written_by_flush(journal, pen):
    """The drain calls `flush`: after it nothing is owed and no error is shown."""
    journal.intent(pen.intent())
    with full_disk(journal.backlog):
        journal.outcome(pen.outcome())
    journal.flush()
    assert journal.health()["owed"] == 0
    assert journal.health()["error"] is None
    assert contents(journal) == [pen.intent(), pen.outcome()]


def test_a_file_that_cannot_be_mended_is_left(tmp_path, pen):
    """If half a line cannot be cut off either, the next record goes to a new file and nothing runs together."""
    journal = FileJournal(tmp_path, SystemChance())
    journal.intent(pen.intent("a"))
    os.close(journal._file)
    journal._file = os.open(os.devnull, os.O_RDONLY)
    with pytest.raises(BacklogError):
        journal.intent(pen.intent("b"))
    journal.intent(pen.intent("c"))
    assert len(files(journal, "*.jsonl")) == 2
    assert [record.call_id for record in contents(journal)] == ["a", "c"]
    journal.close(needed=0)


@pytest.mark.parametrize("fsync", [False, True])
def test_fsync_is_a_setting(tmp_path, pen, fsync):
    """With `fsync` the same records are written; an intent that the disk refuses is taken back."""
    journal = FileJournal(tmp_path / "j", SystemChance(), fsync=fsync, segment=1)
    journal.intent(pen.intent())
    journal.outcome(pen.outcome())
    assert contents(journal) == [pen.intent(), pen.outcome()]
    journal.close(needed=0)


def test_a_folder_that_cannot_be_made_is_told_at_start(tmp_path):
    """The message names the folder and what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/journal") as caught:
        FileJournal(tmp_path / "file" / "journal", SystemChance()).open()
    assert "journal.path" in caught.value.hint


def test_a_folder_that_vanished_stops_calls(tmp_path, pen):
    """Somebody removed the folder: nothing can be written down, so nothing may leave."""
    journal = FileJournal(tmp_path / "gone", SystemChance(), segment=1)
    journal.intent(pen.intent())
    for path in journal._folder.iterdir():
        path.unlink()
    journal._folder.rmdir()
    with pytest.raises(BacklogError):
        journal.intent(pen.intent("d"))
    journal.close(needed=0)


def test_closing_leaves_only_what_is_needed(tmp_path, pen):
    """All booked: nothing stays. Something open: all of it stays, unlocked, for the next start."""
    for needed, left in ((10**9, 0), (0, 2)):
        journal = FileJournal(tmp_path, SystemChance())
        journal.intent(pen.intent())
        journal.close(needed=needed)
        assert len(list(tmp_path.iterdir())) == left
        journal.close(needed=needed)
    assert len(list(dead_journals(tmp_path))) == 1


def test_a_closed_journal_takes_no_calls(journal, pen):
    """After its end nothing may leave; an outcome that comes too late is owed, and its intent is adopted later."""
    journal.intent(pen.intent())
    journal.close(needed=0)
    with pytest.raises(BacklogError):
        journal.intent(pen.intent("late"))
    journal.outcome(pen.outcome())
    assert journal.health()["owed"] == 1


FORKED = """
import os, sys, time
from headgate.core.attempt import Settled
from headgate.gate.ports import SystemChance
from headgate.stores.journal import FileJournal
from headgate.stores.records import Intent
from headgate.stores.segments import dead_journals

def intent(name):
    return Intent(
        call_id=name, day="d", time=0, operation="chat", model_requested="m", attempt=1, provider="p", model="m"
    )

def names(journal):
    return [record.call_id for record in journal.read(0).records]

journal = FileJournal(sys.argv[1], SystemChance())
journal.intent(intent("parent"))
"""


def forked(folder, story):
    """Run a story in a process of its own (forking is only safe where there are no threads); what it prints."""
    script = [sys.executable, "-c", FORKED + story, str(folder)]
    return subprocess.run(script, check=True, stdout=subprocess.PIPE, text=True).stdout


def test_a_child_has_a_journal_of_its_own(tmp_path):
    """After a fork the child writes to other files under another lock, and touches nothing of its parent's."""
    said = forked(
        tmp_path,
        """
if not os.fork():
    assert journal.token == "" and names(journal) == []
    journal.intent(intent("child"))
    print("child has", names(journal), flush=True)
    os._exit(0)
os.wait()
journal.intent(intent("parent again"))
print("parent has", names(journal))
print("dead are", [names(found) for found in dead_journals(journal._folder)])
""",
    )
    assert said.splitlines() == [
        "child has ['child']",
        "parent has ['parent', 'parent again']",
        "dead are [['child']]",
    ]


def test_a_child_does_not_keep_its_parents_lock(tmp_path):
    """A forked helper that outlives the gateway must not keep the gateway's journal from being adopted."""
    said = forked(
        tmp_path,
        """
child = os.fork()
if not child:
    os.close(1)
    time.sleep(50)
print(child, flush=True)
os._exit(0)
""",
    )
    try:
        assert len(list(dead_journals(tmp_path))) == 1
    finally:
        os.kill(int(said), signal.SIGKILL)


def test_what_a_fork_does_to_a_journal(journal, pen):
    """In the child, the journal is as new: no file, no lock, no debt; one that is gone already is no concern."""
    journal.intent(pen.intent())
    parents = [os.dup(journal._lock), os.dup(journal._file)]
    _forked(weakref.ref(journal))
    assert (journal.token, journal.backlog, journal._lock, journal._file) == ("", 0, -1, -1)
    assert list(dead_journals(journal._folder)) == []
    for descriptor in parents:
        os.close(descriptor)
    gone = FileJournal(journal._folder, SystemChance())
    reference = weakref.ref(gone)
    del gone
    _forked(reference)
    unused = FileJournal(journal._folder, SystemChance())
    _forked(weakref.ref(unused))
    assert unused.token == ""


def test_opening_twice_takes_one_lock(journal):
    """The gate opens what the first record may have opened."""
    journal.open()
    token = journal.token
    journal.open()
    assert (journal.token, len(files(journal))) == (token, 1)


def test_memory_keeps_records_until_they_are_booked(pen):
    """The same face as the file: read by position, released when booked."""
    journal = MemoryJournal(max_backlog=3)
    journal.open()
    journal.intent(pen.intent())
    journal.outcome(pen.outcome())
    journal.call(pen.end())
    page = journal.read(0)
    assert list(page.records) == [pen.intent(), pen.outcome(), pen.end()]
    with pytest.raises(BacklogError, match="3 records"):
        journal.intent(pen.intent("d"))
    journal.release(booked=page.end, needed=0)
    journal.intent(pen.intent("d"))
    assert list(journal.read(page.end).records) == [pen.intent("d")]
    health = journal.health()
    assert health == {"kind": "memory", "backlog_records": 1, "owed": 0, "unwritten": 0, "error": None}
    assert list(journal.dead()) == []
    journal.flush()
    journal.close(needed=0)


def test_an_outcome_and_the_end_of_its_call_are_one_write(tmp_path, pen):
    """They reach the disk together, in order; an outcome alone is there when the loop goes on."""

    async def tell():
        journal = FileJournal(tmp_path, SystemChance(), segment=1)
        for number in range(3):
            journal.intent(pen.intent(f"c{number}"))
            journal.outcome(pen.outcome(f"c{number}"))
            journal.call(pen.end(f"c{number}"))
        assert len(journal._segments) == 6
        journal.intent(pen.intent("alone"))
        journal.outcome(pen.outcome("alone"))
        before = journal.backlog
        await asyncio.sleep(0)
        assert journal.backlog > before
        journal.outcome(pen.outcome("alone", attempt=2))
        journal.intent(pen.intent("next"))
        kinds = [type(record).__name__ for record in journal.read(before).records]
        assert kinds == ["Outcome"]
        journal.close(needed=0)

    asyncio.run(tell())
