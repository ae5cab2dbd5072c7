"""Covers server/figures.py: what is read of a gate, and that it can travel."""

import asyncio

import msgspec

from headgate.core.call import Operation
from headgate.core.errors import HeadgateError
from headgate.gate.config import Config
from headgate.server.figures import Figures, Reader
from headgate.testing import virtual_time

BODY = b'{"model": "%s", "messages": [{"role": "user", "content": "Hello"}]}'
LIMITED = {"p": {"type": "simulator", "limits": {"requests_per_minute": 60}}}


def process():
    """What the system says."""
    return {"process_resident_memory_bytes": 2.5e6}


async def ask(gate, *models):
    """Ask each of them, whatever becomes of it."""
    for model in models:
        try:
            async with await gate(gate.call(Operation.CHAT, BODY % model.encode())) as reply:
                await reply.read()
        except HeadgateError:
            pass


def on_a_gate(simulated_gate, story, **settings):
    """Run a story with a gate."""

    async def whole():
        async with simulated_gate(**settings) as gate:
            return await story(gate)

    return virtual_time(whole())


def test_limits_are_what_headers_told(simulated_gate):
    """Of targets that the configuration names; those that callers make up have limits, too, and are left out."""

    async def story(gate):
        await ask(gate, "gpt-6-luna", "gpt-6-sol")
        return Reader(gate, process).read().limits

    limits = on_a_gate(simulated_gate, story, providers=LIMITED)
    assert limits == {("p", "gpt-6-luna", "requests"): (60.0, 59.0)}


def test_a_journal_in_memory_has_no_backlog_in_bytes(simulated_gate):
    """And all stores are up."""

    async def story(gate):
        now = Reader(gate, process).read()
        return now.backlog, now.journal_up, now.store_up, now.shared_up

    assert on_a_gate(simulated_gate, story) == (None, True, True, True)


def test_a_journal_in_a_file_has(simulated_gate, tmp_path):
    """What was written and is not booked yet."""
    settings = {"store": f"sqlite:///{tmp_path}/a.db", "journal": {"path": str(tmp_path / "journal")}}

    async def story():
        async with simulated_gate(**settings) as gate:
            await ask(gate, "gpt-6-luna")
            return Reader(gate, process).read().backlog

    assert asyncio.run(story()) > 100


def test_a_store_that_is_away_is_told_of(simulated_gate):
    """At the next look."""

    async def story(gate):
        async def health():
            return {"status": "down", "kind": "memory", "error": "gone"}

        gate._ledger.health = health
        before = Reader(gate, process).read().store_up
        await asyncio.sleep(6)
        return before, Reader(gate, process).read().store_up

    assert on_a_gate(simulated_gate, story) == (True, False)


def test_the_generation_is_that_of_now(simulated_gate):
    """Another one after a change of the configuration, and names that it brings are counted by themselves."""

    async def story(gate):
        reader = Reader(gate, process)
        before = reader.read()
        models = {"new": {"targets": [{"provider": "p", "model": "gpt-6-sol"}]}}
        await gate.change(Config.model_validate({**gate.config.model_dump(), "models": models}))
        await ask(gate, "new", "newer")
        return before.generation, reader.read()

    generation, now = on_a_gate(simulated_gate, story)
    assert now.generation != generation
    assert now.counts.models["new"].took.number == 1
    assert now.counts.targets["p", "gpt-6-sol"].billed == 1
    assert now.breakers["p", "gpt-6-sol"] == 0


def test_they_can_travel(simulated_gate):
    """To another worker, through a file."""

    async def story(gate):
        await ask(gate, "gpt-6-luna")
        return Reader(gate, process).read()

    now = on_a_gate(simulated_gate, story, providers=LIMITED)
    assert now.process == process()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(now), type=Figures) == now
