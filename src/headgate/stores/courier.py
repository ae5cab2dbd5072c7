"""The courier: carries scripts to Redis or Valkey, many at a time, and brings their answers back.

Decides when the store is away: no connection, no answer within `PATIENCE`, or an answer that it cannot work now.
Refuses to know what the scripts mean. One connection, one batch under way at a time: what comes up meanwhile leaves
together with the next.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
from typing import Any, NamedTuple

import hiredis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import NoScriptError, RedisError, ResponseError

from headgate.core.errors import ConfigError

# Its types know tuples of one only.
_pack: Callable[[tuple[str | bytes | int, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]
PATIENCE = 0.25
"""Seconds after which a store that does not answer is away."""
GREETING = 1.0
"""Seconds that a new connection may take, scripts included."""


class AwayError(Exception):
    """The store is away; of what was under way nobody knows what became."""


class Message(NamedTuple):
    """A script to run.

    Attributes:
        script: its number, as the courier was given them.
        keys, arguments: what it is run on.
    """

    script: int
    keys: tuple[str, ...]
    arguments: tuple[str | bytes, ...]


class Courier:
    """The way to one store.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        scripts: what it may be asked to run.

    Raises:
        ConfigError: the address is none.
    """

    def __init__(self, url: str, scripts: Sequence[str]) -> None:
        self._scripts = scripts
        self._hashes: list[bytes] = []
        self._connection: AbstractConnection | None = None
        self._watcher: asyncio.TimerHandle
        try:
            # RESP 2, and no waits of the client's own: it would send further commands on each connection.
            self._pool = ConnectionPool.from_url(
                url, protocol=2, socket_timeout=None, socket_connect_timeout=GREETING, driver_info=None
            )
            self._new()
        except (ValueError, TypeError, RedisError):
            # The driver's own words may quote a part of the address, and a password is one.
            hint = (
                "It looks like `redis://user:password@host:6379/0` (a `/` in the password is `%2F`), or `unix:///path`."
            )
            raise ConfigError("`shared` is no address of a Redis.", hint=hint) from None

    def _new(self) -> AbstractConnection:
        made: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        return made

    async def open(self) -> str:
        """Connect anew.

        Returns:
            The name of this run of the server.

        Raises:
            AwayError: it is away.
        """
        await self._let_go()
        try:
            async with asyncio.timeout(GREETING):
                connection = self._connection = self._new()
                await connection.connect()  # type: ignore[no-untyped-call]
                await self._load(connection)
                await connection.send_command("INFO", "server")
                told = await connection.read_response()
        except (RedisError, OSError, TimeoutError) as error:
            await self._let_go()
            raise AwayError(_said(error, GREETING)) from None
        lines = bytes(told).split(b"\r\n") if isinstance(told, bytes) else []
        return next((line[7:].decode("ascii") for line in lines if line.startswith(b"run_id:")), "")

    async def carry(self, messages: Sequence[Message]) -> list[Any]:
        """Run scripts in their order, in one round trip.

        Raises:
            AwayError: it is away; what has been run of them is not known.
        """
        connection = self._connection
        if connection is None:
            raise AwayError("Not connected.")
        try:
            async with asyncio.timeout(None) as patience:
                self._watch(patience, asyncio.get_running_loop().time() + PATIENCE)
                try:
                    return await self._exchange(connection, messages)
                finally:
                    self._watcher.cancel()
        except (RedisError, OSError, TimeoutError) as error:
            await self._let_go()
            raise AwayError(_said(error, PATIENCE)) from None

    async def close(self) -> None:
        """Let the connection go, in an orderly way."""
        await self._let_go(nowait=False)

    async def _let_go(self, *, nowait: bool = True) -> None:
        # Who waits for an answer does not wait for what a silent server has still to read.
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(RedisError, OSError):
                await connection.disconnect(nowait=nowait)

    def _watch(self, patience: asyncio.Timeout, due: float) -> None:
        self._watcher = asyncio.get_running_loop().call_later(PATIENCE, self._expire, patience, due)

    def _expire(self, patience: asyncio.Timeout, due: float) -> None:
        now = asyncio.get_running_loop().time()
        if now > due + PATIENCE / 4:
            # The loop was busy itself: the answer may be here and only wait to be read. Once more, then.
            self._watch(patience, inf)
        else:
            patience.reschedule(now)

    async def _load(self, connection: AbstractConnection) -> None:
        await connection.send_packed_command([_pack(("SCRIPT", "LOAD", each)) for each in self._scripts])
        self._hashes = [await connection.read_response() for _ in self._scripts]

    async def _exchange(self, connection: AbstractConnection, messages: Sequence[Message]) -> list[Any]:
        found = await self._send(connection, messages)
        missing = [number for number, answer in enumerate(found) if isinstance(answer, NoScriptError)]
        if missing:
            # Somebody has made the server forget its scripts. What was not found was not run.
            await self._load(connection)
            again = await self._send(connection, [messages[number] for number in missing])
            for number, answer in zip(missing, again, strict=True):
                found[number] = answer
        for answer in found:
            if isinstance(answer, ResponseError):
                raise answer
        return found

    async def _send(self, connection: AbstractConnection, messages: Sequence[Message]) -> list[Any]:
        hashes = self._hashes
        await connection.send_packed_command(
            [_pack(("EVALSHA", hashes[script], len(keys), *keys, *arguments)) for script, keys, arguments in messages]
        )
        found: list[Any] = []
        for _ in messages:
            try:
                found.append(await connection.read_response())
            except ResponseError as error:
                found.append(error)
        return found


def _said(error: BaseException, seconds: float) -> str:
    # Half a sentence: whoever tells it goes on.
    told = f"{type(error).__name__}: {error}".rstrip(". ")
    return f"no answer within {seconds:g} s" if isinstance(error, TimeoutError) else told
