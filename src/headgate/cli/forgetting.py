"""`headgate cache purge`: answers that nobody shall get again.

It works on the store itself, whether a gateway runs or not; what a gateway has in its memory only it can forget.
"""

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from headgate.cli.voice import ConfigFile, Json, configuration, put, say
from headgate.core.errors import BadRequestError, ConfigError
from headgate.gate import caching, wiring
from headgate.gate.config import Config
from headgate.gate.ports import SystemClock
from headgate.gate.tasks import Tasks

app = typer.Typer(help="Answers that are kept.")


@app.callback()
def cache() -> None:
    """Answers that are kept."""


@app.command()
def purge(
    model: Annotated[
        str | None, typer.Option("--model", help="Those to calls for this name, or given by this model.")
    ] = None,
    tag: Annotated[str | None, typer.Option("--tag", help="NAME=VALUE: those to calls with this tag.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    json: Json = False,
    path: ConfigFile = None,
) -> None:
    """Forget answers: those of a model, those with a tag, or all."""
    if (model is None and tag is None) != every:
        raise BadRequestError("Which answers?", hint="Name --model or --tag, or say --all.")
    label = caching.label(model=model, tag=tag)
    config = configuration(path, serving=False).config
    if config.shared == wiring.MEMORY and not config.store.startswith(wiring.SQLITE):
        raise ConfigError(
            "Answers are in the memory of whoever serves them: neither `shared` nor `store` keeps them.",
            hint="Ask the gateway: `DELETE /admin/cache`.",
        )
    kept = config.shared != wiring.MEMORY or Path(config.store.removeprefix(wiring.SQLITE) + wiring.ANSWERS).exists()
    # To ask is no reason to make files, wherever one happens to be.
    number = asyncio.run(_purge(config, label)) if kept else 0
    if json:
        put(msgspec.json.encode({"forgotten": number}).decode())
    else:
        say(f"{number:,} answer{'' if number == 1 else 's'} forgotten.")


async def _purge(config: Config, label: str | None) -> int:
    tasks = Tasks()
    blobs = wiring.blobs(config, SystemClock(), tasks.start)
    try:
        await blobs.open()
        return await blobs.drop(label)
    finally:
        await blobs.close()
        await tasks.close()
