"""`headgate moderate`: what a moderation says of texts."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from headgate.cli import piped
from headgate.cli.table import show, table
from headgate.cli.telling import tell
from headgate.cli.voice import ConfigFile, Json, Simulate, configuration, put
from headgate.client.asynchronous import AsyncHeadgate
from headgate.client.moderation import Moderation
from headgate.gate.gate import MODERATION

LONGEST_TEXT = 60
"""Characters of a text that the table shows."""


def moderate(
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="The texts; `-` reads one per line of stdin.")],
    model: Annotated[str, typer.Option("--model", "-m", help="A name of the configuration.")] = MODERATION,
    json: Json = False,
    config: ConfigFile = None,
    simulate: Simulate = False,
) -> None:
    """Have texts judged for hate, violence and more.

    Shows for each text whether it is flagged and the category that scores highest; `--json` prints an object with all
    of them per line. That a text is flagged is no failure.
    """
    found = piped.lines(texts)
    gate = AsyncHeadgate(configuration(config, simulate=simulate).config)
    asyncio.run(_moderate(gate, found, model, json=json))


async def _moderate(gate: AsyncHeadgate, texts: Sequence[str], model: str, *, json: bool) -> None:
    async with gate:
        answer = await gate.moderate(texts, model=model)
    if json:
        encode = msgspec.json.Encoder().encode
        for index, result in enumerate(answer.results):
            put(encode({"index": index, **msgspec.structs.asdict(result)}).decode())
    else:
        flagged = sum(result.flagged for result in answer.results)
        rows = [_row(text, result) for text, result in zip(texts, answer.results, strict=True)]
        show(table("text", ["flagged", "most of all", "score"], rows, ["in all", f"{flagged} of {len(rows)}", "", ""]))
    tell(answer)


def _row(text: str, result: Moderation) -> list[str]:
    shown = text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
    name = max(result.scores, key=lambda name: result.scores[name], default="")
    return [shown, "yes" if result.flagged else "no", name, f"{result.scores[name]:.3f}" if name else ""]
