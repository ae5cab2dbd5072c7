"""The way into the command line."""

import runpy
import sys

import pytest

from headgate.cli import main


def _module():
    runpy.run_module("headgate", run_name="__main__")


@pytest.mark.parametrize("way", [_module, main])
def test_the_ways_in(way, monkeypatch, capsys):
    """`python -m headgate` is `headgate`."""
    monkeypatch.setattr(sys, "argv", ["headgate", "--version"])
    with pytest.raises(SystemExit) as end:
        way()
    assert not end.value.code
    assert capsys.readouterr().out.startswith("headgate 0.")
