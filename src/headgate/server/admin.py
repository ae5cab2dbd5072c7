"""The admin routes: keys, budgets, and what is done by hand.

Decides who may administer and how that is answered; refuses to know how keys are made (the gate's issuer does). They
are closed without `server.admin_key`. The key stands in a header and nowhere else: no page that somebody visits can
send it. Whatever changes anything is written down with the address that it came from.
"""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse

from headgate.core.errors import BadRequestError, TooLargeError
from headgate.core.money import from_usd
from headgate.gate import bodies, caching, present, usage_query
from headgate.gate.gate import Gate
from headgate.gate.issuing import Issued, Who
from headgate.gate.ports import SystemClock
from headgate.gate.values import seconds
from headgate.server.auth import check_admin
from headgate.server.intake import read_head
from headgate.stores.keys import Note
from headgate.stores.report import budget_json, iso, row_json, usage_json

PREFIX = "/admin"
MOST_BODY = 64 * 1024
"""Bytes of a request's body."""
MOST_NOTES = 1000
"""Notes that are told at once."""
MOST_COST = 10**6
"""Dollars that one attempt may have cost."""
_FRESH = {"cache-control": "no-store"}
"""Nobody between here and there may keep a key."""
_SECURED: dict[str, Any] = {"security": [{"admin": []}]}
_WISH = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/KeyWish"}}}}

_encode = msgspec.json.Encoder().encode


def routes(gate: Gate) -> APIRouter:
    """The routes of a gate."""

    async def admin(request: Request) -> Who:
        check_admin(gate.config.server.admin_key, read_head(request.scope))
        _check_parameters(request)
        return Who("admin key", request.client.host if request.client is not None else "unknown")

    router = APIRouter(prefix=PREFIX, tags=["admin"], dependencies=[Depends(admin)])
    Admin = Annotated[Who, Depends(admin)]  # noqa: N806  a type

    @router.post(
        "/keys",
        status_code=201,
        summary="Make a key",
        description="The answer holds the key, `hg-…`, this once.",
        openapi_extra={**_SECURED, "requestBody": {"required": True, **_WISH}},
    )
    async def create(request: Request, who: Admin) -> Response:
        issued = await gate.issuer.create(await _facts(request), who)
        await gate.keyring.refresh()
        return _issued(issued, 201)

    @router.get("/keys", summary="Keys", description="`?revoked=true`: also those that ended.", openapi_extra=_SECURED)
    async def every(*, revoked: bool = False) -> Response:
        return _answer({"object": "list", "data": await gate.issuer.all(revoked=revoked)})

    @router.get("/keys/{name}", summary="Key", description="What it is good for.", openapi_extra=_SECURED)
    async def show(name: str) -> Response:
        return _answer(await gate.issuer.show(name))

    @router.delete("/keys/{name}", summary="Revoke a key", description="It ends within 5 s.", openapi_extra=_SECURED)
    async def revoke(name: str, who: Admin) -> Response:
        told = await gate.issuer.revoke(name, who)
        await gate.keyring.refresh()
        return _answer(told)

    @router.post(
        "/keys/{name}/rotate",
        summary="Replace a key's value",
        description='The answer holds the new one this once. `{"grace": "1h"}`: the former one works so long.',
        openapi_extra=_SECURED,
    )
    async def rotate(name: str, request: Request, who: Admin) -> Response:
        issued = await gate.issuer.rotate(name, who, grace=_grace(await _facts(request)))
        await gate.keyring.refresh()
        return _issued(issued, 200)

    @router.get(
        "/audit", summary="Audit log", description="What was done by hand, the newest first.", openapi_extra=_SECURED
    )
    async def audit(limit: int = 100) -> Response:
        if not 0 < limit <= MOST_NOTES:
            raise BadRequestError(f"`limit` is {limit}; it may be 1 to {MOST_NOTES}.", param="limit")
        return _answer({"object": "list", "data": [_note(note) for note in await gate.keys.notes(limit)]})

    @router.delete(
        "/cache",
        summary="Forget answers",
        description="`?model=NAME` those of a model, `?tag=NAME=VALUE` those with a tag, neither: all of them.",
        openapi_extra=_SECURED,
    )
    async def forget(who: Admin, model: str | None = None, tag: str | None = None) -> Response:
        label = caching.label(model=model, tag=tag)
        told = {"forgotten": await gate.cache.purge(label)}
        now, subject = SystemClock().time(), label or "all answers"
        note = Note(time=now, actor=who.actor, origin=who.origin, action="purge", subject=subject, details=told)
        await gate.keys.tell(note)
        return _answer(told)

    _spending(router, gate, admin)
    return router


def _check_parameters(request: Request) -> None:
    """Refuse what a route does not take: `?modle=a` shall not purge every answer, nor `?sinse=1h` sum up all times."""
    known = [field.alias for field in request.scope["route"].dependant.query_params]
    for name in request.query_params:
        if name not in known:
            hint = f"It takes {', '.join(f'`{one}`' for one in known)}." if known else "It takes none."
            raise BadRequestError(f"`{name[:100]}` is not a parameter of this address.", param=name[:100], hint=hint)


def _spending(router: APIRouter, gate: Gate, admin: Callable[[Request], Awaitable[Who]]) -> None:
    Admin = Annotated[Who, Depends(admin)]  # noqa: N806  a type

    @router.get("/budgets", summary="Budgets", description="How each of them stands.", openapi_extra=_SECURED)
    async def budgets() -> Response:
        return _answer({"object": "list", "data": [budget_json(balance) for balance in await gate.budgets()]})

    @router.get(
        "/usage",
        summary="Usage",
        description="Sums, as `headgate usage --json` prints them: `?since=24h&by=model&where=project=team-a`; "
        "`only=unknown` or `only=exceeded` with `rows=true` for attempts line by line.",
        openapi_extra=_SECURED,
    )
    async def usage(
        by: Annotated[list[str], Query()] = [],  # noqa: B006  FastAPI copies it
        where: Annotated[list[str], Query()] = [],  # noqa: B006  FastAPI copies it
        since: str | None = None,
        until: str | None = None,
        only: Literal["unknown", "exceeded"] | None = None,
        *,
        rows: bool = False,
    ) -> Response:
        asked = usage_query.query(
            by=by, where=where, since=since, until=until, only=only, clock=SystemClock(), called="`{}`".format
        )
        if rows or only is not None:
            lines = (_encode(row_json(row)) + b"\n" async for row in gate.rows(asked))
            return StreamingResponse(lines, media_type="application/x-ndjson", headers=_FRESH)
        return _answer(usage_json(asked, *await gate.usage(asked)))

    @router.get(
        "/summary",
        summary="Summary",
        description="How the last `?minutes=60` went: healthy, degraded (with reasons) or no_data.",
        openapi_extra=_SECURED,
    )
    async def summary(minutes: float = 60) -> Response:
        return _answer((await gate.summaries.last(minutes)).facts())

    @router.post(
        "/usage/resolve",
        summary="Resolve an attempt",
        description='Say how it ended, where nobody knew: `{"call": "req_…", "attempt": 1, "cost_usd": "0.0123"}`, '
        "or `null` for an attempt that was not billed.",
        openapi_extra=_SECURED,
    )
    async def resolve(request: Request, who: Admin) -> Response:
        call, attempt, cost = _resolution(await _facts(request))
        return _answer(row_json(await gate.resolve(call, attempt, cost, who)))


def _resolution(facts: Mapping[str, Any]) -> tuple[str, int | None, int | None]:
    """Which attempt of which call, and its cost; None where it was not billed."""
    if unknown := next((name for name in facts if name not in {"call", "attempt", "cost_usd"}), None):
        hint = "It takes `call`, `attempt` and `cost_usd`."
        raise BadRequestError(f"`{unknown[:80]}` is no field of a resolution.", param=unknown, hint=hint)
    call, attempt = facts.get("call"), facts.get("attempt")
    if not isinstance(call, str):
        raise BadRequestError("`call` must be the id of a call.", param="call")
    if attempt is not None and type(attempt) is not int:
        raise BadRequestError("`attempt` must be a whole number.", param="attempt")
    if "cost_usd" not in facts:
        hint = 'Send `"cost_usd": "0.0123"`, or `null` for an attempt that was not billed.'
        raise BadRequestError("How did it end?", param="cost_usd", hint=hint)
    return call, attempt, None if facts["cost_usd"] is None else _cost(facts["cost_usd"])


def _cost(given: object) -> int:
    # As text: a JSON number may have lost digits on its way.
    try:
        amount = Decimal(given) if isinstance(given, str) else Decimal(-1)
        if amount.is_finite() and 0 <= amount < MOST_COST:
            return from_usd(amount)
    except InvalidOperation:
        pass
    raise BadRequestError("`cost_usd` is no sum of dollars.", param="cost_usd", hint='Write it as text: "0.0123".')


async def _facts(request: Request) -> Mapping[str, Any]:
    """The JSON object that was sent; an empty body is an empty one."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BODY:
            raise TooLargeError(f"The body is larger than {MOST_BODY // 1024} kB.", hint="Send less.")
    if not body:
        return {}
    bodies.check_json(request.headers.get("content-type"))
    try:
        facts = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError(f"The body is not JSON: {error}.", code="invalid_json") from None
    if not isinstance(facts, dict):
        raise BadRequestError("The body is not a JSON object.", code="invalid_json")
    return facts


def _grace(facts: Mapping[str, Any]) -> float:
    if unknown := next((name for name in facts if name != "grace"), None):
        raise BadRequestError(f"`{unknown[:80]}` is no field of a rotation.", param=unknown, hint="It takes `grace`.")
    try:
        value = seconds(facts.get("grace", 0.0))
        if isinstance(value, (int, float)):
            return float(value)
    except ValueError:
        pass
    raise BadRequestError("`grace` is no duration.", param="grace", hint="Write seconds, or text such as `1h`.")


def _issued(issued: Issued, status: int) -> Response:
    facts = {"key": issued.value.reveal(), **issued.told, "warnings": list(issued.warnings)}
    return _answer(facts, status)


def _answer(facts: Mapping[str, Any], status: int = 200) -> Response:
    return Response(_encode(facts), status, {"content-type": present.JSON, **_FRESH})


def _note(note: Note) -> dict[str, Any]:
    return {**msgspec.structs.asdict(note), "time": iso(note.time)}
