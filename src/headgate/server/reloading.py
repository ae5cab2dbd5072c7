"""The configuration is read again while the server runs: on SIGHUP, and when its file changes, where that is watched.

Decides when it is read and what is said of it; refuses to know how it is read and who goes on with it. A configuration
that is wrong changes nothing: what is wrong with it is said, and the old one stays.
"""

import asyncio
import contextlib
import hashlib
import logging
import signal
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from headgate.core.clock import Clock
from headgate.core.errors import HeadgateError
from headgate.gate.config import Config
from headgate.gate.document import MAX_BYTES
from headgate.gate.loaded import generation
from headgate.gate.tasks import Tasks

INTERVAL = 1.0
"""Seconds between two looks at a file that is watched."""
log = logging.getLogger("headgate.server")


class Source(NamedTuple):
    """Where a configuration comes from.

    Attributes:
        read: reads it anew; raises `ConfigError` where it is wrong.
        watched: its file, where a change of it is to be noticed.
    """

    read: Callable[[], Config]
    watched: Path | None = None


@asynccontextmanager
async def reloading(
    source: Source | None, change: Callable[[Config], Awaitable[None]], *, say: Callable[[str], None], clock: Clock
) -> AsyncIterator[None]:
    """Read it again whenever there is a reason to, as long as the context lasts.

    Args:
        source: where it comes from; None where it never changes.
        change: goes on with a new configuration; raises `HeadgateError` where it cannot.
        say: told what a person should know.
        clock: for the rhythm of watching.
    """
    if source is None:
        yield
        return
    wanted, loop, tasks = asyncio.Event(), asyncio.get_running_loop(), Tasks()
    with contextlib.suppress(NotImplementedError, AttributeError):
        loop.add_signal_handler(signal.SIGHUP, wanted.set)
    tasks.start(_follow(source, change, wanted, say), "reload")
    if source.watched is not None:
        tasks.start(_watch(source.watched, wanted, clock), "watch")
    try:
        yield
    finally:
        with contextlib.suppress(NotImplementedError, AttributeError):
            loop.remove_signal_handler(signal.SIGHUP)
        await tasks.close()


async def _follow(
    source: Source, change: Callable[[Config], Awaitable[None]], wanted: asyncio.Event, say: Callable[[str], None]
) -> None:
    while True:
        await wanted.wait()
        wanted.clear()
        try:
            config = await asyncio.to_thread(source.read)
            await change(config)
        except HeadgateError as error:
            say("\n".join(filter(None, ("the configuration stays as it was:", error.message, error.hint))))
        except Exception:
            # Nobody foresaw it; the next one is read all the same.
            log.exception("a configuration could not be read, or not gone on with")
            say("the configuration could not be exchanged; the log says why")
        else:
            say(f"the configuration was exchanged; its generation is {generation(config)}")


async def _watch(path: Path, wanted: asyncio.Event, clock: Clock) -> None:
    """Notice when the words of a file have changed, and stay the same from one look to the next."""
    known = before = await asyncio.to_thread(_digest, path)
    while True:
        await clock.sleep(INTERVAL)
        now = await asyncio.to_thread(_digest, path)
        # A file that is just being written, or exchanged, is left alone until that is done.
        if now is not None and now == before and now != known:
            known = now
            wanted.set()
        before = now


def _digest(path: Path) -> bytes | None:
    try:
        # What is no file may never end, and may never even begin: a pipe that nobody writes to holds its reader.
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with path.open("rb") as stream:
            # What is longer is refused, whatever else it says.
            return hashlib.sha256(stream.read(MAX_BYTES + 1)).digest()
    except OSError:
        return None
