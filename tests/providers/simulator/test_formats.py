"""Texts in named formats, and plausible values."""

import ipaddress
import re
from datetime import date, datetime, time
from uuid import UUID  # noqa: TID251  it reads; it draws nothing

from headgate.providers.simulator.dice import Dice
from headgate.providers.simulator.formats import FORMATS, named_range, named_text

_READERS = {
    "date-time": lambda text: datetime.fromisoformat(text).tzinfo is not None,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "uuid": UUID,
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
    "email": re.compile(r"^[a-z]+@example\.com$").fullmatch,
    "hostname": re.compile(r"^[a-z]+(\.[a-z]+)+$").fullmatch,
    "duration": re.compile(r"^P\dDT\d+H$").fullmatch,
}


def test_formats_can_be_read_by_those_who_know_them():
    """Over many dice, each text is what its format says."""
    for name, read in _READERS.items():
        for seed in range(100):
            assert read(FORMATS[name](Dice(b"%d" % seed)))


def test_well_known_names_get_plausible_values():
    """A country is a country, and inhabitants are many; other names get words."""
    assert named_text("Country", Dice(b"x")) in {
        "France", "Switzerland", "Portugal", "Poland", "Sweden", "Belgium", "Italy", "Ireland",
    }  # fmt: skip
    assert named_range("inhabitants") == (20_000, 2_000_000)
    assert named_range("anything") == (1, 100)
    assert re.fullmatch("[a-z]+ [a-z]+", named_text("anything", Dice(b"x")))
