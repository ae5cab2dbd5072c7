"""The configuration is read again while a server runs."""

import asyncio
import os
import signal

import pytest

from headgate.core.errors import ConfigError
from headgate.gate.load import load
from headgate.server.reloading import INTERVAL, Source, reloading
from headgate.testing import VirtualClock, virtual_time

CONFIG = load(None, environment={}, simulate=True).config


class Server:
    """Goes on with whatever it gets, or refuses it."""

    def __init__(self):
        self.changes, self.said, self.refuses = [], [], None

    async def change(self, config):
        if self.refuses is not None:
            raise self.refuses
        self.changes.append(config)

    async def until(self, lines):
        """So many things were said."""
        async with asyncio.timeout(10):
            while len(self.said) < lines:  # noqa: ASYNC110  a thread says it
                await asyncio.sleep(0.01)


def test_a_signal_reads_it_again():
    """What is read is gone on with; what is wrong, here or there, is said, and nothing else happens."""
    server = Server()

    async def story():
        async with reloading(Source(lambda: CONFIG), server.change, say=server.said.append, clock=VirtualClock()):
            os.kill(os.getpid(), signal.SIGHUP)
            await server.until(1)
            server.refuses = ConfigError("`store` cannot change.", hint="Start anew.")
            os.kill(os.getpid(), signal.SIGHUP)
            await server.until(2)

    asyncio.run(story())
    assert server.changes == [CONFIG]
    assert server.said[0].startswith("the configuration was exchanged; its generation is ")
    assert server.said[1] == "the configuration stays as it was:\n`store` cannot change.\nStart anew."


def test_a_configuration_that_is_wrong_changes_nothing():
    """What is wrong with it is said."""
    server = Server()

    def read():
        raise ConfigError("headgate.yaml:1: not valid YAML.")

    async def story():
        async with reloading(Source(read), server.change, say=server.said.append, clock=VirtualClock()):
            os.kill(os.getpid(), signal.SIGHUP)
            await server.until(1)

    asyncio.run(story())
    assert server.changes == []
    assert server.said == ["the configuration stays as it was:\nheadgate.yaml:1: not valid YAML."]


def test_nothing_stays_behind():
    """Neither the handler of the signal nor a task."""

    async def story():
        async with reloading(Source(lambda: CONFIG), Server().change, say=print, clock=VirtualClock()):
            pass
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL

    asyncio.run(story())


@pytest.mark.parametrize("way", ["written", "exchanged"])
def test_a_file_that_changes_is_noticed(way, tmp_path):
    """Once it stays the same for a moment; while it is away, or half written, nothing is read."""
    path = tmp_path / "headgate.yaml"
    path.write_text("a")
    server, seen = Server(), []

    def read():
        seen.append(path.read_text())
        return CONFIG

    async def story():
        source = Source(read, path)
        async with reloading(source, server.change, say=server.said.append, clock=VirtualClock()):
            await asyncio.sleep(2.5 * INTERVAL)
            assert not seen
            if way == "exchanged":
                path.unlink()
                await asyncio.sleep(3 * INTERVAL)
                path.write_text("c")
            else:
                path.write_text("b")
                await asyncio.sleep(INTERVAL)
                assert not seen
                path.write_text("c")
            await asyncio.sleep(3 * INTERVAL)
            assert seen == ["c"]
            os.utime(path, (1, 1))
            await asyncio.sleep(3 * INTERVAL)
            assert seen == ["c"]

    virtual_time(story())
    assert server.changes == [CONFIG]


def test_what_nobody_foresaw_does_not_end_it(caplog):
    """It is logged and said, and the next configuration is read."""
    server, reads = Server(), []

    def read():
        reads.append(1)
        if len(reads) == 1:
            raise MemoryError
        return CONFIG

    async def story():
        async with reloading(Source(read), server.change, say=server.said.append, clock=VirtualClock()):
            os.kill(os.getpid(), signal.SIGHUP)
            await server.until(1)
            os.kill(os.getpid(), signal.SIGHUP)
            await server.until(2)

    asyncio.run(story())
    assert server.changes == [CONFIG]
    assert server.said[0] == "the configuration could not be exchanged; the log says why"
    assert caplog.records[0].exc_info[0] is MemoryError


def test_what_is_no_file_holds_nobody(tmp_path):
    """A pipe in the place of the file is not opened: whoever opens one waits for somebody who writes."""
    path = tmp_path / "headgate.yaml"
    path.write_text("a")
    server = Server()

    async def story():
        async with reloading(Source(lambda: CONFIG, path), server.change, say=server.said.append, clock=VirtualClock()):
            await asyncio.sleep(1.5 * INTERVAL)
            path.unlink()
            os.mkfifo(path)
            await asyncio.sleep(3 * INTERVAL)
            path.unlink()
            path.write_text("b")
            await asyncio.sleep(3 * INTERVAL)

    virtual_time(story())
    assert server.changes == [CONFIG]
