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
_NAMES = {
    level: name.lower() for name, level in logging.getLevelNamesMapping().items() if name not in {"WARN", "FATAL"}
}
_BREAKS = {ord(one): f"\\u{ord(one):04x}" for one in "\x85\u2028\u2029"}
"""What some readers take for the end of a line, in JSON."""
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
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
        self._stamps = _Stamps()
        self._write: Callable[[_Line, str], str] = _as_json if shape == "json" else _as_text
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
        try:
            said = record.msg if isinstance(record.msg, Story) else record.getMessage()
        except Exception:  # noqa: BLE001  whoever logs what cannot be told goes on all the same
            self.handleError(record)
            return
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
                self._out.write(self._line(self._waiting.popleft()))
                self._out.flush()
            if self._lost:
                lost, self._lost = self._lost, 0
                said = f"{lost} lines of the log were left out: whoever reads it is too slow."
                self._out.write(self._shown((self._clock.time(), logging.ERROR, "headgate.server", said, "")))
                self._out.flush()
        except (OSError, ValueError):
            # Nobody reads any more, and there is nobody to tell.
            self._waiting.clear()

    def _line(self, line: _Line | _Call) -> str:
        try:
            return self._shown(self._whole(line))
        except Exception as error:  # noqa: BLE001  one line that cannot be told must not take all others along
            said = f"a line of the log was left out: it cannot be told ({type(error).__name__})."
            return self._shown((self._clock.time(), logging.ERROR, "headgate.server", said, ""))

    def _shown(self, line: _Line) -> str:
        return self._write(line, self._stamps.of(line[0]))

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


def _as_text(line: _Line, stamp: str) -> str:
    _, level, name, said, trace = line
    text = said if isinstance(said, str) else str(said)
    head = f"{stamp} {_NAMES.get(level, level):<7} "
    if name != story.CALLS.name:
        head += f"{name}: "
    below = "".join(f"    {_visible(one)}\n" for one in trace.splitlines())
    return f"{head}{_visible(text)}\n{below}"


def _visible(text: str) -> str:
    """A text in one line that commands no terminal, whoever chose its words."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _ESCAPES.get(one) or f"\\x{ord(one):02x}" for one in text)


def _as_json(line: _Line, stamp: str) -> str:
    _, level, name, said, trace = line
    head = f'{{"time":"{stamp}","level":"{_NAMES.get(level, level)}","logger":'
    if isinstance(said, Story):
        # Most lines: written as they are, without a copy of all fields.
        return f'{head}"{name}",{_encode(said).decode()[1:]}\n'
    # Half a character cannot be written as UTF-8.
    told = {"message": said, "trace": trace} if trace else {"message": said}
    facts = {key: value.encode(errors="backslashreplace").decode() for key, value in told.items()}
    words = _encode(facts).decode().translate(_BREAKS)
    return f"{head}{_encode(name).decode()},{words[1:]}\n"


class _Stamps:
    """Moments in ISO 8601, put together once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def of(self, time: float) -> str:
        second = int(time)
        if second != self._second:
            self._second, self._text = second, str(iso(second))[:-4]
        return f"{self._text}{int((time - second) * 1000):03}Z"


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
