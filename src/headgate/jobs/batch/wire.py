"""The Batch API as calls through the gate: files up and down, batches made, looked at, ended and found again.

Decides how a request is spelled and an answer is read; refuses to know what a batch is for and what follows from its
state. A job's own files and batches are the house's: whose rows they are is told by the lines in the ledger. Files are
read line by line as they come, so their size does not matter.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from headgate.core.call import ANONYMOUS, Call, Caller, Operation, Origin
from headgate.core.errors import GarbledError, InterruptedError  # noqa: A004  the house's word
from headgate.core.upload import Form, Part, Stretch, Upload
from headgate.dialects import endpoints
from headgate.dialects.openai_fields import UNREADABLE
from headgate.gate.gate import Gate

T = TypeVar("T")

MARK = "headgate"
"""The name under which a batch's metadata has its mark."""
PARENT = "batches"
"""On whose behalf the ledger says that the house asks: no caller's call is behind it."""
CREATING_SECONDS = 60.0
"""How long the making of a batch is waited for."""
LONGEST_LINE = 64 * 1024 * 1024
"""Bytes of one line of a file."""
MOST_PAGES = 100
"""Pages of a list that are looked through."""
_SLACK = 3600.0
"""Seconds by which the provider's clock may be behind ours."""


class Flaw(msgspec.Struct, frozen=True):
    """What is wrong with a file, or with one of its lines.

    Attributes:
        code, message: as the provider has them.
        line: from 1; None where the file as a whole is meant.
    """

    code: str | None = None
    message: str | None = None
    line: int | None = None


class _Flaws(msgspec.Struct, frozen=True):
    data: list[Flaw] = []


class Remote(msgspec.Struct, frozen=True):
    """A batch as the provider tells of it.

    Attributes:
        id, status: of it.
        endpoint, model: what its rows ask, and whom.
        created_at: seconds since 1970.
        output_file_id, error_file_id: what came out of it so far.
        errors: what is wrong with its input.
        metadata: what it was given along.
    """

    id: str
    status: str
    endpoint: str | None = None
    model: str | None = None
    created_at: float | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: _Flaws | None = None
    metadata: Mapping[str, Any] | None = None

    @property
    def flaws(self) -> list[Flaw]:
        """What is wrong with its input."""
        return self.errors.data if self.errors is not None else []


class _File(msgspec.Struct, frozen=True):
    id: str
    filename: str | None = None
    created_at: float | None = None


class _Batches(msgspec.Struct, frozen=True):
    data: list[Remote]
    has_more: bool | None = None


class _Files(msgspec.Struct, frozen=True):
    data: list[_File]
    has_more: bool | None = None


_REMOTE = msgspec.json.Decoder(Remote)
_FILE = msgspec.json.Decoder(_File)
_BATCHES = msgspec.json.Decoder(_Batches)
_FILES = msgspec.json.Decoder(_Files)


class Wire:
    """The API.

    Args:
        gate: that everything passes.
        caller: whose the objects are; the house's own belong to nobody.
        parent: on whose behalf the ledger says that the house asks.
    """

    def __init__(self, gate: Gate, *, caller: Caller = ANONYMOUS, parent: str = PARENT) -> None:
        self._gate = gate
        self._caller = caller
        self._parent = parent

    async def upload(self, provider: str, name: str, rows: Stretch) -> str:
        """Give the provider a file of rows; gives its id.

        Args:
            provider: whom.
            name: of the file.
            rows: what is in it.

        Raises:
            HeadgateError: it could not be given, here and below.
        """
        boundary = self._gate.batching.chance.token()
        head = f'content-disposition: form-data; name="file"; filename="{name}"\r\ncontent-type: application/jsonl\r\n'
        purpose = b'content-disposition: form-data; name="purpose"\r\n'
        form = Form([Part("purpose", purpose, b"batch"), Part("file", head.encode(), rows, is_file=True)], boundary)
        raw = await self._asked(provider, Operation.FILES, "POST", "/files", form)
        return _read(_FILE, raw, "a file").id

    async def find_file(self, provider: str, name: str, since: float) -> str | None:
        """The id of a file of that name that was given to the provider after some time; None where there is none."""
        after = None
        for _ in range(MOST_PAGES):
            query = {"purpose": "batch", "limit": "10000", **({"after": after} if after else {})}
            raw = await self._asked(provider, Operation.FILES, "GET", "/files", query=query)
            page = _read(_FILES, raw, "a list of files")
            found = [file.id for file in page.data if file.filename == name]
            if found:
                return found[0]
            if not page.data or not page.has_more or (page.data[-1].created_at or 0) < since - _SLACK:
                return None
            after = page.data[-1].id
        return None

    async def create(self, provider: str, *, file: str, endpoint: str, mark: str, job: str) -> Remote:
        """Make a batch. What its rows may cost has been set aside, and what they did cost will be booked."""
        body = {
            "input_file_id": file,
            "endpoint": endpoint,
            "completion_window": "24h",
            "metadata": {MARK: mark, "job": job[:512]},
        }
        raw = await self._asked(
            provider, Operation.BATCHES, "POST", "/batches", msgspec.json.encode(body), seconds=CREATING_SECONDS
        )
        return _read(_REMOTE, raw, "a batch")

    async def look(self, provider: str, name: str) -> Remote:
        """How a batch stands."""
        raw = await self._asked(provider, Operation.BATCHES, "GET", f"/batches/{name}")
        return _read(_REMOTE, raw, "a batch")

    async def cancel(self, provider: str, name: str) -> Remote:
        """Have a batch ended; what it has answered by then stays."""
        raw = await self._asked(provider, Operation.BATCHES, "POST", f"/batches/{name}/cancel")
        return _read(_REMOTE, raw, "a batch")

    async def find(self, provider: str, mark: str, since: float) -> list[Remote]:
        """The batches of a mark, the oldest first: one, or none. Those older than `since` are not looked at."""
        found: list[Remote] = []
        after = None
        for _ in range(MOST_PAGES):
            query = {"limit": "100", **({"after": after} if after else {})}
            raw = await self._asked(provider, Operation.BATCHES, "GET", "/batches", query=query)
            page = _read(_BATCHES, raw, "a list of batches")
            found += [batch for batch in page.data if batch.metadata and batch.metadata.get(MARK) == mark]
            if not page.data or not page.has_more or (page.data[-1].created_at or 0) < since - _SLACK:
                break
            after = page.data[-1].id
        return found[::-1]

    async def lines(self, provider: str, file: str) -> AsyncGenerator[bytes, None]:
        """The lines of a file, without those that are empty.

        Raises:
            InterruptedError: the file broke off.
            GarbledError: one of its lines is longer than any line.
        """
        call = self._call(provider, Operation.FILES, "GET", f"/files/{file}/content")
        rest: list[bytes] = []
        size = 0
        async with await self._gate(call) as reply:
            async for event in reply:
                *ended, last = event.raw.split(b"\n")
                if size + len(ended[0] if ended else last) > LONGEST_LINE:
                    raise GarbledError(f"A line of the file {file!r} is longer than {LONGEST_LINE // 1024**2} MB.")
                for end in ended:
                    line = b"".join([*rest, end]) if rest else end
                    rest, size = [], 0
                    if line.strip():
                        yield line
                if last:
                    rest.append(last)
                    size += len(last)
        if (line := b"".join(rest)).strip():
            yield line

    async def _asked(
        self,
        provider: str,
        operation: Operation,
        method: str,
        path: str,
        body: bytes | Upload = b"",
        *,
        query: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> bytes:
        call = self._call(provider, operation, method, path, body, query=query, seconds=seconds)
        async with await self._gate(call) as reply:
            return (await reply.read()).raw

    def _call(
        self,
        provider: str,
        operation: Operation,
        method: str,
        path: str,
        body: bytes | Upload = b"",
        *,
        query: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> Call:
        found = endpoints.find(method, path, urlencode(query) if query else "")
        call = self._gate.call(operation, body, found=found, timeout=seconds, caller=self._caller)
        return msgspec.structs.replace(
            call, account=provider, prepaid=True, origin=Origin.INTERNAL, parent=self._parent
        )


async def read_again(wire: Wire, provider: str, file: str) -> AsyncGenerator[bytes, None]:
    """The lines of a file, from its beginning again where it broke off: who reads knows what it has seen.

    Raises:
        HeadgateError: it cannot be read, not even at the third time.
    """
    for again in (True, True, False):
        try:
            async with aclosing(wire.lines(provider, file)) as lines:
                async for line in lines:
                    yield line
        except InterruptedError:
            if not again:
                raise
        else:
            return


def _read(decoder: "msgspec.json.Decoder[T]", raw: bytes, what: str) -> T:
    try:
        return decoder.decode(raw)
    except UNREADABLE:
        raise GarbledError(f"The provider's answer is not {what}.") from None
