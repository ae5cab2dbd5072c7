"""The list of commands, and what every one of them does about errors."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from headgate.cli import (
    asking,
    books,
    demo,
    doctor,
    embedding,
    evaluating,
    forgetting,
    jobs,
    judging,
    keys,
    local,
    local_demo,
    models,
    resolving,
    running,
    serving,
    settings,
    working,
)
from headgate.cli.bench import bulk, pace
from headgate.cli.voice import WRONG_USE, complain, put, say
from headgate.core.errors import HeadgateError

app = typer.Typer(
    name="headgate",
    help="One gate that every model call passes: paced, budgeted, cached, guarded, routed, retried and accounted for.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def headgate(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """One gate that every model call passes."""
    if show_version:
        put(f"headgate {version('headgate')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        say(context.get_help())
        raise typer.Exit(WRONG_USE)


app.command()(serving.serve)
app.command()(demo.demo)
app.command()(serving.simulate)
app.command()(asking.ask)
app.command()(embedding.embed)
app.command()(judging.moderate)
app.command()(running.run)
app.command("eval")(evaluating.run)
app.add_typer(jobs.app, name="jobs")
app.command()(working.worker)
app.add_typer(books.app, name="usage")
books.app.command()(resolving.resolve)
app.command()(models.models)
app.add_typer(keys.app, name="keys")
app.add_typer(forgetting.app, name="cache")
app.add_typer(local.app, name="local")
local.app.command()(local_demo.demo)
app.add_typer(settings.app, name="config")
app.command()(doctor.doctor)
app.add_typer(pace.app, name="bench")
pace.app.command()(pace.pace)
pace.app.command()(bulk.bulk)


def run() -> None:
    """Run the command line, and end with an exit code."""
    try:
        code = app(standalone_mode=False)
    except HeadgateError as error:
        code = complain(error)
    except typer.TyperException as error:
        code = _misused(error)
    except SystemExit as end:
        # Whoever read our output has had enough. Typer hushes the streams, and would call it a failure.
        code = 0 if isinstance(end.__context__, BrokenPipeError) else end.code
    sys.exit(code)


def _misused(error: typer.TyperException) -> int:
    """Tell what was wrong with the command line itself."""
    context: typer.Context | None = getattr(error, "ctx", None)
    path = context.command_path if context else "headgate"
    say(f"error: {error.format_message()}\n\nhint: `{path} --help` tells what it takes.")
    return error.exit_code
