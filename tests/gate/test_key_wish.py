"""What a key may be, as somebody wants it."""

from datetime import date

import pytest

from headgate.core.errors import BadRequestError
from headgate.core.limits import Allowance, Limits
from headgate.gate import key_wish
from headgate.stores.keys import Scope

ALL = {
    "name": "web",
    "project": "shop",
    "models": ["fast", "slow"],
    "limits": {"requests_per_minute": 60, "concurrency": 4, "window": "sliding", "spread": True},
    "budget": {"limit_usd": "2.50", "window": "month", "time_zone": "Europe/Berlin"},
    "expires": "2027-06-30",
    "priority": 3,
    "tags": {"team": "a"},
    "passthrough": ["/v1/fine_tuning/*"],
    "cache": True,
}


def test_a_wish_becomes_a_scope_and_is_told_again():
    """In the same words, and nothing is lost on the way."""
    wish = key_wish.read(ALL)
    scope = key_wish.scope(wish)
    assert scope == Scope(
        project="shop",
        models=("fast", "slow"),
        limits=Limits(requests_per_minute=60, concurrency=4, sliding=True, spread=True),
        budget=Allowance(limit=2_500_000_000_000, window="month", zone="Europe/Berlin"),
        expires=date(2027, 6, 30),
        priority=3,
        tags={"team": "a"},
        passthrough=("/v1/fine_tuning/*",),
        cache=True,
    )
    assert {"name": "web", **key_wish.told(scope)} == {**ALL, "budget": {**ALL["budget"], "limit_usd": "2.5"}}


def test_a_name_is_enough():
    """All else is left open."""
    assert key_wish.scope(key_wish.read({"name": "a"})) == Scope()
    told = key_wish.told(Scope())
    assert (told.pop("tags"), told.pop("passthrough")) == ({}, [])
    assert list(told.values()) == [None] * 7


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"name": None}, "`name` is missing."),
        ({"name": ""}, "`name` must be 1 to 64 letters, digits"),
        ({"name": "a/b"}, "`name` must be 1 to 64 letters, digits"),
        ({"name": "a" * 65}, "`name` must be 1 to 64 letters, digits"),
        ({"name": "a\n"}, "`name` must be 1 to 64 letters, digits"),
        ({"name": 5}, "`name` must be"),
        ({"project": ""}, "`project` String should have at least 1 character"),
        ({"project": "a\0"}, "`project` must be printable"),
        ({"models": []}, "`models` List should have at least 1 item"),
        ({"models": ["*"]}, "`models` must name each model; leave it out for all."),
        ({"models": ["a\x1b"]}, "`models` must be names"),
        ({"limits": {"requests_per_minute": 0}}, "`limits.requests_per_minute` must be greater than 0."),
        ({"limits": {"requests_per_minute": True}}, "`limits.requests_per_minute` must not be true or false."),
        ({"limits": {"group": "g"}}, "`limits` have no group"),
        ({"budget": {"limit_usd": 0}}, "`budget.limit_usd` must be greater than 0."),
        ({"budget": {"limit_usd": "NaN"}}, "`budget.limit_usd` must be a finite number."),
        ({"budget": {"limit_usd": 1e7}}, "`budget.limit_usd` must be less than or equal to 9000000."),
        ({"budget": {"limit_usd": 1, "window": "year"}}, "`budget.window` must be 'day', 'week', 'month' or 'total'."),
        ({"budget": {"limit_usd": 1, "time_zone": "Mars"}}, "`budget.time_zone` must be a time zone"),
        ({"budget": {"limit_usd": 1, "time_zone": "../../etc/passwd"}}, "`budget.time_zone` must be a time zone"),
        ({"expires": 20270630}, "`expires` must be a date such as 2027-06-30."),
        ({"expires": "soon"}, "`expires` "),
        ({"priority": 10}, "`priority` must be less than or equal to 9."),
        ({"tags": {"Team": "a"}}, "`tags` must have names of a-z"),
        ({"tags": {"team": ""}}, "`tags` must have names of a-z"),
        ({"tags": {f"t{number}": "a" for number in range(21)}}, "`tags` Dictionary should have at most 20 items"),
        ({"passthrough": [""]}, "`passthrough` must be names"),
        ({"sha256": "0" * 64}, "`sha256` is no field of a key."),
    ],
)
def test_what_cannot_be_wanted_is_refused_by_name(facts, message):
    """The field, and what it may be; never the value."""
    with pytest.raises(BadRequestError) as caught:
        key_wish.read({"name": "web", **facts})
    assert caught.value.message.startswith(message)
    assert caught.value.param is not None


def test_a_misspelled_field_is_guessed():
    """Or all fields are named."""
    with pytest.raises(BadRequestError) as caught:
        key_wish.read({"name": "web", "model": ["a"]})
    assert caught.value.hint == "Did you mean `models`?"
    with pytest.raises(BadRequestError) as caught:
        key_wish.read({"name": "web", "zzz": 1})
    assert caught.value.hint.startswith("Fields are name, project, models")
