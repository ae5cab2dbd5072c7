"""Names that were seen."""

import sys

from headgate.jobs.seen import Seen


def test_every_name_once():
    """A name is new the first time only, however many there are."""
    seen = Seen()
    names = [f"row-{number}" for number in range(20_000)]
    assert all(seen.add(name) for name in names)
    assert not any(seen.add(name) for name in names)
    assert seen.add("")


def test_it_is_small():
    """Less than 18 bytes for each."""
    seen = Seen()
    for number in range(20_000):
        seen.add(str(number))
    assert sum(sys.getsizeof(table) for tables in seen._tables for table in tables) < 18 * 20_000
