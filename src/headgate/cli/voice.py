"""How the command line speaks: what goes to which stream, how an error reads, what a configuration is read from.

A message says what failed, with what value; then a blank line and the cure. It reads well without colour.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from headgate.core.errors import ConfigError, HeadgateError
from headgate.gate.environment import process_environment
from headgate.gate.load import load
from headgate.gate.loaded import Loaded

FAILED, WRONG_USE, OVER_BUDGET, FAILED_ROWS = 1, 2, 3, 4
NOTHING: Mapping[str, object] = {}

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file.  [default: $HEADGATE_CONFIG, else ./headgate.yaml]"),
]
Simulate = Annotated[bool, typer.Option("--simulate", help="Put the simulator in place of every provider.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def say(text: str = "") -> None:
    """Tell a person."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def put(text: str) -> None:
    """Give data to whoever reads stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def complain(error: HeadgateError) -> int:
    """Tell of an error; returns the exit code that it means."""
    say(f"error: {error.message}")
    if error.hint:
        say(f"\nhint: {error.hint}")
    return WRONG_USE if isinstance(error, ConfigError) else FAILED


def configuration(
    path: Path | None,
    *,
    simulate: bool = False,
    overrides: Mapping[str, object] = NOTHING,
    serving: bool = True,
) -> Loaded:
    """Read the configuration as every command does, and tell of its warnings.

    Raises:
        ConfigError: see `gate.load.load`.
    """
    loaded = load(
        path,
        environment=process_environment(),
        simulate=simulate,
        dotenv=Path(".env"),
        folder=Path(),
        overrides=overrides,
        serving=serving,
    )
    for warning in loaded.warnings:
        say(f"warning: {warning}")
    return loaded
