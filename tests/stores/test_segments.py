"""Covers stores/segments.py: reading lines back, whatever happened to the file."""

import fcntl
import os
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.stores.segments import (
    PAGE,
    DeadJournal,
    Segment,
    dead_journals,
    lock_path,
    read_page,
    segment_path,
    take_lock,
)

encode = msgspec.json.Encoder().encode


def written(path, data, start=0):
    """A segment that holds some bytes."""
    path.write_bytes(data)
    return Segment(path, start, len(data))


def read_all(segments):
    """Every record, page by page, and the number of bad lines."""
    records, bad, position = [], 0, 0
    while True:
        page = read_page(segments, position)
        if page.end == position:
            return records, bad, position
        records += page.records
        bad += page.bad
        position = page.end


def test_records_come_back_as_they_were_written(tmp_path, pen):
    """All three kinds, in order, over several files, unknown figures and unicode included."""
    records = [
        pen.intent(),
        pen.outcome(cost=None, status=None),
        pen.end(error_type="é😀\u2028"),
    ]
    lines = [encode(record) + b"\n" for record in records]
    first = written(tmp_path / "a.jsonl", lines[0])
    second = written(tmp_path / "b.jsonl", lines[1] + lines[2], start=first.end)
    assert read_all([first, second]) == (records, 0, second.end)


def test_large_files_are_read_in_pages(tmp_path, pen):
    """A page is bounded, so that reading never stops the loop for long; nothing is lost at its borders."""
    records = [pen.intent(f"c{number}") for number in range(5000)]
    segment = written(tmp_path / "a.jsonl", b"".join(encode(record) + b"\n" for record in records))
    assert len(read_page([segment], 0).records) < 1500
    assert read_all([segment]) == (records, 0, segment.end)


def test_a_line_longer_than_a_page_is_read(tmp_path, pen):
    """However long a record is, it is read whole."""
    records = [pen.intent(), pen.intent("d" * (3 * PAGE)), pen.intent("e")]
    segment = written(tmp_path / "a.jsonl", b"".join(encode(record) + b"\n" for record in records))
    assert read_all([segment]) == (records, 0, segment.end)


@given(cut=st.integers(0, 2000))
def test_a_file_cut_anywhere_keeps_every_whole_line(cut, pen):
    """A file that ends in the middle of a line gives all lines before it, and counts nothing as bad."""
    records = [pen.intent(), pen.outcome(), pen.end()]
    lines = [encode(record) + b"\n" for record in records]
    data = b"".join(lines)[:cut]
    ends = [sum(map(len, lines[: number + 1])) for number in range(3)]
    with tempfile.TemporaryDirectory() as folder:
        segment = written(Path(folder) / "a.jsonl", data)
        found, bad, _ = read_all([segment])
    # A record whose bytes are all there counts, even if its line break is not.
    assert found == [record for record, end in zip(records, ends, strict=True) if len(data) >= end - 1]
    assert bad == 0
    assert not segment.bad


@given(noise=st.binary(min_size=1, max_size=200))
def test_noise_between_lines_loses_nothing_else(noise, pen):
    """Whatever bytes stand between two records, both are read."""
    before, after = pen.intent("before"), pen.intent("after")
    data = encode(before) + b"\n" + noise + b"\n" + encode(after) + b"\n"
    with tempfile.TemporaryDirectory() as folder:
        segment = written(Path(folder) / "a.jsonl", data)
        found, bad, _ = read_all([segment])
        assert [record for record in found if record in (before, after)] == [before, after]
        assert bad == sum(1 for line in noise.split(b"\n") if line)
        segment.discard()
        assert [path.name for path in Path(folder).iterdir()] == (["a.bad"] if bad else [])


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"intent","call_id":"c"}',
        b'{"type":"later","call_id":"c"}',
        b"[1, 2]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"type":"outcome","call_id":"c","attempt":1,"settled":"billed","cost":9223372036854775808}',
        b'{"type":"outcome","call_id":"c","attempt":1,"settled":"billed","prompt_tokens":-1}',
        b'{"type":"outcome","call_id":"c","attempt":1,"settled":"paid"}',
    ],
)
def test_a_line_that_cannot_be_booked_is_bad(tmp_path, pen, line):
    """Missing fields, unknown kinds, figures beyond 64 bits or below zero: counted, and the file is kept aside."""
    segment = written(tmp_path / "a.jsonl", line + b"\n" + encode(pen.outcome()) + b"\n")
    assert read_all([segment])[:2] == ([pen.outcome()], 1)
    segment.discard()
    assert (tmp_path / "a.bad").exists()


def test_a_file_that_has_gone_does_not_stop_the_rest(tmp_path, pen):
    """Somebody deleted a file: what stands in the others is read, and the loss is counted."""
    first = written(tmp_path / "a.jsonl", encode(pen.intent()) + b"\n")
    second = written(tmp_path / "b.jsonl", encode(pen.outcome()) + b"\n", start=first.end)
    first.path.unlink()
    assert read_all([first, second]) == ([pen.outcome()], 1, second.end)
    first.discard()


def test_a_file_that_was_shortened_does_not_stop_the_rest(tmp_path, pen):
    """A file shorter than what was written to it gives what is left."""
    line = encode(pen.intent()) + b"\n"
    segment = written(tmp_path / "a.jsonl", line * 3)
    os.truncate(segment.path, len(line))
    assert read_all([segment]) == ([pen.intent()], 1, segment.end)


def test_a_line_that_only_lacks_its_break_counts(tmp_path, pen):
    """The bytes of the record are all there."""
    segment = written(tmp_path / "a.jsonl", encode(pen.intent()) + b"\n" + encode(pen.outcome()))
    assert read_all([segment]) == ([pen.intent(), pen.outcome()], 0, segment.end)


def test_a_lock_is_held_once(tmp_path):
    """Whoever comes second gets nothing, in the same process as well, until the first lets go."""
    path = lock_path(tmp_path, "t")
    first = take_lock(path)
    assert first is not None
    assert take_lock(path) is None
    os.close(first)
    second = take_lock(path)
    assert second is not None
    os.close(second)


def test_a_lock_that_was_removed_meanwhile_is_none(tmp_path, monkeypatch):
    """Somebody who adopts removed the file between our opening and our locking: nobody else would see that lock."""
    path = lock_path(tmp_path, "t")
    flock = fcntl.flock

    def slow(descriptor, how):
        path.unlink()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", slow)
    assert take_lock(path) is None


def test_only_unlocked_journals_are_dead(tmp_path, pen):
    """Live ones are passed over; dead ones are locked while they are looked at, and free again afterwards."""
    for token in ("dead", "live", "orphan"):
        written(segment_path(tmp_path, token, 0), encode(pen.intent(token)) + b"\n")
    live = take_lock(lock_path(tmp_path, "live"))
    assert live is not None
    lock_path(tmp_path, "dead").touch()
    found = []
    for journal in dead_journals(tmp_path):
        found += [record.call_id for record in journal.read(0).records]
        assert found[-1] not in [
            record.call_id for other in dead_journals(tmp_path) for record in other.read(0).records
        ]
    assert found == ["dead", "orphan"]
    os.close(live)
    assert len(list(dead_journals(tmp_path))) == 3


def test_a_discarded_journal_leaves_nothing(tmp_path, pen):
    """Segments first, oldest first, then the lock."""
    for number in range(3):
        written(segment_path(tmp_path, "t", number), encode(pen.intent()) + b"\n")
    for journal in dead_journals(tmp_path):
        assert journal.whole
        journal.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_journal_knows_when_its_beginning_is_gone(tmp_path, pen):
    """The first file was booked and deleted: outcomes without intents are then no fault."""
    written(segment_path(tmp_path, "t", 1), encode(pen.outcome()) + b"\n")
    assert not DeadJournal(tmp_path, "t").whole
