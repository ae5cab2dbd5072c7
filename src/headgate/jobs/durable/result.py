"""What came of a job: its output, put together from the part files of its shards.

Decides in which order lines are given (the input's), and how a line is read again; refuses to know who wants them.
"""

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from headgate.core.errors import HeadgateError
from headgate.core.money import from_usd
from headgate.jobs.part import Part, peek
from headgate.jobs.row import Lane, Outcome, Trouble
from headgate.stores.jobs import JobBook, JobRecord


async def lines(book: JobBook, job: JobRecord) -> AsyncGenerator[list[bytes], None]:
    """The lines of the output, shard by shard: one for each row that has its outcome by now.

    Raises:
        StoreError: the store cannot be asked.
        HeadgateError: there is no room for a shard on this machine's disk.
    """
    with TemporaryDirectory(prefix="headgate-") as folder:
        path = Path(folder) / "shard.part"
        for place in range(job.shards):
            end = 0
            with path.open("wb") as file:
                async for start, data in book.pieces(job.id, place):
                    if start != end:
                        message = f"The part of the job {job.id!r} from row shard {place} on has a gap in the store."
                        raise HeadgateError(message, code="output_error")
                    end += file.write(data)
            if end:
                yield await asyncio.to_thread(_sorted, path)


def _sorted(path: Path) -> list[bytes]:
    head = peek(path)
    assert head is not None, "a part file begins with its head"
    part = Part.open(path, head.spec, job=head.job)
    try:
        made = path.with_name("shard.out")
        part.finish(made, in_order=True, complete=False)
        with made.open("rb") as file:
            return file.readlines()
    finally:
        part.close()


async def write(book: JobBook, job: JobRecord, output: Path) -> int:
    """Write the output; what is there is replaced, in one step. Gives how many lines it has.

    Raises:
        StoreError: the store cannot be asked.
        HeadgateError: it cannot be written.
    """
    made, number = output.with_name(output.name + ".new"), 0
    try:
        with made.open("wb") as file:
            async for found in lines(book, job):
                file.writelines(found)
                number += len(found)
            file.flush()
            os.fsync(file.fileno())
        made.replace(output)
    except OSError as error:
        message = f"`{output}` cannot be written: {error.strerror}."
        raise HeadgateError(message, code="output_error", hint="Every answer is in the store: make room.") from None
    return number


class _Response(msgspec.Struct):
    status_code: int | None = None
    request_id: str | None = None
    body: msgspec.Raw = msgspec.Raw()


class _Facts(msgspec.Struct):
    row: int
    cost_usd: str | None
    lane: Lane
    attempts: int = 0
    cached: bool = False
    error_class: str | None = None
    latency_ms: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Line(msgspec.Struct):
    custom_id: str
    headgate: _Facts
    response: _Response | None = None
    error: Trouble | None = None


_LINE = msgspec.json.Decoder(_Line)


def read(line: bytes) -> Outcome:
    """A line of an output as the outcome that it tells."""
    said = _LINE.decode(line)
    facts, response = said.headgate, said.response
    return Outcome(
        id=said.custom_id,
        number=facts.row,
        lane=facts.lane,
        status=None if response is None else response.status_code,
        body=None if response is None else bytes(response.body),
        error=said.error,
        request_id=None if response is None else response.request_id,
        cost=None if facts.cost_usd is None else from_usd(facts.cost_usd),
        attempts=facts.attempts,
        cached=facts.cached,
        latency_ms=facts.latency_ms,
        error_class=facts.error_class,
        prompt_tokens=facts.prompt_tokens,
        completion_tokens=facts.completion_tokens,
    )
