"""Own: what a provider keeps for a caller belongs to the tenant that made it, and lives in the account that made it.

Decides who may name a file, a batch, an upload or a response, and which account a call that names one goes to; refuses
to know what these objects are. What others made does not exist for a caller, and a list shows a caller its own.

What the rows of a batch name is looked at when their file comes: later only the provider reads them.

A caller without a key is alone in the house, or is its operator: objects that nobody in the house has made are not
hidden from it. For the holder of a key they do not exist.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlencode

import msgspec

from headgate.core.body import Body, ObjectReader
from headgate.core.call import OBJECTS, Call, Operation
from headgate.core.errors import APIError, BadRequestError, NotAllowedError, UnknownObjectError
from headgate.core.policy import Handler
from headgate.core.reply import Event, Kind, Reply
from headgate.core.upload import Form, Part, Stretch
from headgate.dialects.openai_objects import Entry, Page, read_page, write_page
from headgate.dialects.openai_rows import row_names
from headgate.stores.records import Owner

RECENT = 10_000
"""Objects that are remembered until the books have them."""
DEFAULT_LIMIT = {Operation.FILES: 10_000, Operation.BATCHES: 20}
MOST = {Operation.FILES: 10_000, Operation.BATCHES: 100}
"""Objects that one page of a list may show."""
MOST_PAGES = 100
"""Pages of a provider that one list is put together from."""
_PIECE = 1024 * 1024
"""Bytes of a file that are read at once."""
_NONE_HERE = frozenset((404, 405, 501))

Owners = Callable[[Sequence[str]], Awaitable[Mapping[str, Owner]]]
MAKERS = OBJECTS | {Operation.RESPONSES}


class _Purpose(msgspec.Struct, gc=False):
    purpose: Any = None


_PURPOSE = ObjectReader(_Purpose)


class Own:
    """The policy.

    Args:
        owners: finds the owners of objects on the books, by id.
        accounts: the providers that have an operation, in the order in which they are asked for a list.
    """

    def __init__(self, owners: Owners, accounts: Callable[[Operation], Sequence[str]]) -> None:
        self._owners = owners
        self._accounts = accounts
        self._recent: OrderedDict[str, Owner] = OrderedDict()

    def __call__(self, call: Call, next: Handler) -> Awaitable[Reply]:  # noqa: A002  the field's word
        """Send a call that names objects to the account that keeps them.

        Raises:
            UnknownObjectError: one of them does not exist for this caller.
            BadRequestError: they live in several accounts.
            NotAllowedError: the key's models are limited, and a batch could ask any; or a batch comes in parts.
        """
        return self._owned(call, next) if call.names or call.operation in MAKERS else next(call)

    async def _owned(self, call: Call, next: Handler) -> Reply:  # noqa: A002  ditto
        if call.operation is Operation.BATCHES and call.caller.models is not None:
            message = "This key may ask for certain models only, and nobody could see which ones a batch asks for."
            raise NotAllowedError(message, hint="Use a key without `models` for batches.")
        if call.caller.tenant is not None and (rows := _rows(call)) is not None:
            named = await asyncio.to_thread(row_names, rows)
            call = msgspec.structs.replace(call, names=(*call.names, *named))
        if call.names:
            # Who has written down where it is knows it even where the books do not: what was made by a lost attempt.
            call = msgspec.structs.replace(call, account=await self._account(call) or call.account)
        if call.address is not None and call.address.listing:
            return await self._list(call, next)
        reply = await next(call)
        if call.operation in MAKERS:
            reply.watch(lambda event: self._remember(call, reply, event))
        return reply

    def _remember(self, call: Call, reply: Reply, event: Event) -> None:
        if event.made and reply.target is not None:
            owner = Owner(call.caller.tenant, reply.target.provider)
            for name in event.made:
                # The first owner stays: nobody becomes one by naming what another has made.
                self._recent.setdefault(name, owner)
            while len(self._recent) > RECENT:
                self._recent.popitem(last=False)

    async def _account(self, call: Call) -> str | None:
        """The account that keeps what a call names; None where nobody knows, and the caller may try."""
        tenant = call.caller.tenant
        owners = await self._find(call.names, tenant)
        accounts: set[str] = set()
        for name in call.names:
            owner = owners.get(name)
            if (owner is None and tenant is not None) or (owner is not None and owner.tenant != tenant):
                hint = "It was never made through this gateway, or with `store: false`, or by another project."
                raise UnknownObjectError(f"There is no object {name!r} here.", param="id", hint=hint)
            if owner is not None:
                accounts.add(owner.provider)
        if len(accounts) > 1:
            names = ", ".join(sorted(accounts))
            message = f"The objects that this call names live in several accounts ({names})."
            raise BadRequestError(message, code="several_accounts", hint="Upload them to one account.")
        return accounts.pop() if accounts else None

    async def _find(self, names: Sequence[str], tenant: str | None) -> dict[str, Owner]:
        found = {name: self._recent[name] for name in names if name in self._recent}
        # The books are asked for what others have made lately, too: it takes as long as for what nobody has made.
        rest = [name for name in names if name not in found or found[name].tenant != tenant]
        return {**found, **await self._owners(rest)} if rest else found

    async def _list(self, call: Call, next: Handler) -> Reply:  # noqa: A002  ditto
        """A list of what the caller may see, account by account."""
        assert call.address is not None
        query = {name: values[-1] for name, values in parse_qs(call.address.query).items()}
        limit = _limit(query.get("limit"), call.operation)
        accounts = list(self._accounts(call.operation)) if call.account is None else [call.account]
        if after := query.pop("after", None):
            owner = await self._account(msgspec.structs.replace(call, names=(after,)))
            accounts = accounts[accounts.index(owner) :] if owner in accounts else accounts
        entries: list[Entry] = []
        last: Reply | None = None
        pages = 0
        while accounts and len(entries) <= limit and pages < MOST_PAGES:
            pages += 1
            asked = query | {"limit": str(MOST[call.operation])} | ({"after": after} if after else {})
            address = msgspec.structs.replace(call.address, query=urlencode(asked))
            try:
                last = await next(msgspec.structs.replace(call, address=address, account=accounts[0]))
            except APIError as error:
                # One that has no such lists has none of the caller's objects; unless it is the only one.
                if after or error.answer is None or error.answer.status not in _NONE_HERE:
                    raise
                accounts.pop(0)
                if not accounts and last is None:
                    raise
                continue
            async with last:
                page = read_page((await last.read()).raw)
            ends = page.entries[-1].id if page.entries else None
            # A server that knows no pages gives the same one again.
            if ends != after:
                entries += await self._visible(call, page.entries)
            after = ends if page.more and ends != after else None
            if after is None:
                accounts.pop(0)
        more = len(entries) > limit or bool(accounts)
        shown = Event(kind=Kind.TERMINAL, raw=write_page(Page(entries[:limit], more)))
        reply = Reply([shown], target=last.target if last else None)
        if last is not None:
            reply.attempts, reply.simulated = last.attempts, last.simulated
        return reply

    async def _visible(self, call: Call, entries: Sequence[Entry]) -> list[Entry]:
        tenant = call.caller.tenant
        owners = await self._find([entry.id for entry in entries], tenant)
        nobodys = Owner(None, "")
        return [
            entry
            for entry in entries
            if (tenant is None or entry.id in owners) and owners.get(entry.id, nobodys).tenant == tenant
        ]


def _rows(call: Call) -> Iterator[bytes] | None:
    """The rows of a batch that a call uploads, piece by piece; None where it uploads none. Reading them may block."""
    body = call.body
    if isinstance(body, Form):
        if call.operation is Operation.FILES and any(_for_batch(part) for part in body.parts):
            return _pieces(body)
    elif (
        call.operation is Operation.UPLOADS
        and isinstance(body, Body)
        and body.size
        and _PURPOSE.read(body.raw).purpose == "batch"
    ):
        message = "A batch that comes in parts cannot be looked at before the provider has it."
        raise NotAllowedError(message, param="purpose", hint="Send the file whole, to `/v1/files`.")
    return None


def _for_batch(part: Part) -> bool:
    # A purpose that we cannot read as text, the provider might.
    return part.name == "purpose" and (isinstance(part.data, Stretch) or part.data.strip().lower() == b"batch")


def _pieces(form: Form) -> Iterator[bytes]:
    for part in form.parts:
        if part.is_file and isinstance(part.data, bytes):
            yield part.data
        elif isinstance(part.data, Stretch):
            read, start, size = part.data
            for at in range(start, start + size, _PIECE):
                yield read(min(_PIECE, start + size - at), at)
        yield b"\n"


def _limit(value: str | None, operation: Operation) -> int:
    if value is None:
        return DEFAULT_LIMIT[operation]
    if not (value.isascii() and value.isdigit()) or not 1 <= int(value) <= MOST[operation]:
        message = f"`limit` is {value[:20]!r}; it takes 1 to {MOST[operation]}."
        raise BadRequestError(message, param="limit")
    return int(value)
