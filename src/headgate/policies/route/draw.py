"""The drawing of lots among targets: by chance, or by the key under which the provider keeps a prompt.

Decides an order of all targets in which the weight is the chance of coming first, and then again among the rest. Each
target gets a number that is exponentially distributed with its weight as the rate; the least comes first (Efraimidis
and Spirakis, "Weighted random sampling with a reservoir", 2006). Where the number comes from a hash of key and target,
the same key gives the same order: rendezvous hashing (Thaler and Ravishankar, 1998), weighted. Nothing is remembered,
and one target more takes its own share of the keys and moves no other.
"""

from collections.abc import Sequence
from hashlib import blake2b
from math import log
from typing import Any

import msgspec

from headgate.core.body import Body
from headgate.core.call import Call, Target
from headgate.core.clock import Chance

_FIELD = b"prompt_cache_key"
_BITS = 53


class _Keyed(msgspec.Struct, gc=False):
    prompt_cache_key: Any = None


_KEYED = msgspec.json.Decoder(_Keyed)


def cache_key(call: Call) -> str | None:
    """The call's `prompt_cache_key`; None where it has none, or none that is a text."""
    body = call.body
    if not isinstance(body, Body) or _FIELD not in body.raw:
        return None
    try:
        key = _KEYED.decode(body.raw).prompt_cache_key
    except msgspec.MsgspecError:
        return None
    return key if isinstance(key, str) and key else None


def draw(targets: Sequence[Target], chance: Chance) -> list[Target]:
    """All of them, in a random order."""
    return _ordered(targets, [chance.random() for _ in targets])


def stick(targets: Sequence[Target], key: str) -> list[Target]:
    """All of them, in the order that belongs to a key."""
    start = blake2b(key.encode(), digest_size=8)
    points = []
    for target in targets:
        state = start.copy()
        state.update(f"\0{target.provider}\0{target.model or ''}".encode())
        points.append((int.from_bytes(state.digest()) >> (64 - _BITS)) / (1 << _BITS))
    return _ordered(targets, points)


def _ordered(targets: Sequence[Target], points: Sequence[float]) -> list[Target]:
    """In the order of the numbers that become of points in [0, 1)."""
    lots = [(-log(1.0 - point) / target.weight, target) for point, target in zip(points, targets, strict=True)]
    lots.sort(key=_lot)
    return [target for _, target in lots]


def _lot(entry: tuple[float, Target]) -> float:
    return entry[0]
