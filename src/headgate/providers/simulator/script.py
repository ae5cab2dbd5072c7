"""What leaves the simulator, piece by piece: the events of a stream with their pauses, and the fault that befalls them.

Knows no dialect: `write_chat.py` and `write_responses.py` give it a Script. Faults inside an answer are played here.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from headgate.providers.simulator.dice import Dice
from headgate.providers.simulator.settings import Fault, Latency


class Step(NamedTuple):
    """One event.

    Attributes:
        data: its bytes.
        output: tokens that are generated with it, hidden ones included.
        visible: it carries a token that the reader sees.
    """

    data: bytes
    output: int = 0
    visible: bool = False


class Script(NamedTuple):
    """A streamed answer.

    Attributes:
        opening: events before anything is generated.
        body: everything after.
        visible: how many steps of the body are visible.
        error: writes an error as the last event of the stream.
    """

    opening: bytes
    body: Iterator[Step]
    visible: int
    error: Callable[[str | None, str | None], bytes]


class Piece(NamedTuple):
    """Bytes to send after a pause.

    Attributes:
        pause: seconds since the piece before.
        data: the bytes; None breaks the connection.
        output: tokens that count as generated once the pause is over.
    """

    pause: float
    data: bytes | None
    output: int = 0


_BREAK = Piece(0.0, None)
_INSIDE = ("cut", "stall", "malformed", "error_event")


def whole_pause(latency: Latency, output: int, dice: Dice, fault: Fault | None) -> float:
    """Seconds until a whole answer is there: the first token, then the others."""
    pause = _vary(latency.first_token, latency, dice) + _vary(latency.per_token, latency, dice) * max(0, output - 1)
    return pause + (fault.delay if fault is not None and fault.kind in ("silence", "slow_first_token") else 0)


def whole(body: bytes, fault: Fault | None) -> Iterator[Piece]:
    """The body of a whole answer."""
    half = len(body) // 2
    match fault.kind if fault else None:
        case "cut":
            yield Piece(0.0, body[:half])
            yield _BREAK
        case "stall":
            yield Piece(0.0, body[:half])
            yield Piece(fault.delay if fault else 0.0, body[half:])
        case _:
            yield Piece(0.0, body)


def streamed(script: Script, latency: Latency, dice: Dice, fault: Fault | None) -> Iterator[Piece]:
    """The pieces of a streamed answer.

    An event with characters of several bytes is sent in two pieces, cut inside the first such character, as networks
    like to do.
    """
    if script.opening:
        yield Piece(0.0, script.opening)
    pause = _vary(latency.first_token, latency, dice)
    inside = fault if fault is not None and fault.kind in _INSIDE else None
    if fault is not None and fault.kind == "slow_first_token":
        pause += fault.delay
    at = min(inside.after_tokens, script.visible) if inside is not None else -1
    spoken = 0
    for data, output, visible in script.body:
        if inside is not None and spoken == at and (visible or spoken == script.visible):
            match inside.kind:
                case "cut":
                    yield _BREAK
                    return
                case "error_event":
                    yield Piece(0.0, script.error(inside.code, inside.type))
                    return
                case "stall":
                    pause += inside.delay
                case _:
                    data = _broken(data)  # noqa: PLW2901  the event that is sent in its place
            inside = None
        if data.isascii():
            yield Piece(pause, data, output)
        else:
            inner = next(at for at, byte in enumerate(data) if byte > 127) + 1
            yield Piece(pause, data[:inner], output)
            yield Piece(0.0, data[inner:])
        if visible:
            spoken += 1
        pause = _vary(latency.per_token, latency, dice) if latency.per_token else 0.0


def _broken(data: bytes) -> bytes:
    """An event whose JSON ends in the middle."""
    text = data.rstrip(b"\n")
    start = text.index(b"data: ") + len(b"data: ")
    return text[: start + (len(text) - start) // 2].decode(errors="ignore").encode() + b"\n\n"


def _vary(pause: float, latency: Latency, dice: Dice) -> float:
    return pause * (1 + latency.jitter * (2 * dice.share() - 1)) if pause and latency.jitter else pause
