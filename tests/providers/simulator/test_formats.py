"""Texts in named formats, and plausible values."""

import ipaddress
import re
from datetime import date, datetime, time
from uuid import UUID  # noqa: TID251  it reads; it draws nothing

from headgate.providers.simulator.dice import Dice
from headgate.providers.simulator.formats import FORMATS, fits_format, named_range, named_text

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


def test_formats_are_told_from_what_only_looks_like_them():
    """Everything that is made fits its own format; near misses do not; an unknown format takes anything."""
    for name, make in FORMATS.items():
        assert all(fits_format(make(Dice(b"%d" % seed)), name) for seed in range(50)), name
    misses = {
        "date-time": "2024-01-01 10:00:00Z", "date": "2023-02-29", "time": "24:00:00Z", "duration": "PT",
        "email": "nobody", "hostname": "-a.example", "ipv4": "1.2.3.256", "ipv6": "1::2::3", "uuid": "0" * 32,
    }  # fmt: skip
    assert [name for name, text in misses.items() if fits_format(text, name)] == []
    assert fits_format("anything", "unheard-of")
