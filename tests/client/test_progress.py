"""Progress of many calls."""

import asyncio
import io
import sys
from types import SimpleNamespace

import pytest

from headgate.client import progress
from headgate.client.progress import bar, in_notebook
from headgate.core.errors import HeadgateError
from headgate.testing import virtual_time


class _Terminal(io.StringIO):
    def isatty(self):
        return True


async def _three(*, total=3, shown=True):
    with bar(total, shown=shown) as tell:
        for result in ("one", HeadgateError("no"), "three"):
            await asyncio.sleep(7)
            tell(result)


@pytest.fixture
def out(monkeypatch):
    """What stderr hears."""

    def use(stream):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        return stream

    return use


def test_a_bar_on_a_terminal(out):
    """With what it cost, and what failed."""
    said = out(_Terminal())
    virtual_time(_three())
    assert "3/3" in said.getvalue()
    assert "$0.0000, 1 failed" in said.getvalue()


def test_lines_elsewhere(out):
    """Now and then, and in the end."""
    said = out(io.StringIO())
    virtual_time(_three())
    assert said.getvalue() == "2 of 3 calls, $0.0000, 1 failed\n3 of 3 calls, $0.0000, 1 failed\n"
    said = out(io.StringIO())
    virtual_time(_three(total=None))
    assert said.getvalue().endswith("3 calls, $0.0000, 1 failed\n")


def test_nothing_where_nobody_asked(out):
    """Not even a line."""
    said = out(_Terminal())
    virtual_time(_three(shown=False))
    assert said.getvalue() == ""


class ZMQInteractiveShell:
    """What a notebook's shell is called."""


@pytest.mark.parametrize(
    ("shell", "tqdm", "found"),
    [(ZMQInteractiveShell, True, True), (ZMQInteractiveShell, False, False), (object, True, False)],
)
def test_a_notebook_is_known_by_its_shell(monkeypatch, shell, tqdm, found):
    """And has `tqdm`, or lines."""
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=shell))
    monkeypatch.setattr(progress, "find_spec", lambda _: tqdm or None)
    assert in_notebook() is found


def test_tqdm_in_a_notebook(monkeypatch):
    """It is told of each call."""
    told = []

    class Bar:
        def __init__(self, **options):
            told.append(options)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            told.append("closed")

        def update(self, number):
            told.append(number)

        def set_postfix_str(self, text, *, refresh):
            assert not refresh
            told.append(text)

    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr(progress, "import_module", lambda _: SimpleNamespace(tqdm=Bar))
    virtual_time(_three())
    assert told[0] == {"total": 3, "unit": "call"}
    assert told[-3:] == ["$0.0000, 1 failed", 1, "closed"]
