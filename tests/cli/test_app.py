"""Which commands there are, and what every one of them does about errors."""

import sys

import pytest

from headgate.cli import app as module
from headgate.core.errors import OverloadedError


def test_the_commands_are_listed(headgate):
    """Help is data: it goes to stdout; each command is told in one line that is not cut."""
    done = headgate("--help")
    assert (done.code, done.said) == (0, "")
    for name in ("serve", "demo", "simulate", "ask", "embed", "moderate", "usage", "models", "doctor", "config"):
        assert f"\n  {name} " in done.out
    assert "..." not in done.out.partition("Commands:")[2]


def test_without_a_command_there_is_help(headgate):
    """Nothing was asked for: that is wrong use, and stdout stays empty."""
    done = headgate()
    assert (done.code, done.out) == (2, "")
    assert "Commands:" in done.said


def test_the_version(headgate):
    """On stdout, for scripts."""
    done = headgate("--version")
    assert done.code == 0
    assert done.out.startswith("headgate 0.")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "error: No such command 'nonsense'.\n\nhint: `headgate --help` tells what it takes.\n"),
        (["ask"], "error: Missing argument 'PROMPT'.\n\nhint: `headgate ask --help` tells what it takes.\n"),
        (["ask", "a", "--modl", "b"], "error: No such option: --modl"),
        (["ask", "a", "--max-tokens", "0"], "error: Invalid value for '--max-tokens'"),
        (["serve", "--port", "65536"], "error: Invalid value for '--port' / '-p'"),
        (["config"], "error: Missing command.\n\nhint: `headgate config --help` tells what it takes.\n"),
        (["ask", "a"], "error: No usable provider.\n\nhint: Set OPENAI_API_KEY"),
        (["ask", "--simulate", ""], "error: The question is empty.\n\nhint: Write it"),
    ],
)
def test_wrong_use_is_told_with_its_cure(headgate, arguments, said):
    """What failed, with what value, a blank line, the cure; 2, and nothing on stdout."""
    done = headgate(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.said.startswith(said)
    assert "\n\nhint: " in done.said


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OverloadedError("Busy."), 1, "error: Busy.\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(32, "gone"), 0, ""),
    ],
    ids=["a failure", "Ctrl-C", "a reader who has had enough"],
)
def test_other_ends(headgate, monkeypatch, error, code, said):
    """A failure is 1, Ctrl-C is 130, and a reader who has had enough is no failure."""

    def fails(*_, **__):
        raise error

    monkeypatch.setattr("headgate.cli.settings.configuration", fails)
    # Typer hushes both streams of a broken pipe for good; the test wants them back.
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    done = headgate("config", "show")
    assert (done.code, done.out, done.said) == (code, "", said)


def test_another_exit_keeps_its_code(headgate, monkeypatch):
    """Whatever exits on purpose is left alone."""

    def exits(*_, **__):
        sys.exit(7)

    monkeypatch.setattr("headgate.cli.settings.configuration", exits)
    assert headgate("config", "show").code == 7


def test_a_mistake_without_a_context(capsys):
    """Typer may complain before it knows the command."""
    import typer

    assert module._misused(typer.TyperException("Odd.")) == 1
    assert capsys.readouterr().err == "error: Odd.\n\nhint: `headgate --help` tells what it takes.\n"
