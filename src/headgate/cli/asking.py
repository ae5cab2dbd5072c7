"""`headgate ask`: one question from the command line, through the same gate as every other call."""

import asyncio
import sys
from typing import Annotated

import msgspec
import typer

from headgate.cli.voice import ConfigFile, Json, LocalModel, Simulate, configuration, put, say, write
from headgate.client.asynchronous import AsyncHeadgate
from headgate.client.response import ModelResponse, Piece
from headgate.core.errors import BadRequestError, HeadgateError
from headgate.core.money import from_usd, show_usd


def ask(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The question; `-` reads it from stdin.")],
    model: Annotated[str | None, typer.Option("--model", "-m", help="A name of the configuration.")] = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="Instructions before the question.")] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=1, help="Longest answer, in tokens.")] = None,
    stream: Annotated[bool, typer.Option("--stream/--whole", help="Show words as they come.")] = True,
    json: Json = False,
    config: ConfigFile = None,
    simulate: Simulate = False,
    local: LocalModel = False,
) -> None:
    """Ask one question and print the answer.

    Who answered and what it cost goes to stderr.
    """
    text = _piped() if prompt == "-" else prompt
    if not text.strip():
        raise BadRequestError("The question is empty.", hint="Write it as an argument, or pipe it in with `-`.")
    loaded = configuration(config, simulate=simulate, local=local)
    options: dict[str, object] = {"model": model, "system": system, "max_tokens": max_tokens}
    given = {name: value for name, value in options.items() if value is not None}
    asyncio.run(_ask(AsyncHeadgate(loaded.config), text, given, streamed=stream and not json, json=json))


def _piped() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise BadRequestError(
            f"What was piped in is not UTF-8 (byte {error.start}).", hint="Convert it, with `iconv` for example."
        ) from None


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
            _tell(piece)
            return
        reply = await gate.generate_response(text, **options)  # type: ignore[arg-type]
        if json:
            facts = {
                "text": reply.text,
                "model": reply.model,
                "provider": reply.provider,
                "finish_reason": reply.finish_reason,
                "prompt_tokens": reply.usage.prompt_tokens,
                "completion_tokens": reply.usage.completion_tokens,
                "cost_usd": None if reply.cost_usd is None else show_usd(from_usd(reply.cost_usd)),
                "request_id": reply.request_id,
                "simulated": reply.simulated,
            }
            put(msgspec.json.encode(facts).decode())
            return
        put(reply.text)
        _tell(reply)


def _tell(answer: ModelResponse | Piece) -> None:
    """Who answered, and what it cost."""
    tokens = answer.usage.total_tokens if answer.usage else 0
    cost = "unknown" if answer.cost_usd is None else f"${answer.cost_usd:f}"
    simulated = ", simulated" if answer.simulated else ""
    say(f"[{answer.provider}/{answer.model}, {tokens} tokens, cost {cost}{simulated}]")
