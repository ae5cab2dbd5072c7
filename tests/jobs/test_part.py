"""Part files: what survives whom."""

import json
import os

import pytest

from headgate.core.errors import BadRequestError, HeadgateError
from headgate.jobs.part import BAD, BAD_NOW, GOOD, NONE, Head, Part
from headgate.jobs.row import Lane, Outcome, Trouble

SPEC = {"model": "m", "template": None}


def _good(number, cost=10):
    return Outcome(id=f"c{number}", number=number, lane=Lane.FLEX, status=200, body=b'{"n":%d}' % number, cost=cost,
                   attempts=1, prompt_tokens=2, completion_tokens=3, latency_ms=5.0)  # fmt: skip


def _bad(number):
    trouble = Trouble(code="x", message="y")
    return Outcome(id=f"c{number}", number=number, lane=Lane.REALTIME, error=trouble, error_class="TimeoutError")


@pytest.fixture
def path(tmp_path):
    """Where the part file lies."""
    return tmp_path / "out.part"


def _written(path):
    return [json.loads(line)["headgate"]["row"] for line in path.read_bytes().splitlines()]


def test_who_goes_on_knows_everything(path):
    """Outcomes, sums, marks, and the name of the job."""
    part = Part.open(path, SPEC, job="j")
    for number in (3, 1):
        part.sent(number, 100 + number)
        part.add(_good(number))
    part.sent(2, 102)
    part.back(2)
    part.sent(2)
    part.add(_bad(2))
    before = part.tally
    part.close()
    again = Part.open(path, SPEC, job="another")
    assert again.job == "j"
    assert again.tally == before
    assert (again.tally.succeeded, again.tally.failed, again.tally.cost) == (2, 1, 20)
    assert (again.tally.prompt_tokens, again.tally.completion_tokens, again.tally.lanes[Lane.FLEX]) == (4, 6, 2)
    assert [again.known(number) for number in range(5)] == [NONE, GOOD, BAD, GOOD, NONE]
    assert [again.mark(number) for number in range(5)] == [0, 101, 102, 103, 0]
    assert again.answered_before == 3
    assert not again.ambiguous
    again.close()


def test_what_was_in_flight_is_ambiguous_for_good(path):
    """It is named by every run after it; what came back unasked is not."""
    part = Part.open(path, SPEC, job="j")
    for number in (1, 2, 3):
        part.sent(number)
    part.add(_good(2))
    part.back(3)
    part.close()
    part = Part.open(path, SPEC, job="")
    assert list(part.ambiguous) == [1]
    part.sent(1)
    part.add(_good(1))
    part.close()
    part = Part.open(path, SPEC, job="")
    assert list(part.ambiguous) == [1]
    part.close()


@pytest.mark.parametrize("cut", range(1, 40))
def test_half_a_line_at_the_end_is_cut_off(path, cut):
    """Whoever wrote it was stopped in the middle; the next line stands alone."""
    part = Part.open(path, SPEC, job="j")
    part.sent(1)
    part.add(_good(1))
    whole = path.stat().st_size
    part.sent(2)
    part.add(_good(2))
    part.close()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - cut)
    part = Part.open(path, SPEC, job="")
    assert part.known(2) == NONE
    assert list(part.ambiguous) == [2]
    part.add(_good(2))
    part.finish(path.with_name("out"), in_order=True, complete=False)
    part.close()
    assert _written(path.with_name("out")) == [1, 2]
    assert path.stat().st_size > whole


def test_the_output_is_in_order_or_as_it_came(path):
    """Each row once: a row that failed and was asked again has its last outcome."""
    part = Part.open(path, SPEC, job="j")
    for outcome in (_good(5), _bad(2), _good(9), _good(1)):
        part.sent(outcome.number)
        part.add(outcome)
    part.sent(2)
    part.add(_good(2))
    assert (part.tally.succeeded, part.tally.failed, part.tally.rows) == (4, 0, 4)
    out = path.with_name("out")
    part.finish(out, in_order=True, complete=False)
    assert _written(out) == [1, 2, 5, 9]
    part.finish(out, in_order=False, complete=False)
    assert _written(out) == [5, 9, 1, 2]
    assert path.exists()
    part.finish(out, in_order=True, complete=True)
    part.close()
    assert not path.exists()
    assert not out.with_name("out.new").exists()


def test_a_row_that_fails_again_is_told_apart(path):
    """It was asked in this run."""
    part = Part.open(path, SPEC, job="j")
    part.sent(1)
    part.add(_bad(1))
    part.close()
    part = Part.open(path, SPEC, job="")
    assert part.known(1) == BAD
    part.add(_bad(1))
    assert part.known(1) == BAD_NOW
    assert part.tally.failed == 1
    part.close()


def test_other_settings_are_refused_with_the_difference(path):
    """What was, and what is."""
    part = Part.open(path, SPEC, job="j")
    part.sent(1)
    part.close()
    with pytest.raises(BadRequestError) as caught:
        Part.open(path, {"model": "n", "template": "{a}"}, job="")
    assert '\n  model: was "m", is "n"\n  template: was not set, is "{a}"' in caught.value.message
    assert Part.open(path, SPEC, job="").close() is None


def test_two_processes_do_not_share_one(path):
    """The second is told."""
    part = Part.open(path, SPEC, job="j")
    with pytest.raises(BadRequestError, match="Another process"):
        Part.open(path, SPEC, job="")
    part.close()


def test_a_job_that_never_began_leaves_nothing(path):
    """No file, so that the same command can be given with other settings."""
    Part.open(path, SPEC, job="j").close()
    assert not path.exists()


@pytest.mark.parametrize(
    "text", [b"hello\n", b"hello", b"{}\n", b'{"headgate_run":2,"job":"j","spec":{}}\n', b"\xff\n"]
)
def test_another_file_is_left_alone(path, text):
    """Whoever wrote it will miss it."""
    path.write_bytes(text)
    with pytest.raises(BadRequestError, match="not a part file"):
        Part.open(path, SPEC, job="j")
    assert path.read_bytes() == text


def test_a_damaged_line_is_told(path):
    """Nobody guesses what it was."""
    part = Part.open(path, SPEC, job="j")
    part.sent(1)
    part.close()
    with path.open("ab") as file:
        file.write(b"nonsense\n")
    with pytest.raises(BadRequestError, match="not a part file"):
        Part.open(path, SPEC, job="j")


def test_a_full_disk_is_told(path):
    """With the cure: nothing that was written before is lost."""
    part = Part(path, os.open("/dev/full", os.O_WRONLY), Head(headgate_run=1, job="j", spec={}))
    with pytest.raises(HeadgateError, match="No space left") as caught:
        part.sent(1)
    assert "the same command again" in caught.value.hint
    part.close()


def test_the_first_line_may_be_half_there(path):
    """The process died before it had asked anything."""
    path.write_bytes(b'{"headgate_run":1,"jo')
    part = Part.open(path, SPEC, job="j")
    part.sent(1)
    part.close()
    assert Part.open(path, SPEC, job="").job == "j"
