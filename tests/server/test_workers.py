"""Who watches over workers, with small programs in their place; real ones are in `tests/chaos/test_workers.py`."""

import asyncio
import os
import signal

import pytest

from headgate.core.errors import ConfigError, HeadgateError
from headgate.gate.config import Config
from headgate.gate.ports import SystemClock
from headgate.server import workers
from headgate.server.workers import Workers

SERVES = """echo '{"banner": "up"}'; exec cat > /dev/null"""


@pytest.fixture(autouse=True)
def _brief(monkeypatch):
    """Pauses that a test can wait for."""
    monkeypatch.setattr(workers, "FIRST_PAUSE", 0.001)


async def watch(script, act=None, *, many=2, command=None):
    """Workers that run a script; `act` is told what was said, and when it ends, they end: what was said."""
    said, stop = [], asyncio.Event()
    config = Config.model_validate({"server": {"workers": many, "shutdown_grace": 3}})
    command = command or ("/bin/sh", "-c", script)
    some = Workers(config, 4000, say=said.append, clock=SystemClock(), command=command)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        running = group.create_task(_caught(some, stop))
        if act is not None:
            await act(some, said)
            stop.set()
        error = await running
    assert not some._alive
    return said, error


async def _caught(some, stop):
    try:
        await some.run(stop)
    except HeadgateError as error:
        return error
    return None


async def until(true):
    """Wait until something has come true."""
    while not true():  # noqa: ASYNC110  programs tell of nothing
        await asyncio.sleep(0.005)


def test_all_are_up_and_one_that_dies_is_started_again():
    """The banner is told once, when all of them serve; the one that was killed is back, and all end when told to."""
    pids = []

    async def act(some, said):
        await until(lambda: "up" in said)
        pids.extend(process.pid for process in some._alive.values())
        os.kill(some._alive[2].pid, signal.SIGKILL)
        await until(lambda: len(said) == 3)

    said, error = asyncio.run(watch(SERVES, act))
    assert error is None
    assert said[:2] == ["up", f"worker 2 (pid {pids[1]}) was ended by signal 9; it is started again in 0.001 s"]
    assert said[2].startswith("worker 2 is back (pid ")
    assert said[3:] == ["headgate stops; answers in flight have 3 s"]


def test_workers_that_die_again_and_again_are_given_up():
    """With pauses that grow; the error says how the last one died."""
    said, error = asyncio.run(watch("exit 3", many=1))
    assert [line.rpartition(" in ")[2] for line in said] == ["0.001 s", "0.002 s", "0.004 s", "0.008 s"]
    assert type(error) is HeadgateError
    assert error.message.startswith("The workers die again and again; the last one (pid ")
    assert error.message.endswith(" ended with status 3.")


def test_nothing_is_given_up_while_one_serves(tmp_path):
    """The others are tried on and on."""

    async def act(_, said):
        await until(lambda: len(said) >= 8)

    script = f"mkdir {tmp_path}/taken 2> /dev/null || exit 3; {SERVES}"
    said, error = asyncio.run(watch(script, act))
    assert error is None
    assert "up" not in said, "not all of them are"


def test_a_configuration_that_cannot_be_used_is_told_at_once():
    """As one process would tell it: once, with the cure; nothing is tried again."""
    script = """echo '{"trouble": "No such store.", "hint": "Make one."}'; exit 2"""
    said, error = asyncio.run(watch(script))
    assert said == []
    assert type(error) is ConfigError
    assert (error.message, error.hint) == ("No such store.", "Make one.")


def test_trouble_that_comes_later_ends_nobody():
    """A store that is away when a worker comes back: it is tried again, and what is wrong is told."""

    async def act(some, said):
        await until(lambda: "up" in said)
        some._command = ("/bin/sh", "-c", """echo '{"trouble": "It is away."}'; exit 2""")
        os.kill(some._alive[1].pid, signal.SIGKILL)
        await until(lambda: len(said) == 4)

    said, error = asyncio.run(watch(SERVES, act))
    assert error is None
    assert "ended with status 2: It is away.; it is started again in 0.002 s" in said[2]


def test_a_program_that_is_not_there():
    """It counts as one that died."""
    said, error = asyncio.run(watch("", command=("/nonexistent",), many=1))
    assert said[0] == "worker 1 cannot be started: No such file or directory; it is started again in 0.001 s"
    assert "again and again" in error.message


def test_they_can_be_killed():
    """For whoever does not want to wait."""

    async def act(some, said):
        await until(lambda: "up" in said)
        some.kill()
        await until(lambda: any("signal 9" in line for line in said))

    _, error = asyncio.run(watch(SERVES, act))
    assert error is None


def test_one_that_stands_still_keeps_nobody_from_a_change():
    """However long the order is, and whoever does not read it."""
    keys = [{"name": f"k{number}", "sha256": f"{number:064x}"} for number in range(4000)]

    async def act(some, said):
        await until(lambda: "up" in said)
        config = Config.model_validate({"server": {"workers": 2, "shutdown_grace": 3}, "keys": keys})
        async with asyncio.timeout(5):
            await some.change(config)

    said, error = asyncio.run(watch("""echo '{"banner": "up"}'; exec sleep 30""", act))
    assert error is None
    assert said == ["up", "headgate stops; answers in flight have 3 s"]
