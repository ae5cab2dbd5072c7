"""How the command line speaks: what goes to which stream, how an error reads, what a configuration is read from.

A message says what failed, with what value; then a blank line and the cure. It reads well without colour. Characters
that a terminal would obey are shown, not sent: much of what is printed was written by strangers.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from headgate.core.errors import CallerError, ConfigError, HeadgateError
from headgate.gate.environment import process_environment
from headgate.gate.load import load
from headgate.gate.loaded import Loaded
from headgate.providers.local.model import SMOLLM2

FAILED, WRONG_USE, OVER_BUDGET, FAILED_ROWS = 1, 2, 3, 4
NOTHING: Mapping[str, object] = {}

# Control characters, but for tabs and line ends.
_ORDERS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)")

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file.  [default: $HEADGATE_CONFIG, else ./headgate.yaml]"),
]
Simulate = Annotated[bool, typer.Option("--simulate", help="Put the simulator in place of every provider.")]
LocalModel = Annotated[
    bool, typer.Option("--local", help="Put the model that `headgate local install` brings in place of every provider.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def visible(text: str) -> str:
    r"""Text with every control character spelled out.

    Example:
        >>> visible("a\x1b[2Jb")
        'a\\x1b[2Jb'
    """
    return _ORDERS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def say(text: str = "") -> None:
    """Tell a person."""
    sys.stderr.write(visible(text) + "\n")
    sys.stderr.flush()


def write(text: str) -> None:
    """Give words to whoever reads stdout, as they come; a terminal is not given orders."""
    sys.stdout.write(visible(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def put(text: str) -> None:
    """Give data to whoever reads stdout: one line."""
    write(text + "\n")


def complain(error: HeadgateError) -> int:
    """Tell of an error; returns the exit code that it means."""
    say(f"error: {error.message}")
    if error.hint:
        say(f"\nhint: {error.hint}")
    return WRONG_USE if isinstance(error, ConfigError | CallerError) else FAILED


def configuration(
    path: Path | None,
    *,
    simulate: bool = False,
    local: bool = False,
    overrides: Mapping[str, object] = NOTHING,
    serving: bool = True,
) -> Loaded:
    """Read the configuration as every command does, and tell of its warnings.

    Args:
        path: the file that was named.
        simulate: the simulator takes the place of the providers.
        local: the local model takes the place of the providers, and of the models that lead to them.
        overrides: settings by dotted key that win over the file.
        serving: calls will be made.

    Raises:
        ConfigError: see `gate.load.load`.
    """
    if simulate and local:
        raise ConfigError("--simulate and --local exclude each other.", hint="Choose who answers.")
    loaded = load(
        path,
        environment=process_environment(),
        simulate=simulate,
        dotenv=Path(".env"),
        folder=Path(),
        overrides={**overrides, **_local()} if local else overrides,
        serving=serving,
    )
    for warning in loaded.warnings:
        say(f"warning: {warning}")
    return loaded


def _local() -> dict[str, object]:
    # Made anew each time: loading fills in what is left out.
    return {"providers": {"local": {"type": "local"}}, "models": {"default": SMOLLM2.name}}
