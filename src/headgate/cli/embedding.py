"""`headgate embed`: texts as vectors, one per line."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from headgate.cli import piped
from headgate.cli.telling import tell
from headgate.cli.voice import ConfigFile, Json, Simulate, configuration, put
from headgate.client.asynchronous import AsyncHeadgate
from headgate.client.embedding import MODEL


def embed(
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="The texts; `-` reads one per line of stdin.")],
    model: Annotated[str, typer.Option("--model", "-m", help="A name of the configuration.")] = MODEL,
    dimensions: Annotated[int | None, typer.Option("--dimensions", min=1, help="Numbers of a vector.")] = None,
    json: Json = False,
    config: ConfigFile = None,
    simulate: Simulate = False,
) -> None:
    """Turn texts into vectors.

    Prints one JSON array per line, in the order of the texts; with `--json` an object with `index` and `embedding`.
    Who answered and what it cost goes to stderr.
    """
    found = piped.lines(texts)
    gate = AsyncHeadgate(configuration(config, simulate=simulate).config)
    asyncio.run(_embed(gate, found, model, dimensions, json=json))


async def _embed(gate: AsyncHeadgate, texts: Sequence[str], model: str, dimensions: int | None, *, json: bool) -> None:
    async with gate:
        answer = await gate.embed(texts, model=model, dimensions=dimensions)
    encode = msgspec.json.Encoder().encode
    for index, vector in enumerate(answer.vectors):
        put(encode({"index": index, "embedding": vector} if json else vector).decode())
    tell(answer)
