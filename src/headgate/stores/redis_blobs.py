"""Bytes under names in Redis or Valkey, shared by machines.

Decides how blobs lie in the store and how much of them is kept. Refuses to know connections (`courier.py`).

What comes up in one turn of the loop leaves together. While the store is away everything is refused at once, and it is
looked for behind the scenes; nobody waits for it longer than the courier's patience. It has a connection of its own:
answers are large, and limits wait for none of them.

Every name begins with `PREFIX`, which holds the version of what lies there: another one finds nothing, and misreads
nothing. `ends` lists what was put by when it ends, `sizes` its sizes, `labels` its labels; what was claimed stands in
none of them. Where there is no room, what would end first is forgotten first.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple

from headgate.core.clock import Clock
from headgate.core.errors import StoreError
from headgate.stores.courier import AwayError, Courier, Message

PREFIX = "headgate:{blobs:1}:"
"""What stands before every key; in braces, so that a cluster keeps all of them together."""
MOST_BYTES = 256 * 1024 * 1024
"""Bytes that are kept of what was put."""
MOST_AT_ONCE = 64
"""Questions that travel together."""
MOST_BYTES_AT_ONCE = 1024 * 1024
"""Bytes after which nothing more travels with them."""
LONGEST_PAUSE = 1.0
"""Seconds between two tries to reach the store, at most."""

Start = Callable[[Coroutine[Any, Any, Any], str], "asyncio.Task[Any]"]

_log = logging.getLogger("headgate.stores")

# Every script gets the prefix as its only key. A few at a time are tidied up, so that no call waits for all of them.
_HEAD = """
local p = KEYS[1]
local function forget(name)
  local size = redis.call('HGET', p .. 'sizes', name)
  if size then
    redis.call('DECRBY', p .. 'size', size)
    redis.call('HDEL', p .. 'sizes', name)
    redis.call('HDEL', p .. 'labels', name)
    redis.call('ZREM', p .. 'ends', name)
  end
end
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
"""
_GET = "return redis.call('GET', KEYS[1] .. 'v:' .. ARGV[1])"
_PUT = (
    _HEAD
    + """
local name, value, ms, labels, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local at = now()
forget(name)
for _, over in ipairs(redis.call('ZRANGEBYSCORE', p .. 'ends', '-inf', at, 'LIMIT', 0, 64)) do forget(over) end
if #value > most then
  redis.call('DEL', p .. 'v:' .. name)
  return 0
end
local size = redis.call('INCRBY', p .. 'size', #value)
while size > most do
  local first = redis.call('ZRANGE', p .. 'ends', 0, 0)[1]
  if not first then break end
  redis.call('DEL', p .. 'v:' .. first)
  forget(first)
  size = tonumber(redis.call('GET', p .. 'size'))
end
redis.call('SET', p .. 'v:' .. name, value, 'PX', ms)
redis.call('HSET', p .. 'sizes', name, #value)
redis.call('HSET', p .. 'labels', name, labels)
redis.call('ZADD', p .. 'ends', at + ms, name)
return 1
"""
)
_CLAIM = (
    _HEAD
    + """
local key = p .. 'v:' .. ARGV[1]
local found = redis.call('GET', key)
if found then return found end
forget(ARGV[1])
redis.call('SET', key, ARGV[2], 'PX', ARGV[3])
return false
"""
)
_REPLACE = (
    _HEAD
    + """
local key = p .. 'v:' .. ARGV[1]
if redis.call('GET', key) ~= ARGV[2] then return 0 end
if ARGV[4] == '' then
  redis.call('DEL', key)
  forget(ARGV[1])
else
  redis.call('SET', key, ARGV[3], 'PX', ARGV[4])
  if redis.call('HEXISTS', p .. 'sizes', ARGV[1]) == 1 then
    redis.call('INCRBY', p .. 'size', #ARGV[3] - #ARGV[2])
    redis.call('HSET', p .. 'sizes', ARGV[1], #ARGV[3])
    redis.call('ZADD', p .. 'ends', now() + ARGV[4], ARGV[1])
  end
end
return 1
"""
)
_DROP = (
    _HEAD
    + """
local found = redis.call('HSCAN', p .. 'labels', ARGV[1], 'COUNT', 500)
local fields, dropped = found[2], 0
for i = 1, #fields, 2 do
  if ARGV[2] == '' or string.find('\\n' .. fields[i + 1] .. '\\n', '\\n' .. ARGV[3] .. '\\n', 1, true) then
    dropped = dropped + redis.call('DEL', p .. 'v:' .. fields[i])
    forget(fields[i])
  end
end
return {found[1], dropped}
"""
)
SCRIPTS = (_GET, _PUT, _CLAIM, _REPLACE, _DROP)
_GETS, _PUTS, _CLAIMS, _REPLACES, _DROPS = range(len(SCRIPTS))


class _Ask(NamedTuple):
    message: Message
    size: int
    answer: "asyncio.Future[Any]"


class RedisBlobs:
    """The store; see `stores.blobs.Blobs`. Belongs to one event loop; `open` it there.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        clock: tells the time between two tries to reach it.
        start: starts a background task, which whoever gives it owns too.
        most: bytes that are kept of what was put.

    Raises:
        ConfigError: the address is none.
    """

    def __init__(self, url: str, *, clock: Clock, start: Start, most: int = MOST_BYTES) -> None:
        self._courier = Courier(url, SCRIPTS)
        self._clock = clock
        self._start = start
        self._most = str(most)
        self._asks: deque[_Ask] = deque()
        self._flying: list[_Ask] = []
        self._wake = asyncio.Event()
        self._tried = asyncio.Event()
        self._away: str | None = "not asked yet"
        self._task: asyncio.Task[Any] | None = None

    async def open(self) -> None:
        """Reach for the store, once; if it is away, try again behind the scenes."""
        self._task = self._start(self._serve(), "shared blobs")
        await self._tried.wait()

    async def get(self, name: str) -> bytes | None:
        """What stands under a name; None where nothing does, or no longer."""
        found: bytes | None = await self._ask(_GETS, name)
        return found

    async def put(self, name: str, value: bytes, seconds: float, labels: Sequence[str] = ()) -> None:
        """Put it there, whatever stood there before; what is larger than all that is kept is not kept."""
        await self._ask(_PUTS, name, value, _milliseconds(seconds), "\n".join(labels), self._most)

    async def claim(self, name: str, value: bytes, seconds: float) -> bytes | None:
        """Put it where nothing stands, and see what does."""
        found: bytes | None = await self._ask(_CLAIMS, name, value, _milliseconds(seconds))
        return found

    async def replace(self, name: str, old: bytes, new: bytes | None, seconds: float) -> bool:
        """Exchange exactly `old` for `new`."""
        ends = "" if new is None else _milliseconds(seconds)
        return bool(await self._ask(_REPLACES, name, old, new or b"", ends))

    async def drop(self, label: str | None = None) -> int:
        """Forget all that has a label, or everything that was `put`, some hundreds at a time."""
        dropped, cursor = 0, b"0"
        number: int
        while True:
            cursor, number = await self._ask(_DROPS, cursor, "" if label is None else "1", label or "")
            dropped += number
            if cursor == b"0":
                return dropped

    async def health(self) -> Mapping[str, Any]:
        """Whether it is here."""
        return {"status": "ok" if self._away is None else "down", "kind": "redis", "error": self._away}

    async def close(self) -> None:
        """Let the store go. Safe to call twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._courier.close()

    async def _ask(self, script: int, *arguments: str | bytes) -> Any:
        """Run a script.

        Raises:
            StoreError: the store is away.
        """
        if self._away is not None:
            raise _gone(self._away)
        answer = asyncio.get_running_loop().create_future()
        self._asks.append(_Ask(Message(script, (PREFIX,), arguments), sum(map(len, arguments)), answer))
        self._wake.set()
        return await answer

    # Behind the scenes.

    async def _serve(self) -> None:
        try:
            await self._go_on()
        finally:
            # Nobody may wait for what will not come.
            self._lose("closed")
            self._tried.set()

    async def _go_on(self) -> None:
        pause = LONGEST_PAUSE / 10
        while True:
            try:
                await self._courier.open()
                pause = LONGEST_PAUSE / 10
                if self._tried.is_set():
                    _log.warning("The shared store of answers is back.")
                self._away = None
                self._tried.set()
                while True:
                    await self._wake.wait()
                    await self._exchange()
            except AwayError as error:
                if self._away is None or not self._tried.is_set():
                    _log.warning("The shared store of answers is away: %s. Until it is back, nothing is kept.", error)
                self._lose(str(error))
            self._tried.set()
            await self._clock.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _exchange(self) -> None:
        flying: list[_Ask] = []
        size = 0
        while self._asks and len(flying) < MOST_AT_ONCE and size < MOST_BYTES_AT_ONCE:
            ask = self._asks.popleft()
            if not ask.answer.done():
                flying.append(ask)
                size += ask.size
        if not self._asks:
            self._wake.clear()
        if not flying:
            return
        self._flying = flying
        replies = await self._courier.carry([ask.message for ask in flying])
        self._flying = []
        for ask, reply in zip(flying, replies, strict=True):
            if not ask.answer.done():
                ask.answer.set_result(reply)

    def _lose(self, why: str) -> None:
        self._away = why
        self._wake.clear()
        waiting, self._asks, self._flying = [*self._flying, *self._asks], deque(), []
        for ask in waiting:
            if not ask.answer.done():
                ask.answer.set_exception(_gone(why))


def _milliseconds(seconds: float) -> str:
    return str(max(int(seconds * 1000), 1))


def _gone(why: str) -> StoreError:
    return StoreError(f"The shared store of answers is away: {why}.")
