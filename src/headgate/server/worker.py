"""One of several processes that answer at one address: `python -m headgate.server.worker`, started by `workers.py`.

Decides how it is told what to serve and tells that it does: its order comes on stdin, pickled, and stdin stays open for
as long as whoever started it lives; one line of JSON on stdout says that it is up, or why it never will be. Refuses to
know the others. Where stdin ends, nobody watches over it any more: it ends as it does on SIGTERM.
"""

import pickle
import sys
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import msgspec

from headgate.core.errors import ConfigError
from headgate.core.secret import Secret
from headgate.gate.config import Config

REFUSED = 2
"""The exit code of a worker whose configuration cannot be used."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to serve, and where.

    Attributes:
        config: the configuration, as the one who started it has read it.
        port: where all of them listen.
        number: which of the workers it is, from 1.
    """

    config: Config
    port: int
    number: int


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says.

    Attributes:
        banner: what a person should know when the server is up; empty: it will never be.
        trouble, hint: what is wrong with the configuration, and the cure.
    """

    banner: str = ""
    trouble: str = ""
    hint: str = ""


class _Pickler(pickle.Pickler):
    """Writes credentials too: the pipe leads to a process of our own, and to no other."""

    def reducer_override(self, thing: Any) -> Any:
        return (Secret, (thing.reveal(),)) if isinstance(thing, Secret) else NotImplemented


def dumped(order: Order) -> bytes:
    """An order as it goes through the pipe: its size in four bytes, and itself."""
    out = BytesIO()
    _Pickler(out).dump((order.config, order.port, order.number))
    data = out.getvalue()
    return len(data).to_bytes(4) + data


class Orders:
    """Further orders, as they come through the pipe piece by piece."""

    def __init__(self) -> None:
        self._data = b""

    def take(self, data: bytes) -> Iterator[Order]:
        """The orders that are whole with this piece."""
        self._data += data
        while len(self._data) >= 4 and len(self._data) >= (end := 4 + int.from_bytes(self._data[:4])):
            order, self._data = self._data[4:end], self._data[end:]
            yield loaded(order)


def loaded(data: bytes) -> Order:
    """An order as it came through the pipe."""
    config, port, number = pickle.loads(data)  # noqa: S301  from the process that started us
    return Order(config=config, port=port, number=number)


def main() -> None:
    """Read an order, serve, and say that one does."""
    from headgate.server.serve import work  # noqa: PLC0415  it imports what starts us

    size = int.from_bytes(sys.stdin.buffer.read(4))
    order = loaded(sys.stdin.buffer.read(size))
    try:
        work(order.config, order.port, order.number, up=lambda banner: _say(Word(banner=banner)))
    except ConfigError as error:
        _say(Word(trouble=error.message, hint=error.hint))
        sys.exit(REFUSED)


def _say(word: Word) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(word) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
