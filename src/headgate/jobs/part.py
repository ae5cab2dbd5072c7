"""The part file: which rows of a job were asked, and what became of them, for whoever goes on with it.

It lies beside the output, belongs to one process at a time, and only grows. Its first line says what was asked of every
row. After that, in the order in which things happen:

    {"sent":7,"mark":123}     row 7 is about to be asked; the mark is its line's checksum
    {"back":7}                nothing of it has left
    {"id":"batch_req_7",…}    its outcome, as it will stand in the output

A row's outcome is written before anything else is done with it, and a row that has one is never asked again. What was
sent and has no outcome was in flight when a process died: it is asked again, and its number is kept as ambiguous.
Written by `write(2)`: it survives the death of the process, not a power cut. In memory: nine bytes a row, and four for
each of an earlier run.
"""

import os
from array import array
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Self

import msgspec

from headgate.core.errors import BadRequestError, HeadgateError
from headgate.core.money import from_usd
from headgate.jobs.row import Lane, Outcome
from headgate.jobs.tally import Tally
from headgate.stores.segments import take_lock

VERSION = 1
NONE, GOOD, BAD, BAD_NOW = range(4)
"""What is known of a row: nothing; that it succeeded; that it failed; that it failed in this run."""

_OUTCOME = b'{"id":"batch_req_'
_encode = msgspec.json.Encoder().encode


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first line.

    Attributes:
        headgate_run: the version of the file.
        job: an unguessable name; the books know the job's calls by it.
        spec: what was asked of every row, in words that a difference can be shown in.
    """

    headgate_run: int
    job: str
    spec: dict[str, Any]


class _Facts(msgspec.Struct):
    row: int
    cost_usd: str | None
    lane: Lane
    error_class: str | None
    prompt_tokens: int
    completion_tokens: int
    latency_ms: float | None = None


class _Line(msgspec.Struct):
    """Any line but the first."""

    sent: int = 0
    mark: int = 0
    back: int = 0
    custom_id: str = ""
    headgate: _Facts | None = None


_LINE = msgspec.json.Decoder(_Line)
_HEAD = msgspec.json.Decoder(Head)


class Part:
    """A part file that is open. Close it.

    Attributes:
        path: where it lies.
        job: the job's name.
        tally: of all rows with an outcome, those of earlier runs included.
        answered_before: rows that had an outcome when it was opened.
        ambiguous: numbers of rows that were, or will be, asked again because nobody knows what became of them.
    """

    def __init__(self, path: Path, file: int, head: Head) -> None:
        self.path = path
        self.job = head.job
        self.tally = Tally()
        self.answered_before = 0
        self.ambiguous: dict[int, None] = {}
        self._file = file
        self._end = 0
        self._begun = False
        self._known = bytearray()
        self._places = array("q")
        self._marks = array("I")

    @classmethod
    def open(cls, path: Path, spec: Mapping[str, Any], *, job: str) -> Self:
        """Begin a part file, or go on with the one that is there.

        Args:
            path: where it lies.
            spec: what is asked of every row.
            job: the name of a job that begins.

        Raises:
            BadRequestError: it was begun with another spec, is no part file, or somebody else works on it.
            HeadgateError: it cannot be read or written.
        """
        try:
            file = take_lock(path)
        except OSError as error:
            raise BadRequestError(f"`{path}` cannot be written: {error.strerror}.", hint=_FOLDER) from None
        if file is None:
            raise BadRequestError(f"Another process works on `{path}`.", hint="Wait for it, or name another output.")
        try:
            head = peek(path)
            if head is None:
                head = Head(headgate_run=VERSION, job=job, spec=dict(spec))
                os.ftruncate(file, 0)
            else:
                _compare(path, head.spec, spec)
            part = cls(path, file, head)
            if os.fstat(file).st_size:
                part._load()
            else:
                part._write(_encode(head) + b"\n")
        except BaseException:
            os.close(file)
            raise
        return part

    def close(self) -> None:
        """Let it go; it stays where it is, if there is anything in it."""
        with suppress(FileNotFoundError):
            if not (self._begun or self.tally.rows):
                self.path.unlink()
        os.close(self._file)

    def discard(self) -> None:
        """Nothing in it is worth keeping: it goes."""
        with suppress(FileNotFoundError):
            self.path.unlink()

    def known(self, number: int) -> int:
        """What is known of a row."""
        return self._known[number] if number < len(self._known) else NONE

    def mark(self, number: int) -> int:
        """The checksum of a row's line when it was asked in an earlier run; 0 where it was not."""
        return self._marks[number] if number < len(self._marks) else 0

    def sent(self, number: int, mark: int = 0) -> None:
        """A row is about to be asked.

        Args:
            number: the row's.
            mark: its line's checksum; 0 where it was told before.
        """
        self._begun = True
        self._write(b'{"sent":%d,"mark":%d}\n' % (number, mark))

    def back(self, number: int) -> None:
        """A row that was about to be asked was not: nothing has left, or nothing is owed for it."""
        self._write(b'{"back":%d}\n' % number)

    def add(self, outcome: Outcome) -> None:
        """A row has its outcome."""
        place = self._end
        self._write(outcome.line())
        self._take(outcome, place, BAD_NOW)

    def _take(self, outcome: Outcome, place: int, failed: int) -> None:
        number = outcome.number
        self._grow(number)
        if self._known[number] >= BAD:
            self.tally.failed -= 1
        elif self._known[number] == GOOD:
            return
        self._known[number] = GOOD if outcome.succeeded else failed
        self._places[number] = place
        self.tally.add(outcome)

    def _grow(self, number: int) -> None:
        more = number + 1 - len(self._known)
        if more > 0:
            self._known.extend(bytes(more))
            self._places.frombytes(b"\xff" * (8 * more))

    def _mark(self, number: int, mark: int) -> None:
        more = number + 1 - len(self._marks)
        if more > 0:
            self._marks.frombytes(bytes(self._marks.itemsize * more))
        self._marks[number] = mark

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            with suppress(OSError):
                # Half a line would spoil the next one.
                os.ftruncate(self._file, self._end)
                os.lseek(self._file, self._end, os.SEEK_SET)
            message = f"`{self.path}` cannot be written: {error.strerror}."
            raise HeadgateError(
                message, code="output_error", hint="Make room, and run the same command again."
            ) from None
        self._end += len(line)

    def _load(self) -> None:
        """Learn what the file says; what was cut off at its end is cut off."""
        open_: set[int] = set()
        with self.path.open("rb") as file:
            self._end = len(file.readline())
            for line in file:
                if not line.endswith(b"\n"):
                    break
                try:
                    said = _LINE.decode(line)
                except msgspec.MsgspecError:
                    raise _strange(self.path) from None
                self._learn(said, open_)
                self._end += len(line)
        os.ftruncate(self._file, self._end)
        os.lseek(self._file, self._end, os.SEEK_SET)
        self.ambiguous.update(dict.fromkeys(sorted(open_)))
        self.answered_before = self.tally.rows

    def _learn(self, said: _Line, open_: set[int]) -> None:
        self._begun = True
        if said.sent:
            if said.sent in open_:
                self.ambiguous[said.sent] = None
            open_.add(said.sent)
            if said.mark:
                self._mark(said.sent, said.mark)
        elif said.back:
            open_.discard(said.back)
        elif (facts := said.headgate) is not None:
            open_.discard(facts.row)
            outcome = Outcome(
                id=said.custom_id,
                number=facts.row,
                lane=facts.lane,
                cost=None if facts.cost_usd is None else from_usd(facts.cost_usd),
                error_class=facts.error_class,
                prompt_tokens=facts.prompt_tokens,
                completion_tokens=facts.completion_tokens,
                latency_ms=facts.latency_ms,
            )
            self._take(outcome, self._end, BAD)

    def finish(self, output: Path, *, in_order: bool, complete: bool) -> None:
        """Write the output: a line for each row with an outcome.

        Args:
            output: where to; what is there is replaced, in one step.
            in_order: of the input; else as the outcomes came.
            complete: nothing remains to be done, so the part file goes.

        Raises:
            HeadgateError: it cannot be written.
        """
        made = output.with_name(output.name + ".new")
        try:
            with self.path.open("rb") as file, made.open("wb") as out:
                for line in self._in_order(file) if in_order else self._as_they_came(file):
                    out.write(line)
                out.flush()
                os.fsync(out.fileno())
            made.replace(output)
            if complete:
                self.path.unlink()
        except OSError as error:
            message = f"`{output}` cannot be written: {error.strerror}."
            hint = f"Every answer is in `{self.path}`: make room, and run the same command again."
            raise HeadgateError(message, code="output_error", hint=hint) from None

    def _in_order(self, file: BinaryIO) -> Iterator[bytes]:
        for place in self._places:
            if place >= 0:
                file.seek(place)
                yield file.readline()

    def _as_they_came(self, file: BinaryIO) -> Iterator[bytes]:
        place = 0
        for line in file:
            # A row that failed and was asked again has more than one; the last one counts.
            if (
                line.startswith(_OUTCOME)
                and self._places[int(line[len(_OUTCOME) : line.index(b'"', len(_OUTCOME))])] == place
            ):
                yield line
            place += len(line)


_FOLDER = "Name an output in a folder that exists and can be written to."


def peek(path: Path) -> Head | None:
    """The first line of a part file; None where there is no file, no line, or only half of one.

    Raises:
        BadRequestError: it is no part file.
    """
    try:
        with path.open("rb") as reader:
            line = reader.readline()
    except FileNotFoundError:
        return None
    if not line.endswith(b"\n"):
        if not line.startswith(b'{"headgate_run":'[: len(line)]):
            raise _strange(path)
        return None
    try:
        head = _HEAD.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _strange(path) from None
    if head.headgate_run != VERSION:
        raise _strange(path)
    return head


def _compare(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    if changes := differences(before, now):
        raise BadRequestError(
            f"`{path}` was begun with other settings:{changes}",
            code="job_changed",
            hint=f"Use those settings to go on. To begin anew, remove `{path}` or name another output.",
        )


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What has changed about a job, a line for each; empty where nothing has."""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return "".join(f"\n  {name}: was {_shown(before.get(name))}, is {_shown(now.get(name))}" for name in names)


def _shown(value: object) -> str:
    text = "not set" if value is None else msgspec.json.encode(value).decode()
    return text if len(text) <= 300 else text[:299] + "…"


def _strange(path: Path) -> BadRequestError:
    return BadRequestError(
        f"`{path}` is not a part file of this version.", hint="Remove it to begin anew, or name another output."
    )
