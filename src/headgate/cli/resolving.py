"""`headgate usage resolve`: somebody has found out what nobody knew."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal, InvalidOperation
from typing import Annotated, TypeVar

import msgspec
import typer

from headgate.cli.books import books
from headgate.cli.keys import me
from headgate.cli.voice import FAILED, ConfigFile, Json, complain, configuration, put, say
from headgate.core.errors import BadRequestError, UnknownObjectError
from headgate.core.money import from_usd, show_usd
from headgate.gate.gate import Gate
from headgate.stores.records import AttemptRow
from headgate.stores.report import row_json

T = TypeVar("T")


def resolve(
    call: Annotated[str | None, typer.Argument(help="Id of the call, or the request id that its caller got.")] = None,
    attempt: Annotated[int | None, typer.Option("--attempt", help="Which, where several are unknown.")] = None,
    cost_usd: Annotated[str | None, typer.Option("--cost-usd", help="It was billed, and cost so much.")] = None,
    not_billed: Annotated[bool, typer.Option("--not-billed", help="It was not billed.")] = False,
    lost: Annotated[
        str | None, typer.Option("--lost", help="Instead: end the loans of this process, which will not come back.")
    ] = None,
    json: Json = False,
    path: ConfigFile = None,
) -> None:
    """Say how an attempt has ended, of which nobody knew. Its budgets and all sums follow, once."""
    if lost is not None:
        if call is not None or attempt is not None or cost_usd is not None or not_billed:
            raise BadRequestError("--lost is about a process, not about a call.", hint="Leave the others out.")
        loans = _with_gate(path, lambda gate: gate.spending.end_loans(lost, me()))
        if json:
            facts = [{"name": name, "window": window, "lent_usd": show_usd(usd)} for name, window, usd in loans]
            put(msgspec.json.encode({"owner": lost, "ended": facts}).decode())
        for name, window, amount in () if json else loans:
            say(f"${show_usd(amount)} of the budget {name!r} ({window}) are no longer lent to {lost}.")
        return
    if call is None:
        raise BadRequestError("No call is named.", hint="`headgate usage --unknown` lists what can be resolved.")
    if (cost_usd is None) != not_billed:
        raise BadRequestError("How did it end?", hint="Say either --cost-usd 0.0123 or --not-billed.")
    cost = None if cost_usd is None else _dollars(cost_usd)
    row: AttemptRow = _with_gate(path, lambda gate: gate.resolve(call, attempt, cost, me()))
    if json:
        put(msgspec.json.encode(row_json(row)).decode())
    else:
        ended = "not billed" if cost is None else f"billed at ${show_usd(cost)}"
        say(f"Attempt {row.attempt} of call {row.call_id} was {ended}.")


def _dollars(text: str) -> int:
    try:
        amount = Decimal(text)
        if amount.is_finite() and 0 <= amount < 10**7:
            return from_usd(amount)
    except InvalidOperation:
        pass
    raise BadRequestError(f"--cost-usd {text!r} is no sum of dollars.", hint="Write it as 0.0123; it may be 0.")


def _with_gate(path: ConfigFile, work: Callable[[Gate], Awaitable[T]]) -> T:
    config = books(configuration(path, serving=False).config)

    async def story() -> T:
        async with await Gate.open(config) as gate:
            return await work(gate)

    try:
        return asyncio.run(story())
    except UnknownObjectError as error:
        # Nothing is wrong with the command: there is no such attempt.
        complain(error)
        raise typer.Exit(FAILED) from None
