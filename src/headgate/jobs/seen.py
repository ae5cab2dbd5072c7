"""Which names were seen already, in ten to sixteen bytes each.

A million names as Python strings are a hundred megabytes. This keeps 64 bits of a hash that differs from process to
process, so nobody can make two names meet; by chance two of ten million do once in four hundred thousand jobs.
"""

from array import array

_PARTS = 32
"""Tables, so that growing one of them holds nobody up; few, so that a small one that goes leaves no gap in memory."""
_LEAST = 8


class Seen:
    """A set of names that only grows.

    Example:
        >>> seen = Seen()
        >>> seen.add("a"), seen.add("b"), seen.add("a")
        (True, True, False)
    """

    def __init__(self) -> None:
        self._tables = [_empty(_LEAST) for _ in range(_PARTS)]
        self._counts = [0] * _PARTS

    def add(self, name: str) -> bool:
        """Take a name; whether it is a new one."""
        mark = hash(name) & 0xFFFFFFFFFFFFFFFF or 1
        part = mark % _PARTS
        table = self._tables[part]
        if not _put(table, mark):
            return False
        self._counts[part] += 1
        if self._counts[part] * 5 > len(table) * 4:
            self._tables[part] = larger = _empty(len(table) * 3 // 2)
            for known in table:
                if known:
                    _put(larger, known)
        return True


def _empty(size: int) -> "array[int]":
    return array("Q", bytes(8 * size))


def _put(table: "array[int]", mark: int) -> bool:
    size = len(table)
    at = (mark >> 8) % size
    while known := table[at]:
        if known == mark:
            return False
        at = at + 1 if at + 1 < size else 0
    table[at] = mark
    return True
