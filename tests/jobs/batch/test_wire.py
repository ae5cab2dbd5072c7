"""Covers jobs/batch/wire.py: the Batch API through the gate, and files that break off."""

import pytest

from headgate.core.errors import GarbledError, InterruptedError  # noqa: A004  the house's word
from headgate.core.upload import Stretch
from headgate.jobs.batch import wire
from headgate.jobs.batch.packing import write_line
from headgate.jobs.batch.wire import Wire, read_again
from headgate.stores.protocols import Query
from tests.jobs.batch.conftest import row

CHAT = "/v1/chat/completions"
CONTENT = b"".join(write_line(row(number)) for number in range(1, 4))


def stretch(content=CONTENT):
    """A file in memory."""
    return Stretch(lambda size, at: content[at : at + size], 0, len(content))


def test_files_and_batches_go_to_the_account_that_is_named(stage):
    """Though it is not the first one; the ledger says that the house asked, and that it was free."""

    async def story(made):
        api = Wire(await made.start())
        file = await api.upload("sim", "headgate-x.jsonl", stretch())
        assert [line async for line in api.lines("sim", file)] == CONTENT.splitlines()
        batch = await api.create("sim", file=file, endpoint=CHAT, mark="x", job="j" * 600)
        assert (batch.status, batch.metadata["headgate"], len(batch.metadata["job"])) == ("validating", "x", 512)
        assert (await api.look("sim", batch.id)).id == batch.id
        assert (await api.cancel("sim", batch.id)).status == "cancelling"
        assert [one.id for one in await api.find("sim", "x", 0.0)] == [batch.id]
        assert await api.find("sim", "y", 0.0) == []
        assert await api.find_file("sim", "headgate-x.jsonl", 0.0) == file
        assert await api.find_file("sim", "headgate-y.jsonl", 0.0) is None
        lines = [line async for line in made.gate.rows(Query())]
        assert {(line.provider, line.parent, line.cost, line.settled) for line in lines} == {
            ("sim", "batches", 0, "billed")
        }
        total, _ = await made.gate.usage(Query())
        assert total.calls == 0

    stage(story)


def test_a_mark_is_looked_for_on_every_page_that_may_have_it(stage):
    """Newest first; what is older than the mark is not looked at."""

    async def story(made):
        api = Wire(await made.start())
        file = await api.upload("sim", "a.jsonl", stretch())
        for number in range(103):
            await api.create("sim", file=file, endpoint=CHAT, mark=f"m{number}", job="j")
        assert len(await api.find("sim", "m0", 0.0)) == 1
        assert await api.find("sim", "m0", made.gate.batching.clock.time() + 3700) == []

    stage(story)


def test_lines_are_whole_however_the_bytes_are_cut(stage, monkeypatch):
    """A large file comes in pieces; empty lines are none; a line without an end is one."""
    content = b"\n".join([b"x" * 100_000, b"", b"y" * 300_000, b"  ", b"z"])

    async def story(made):
        api = Wire(await made.start())
        file = made.simulator._archive._shelf.put("user_data", "a", [content]).id
        assert [(line[:1], len(line)) async for line in api.lines("sim", file)] == [
            (b"x", 100_000), (b"y", 300_000), (b"z", 1),
        ]  # fmt: skip
        monkeypatch.setattr(wire, "LONGEST_LINE", 200_000)
        with pytest.raises(GarbledError, match="longer than"):
            [line async for line in api.lines("sim", file)]

    stage(story)


def test_a_file_that_breaks_off_is_read_again(stage, monkeypatch):
    """From its beginning, twice at most."""

    async def story(made):
        api = Wire(await made.start())
        whole, tries = Wire.lines, []

        async def breaking(self, provider, file):
            tries.append(file)
            async for line in whole(self, provider, file):
                yield line
                if len(tries) < breaks:
                    raise InterruptedError("cut")

        monkeypatch.setattr(Wire, "lines", breaking)
        file = await api.upload("sim", "a.jsonl", stretch())
        breaks = 3
        found = [line async for line in read_again(api, "sim", file)]
        assert found == [CONTENT.splitlines()[0]] * 2 + CONTENT.splitlines()
        tries.clear()
        breaks = 4
        with pytest.raises(InterruptedError):
            [line async for line in read_again(api, "sim", file)]
        assert len(tries) == 3

    stage(story)
