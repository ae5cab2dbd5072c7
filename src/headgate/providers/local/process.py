"""The gate's side of the child process: starts it when it is first needed, notices its end, and ends it.

Decides when a new one is started: at the first call, and after a crash once it has rested, longer each time. Refuses to
know what the child does; all it expects is one line on stdout that says where the child listens. The child is told to
end by the end of its stdin, which comes by itself when this process dies.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from typing import cast

import msgspec

from headgate.core.clock import Clock
from headgate.core.errors import StoppingError, TimeoutError, UnreachableError  # noqa: A004  the house's word
from headgate.core.secret import Secret
from headgate.providers.local.worker import MARK

START_SECONDS = 120.0
"""How long a child may take to say where it listens."""
STEADY_SECONDS = 60.0
"""A child that ran for so long was sound: what follows counts as a first crash."""
FIRST_REST = 1.0
LONGEST_REST = 16.0
"""Seconds from a crash to the next start; twice as many after each further crash."""
END_SECONDS = 5.0
"""How long the end of a killed child is waited for."""
LAST_LINES = 5
LONGEST_LINE = 300
"""Of what a child said before it ended, so many lines and characters are told."""
_MOST = 64 * 1024
_MARK = MARK.encode()
_log = logging.getLogger("headgate.local")


class Address(msgspec.Struct, frozen=True):
    """Where a child listens on 127.0.0.1, and the key that it demands."""

    port: int
    key: Secret


class _Announcement(msgspec.Struct):
    port: int
    key: str


class Process:
    """A child process that is there when it is needed.

    Args:
        command: the program and its arguments.
        clock: for rests and deadlines.
    """

    def __init__(self, command: Sequence[str], *, clock: Clock) -> None:
        self._command = command
        self._clock = clock
        self._lock = asyncio.Lock()
        self._life: _Life | None = None
        self._crashes = 0
        self._rest_until = 0.0
        self._closed = False

    @property
    def address(self) -> Address | None:
        """Where the child listens; None while there is none that does."""
        return None if self._life is None else self._life.address

    async def start(self, deadline: float) -> Address:
        """Where the child listens, once it does; starts it if there is none.

        Args:
            deadline: until when to wait, on the monotonic clock. The child goes on starting after that.

        Raises:
            TimeoutError: it does not listen yet.
            UnreachableError: it cannot be started, has just ended, or rests after a crash.
            StoppingError: it was closed.
        """
        life = await self._living()
        await asyncio.wait([life.settled], timeout=max(0.0, deadline - self._clock.monotonic()))
        if life.address is not None:
            return life.address
        self._must_be_open()
        if not life.settled.done():
            raise TimeoutError("The local model is still being started.")
        raise self._resting(life)

    async def _living(self) -> "_Life":
        async with self._lock:
            self._must_be_open()
            life = self._life
            if life is not None:
                if life.ended is None:
                    return life
                error = self._resting(life)
                if error.retry_after:
                    raise error
            self._life = await self._born()
            return self._life

    async def _born(self) -> "_Life":
        life = _Life(self._clock)
        pipe = asyncio.subprocess.PIPE
        try:
            await asyncio.get_running_loop().subprocess_exec(
                lambda: life, *self._command, stdin=pipe, stdout=pipe, stderr=pipe
            )
        except OSError as error:
            raise UnreachableError(f"The local model cannot be started: {error.strerror or error}.") from None
        return life

    def _resting(self, life: "_Life") -> UnreachableError:
        """What is to be said of a child that has ended; it names the time until the next start."""
        now = self._clock.monotonic()
        if not life.counted:
            assert life.ended is not None, "its last word came after its end"
            life.counted = True
            self._crashes = 1 if life.ended - life.born >= STEADY_SECONDS else self._crashes + 1
            self._rest_until = life.ended + min(LONGEST_REST, FIRST_REST * 2.0 ** min(self._crashes - 1, 10))
        rest = max(0.0, self._rest_until - now)
        return UnreachableError(f"The local model {life.fate}. It is started again in {rest:.3g} s.", retry_after=rest)

    def _must_be_open(self) -> None:
        if self._closed:
            raise StoppingError("The local model is closed.")

    async def close(self) -> None:
        """End the child, and start no other one. Safe to call twice."""
        self._closed = True
        async with self._lock:
            if self._life is not None:
                await self._life.end()


class _Life(asyncio.SubprocessProtocol):
    """One child, from its start to its end.

    Attributes:
        address: where it listens, while it does.
        settled: done once it listens, or never will.
        born, ended: when, on the monotonic clock.
        counted: its end was taken note of.
    """

    def __init__(self, clock: Clock) -> None:
        loop = asyncio.get_running_loop()
        self._clock = clock
        self.address: Address | None = None
        self.settled: asyncio.Future[None] = loop.create_future()
        self._gone: asyncio.Future[None] = loop.create_future()
        self.born = clock.monotonic()
        self.ended: float | None = None
        self.counted = False
        self._why = ""
        self._words: deque[str] = deque(maxlen=LAST_LINES)
        self._unread = {1: b"", 2: b""}
        self._late = loop.call_later(
            START_SECONDS, self._give_up, f"was not ready {START_SECONDS:g} s after its start, and was ended"
        )

    @property
    def fate(self) -> str:
        """How it ended, with its last words."""
        code = self._transport.get_returncode()
        how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with status {code}"
        words = " | ".join(self._words)
        return (self._why or how) + (f" (it said: {words})" if words else "")

    async def end(self) -> None:
        """Kill it: it holds nothing that is worth keeping."""
        self._kill()
        await asyncio.wait([self._gone], timeout=END_SECONDS)
        self._transport.close()

    # -- what the loop tells -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It was started."""
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """It said something."""
        *lines, rest = (self._unread[fd] + data).split(b"\n")
        if len(rest) > _MOST:
            lines, rest = [*lines, rest], b""
        self._unread[fd] = rest
        for line in lines:
            if fd == 1 and line.startswith(_MARK):
                self._announced(line.removeprefix(_MARK))
            else:
                self._note(line)

    def process_exited(self) -> None:
        """It has ended; what it said before may still be under way."""
        self.address = None
        self.ended = self._clock.monotonic()
        self._late.cancel()
        _done(self._gone)

    def connection_lost(self, _error: Exception | None) -> None:
        """It has ended, and everything that it said is here."""
        for rest in self._unread.values():
            self._note(rest)
        _done(self.settled)
        self._transport.close()

    # ----------------------------------------------------------------------------------------------------------------

    def _announced(self, text: bytes) -> None:
        try:
            said = msgspec.json.decode(text, type=_Announcement)
        except (msgspec.DecodeError, UnicodeDecodeError):
            said = None
        if said is None or not (0 < said.port < 65536 and said.key.isalnum()):
            # Not with its words: what should have been a key may be in them.
            self._give_up("did not say where it listens, and was ended")
        elif self.ended is None and not self._why:
            self._late.cancel()
            self.address = Address(said.port, Secret(said.key))
            _done(self.settled)

    def _give_up(self, why: str) -> None:
        self._why = why
        self.address = None
        self._kill()

    def _note(self, line: bytes) -> None:
        text = line.decode(errors="replace").strip()
        if text:
            self._words.append(text[:LONGEST_LINE])
            _log.debug("%s", text)

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._transport.kill()


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
