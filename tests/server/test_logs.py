"""The log of a server."""

import io
import json
import logging
import sys
import threading

import pytest

from headgate.core.body import Body
from headgate.core.call import Call, Operation
from headgate.server import logs
from headgate.stores.records import CallEnd

CALL = Call(id="01", operation=Operation.CHAT, model="m", body=Body(b"{}"), started=0.0, day="2026-11-21")


def _end(status) -> CallEnd:
    return CallEnd(call_id="01", attempts=0, status=status)


def _written(shape, level, act) -> list[str]:
    out = io.StringIO()
    with logs.logging_to(shape, level, out) as log:
        act(log)
    return out.getvalue().splitlines()


def test_a_line_of_json_for_each():
    """Calls and what else is logged, all with time, level and logger."""

    def act(log):
        log.add(CALL, _end(200))
        logging.getLogger("headgate.stores").warning("the store is %s", "away")
        logging.getLogger("elsewhere").error("their own")

    lines = [json.loads(line) for line in _written("json", "info", act)]
    assert [line["level"] for line in lines] == ["info", "warning", "error"]
    assert lines[0]["request_id"] == "req_01"
    assert lines[1]["message"] == "the store is away"
    assert all(line["time"].endswith("Z") for line in lines)


def test_a_line_of_text_for_each():
    """A message of two lines is one line; a trace follows whole."""

    def act(log):
        log.add(CALL, _end(200))
        try:
            raise ValueError("no")
        except ValueError:
            logging.getLogger("headgate.server").exception("one\ntwo")

    lines = _written("text", "info", act)
    assert lines[0].endswith(" info    req_01 200 chat m")
    assert lines[1].endswith(" error   headgate.server: one\\ntwo")
    assert lines[-1] == "    ValueError: no"


def test_the_level():
    """`warning` leaves out what went well, and what callers did wrong."""
    lines = _written("text", "warning", lambda log: [log.add(CALL, _end(status)) for status in (200, 429, 502)])
    (line,) = lines
    assert " 502 " in line


def test_it_ends_as_it_began():
    """No handler, no thread and no level stays behind."""
    root, ours = logging.getLogger(), logging.getLogger("headgate")
    before = (list(root.handlers), ours.level)
    _written("json", "debug", lambda log: log)
    assert (list(root.handlers), ours.level) == before
    assert not [thread for thread in threading.enumerate() if thread.name == "headgate-log"]


class _Stuck(io.StringIO):
    """Nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.free = threading.Event(), threading.Event()

    def write(self, text):
        self.entered.set()
        assert self.free.wait(10)
        return super().write(text)


def test_who_reads_slowly_stops_nobody(monkeypatch):
    """What does not fit is left out, and how much that was is told."""
    monkeypatch.setattr(logs, "MOST_WAITING", 3)
    out = _Stuck()
    with logs.logging_to("text", "info", out) as log:
        log.add(CALL, _end(200))
        assert out.entered.wait(10)
        for _ in range(10):
            log.add(CALL, _end(200))
        out.free.set()
    lines = out.getvalue().splitlines()
    assert len(lines) == 5
    assert lines[-1].endswith("7 lines of the log were left out: whoever reads it is too slow.")


class _Gone(io.StringIO):
    def write(self, _text):
        raise BrokenPipeError


def test_who_reads_no_more_stops_nobody():
    """The log is lost, and nothing else."""
    with logs.logging_to("text", "info", _Gone()) as log:
        log.add(CALL, _end(200))


@pytest.mark.parametrize("terminal", [True, False])
def test_the_shape_follows_the_reader(terminal):
    """Text for a terminal, JSON for programs."""
    out = io.StringIO()
    out.isatty = lambda: terminal
    with logs.logging_to(None, "info", out) as log:
        log.add(CALL, _end(200))
    assert out.getvalue().startswith("{") is not terminal


def _record(words, **facts):
    """Given to the log alone: whoever else records half a character cannot pass it on."""
    facts = {"name": "headgate.server", "levelno": logging.ERROR, **facts}
    return logging.makeLogRecord({"msg": words, **facts})


_HOSTILE = "a\x1b[2J\x9b1m\u2028\u202e\ud800\nb"


def test_whoever_chooses_the_words_commands_no_terminal():
    """Control characters are shown, not sent; a line of a trace cannot be taken for one of the log."""

    def act(log):
        try:
            raise ValueError("no\n2026-11-21T00:00:00.000Z error   forged\x1b[2J")
        except ValueError:
            log.emit(_record(_HOSTILE, exc_info=sys.exc_info()))

    lines = _written("text", "info", act)
    assert lines[0].endswith(r"server: a\x1b[2J\x9b1m\x2028\x202e\xd800\nb")
    assert lines[-1] == r"    2026-11-21T00:00:00.000Z error   forged\x1b[2J"
    assert not [line for line in lines[1:] if not line.startswith("    ")]


def test_a_line_that_cannot_be_told_takes_no_other_along(capsys):
    """Half a character is shown; what does not fit its own words, or fails while it is put together, is left out."""

    def act(log):
        log.emit(_record(_HOSTILE))
        log.emit(logging.makeLogRecord({"msg": "%d", "args": ("no number",)}))
        log.add(None, _end(200))
        log.add(CALL, _end(200))

    lines = [json.loads(line) for line in _written("json", "info", act)]
    assert lines[0]["message"] == _HOSTILE.replace("\ud800", "\\ud800")
    assert lines[1]["message"] == "a line of the log was left out: it cannot be told (AttributeError)."
    assert lines[2]["request_id"] == "req_01"
    assert "no number" in capsys.readouterr().err
