"""`headgate config`: is it good, and what is in force?"""

import typer

from headgate.cli.voice import ConfigFile, Simulate, configuration, put, say
from headgate.gate.loaded import show

app = typer.Typer(help="Check or show the configuration.")


@app.command()
def check(config: ConfigFile = None, simulate: Simulate = False) -> None:
    """Read the configuration whole, and say what is wrong with it."""
    loaded = configuration(config, simulate=simulate)
    names = ", ".join(sorted(loaded.config.providers))
    say(f"{loaded.source}: good. Providers: {names}. Models: {', '.join(sorted(loaded.config.models))}.")


@app.command("show")
def show_(config: ConfigFile = None, simulate: Simulate = False) -> None:
    """Print the configuration in force, with every default. Credentials are `***`."""
    put(show(configuration(config, simulate=simulate, serving=False)).rstrip())
