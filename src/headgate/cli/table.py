"""How figures stand in columns: the tables of `headgate usage`, `headgate demo` and `headgate bench`.

Decides widths and what may be cut: no figure ever, and names only where a terminal is too narrow for them. Refuses to
know what the figures mean.
"""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headgate.cli.voice import visible

WIDE = 10_000
"""Columns of a table that goes to a file or a pipe: as many as it needs."""


def table(name: str, figures: Sequence[str], rows: Sequence[Sequence[str]], total: Sequence[str] = ()) -> Table:
    """A table.

    Args:
        name: head of the column that says what a line is about; empty where there is none.
        figures: heads of the columns that hold figures.
        rows: the lines, one cell per column.
        total: the last line; empty where there is no sum.
    """
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left", caption_justify="left")
    if name:
        made.add_column(Text(visible(name)), overflow="fold")
    for figure in figures:
        made.add_column(figure, justify="right", no_wrap=True)
    # As text: a model's name comes from a caller and may look like markup, or like orders to a terminal.
    for row in rows:
        made.add_row(*(Text(visible(cell)) for cell in row))
    if rows and total:
        made.add_section()
    if total:
        made.add_row(*total, style="bold")
    return made


def show(made: Table) -> None:
    """Print a table to stdout."""
    console = Console()
    if not console.is_terminal:
        console.width = WIDE
    console.print(made)
