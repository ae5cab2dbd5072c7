"""Texts in the formats that JSON schemas name, and plausible values for well-known property names.

The latter is charm only: a property `country` gets a country, `inhabitants` a number that a town could have. Nothing
here looks at the schema; the caller checks whether a value fits.
"""

import ipaddress
import re
from collections.abc import Callable
from datetime import date

from headgate.providers.simulator.dice import Dice

_CITIES = ("Lyon", "Zürich", "Porto", "Kraków", "Malmö", "Ghent", "Turin", "Cork")
_COUNTRIES = ("France", "Switzerland", "Portugal", "Poland", "Sweden", "Belgium", "Italy", "Ireland")
_PEOPLE = ("Ada Moreau", "Noël Sørensen", "Inês Duarte", "Jakub Nowak", "Mia Keller", "Sean O'Brien")
_WORDS = ("amber", "harbour", "lantern", "meadow", "orchard", "pebble", "quartz", "saffron", "timber", "willow")

_TEXTS: dict[str, tuple[str, ...]] = {
    "city": _CITIES,
    "town": _CITIES,
    "location": _CITIES,
    "capital": _CITIES,
    "country": _COUNTRIES,
    "name": _CITIES,
    "first_name": tuple(person.split(" ", maxsplit=1)[0] for person in _PEOPLE),
    "last_name": tuple(person.split(" ", maxsplit=1)[1] for person in _PEOPLE),
    "full_name": _PEOPLE,
    "author": _PEOPLE,
    "title": ("A Walk by the River", "Notes from the Harbour", "The Long Table"),
    "language": ("French", "German", "Portuguese", "Polish"),
    "currency": ("EUR", "CHF", "PLN", "SEK"),
    "unit": ("celsius", "metre", "litre"),
    "color": ("amber", "teal", "slate"),
    "colour": ("amber", "teal", "slate"),
    "email": ("ada@example.com", "jakub@example.org"),
    "url": ("https://example.com/harbour", "https://example.org/lantern"),
    "phone": ("+41 44 000 00 00", "+33 1 00 00 00 00"),
    "category": ("travel", "trade", "food"),
    "sentiment": ("positive", "neutral", "negative"),
}
_NUMBERS: dict[str, tuple[int, int]] = {
    "inhabitants": (20_000, 2_000_000),
    "population": (20_000, 2_000_000),
    "year": (1950, 2026),
    "founded": (900, 1950),
    "age": (18, 90),
    "price": (1, 500),
    "quantity": (1, 12),
    "count": (1, 50),
    "rating": (1, 5),
    "score": (1, 10),
    "temperature": (-5, 32),
    "latitude": (36, 60),
    "longitude": (-9, 20),
    "percent": (0, 100),
    "confidence": (0, 1),
}


def named_text(name: str, dice: Dice) -> str:
    """A text for a property of that name."""
    among = _TEXTS.get(name.lower())
    return dice.pick(among) if among else f"{dice.pick(_WORDS)} {dice.pick(_WORDS)}"


def named_range(name: str) -> tuple[int, int]:
    """Where a number of that name plausibly lies."""
    return _NUMBERS.get(name.lower(), (1, 100))


def _date(dice: Dice) -> str:
    return f"{dice.between(1990, 2030)}-{dice.between(1, 12):02}-{dice.between(1, 28):02}"


def _time(dice: Dice) -> str:
    return f"{dice.below(24):02}:{dice.below(60):02}:{dice.below(60):02}Z"


def _hex(dice: Dice, digits: int) -> str:
    return f"{dice.bits() & (16**digits - 1):0{digits}x}"


def _uuid(dice: Dice) -> str:
    variant = dice.pick("89ab")
    return f"{_hex(dice, 8)}-{_hex(dice, 4)}-4{_hex(dice, 3)}-{variant}{_hex(dice, 3)}-{_hex(dice, 12)}"


def _host(dice: Dice) -> str:
    return f"{dice.pick(_WORDS)}.example.com"


FORMATS: dict[str, Callable[[Dice], str]] = {
    "date-time": lambda dice: f"{_date(dice)}T{_time(dice)}",
    "date": _date,
    "time": _time,
    "duration": lambda dice: f"P{dice.between(1, 9)}DT{dice.between(1, 23)}H",
    "email": lambda dice: f"{dice.pick(_WORDS)}@example.com",
    "idn-email": lambda dice: f"{dice.pick(_WORDS)}@example.com",
    "hostname": _host,
    "idn-hostname": _host,
    "ipv4": lambda dice: f"192.0.2.{dice.between(1, 254)}",
    "ipv6": lambda dice: f"2001:db8::{_hex(dice, 4)}",
    "uuid": _uuid,
    "uri": lambda dice: f"https://{_host(dice)}/{dice.pick(_WORDS)}",
    "uri-reference": lambda dice: f"/{dice.pick(_WORDS)}",
    "iri": lambda dice: f"https://{_host(dice)}/{dice.pick(_WORDS)}",
    "json-pointer": lambda dice: f"/{dice.pick(_WORDS)}",
    "regex": lambda dice: f"^{dice.pick(_WORDS)}$",
}
"""By the format's name."""

_CLOCK = r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"
_HOST = r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
_SHAPES = {
    "date-time": re.compile(r"\d{4}-\d\d-\d\dT" + _CLOCK, re.ASCII),
    "date": re.compile(r"\d{4}-\d\d-\d\d", re.ASCII),
    "time": re.compile(_CLOCK, re.ASCII),
    "duration": re.compile(r"P(?=.)(\d+W|(\d+Y)?(\d+M)?(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+S)?)?)", re.ASCII),
    "email": re.compile(r"[^@\s]+@[^@\s]+"),
    "hostname": re.compile(_HOST),
    "uuid": re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
}


def fits_format(text: str, name: object) -> bool:
    """Whether a text is in a format; a format that is not known takes every text.

    Example:
        >>> fits_format("2024-02-29", "date"), fits_format("2023-02-29", "date")
        (True, False)
    """
    shape = _SHAPES.get(str(name))
    if shape is not None and not shape.fullmatch(text):
        return False
    try:
        if name in ("date", "date-time"):
            date.fromisoformat(text[:10])
        elif name == "ipv4":
            ipaddress.IPv4Address(text)
        elif name == "ipv6":
            ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
