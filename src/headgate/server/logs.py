"""The log of a server: one line for each request, and whatever else is logged beside.

Decides how lines are written (text on a terminal, JSON elsewhere), by whom, and what happens when nobody reads them;
refuses to know what they say. A thread writes: a reader that stands still never stops a call. What does not fit any
more is left out, and how much was left out is told. Calls come by a way of their own, which costs the loop next to
nothing; everything else comes through `logging`.
"""

import logging
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TextIO

import msgspec

from headgate.core.call import Call
from headgate.core.clock import Clock
from headgate.gate import story
from headgate.gate.ports import SystemClock
from headgate.gate.story import Story
from headgate.stores.records import CallEnd
from headgate.stores.report import iso

MOST_WAITING = 50_000
"""Lines that wait to be written."""
PAUSE = 0.1
"""Seconds between two looks of the thread at what waits."""
FAREWELL = 5.0
"""Seconds that the last lines have to be written."""

Shape = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]
_Line = tuple[float, int, str, Any, str]
"""When, how severe, by which logger, what, and the trace."""
_Call = tuple[float, Call, CallEnd]
_encode = msgspec.json.Encoder().encode


class Log(logging.Handler):
    """The handler, and the thread that writes what it has taken.

    Args:
        shape: how a line reads.
        out: where lines go.
        level: from which severity on, of `logging`.
        clock: tells when a call ended.
    """

    def __init__(self, shape: Shape, out: TextIO, level: int, clock: Clock | None = None) -> None:
        super().__init__(level)
        self._write: Callable[[_Line], str] = _as_json if shape == "json" else _as_text
        self._out = out
        self._clock = clock or SystemClock()
        self._waiting: deque[_Line | _Call] = deque()
        self._lost = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="headgate-log", daemon=True)
        self._thread.start()

    def add(self, call: Call, end: CallEnd) -> None:
        """Take a call that has ended."""
        if story.level(end.status) >= self.level:
            self._add((self._clock.time(), call, end))

    def emit(self, record: logging.LogRecord) -> None:
        """Take what came through `logging`."""
        said = record.msg if isinstance(record.msg, Story) else record.getMessage()
        trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        self._add((record.created, record.levelno, record.name, said, trace))

    def _add(self, line: _Line | _Call) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._lost += 1
        else:
            self._waiting.append(line)

    def _run(self) -> None:
        while not self._ended.wait(PAUSE):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        # Line by line: the loop goes on while one is written, and lines of several processes do not mix.
        try:
            while self._waiting:
                self._out.write(self._write(self._whole(self._waiting.popleft())))
                self._out.flush()
            if self._lost:
                lost, self._lost = self._lost, 0
                said = f"{lost} lines of the log were left out: whoever reads it is too slow."
                self._out.write(self._write((self._clock.time(), logging.ERROR, "headgate.server", said, "")))
                self._out.flush()
        except (OSError, ValueError):
            # Nobody reads any more, and there is nobody to tell.
            self._waiting.clear()

    def _whole(self, line: _Line | _Call) -> _Line:
        if len(line) == 5:
            return line
        time, call, end = line
        return time, story.level(end.status), story.CALLS.name, story.of_call(call, end), ""

    def close(self) -> None:
        """Write what waits, and end the thread."""
        self._ended.set()
        self._thread.join(FAREWELL)
        super().close()


def _as_text(line: _Line) -> str:
    time, level, name, said, trace = line
    text = said if isinstance(said, str) else str(said)
    head = f"{iso(time)} {logging.getLevelName(level).lower():<7} "
    if name != story.CALLS.name:
        head += f"{name}: "
    # A line that somebody else chose the words of must not look like two.
    return head + text.replace("\n", "\\n").replace("\r", "\\r") + "\n" + trace


def _as_json(line: _Line) -> str:
    time, level, name, said, trace = line
    head = {"time": iso(time), "level": logging.getLevelName(level).lower(), "logger": name}
    if isinstance(said, Story):
        facts = head | msgspec.to_builtins(said)
    else:
        facts = head | {"message": said} | ({"trace": trace} if trace else {})
    return _encode(facts).decode() + "\n"


@contextmanager
def logging_to(shape: Shape | None, level: Level, out: TextIO | None = None) -> Iterator[Log]:
    """Write a log, as long as the context lasts.

    Args:
        shape: how a line reads; None decides by whether a terminal reads it.
        level: from which severity on.
        out: where lines go (default: stderr).
    """
    out = out or sys.stderr
    log = Log(shape or ("text" if out.isatty() else "json"), out, logging.getLevelNamesMapping()[level.upper()])
    root, ours = logging.getLogger(), logging.getLogger("headgate")
    before = ours.level
    root.addHandler(log)
    ours.setLevel(log.level)
    try:
        yield log
    finally:
        root.removeHandler(log)
        ours.setLevel(before)
        log.close()
