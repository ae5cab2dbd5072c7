"""What part of the ledger is asked for, as people write it."""

import pytest

from headgate.core.errors import BadRequestError
from headgate.gate.usage_query import query

EPOCH = 1_800_000_000
DAY = 86400


class Clock:
    """It stands still."""

    def time(self):
        """Seconds since 1970."""
        return EPOCH


def _asked(**parts):
    parts = {"by": (), "where": (), "since": None, "until": None, "only": None, **parts}
    return query(**parts, clock=Clock(), called="--{}".format)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (None, None),
        ("24h", EPOCH - DAY),
        ("7d", EPOCH - 7 * DAY),
        ("90s", EPOCH - 90),
        ("99999999999d", 0),
        ("2026-11-01", 1793491200),
        ("20261101", 1793491200),
        ("2026-11-01T08:00", 1793520000),
        ("2026-11-01T08:00Z", 1793520000),
        ("2026-11-01T08:00+02:00", 1793512800),
        ("0001-01-01", 0),
    ],
)
def test_moments(text, moment):
    """So long ago, or a date; UTC where it names no zone; never before there were books."""
    assert _asked(since=text).since == moment


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"by": ["colour"]}, "Usage has no dimension 'colour'."),
        ({"where": ["colour=red"]}, "--where 'colour=red' is no condition."),
        ({"where": ["model"]}, "--where 'model' is no condition."),
        ({"where": ["model=a", "model=b"]}, "--where names model twice."),
        ({"since": "soon"}, "--since 'soon' is neither a duration nor a date."),
        ({"until": ""}, "--until '' is neither a duration nor a date."),
        ({"since": "1h", "until": "2h"}, "--until is not later than --since."),
    ],
)
def test_what_cannot_be_asked_is_told(parts, said):
    """With the name that the part has at this door, the value and the cure."""
    with pytest.raises(BadRequestError) as told:
        _asked(**parts)
    assert told.value.message == said
    assert told.value.hint


def test_conditions_and_groups():
    """By name, tags among them; a value may hold any sign."""
    asked = _asked(by=["model", "tag:team"], where=["tag:team=a=b", "key="])
    assert asked.by == ("model", "tag:team")
    assert asked.where == {"tag:team": "a=b", "key": ""}
