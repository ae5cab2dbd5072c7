"""`headgate ask`: one question from the command line, through the same gate as every other call."""

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from headgate.cli import piped
from headgate.cli.drawing import draw
from headgate.cli.telling import facts, tell
from headgate.cli.voice import ConfigFile, Json, LocalModel, Simulate, configuration, put, write
from headgate.client.asynchronous import AsyncHeadgate
from headgate.client.picture import Picture
from headgate.client.response import Piece
from headgate.core.errors import BadRequestError, HeadgateError

_ADDRESSES = ("https://", "http://", "data:")


def ask(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The question; `-` reads it from stdin.")],
    model: Annotated[str | None, typer.Option("--model", "-m", help="A name of the configuration.")] = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="Instructions before the question.")] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=1, help="Longest answer, in tokens.")] = None,
    attach: Annotated[
        list[str] | None,
        typer.Option("--attach", metavar="FILE", help="A picture to ask about: a file, or its URL; may be repeated."),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            "--image", metavar="FILE", help="Draw a picture into this file (`-`: stdout) instead of answering."
        ),
    ] = None,
    stream: Annotated[bool, typer.Option("--stream/--whole", help="Show words as they come.")] = True,
    json: Json = False,
    config: ConfigFile = None,
    simulate: Simulate = False,
    local: LocalModel = False,
) -> None:
    """Ask one question and print the answer.

    Who answered and what it cost goes to stderr. With `--image` the answer is a picture, and what is attached is what
    shall be changed.
    """
    text = piped.text() if prompt == "-" else prompt
    if not text.strip():
        raise BadRequestError("The question is empty.", hint="Write it as an argument, or pipe it in with `-`.")
    loaded = configuration(config, simulate=simulate, local=local)
    gate = AsyncHeadgate(loaded.config)
    pictures: list[Picture] = [one if one.lower().startswith(_ADDRESSES) else Path(one) for one in attach or ()]
    if image is not None:
        if system is not None or max_tokens is not None:
            option = "--max-tokens" if system is None else "--system"
            raise BadRequestError(
                f"{option} means nothing to a picture.", hint="Leave it out, or say it in the prompt."
            )
        asyncio.run(draw(gate, text, image, model=model, edit=pictures, json=json))
        return
    options: dict[str, object] = {"model": model, "system": system, "max_tokens": max_tokens, "images": pictures}
    given = {name: value for name, value in options.items() if value is not None}
    asyncio.run(_ask(gate, text, given, streamed=stream and not json, json=json))


async def _ask(gate: AsyncHeadgate, text: str, options: dict[str, object], *, streamed: bool, json: bool) -> None:
    async with gate:
        if streamed:
            piece = Piece()
            try:
                async for piece in gate.stream(text, **options):  # type: ignore[arg-type]
                    write(piece.text)
            except HeadgateError:
                if piece.text:
                    put("")
                raise
            put("")
            tell(piece)
            return
        reply = await gate.generate_response(text, **options)  # type: ignore[arg-type]
        if json:
            put(
                msgspec.json.encode({"text": reply.text, "finish_reason": reply.finish_reason, **facts(reply)}).decode()
            )
            return
        put(reply.text)
        tell(reply)
