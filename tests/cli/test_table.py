"""How figures stand in columns."""

import io

import pytest
from rich.console import Console

from headgate.cli.table import show, table

FIGURES = ("calls", "tokens\nin", "cost, USD")


def drawn(width, *rows, name="model"):
    """The lines of a table."""
    console = Console(file=io.StringIO(), width=width)
    console.print(table(name, FIGURES, rows, ["in all", "2", "1,234", "0.0000123"][not name :]))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_table():
    """Heads, lines, and the sum."""
    lines = drawn(80, ["gpt-6-luna", "2", "1,234", "0.0000123"])
    assert lines == [
        "",
        "                    tokens",
        " model       calls      in  cost, USD",
        " ─────────────────────────────────────",
        " gpt-6-luna      2   1,234  0.0000123",
        "",
        " in all          2   1,234  0.0000123",
        "",
    ]


def test_a_sum_alone():
    """Without groups there is no column for their names."""
    assert drawn(80, name="")[2:] == [
        " calls      in  cost, USD",
        " ─────────────────────────",
        "     2   1,234  0.0000123",
        "",
    ]


@pytest.mark.parametrize("width", [36, 45, 80])
def test_figures_are_never_cut(width):
    """A name is folded where it does not fit; no character of it is lost."""
    name = "some-very-long-name-of-a-model"
    lines = drawn(width, [name, "2", "1,234", "0.0000123"])
    assert all(len(line) <= width for line in lines)
    assert sum("0.0000123" in line and "1,234" in line for line in lines) == 2
    assert name in "".join(line[:width - 25].strip() for line in lines[4:-3])  # fmt: skip


def test_a_strange_name_is_only_a_name():
    """Neither markup nor orders to a terminal."""
    lines = drawn(80, ["[/b][red]\x1b[31m", "1", "1", "1"], name="[bold]head")
    assert " [bold]head " in lines[2]
    assert " [/b][red]\\x1b[31m " in lines[4]


def test_a_pipe_is_as_wide_as_need_be(capsys):
    """Only a terminal limits the width."""
    name = "n" * 200
    show(table("model", FIGURES, [[name, "1", "1", "1"]], ["in all", "1", "1", "1"]))
    assert name in capsys.readouterr().out


def test_a_terminal_is_kept_to(capsys, terminal):
    """There a long name is folded."""
    terminal()
    show(table("model", FIGURES, [["n" * 200, "1", "1", "1"]], ["in all", "1", "1", "1"]))
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) < 200
    assert out.count("n") > 200


def test_lines_without_a_sum():
    """Nothing stands under them."""
    console = Console(file=io.StringIO(), width=80)
    console.print(table("model", FIGURES, [["m", "2", "1", "0"]]))
    lines = [line.strip() for line in console.file.getvalue().splitlines()]
    assert lines[-2:] == ["m          2       1          0", ""]
