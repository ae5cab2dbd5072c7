"""Several processes that answer at one address (`server.workers`), and who watches over them.

Decides how workers are started, what becomes of one that has died, and how all of them end; refuses to know what they
do. Each listens for itself at the address that they share, and the system deals connections out to those that do: a
worker gets none before it is up, and none once it is dead. A dead worker is started again, after a pause that grows
while workers die young. Workers that die young again and again while none of the others serves are given up.
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable

import msgspec

from headgate.core.clock import Clock
from headgate.core.errors import ConfigError, HeadgateError
from headgate.gate.config import Config
from headgate.gate.made import check_staying
from headgate.server.worker import Order, Word, dumped

YOUNG = 10.0
"""Seconds; who dies before this was not well from the start."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0
MOST_FAILURES = 5
"""Starts of one worker that may fail in a row while nobody serves."""
_LONGEST_WORD = 1 << 22
_COMMAND = (sys.executable, "-P", "-m", "headgate.server.worker")


class Workers:
    """The processes of one server.

    Args:
        config: what they serve.
        port: where all of them listen, at `server.host`.
        say: told what a person should know.
        clock: tells how long a worker has lived.
        command: what starts a worker.
    """

    def __init__(
        self,
        config: Config,
        port: int,
        *,
        say: Callable[[str], None],
        clock: Clock,
        command: tuple[str, ...] = _COMMAND,
    ) -> None:
        self._config = config
        self._port = port
        self._say = say
        self._clock = clock
        self._command = command
        self._alive: dict[int, asyncio.subprocess.Process] = {}
        self._serving: set[int] = set()
        self._complete = False
        self._trouble: HeadgateError | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Keep all of them alive until `stop` is set; then let them end, and wait for it.

        Raises:
            ConfigError: the configuration cannot be used, as the first worker found out.
            HeadgateError: they die again and again.
        """
        async with asyncio.TaskGroup() as keepers:
            for number in range(1, self._config.server.workers + 1):
                keepers.create_task(self._keep(number, stop))
            await stop.wait()
            if self._trouble is None:
                self._say(f"headgate stops; answers in flight have {self._config.server.shutdown_grace:g} s")
            for process in self._alive.values():
                _send(process.terminate)
        if self._trouble is not None:
            raise self._trouble

    async def change(self, config: Config) -> None:
        """Have all of them go on with another configuration, and those that are started from now on begin with it.

        Raises:
            ConfigError: something changes that cannot change while they run.
        """
        check_staying(self._config, config)
        self._config = config
        for number in list(self._serving):
            process = self._alive[number]
            assert process.stdin is not None
            # Nobody waits until it was read: one that stands still must not keep the others from their orders.
            process.stdin.write(dumped(Order(config=config, port=self._port, number=number)))

    def kill(self) -> None:
        """End them at once."""
        for process in self._alive.values():
            _send(process.kill)

    async def _keep(self, number: int, stop: asyncio.Event) -> None:
        """Start one worker, and another one whenever it has died."""
        failures = 0
        while not stop.is_set():
            born = self._clock.monotonic()
            fate, word = await self._live(number, stop)
            if stop.is_set():
                return
            failures = failures + 1 if self._clock.monotonic() - born < YOUNG else 1
            if word.trouble and not self._complete and not self._serving:
                self._give_up(ConfigError(word.trouble, hint=word.hint), stop)
                return
            if failures >= MOST_FAILURES and not self._serving:
                message = f"The workers die again and again; the last one {fate}."
                self._give_up(HeadgateError(message, hint="What they said before is above."), stop)
                return
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures - 1, 10))
            self._say(f"worker {number} {fate}; it is started again in {pause:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)

    def _give_up(self, trouble: HeadgateError, stop: asyncio.Event) -> None:
        # The first one counts: all of them may have found the same.
        self._trouble = self._trouble or trouble
        stop.set()

    async def _live(self, number: int, stop: asyncio.Event) -> tuple[str, Word]:
        """One life of a worker: how it ended, and what it said."""
        pipe = asyncio.subprocess.PIPE
        try:
            # A session of its own: Ctrl-C reaches the terminal's processes at once, and we tell the workers ourselves.
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=pipe, stdout=pipe, limit=_LONGEST_WORD, start_new_session=True
            )  # fmt: skip
        except OSError as error:
            return f"cannot be started: {error.strerror or error}", Word()
        self._alive[number] = process
        if stop.is_set():
            _send(process.terminate)
        try:
            word = await self._introduced(process, number)
            code = await process.wait()
        finally:
            self._serving.discard(number)
            del self._alive[number]
            assert process.stdin is not None
            process.stdin.close()
        how = f"(pid {process.pid}) " + (f"was ended by signal {-code}" if code < 0 else f"ended with status {code}")
        return how + (f": {word.trouble}" if word.trouble else ""), word

    async def _introduced(self, process: asyncio.subprocess.Process, number: int) -> Word:
        """Give a worker its order, and hear what it says to that; nothing where it dies first."""
        assert process.stdin is not None
        assert process.stdout is not None
        config = self._config
        order = dumped(Order(config=config, port=self._port, number=number))
        with contextlib.suppress(ConnectionError):
            process.stdin.write(order)
            await process.stdin.drain()
        said = await process.stdout.readline()
        word = msgspec.json.decode(said, type=Word) if said.endswith(b"\n") else Word()
        if word.banner:
            self._serving.add(number)
            if config is not self._config:
                # It was exchanged while this one began.
                process.stdin.write(dumped(Order(config=self._config, port=self._port, number=number)))
            if self._complete:
                self._say(f"worker {number} is back (pid {process.pid})")
            elif len(self._serving) == self._config.server.workers:
                self._complete = True
                self._say(word.banner)
        return word


def _send(signal: Callable[[], None]) -> None:
    # It may have ended at this very moment.
    with contextlib.suppress(ProcessLookupError):
        signal()
