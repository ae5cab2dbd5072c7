"""Covers stores/recent.py: what was written need not be read back, and what is not here is read from the files."""

import pytest

from headgate.gate.ports import SystemChance
from headgate.stores import journal as journals
from headgate.stores.journal import FileJournal
from headgate.stores.recent import Recent
from headgate.stores.segments import PAGE, Page, read_page


def pages(read):
    """All pages from the beginning."""
    found, position = [], 0
    while (page := read(position)) is not None and page.end > position:
        found.append(page)
        position = page.end
    return found


def test_records_are_given_once_in_their_order(pen):
    """A page ends where it was taken; what is written after that is another one."""
    recent = Recent()
    a, b, c = (pen.intent(name) for name in "abc")
    recent.add([a], 0, 100)
    recent.add([b], 100, 200)
    assert recent.take(0) == Page([a, b], 200)
    assert recent.take(0) is None
    assert recent.take(200) is None
    recent.add([c], 200, 300)
    assert recent.take(200) == Page([c], 300)


def test_pages_are_small_and_end_with_their_file(pen):
    """Few enough records to be booked without holding the loop up; one of two files would hold the first back."""
    recent = Recent()
    for number in range(5):
        recent.add([pen.intent(f"c{number}")], number * PAGE // 2, (number + 1) * PAGE // 2)
    recent.turn()
    recent.add([pen.intent("other")], 5 * PAGE // 2, 3 * PAGE)
    assert [(len(page.records), page.end) for page in pages(recent.take)] == [
        (2, PAGE),
        (2, 2 * PAGE),
        (1, 5 * PAGE // 2),
        (1, 3 * PAGE),
    ]


def test_too_much_is_not_kept(pen):
    """Beyond the limit nothing is kept until somebody says from where on."""
    recent = Recent(most=250)
    for number in range(3):
        recent.add([pen.intent()], 100 * number, 100 * (number + 1))
    assert recent.take(0) is None
    recent.add([pen.intent()], 300, 400)
    assert recent.take(300) is None
    recent.restart(400, keep=True)
    recent.add([pen.intent("new")], 400, 500)
    assert recent.take(400) == Page([pen.intent("new")], 500)


def test_nothing_is_kept_after_a_gap(pen):
    """Something else was written in between: the files know what."""
    recent = Recent()
    recent.add([pen.intent()], 0, 100)
    recent.add([pen.intent()], 150, 250)
    assert recent.take(0) is None
    assert recent.take(150) is None


@pytest.mark.parametrize("most", [0, 2_000, 8_000_000])
def test_a_journal_reads_the_same_with_and_without(tmp_path, pen, monkeypatch, most):
    """Whatever is kept, whenever it is read: every record once, in the order of writing, as the files have it."""
    monkeypatch.setattr(journals, "Recent", lambda: Recent(most=most))
    journal = FileJournal(tmp_path, SystemChance(), segment=1_500)
    found, position = [], 0
    for number in range(100):
        name = f"c{number}"
        journal.intent(pen.intent(name))
        journal.outcome(pen.outcome(name, made=("file-1",)))
        if number != 50:
            journal.call(pen.end(name, error_type="x"))
        else:
            journal._write(b"garbage\n", sync=False)
        if number % 7 == 3:
            while (page := journal.read(position)).end > position:
                found += page.records
                position = page.end
    while (page := journal.read(position)).end > position:
        found += page.records
        position = page.end
    written = []
    for page in pages(lambda position: read_page(journal._segments, position)):
        written += page.records
    assert found == written
    assert len(found) == 299
    assert position == sum(path.stat().st_size for path in tmp_path.glob("*.jsonl"))
    journal.close(needed=position)


def test_a_journal_does_not_read_its_files_while_it_remembers(tmp_path, pen):
    """They may even be gone."""
    journal = FileJournal(tmp_path, SystemChance())
    journal.intent(pen.intent())
    for path in tmp_path.glob("*.jsonl"):
        path.unlink()
    assert journal.read(0).records == [pen.intent()]
    journal.close(needed=journal.backlog)


def test_what_could_not_be_written_is_not_remembered(tmp_path, pen, monkeypatch):
    """An intent that was refused is in no book; an outcome that is owed comes when it has been written."""
    journal = FileJournal(tmp_path, SystemChance())
    journal.intent(pen.intent("a"))
    with monkeypatch.context() as broken:
        broken.setattr(journals.os, "write", lambda *_: 0)
        with pytest.raises(journals.BacklogError):
            journal.intent(pen.intent("b"))
        journal.outcome(pen.outcome("a"))
        with pytest.raises(journals.BacklogError):
            journal.intent(pen.intent("c"))
    page = journal.read(0)
    assert page.records == [pen.intent("a")]
    journal.intent(pen.intent("d"))
    assert journal.read(page.end).records == [pen.outcome("a"), pen.intent("d")]
    journal.close(needed=journal.backlog)
