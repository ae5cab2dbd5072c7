"""Covers jobs/batch/packing.py: how a row stands in a file, and when a file is full."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.call import Operation, Target
from headgate.core.errors import BadRequestError
from headgate.gate.batching import Fitted
from headgate.jobs.batch.packing import (
    MOST_INPUTS,
    MOST_OPEN,
    Group,
    Limits,
    Packer,
    read_id,
    read_line,
    write_line,
)
from headgate.jobs.row import Row
from headgate.stores.money import Cap
from tests.jobs.batch.conftest import row

GROUP = Group(Target("openai", "m"), Operation.CHAT, "fast", kept_long=False)
ALL, ANN, BEN = (Cap(name, "total", 100) for name in ("all", "user:ann", "user:ben"))


def fitted(tokens=1, amount=0, caps=(), user=None):
    """What is known of a row."""
    return Fitted(b"{}", caps, amount, tokens, user, kept_long=False)


def packed(asked, *, tokens=None, group=lambda _: GROUP, known=fitted, **limits):
    """The files that rows make, each as the numbers in it."""
    packer, packs = Packer(Limits(**limits)), []
    for one in asked:
        full = packer.add(group(one), one, known(), tokens=tokens)
        packs += [full] if full is not None else []
    packs += packer.rest()
    found = []
    for pack in packs:
        stretch = pack.stretch()
        content = stretch.read(stretch.size, 0)
        assert len(content) == pack.size == stretch.size
        found.append([read_line(line).number for line in content.splitlines()])
        assert len(found[-1]) == pack.rows
        pack.close()
    return found


@given(st.integers(0, 10**15 - 1), st.text(), st.dictionaries(st.text(), st.text()), st.booleans())
def test_a_row_is_read_as_it_was_written(number, name, body, pretty):
    """In one line, whatever stands in its name and however its JSON is laid out."""
    raw = json.dumps(body, indent=2 if pretty else None).encode()
    written = write_line(
        Row(number=number, id=name.encode(errors="replace").decode(), operation=Operation.CHAT, body=raw)
    )
    assert written.count(b"\n") == 1
    found = read_line(written)
    assert (found.number, found.operation) == (number, Operation.CHAT)
    assert json.loads(found.body) == body


@given(st.binary())
def test_what_is_no_row_of_ours_is_none(line):
    """Whatever a provider's file says."""
    assert read_line(line) is None


@pytest.mark.parametrize("custom_id", ["", "a", "a:b", ":a", "-1:a", "\u0661:a", "1" * 16 + ":a", "1"])
def test_a_name_that_is_not_ours_is_none(custom_id):
    """No number, or none that could be one."""
    assert read_id(custom_id) is None


def test_deep_nesting_is_no_row():
    """It is refused, and breaks nothing."""
    assert read_line(b'{"custom_id":"1:a","method":"POST","url":"/v1/responses","body":' + b"[" * 100_000) is None


def test_files_are_full_by_rows_bytes_and_tokens():
    """Each limit by itself; of two limits of tokens the smaller one."""
    rows = [row(number) for number in range(1, 8)]
    assert packed(rows, rows=3) == [[1, 2, 3], [4, 5, 6], [7]]
    assert packed(rows, size=2 * len(write_line(rows[0])) + 5) == [[1, 2], [3, 4], [5, 6], [7]]
    assert packed(rows, tokens=5, known=lambda: fitted(2)) == [[1, 2], [3, 4], [5, 6], [7]]
    assert packed(rows, tokens=50, known=lambda: fitted(2)) == [[1, 2, 3, 4, 5, 6, 7]]


def test_embeddings_are_counted_by_their_texts():
    """A list of texts is as many, a list of numbers is one."""
    many = msgspec.json.encode({"input": ["x"] * (MOST_INPUTS - 1)})
    tokens = msgspec.json.encode({"input": [1] * MOST_INPUTS})
    rows = [row(n, operation=Operation.EMBEDDINGS, raw=raw) for n, raw in enumerate((many, tokens, tokens), 1)]
    assert packed(rows) == [[1, 2], [3]]


def test_a_row_that_is_larger_than_any_file_is_refused():
    """By its bytes or by its tokens; the others are not touched by it."""
    with pytest.raises(BadRequestError, match="takes at most 20 bytes"):
        packed([row(1)], size=20)
    with pytest.raises(BadRequestError, match=r"about 9 tokens .* and 8 tokens"):
        packed([row(1)], tokens=8, known=lambda: fitted(9))


def test_each_group_has_its_own_file_and_few_are_open():
    """Of too many groups the oldest file goes, full or not."""

    def group(one):
        return GROUP._replace(asked=str(one.number % (MOST_OPEN + 1)))

    rows = [row(number) for number in range(1, MOST_OPEN + 3)]
    files = packed(rows, group=group)
    assert files[0] == [1]
    assert sorted(number for file in files for number in file) == [one.number for one in rows]
    assert len(files) == MOST_OPEN + 2


def test_what_is_set_aside_is_summed_under_each_cap():
    """The dearest row is known, and whether rows name users."""
    packer = Packer(Limits())
    packer.add(GROUP, row(1), fitted(amount=5, caps=(ALL, ANN), user="ann"), tokens=None)
    packer.add(GROUP, row(2), fitted(amount=7, caps=(ALL, BEN), user="ben"), tokens=None)
    (pack,) = packer.rest()
    assert {(fund.cap, fund.amount, fund.limit) for fund in pack.funds} == {
        ("all", 12, 100), ("user:ann", 5, 100), ("user:ben", 7, 100),
    }  # fmt: skip
    assert (pack.worst, pack.users) == (7, True)
    pack.close()
