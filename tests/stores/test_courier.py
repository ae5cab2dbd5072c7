"""The courier against a real Valkey: batches, what the server has forgotten, and every way of being away."""

import asyncio
import signal
import time

import pytest

from headgate.core.errors import ConfigError
from headgate.stores.courier import PATIENCE, AwayError, Courier, Message

SCRIPTS = (
    "return {KEYS[1], ARGV[1]}",
    "return redis.call('INCRBY', KEYS[1], ARGV[1])",
    "return redis.error_reply('NOPE no')",
)

pytestmark = pytest.mark.e2e


def say(script, argument="1"):
    """A message."""
    return Message(script, ("k",), (argument,))


def tell(url, story):
    """A story with a courier."""

    async def inside():
        courier = Courier(url, SCRIPTS)
        try:
            await story(courier)
        finally:
            await courier.close()

    asyncio.run(inside())


def test_a_batch_in_its_order(valkey):
    """Each message has its answer, in order; the server's run has a name."""

    async def story(courier):
        assert len(await courier.open()) == 40
        assert await courier.carry([say(1), say(0, b"\x00\xff"), say(1, "5")]) == [1, [b"k", b"\x00\xff"], 6]
        assert await courier.carry([say(1, "0")] * 2000) == [6] * 2000

    tell(valkey.url, story)


def test_forgotten_scripts_run_once(valkey):
    """What was not found is loaded and run; what was found is not run again."""

    async def story(courier):
        await courier.open()
        valkey.ask("SCRIPT", "FLUSH")
        assert await courier.carry([say(1), say(1)]) == [1, 2]
        assert valkey.ask("GET", "k") == b"2"

    tell(valkey.url, story)


def test_a_server_that_cannot_is_away(valkey):
    """An error of the server's is as good as silence, and the courier says which."""

    async def story(courier):
        await courier.open()
        with pytest.raises(AwayError, match="NOPE no"):
            await courier.carry([say(2), say(1)])
        with pytest.raises(AwayError, match="Not connected"):
            await courier.carry([say(1)])
        await courier.open()
        assert await courier.carry([say(1)]) == [2]

    tell(valkey.url, story)


def test_silence_is_noticed(own_valkey):
    """A server that does not answer is away after `PATIENCE`; a loop that was busy itself does not count as silence."""

    async def story(courier):
        own_valkey.start()
        await courier.open()
        loop = asyncio.get_running_loop()
        loop.call_later(0.001, time.sleep, PATIENCE * 1.5)
        own_valkey.ask("SET", "k", "0")
        assert await courier.carry([say(1)]) == [1]
        own_valkey.send(signal.SIGSTOP)
        began = loop.time()
        with pytest.raises(AwayError, match=r"no answer within 0\.25 s"):
            await courier.carry([say(1)])
        assert PATIENCE * 0.9 < loop.time() - began < PATIENCE + 0.3
        own_valkey.send(signal.SIGCONT)
        await courier.open()
        own_valkey.send(signal.SIGSTOP)
        began = loop.time()
        with pytest.raises(AwayError):
            await courier.carry([say(0, "x" * 100_000)] * 100)  # more than fits on the way
        assert loop.time() - began < PATIENCE + 0.3
        own_valkey.send(signal.SIGCONT)
        await courier.open()
        own_valkey.kill()
        with pytest.raises(AwayError):
            await courier.carry([say(1)])
        with pytest.raises(AwayError):
            await courier.open()

    tell(own_valkey.url, story)


@pytest.mark.parametrize("url", ["memcached://h", "redis://user:hunter2/x@h", "redis://h/0?socket_timeout=hunter2"])
def test_an_address_that_is_none(url):
    """Said when the courier is made, without what may be a password."""
    with pytest.raises(ConfigError, match="no address of a Redis") as error:
        Courier(url, SCRIPTS)
    assert "hunter2" not in f"{error.value} {error.value.hint}"
