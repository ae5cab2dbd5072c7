"""A child process: started when it is needed, watched, started again after a rest, ended for good."""

import asyncio
import logging
import os
import re
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from headgate.core.errors import StoppingError, TimeoutError, UnreachableError  # noqa: A004  the house's word
from headgate.core.secret import Secret
from headgate.gate.ports import SystemClock
from headgate.providers.local import process as module
from headgate.providers.local.process import Address, Process

HERE = Address(4321, Secret("abc123"))
LISTENING = """
import sys
print('headgate-local {"port": 4321, "key": "abc123"}', flush=True)
"""
UNTIL_THE_END = "sys.stdin.buffer.read()\n"
GOOD = LISTENING + UNTIL_THE_END
CRASHING = "import sys; sys.stderr.write('out of memory\\n'); sys.exit(3)"


def soon(seconds=20.0):
    """A deadline that a healthy child meets."""
    return SystemClock().monotonic() + seconds


@asynccontextmanager
async def closed_after(process):
    """The process, closed in the end whatever happens."""
    try:
        yield process
    finally:
        await process.close()


def pid(process):
    """The child's number."""
    return process._life._transport.get_pid()


def exists(number):
    """Whether there is a process of that number, be it a zombie."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


async def until(fact):
    """Wait for a fact that comes by itself."""
    async with asyncio.timeout(20):
        while not fact():  # noqa: ASYNC110  the kernel sets no event
            await asyncio.sleep(0.005)


def test_nothing_is_started_before_it_is_needed(child):
    """Making one costs nothing; closing one that never was is fine."""

    async def story():
        process = child(GOOD)
        assert process.address is None
        await process.close()
        assert process.births() == 0

    asyncio.run(story())


def test_all_who_wait_get_the_one_child(child):
    """The first one starts it, the others wait with it; afterwards the address is there without waiting."""

    async def story():
        async with closed_after(child(GOOD)) as process:
            assert await asyncio.gather(*(process.start(soon()) for _ in range(5))) == [HERE] * 5
            assert (process.address, process.births()) == (HERE, 1)
            assert "abc123" not in repr(process.address)

    asyncio.run(story())


def test_what_else_is_said_on_stdout_is_noise(child, caplog):
    """Lines that announce nothing are logged, whatever bytes they hold, and in pieces or without an end."""
    caplog.set_level(logging.DEBUG, "headgate.local")
    noise = "import sys; sys.stdout.buffer.write(b'hello\\n\\xff\\n\\n' + b'x' * 300000); sys.stdout.flush()\n"
    text = f"{noise}print('\\nheadgate-loc', end='', flush=True)\nimport time; time.sleep(0.05)\n"
    rest = """print('al {"port": 4321, "key": "abc123"}')\nprint('more', flush=True)\n"""

    async def story():
        async with closed_after(child(text + rest + UNTIL_THE_END)) as process:
            assert await process.start(soon()) == HERE
            await until(lambda: "more" in caplog.messages)

    asyncio.run(story())
    assert caplog.messages[:2] == ["hello", "\ufffd"]
    assert "abc123" not in caplog.text


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "not json abc123",
        '{"port": 0, "key": "abc123"}',
        '{"port": 70000, "key": "abc123"}',
        '{"port": "x", "key": "abc123"}',
        '{"port": 4321, "key": ""}',
        '{"port": 4321, "key": "abc\\\\r\\\\nx: y"}',
        "\\xff",
    ],
)
def test_a_bad_announcement_ends_the_child(child, line):
    """Who announces nonsense cannot be trusted with calls. Its words are not repeated: a key may be in them."""
    text = f"import sys; sys.stdout.buffer.write(b'''headgate-local {line}\\n'''); sys.stdout.flush()\n"

    async def story():
        async with closed_after(child(text + UNTIL_THE_END)) as process:
            with pytest.raises(UnreachableError, match="did not say where it listens, and was ended") as caught:
                await process.start(soon())
            assert "abc" not in caught.value.message
            assert (process.address, exists(pid(process))) == (None, False)

    asyncio.run(story())


def test_a_slow_start_is_waited_for_until_the_deadline_and_goes_on(child, tmp_path):
    """Who cannot wait is told so; the child is not started anew for the next one."""
    go = tmp_path / "go"
    slow = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.005)\n{GOOD}"

    async def story():
        async with closed_after(child(slow)) as process:
            with pytest.raises(TimeoutError, match="still being started"):
                await process.start(soon(0.05))
            with pytest.raises(TimeoutError, match="still being started"):
                await process.start(soon(-1))
            go.touch()
            assert await process.start(soon()) == HERE
            assert process.births() == 1

    asyncio.run(story())


def test_a_child_that_never_announces_is_ended(child, monkeypatch):
    """Not even a model that hangs while it is loaded hangs for ever."""
    monkeypatch.setattr(module, "START_SECONDS", 0.2)

    async def story():
        async with closed_after(child("import sys\n" + UNTIL_THE_END)) as process:
            with pytest.raises(UnreachableError, match=r"not ready 0\.2 s after its start"):
                await process.start(soon())

    asyncio.run(story())


def test_a_crash_at_the_start_tells_the_last_words(child):
    """The error has the status and what the child had to say; those who come while it rests are told both, at once."""

    async def story():
        async with closed_after(child(CRASHING)) as process:
            with pytest.raises(UnreachableError) as caught:
                await process.start(soon())
            expected = (
                r"The local model ended with status 3 \(it said: out of memory\). It is started again in [01]\S* s\."
            )
            assert re.fullmatch(expected, caught.value.message)
            with pytest.raises(UnreachableError, match=expected) as later:
                await process.start(soon())
            assert 0 < later.value.retry_after < caught.value.retry_after <= 1
            assert process.births() == 1

    asyncio.run(story())


def test_after_a_rest_it_is_started_again_and_each_crash_makes_the_rest_longer(child, monkeypatch):
    """1, 2, 4 … up to the longest; a child that ran long enough makes the next crash a first one."""
    now = 1000.0
    monkeypatch.setattr(SystemClock, "monotonic", lambda _: now)
    rests = []

    async def story():
        nonlocal now
        async with closed_after(child(CRASHING)) as process:
            for _ in range(8):
                with pytest.raises(UnreachableError):
                    await process.start(now + 20)
                with pytest.raises(UnreachableError, match="again in"):
                    await process.start(now + 20)
                rests.append(process._rest_until - now)
                now = process._rest_until
            assert process.births() == 8
            monkeypatch.setattr(module, "STEADY_SECONDS", 0.0)
            with pytest.raises(UnreachableError):
                await process.start(now + 20)
            assert process._crashes == 1

    asyncio.run(story())
    assert rests == [1, 2, 4, 8, 16, 16, 16, 16]


def test_a_crash_later_is_noticed_without_anybody_asking(child, monkeypatch):
    """The address is gone as soon as the child is, no zombie stays, and the next one is another child."""
    monkeypatch.setattr(module, "FIRST_REST", 0.0)

    async def story():
        async with closed_after(child(GOOD)) as process:
            await process.start(soon())
            first = pid(process)
            os.kill(first, signal.SIGSEGV)
            await until(lambda: process.address is None)
            assert not exists(first)
            assert await process.start(soon()) == HERE
            assert pid(process) != first

    asyncio.run(story())


def test_a_signal_is_named(child):
    """Who was ended from outside (by the kernel, short of memory) is told apart from who ended by itself."""
    text = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"

    async def story():
        async with closed_after(child(text)) as process:
            with pytest.raises(UnreachableError, match=r"^The local model was ended by signal 9\. It is"):
                await process.start(soon())

    asyncio.run(story())


def test_only_the_last_words_are_kept(child):
    """A child that talks for ever fills no memory: so many lines, so many characters."""
    text = "import sys\nfor n in range(1000): sys.stderr.write(f'{n} ' + 'x' * 2000 + '\\n')\nsys.exit(1)"

    async def story():
        async with closed_after(child(text)) as process:
            with pytest.raises(UnreachableError, match="999") as caught:
                await process.start(soon())
            assert "994" not in caught.value.message
            assert len(caught.value.message) < 2000

    asyncio.run(story())


def test_a_program_that_is_not_there(tmp_path):
    """What cannot be started is an error with the reason."""

    async def story():
        process = Process([str(tmp_path / "none")], clock=SystemClock())
        with pytest.raises(UnreachableError, match="cannot be started: No such file"):
            await process.start(soon())
        await process.close()

    asyncio.run(story())


def test_closing_ends_the_child_for_good(child):
    """Even one that listens to no signal; no zombie stays, and no other one is started. Twice is fine."""
    deaf = "import signal; [signal.signal(n, signal.SIG_IGN) for n in (signal.SIGTERM, signal.SIGINT)]\n"

    async def story():
        process = child(deaf + GOOD)
        await process.start(soon())
        number = pid(process)
        await process.close()
        assert not exists(number)
        await process.close()
        with pytest.raises(StoppingError):
            await process.start(soon())
        assert process.births() == 1

    asyncio.run(story())


def test_closing_while_it_starts(child):
    """Who waits for the child is told that the gate stops, not that the model failed."""

    async def story():
        process = child("import sys\n" + UNTIL_THE_END)
        waiting = asyncio.get_running_loop().create_task(process.start(soon()))
        await until(lambda: process._life is not None)
        await process.close()
        with pytest.raises(StoppingError):
            await waiting

    asyncio.run(story())


def test_who_leaves_while_it_starts_leaves_it_to_the_others(child):
    """A call that is cancelled takes neither the child nor the others with it."""

    async def story():
        async with closed_after(child("import time; time.sleep(0.1)\n" + GOOD)) as process:
            first = asyncio.get_running_loop().create_task(process.start(soon()))
            second = asyncio.get_running_loop().create_task(process.start(soon()))
            await until(lambda: process._life is not None)
            first.cancel()
            assert await second == HERE
            assert (first.cancelled(), process.births()) == (True, 1)

    asyncio.run(story())


PARENT = """
import asyncio, sys
from headgate.gate.ports import SystemClock
from headgate.providers.local.process import Process
async def main():
    process = Process(sys.argv[1:], clock=SystemClock())
    await process.start(SystemClock().monotonic() + 20)
    print(process._life._transport.get_pid(), flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def test_the_end_of_the_parent_is_the_end_of_the_child(tmp_path):
    """Killed without a chance to say goodbye, the parent leaves no orphan: its stdin was the child's leash."""
    program, gone = tmp_path / "program.py", tmp_path / "gone"
    program.write_text(f"{GOOD}open({str(gone)!r}, 'w').close()")
    command = [sys.executable, "-c", PARENT, sys.executable, str(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        number = int(parent.stdout.readline())
        assert exists(number)
        parent.kill()

    async def story():
        await until(gone.exists)

    asyncio.run(story())
    assert Path(gone).exists()
