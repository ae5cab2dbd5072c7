"""Which names were seen already, in ten to sixteen bytes each.

A million names as Python strings are a hundred megabytes. This keeps 64 bits of a hash that differs from process to
process, so nobody can make two names meet; by chance two of ten million do once in four hundred thousand jobs.
"""

from array import array

_PARTS = 64
"""By which names are told apart first."""
_LEAST = 16
"""Places of a first table."""


class Seen:
    """A set of names that only grows.

    No table is ever made larger: another one is put beside it, half as large as all of them. So nothing is copied, and
    no gaps are left in memory.

    Example:
        >>> seen = Seen()
        >>> seen.add("a"), seen.add("b"), seen.add("a")
        (True, True, False)
    """

    def __init__(self) -> None:
        self._tables = [[_empty(_LEAST)] for _ in range(_PARTS)]
        self._room = [_room(_LEAST)] * _PARTS

    def add(self, name: str) -> bool:
        """Take a name; whether it is a new one."""
        mark = hash(name) & 0xFFFFFFFFFFFFFFFF or 1
        part = mark % _PARTS
        tables = self._tables[part]
        free = -1
        for table in tables:
            free = _find(table, mark)
            if free < 0:
                return False
        table[free] = mark
        self._room[part] -= 1
        if not self._room[part]:
            size = max(sum(map(len, tables)) // 2, _LEAST)
            tables.append(_empty(size))
            self._room[part] = _room(size)
        return True


def _empty(size: int) -> "array[int]":
    return array("Q", bytes(8 * size))


def _room(size: int) -> int:
    """How many names a table takes: a fuller one takes long to search."""
    return size * 4 // 5


def _find(table: "array[int]", mark: int) -> int:
    """The place where a mark would stand; -1 if it stands there."""
    size = len(table)
    at = (mark >> 8) % size
    while known := table[at]:
        if known == mark:
            return -1
        at = at + 1 if at + 1 < size else 0
    return at
