"""The list of commands, and what every one of them does about errors."""

import contextlib
import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from headgate.cli import asking, books, demo, doctor, serving, settings
from headgate.cli.voice import complain, put
from headgate.core.errors import HeadgateError

app = typer.Typer(
    name="headgate",
    help="One gate that every model call passes: paced, budgeted, cached, guarded, routed, retried and accounted for.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def headgate(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """One gate that every model call passes."""
    if show_version:
        put(f"headgate {version('headgate')}")
        raise typer.Exit


app.command()(serving.serve)
app.command()(demo.demo)
app.command()(serving.simulate)
app.command()(asking.ask)
app.command()(books.usage)
app.add_typer(settings.app, name="config")
app.command()(doctor.doctor)


def run() -> None:
    """Run the command line, and end with an exit code."""
    try:
        app()
    except HeadgateError as error:
        sys.exit(complain(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has had enough; Python would complain once more when it flushes stdout at its end.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
