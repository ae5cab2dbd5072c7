"""Covers gate/caps.py: whom a budget is for, and when its windows begin."""

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.body import Body
from headgate.core.call import Call, Caller, Operation
from headgate.core.limits import Allowance
from headgate.gate.caps import Caps, Window
from headgate.gate.config import Budget
from headgate.stores.money import Cap
from headgate.testing import EPOCH

CALL = Call(
    id="1", operation=Operation.CHAT, model="fast", body=Body(b"{}"), started=0, day="2027-01-15",
    caller=Caller(key="web", project="shop"), user="anna", tags={"team": "a"},
)  # fmt: skip


class Fixed:
    """A clock that stands."""

    def time(self):
        return EPOCH


def names(call=CALL, **budget):
    """The names of the caps that one budget makes of a call to gpt-6-luna."""
    caps = Caps([Budget(name="b", limit_usd=1, **budget)], Fixed())
    return [cap.name for cap in caps(call, "gpt-6-luna")]


@pytest.mark.parametrize(
    ("budget", "found"),
    [
        ({}, ["b"]),
        ({"scope": "project", "project": "shop"}, ["b"]),
        ({"scope": "project", "project": "other"}, []),
        ({"scope": "project"}, ["b:shop"]),
        ({"scope": "key", "key": "web"}, ["b"]),
        ({"scope": "key"}, ["b:web"]),
        ({"scope": "user", "user": "bert"}, []),
        ({"scope": "user"}, ["b:project:shop:anna"]),
        ({"scope": "model", "model": "fast"}, ["b"]),
        ({"scope": "model", "model": "gpt-6-luna"}, ["b"]),
        ({"scope": "model", "model": "gpt-6-sol"}, []),
        ({"scope": "model"}, ["b:gpt-6-luna"]),
        ({"scope": "tag", "tag": "team=a"}, ["b"]),
        ({"scope": "tag", "tag": "team=b"}, []),
        ({"scope": "tag", "tag": "team"}, ["b:a"]),
        ({"scope": "tag", "tag": "cost"}, []),
    ],
)
def test_whom_a_budget_is_for(budget, found):
    """Named, or one for each; by either name of the model."""
    assert names(**budget) == found


def test_end_users_are_those_of_a_tenant():
    """Who only says that it is another tenant's user uses up nothing of that one's sum, however it spells it."""
    asks = [
        (Caller(key="web", project="shop"), "anna"),
        (Caller(key="app", project="shop"), "anna"),
        (Caller(key="evil", project="other"), "anna"),
        (Caller(key="evil"), "anna"),
        (Caller(key="evil"), "project:shop:anna"),
        (Caller(key="evil", project="a"), "b:anna"),
        (Caller(key="evil", project="a:b"), "anna"),
        (Caller(key="evil", project="a%3Ab"), "anna"),
        (Caller(), "anna"),
    ]
    found = [names(msgspec.structs.replace(CALL, caller=caller, user=user), scope="user")[0] for caller, user in asks]
    assert found[0] == found[1]
    assert len(set(found)) == len(asks) - 1
    assert names(msgspec.structs.replace(CALL, user=""), scope="user") == []


def test_what_a_caller_makes_up_has_room_in_a_database():
    """A name that is too long, or none that can be written down, is told apart all the same."""
    made_up = ["x" * 10_000_000, "x" * 9_999_999 + "y", "a\0b", "a\nb", "\ud800"]
    for scope, field in (("user", "user"), ("tag", "tags")):
        calls = [
            msgspec.structs.replace(CALL, **{field: {"team": text} if field == "tags" else text}) for text in made_up
        ]
        found = [names(call, scope=scope, tag="team" if scope == "tag" else None)[0] for call in calls]
        assert len(set(found)) == len(made_up)
        assert all(len(name) < 60 and name.isprintable() for name in found)
    (cap,) = Caps([Budget(name="b", limit_usd=1, scope="model")], Fixed())(CALL, "m" * 10_000)
    assert len(cap.name) < 60


def test_a_key_may_bring_its_own_budget():
    """It stands before those of the configuration, in its own window and zone."""
    budget = Allowance(limit=5, window="week", zone="Asia/Tokyo")
    call = msgspec.structs.replace(CALL, caller=Caller(key="web", budget=budget))
    caps = Caps([Budget(name="b", limit_usd=1)], Fixed())
    own = Cap("key:web", Window("week", "Asia/Tokyo").at(EPOCH), 5, (0.8,))
    assert caps(call, "m")[0] == own
    assert [cap.name for cap in caps(call, "m")] == ["key:web", "b"]
    assert Caps([], Fixed())(call, "m") == [own]


def test_what_a_caller_may_know_of():
    """Its own budgets and its project's; not what all, users, models or tags have."""
    scopes = ("gateway", "project", "key", "user", "model", "tag")
    budgets = [Budget(name=f"b{scope}", limit_usd=1, scope=scope, tag="team") for scope in scopes]
    budgets += [Budget(name="other", limit_usd=1, scope="key", key="other")]
    caller = msgspec.structs.replace(CALL.caller, budget=Allowance(limit=5))
    found = Caps(budgets, Fixed()).of(caller)
    assert [(cap.name, cap.window) for cap in found] == [
        ("key:web", "total"), ("bproject:shop", "2027-01-15"), ("bkey:web", "2027-01-15"),
    ]  # fmt: skip
    assert Caps(budgets, Fixed()).of(Caller()) == []


def test_a_call_without_a_name_is_nobodys():
    """No key, no user, no tags: only what is for all."""
    nobody = msgspec.structs.replace(CALL, caller=Caller(), user=None, tags={})
    assert [names(nobody, scope=scope) for scope in ("gateway", "project", "key", "user")] == [["b"], [], [], []]
    assert names(nobody, scope="tag", tag="team") == []


def test_which_budgets_are_one_sum_and_which_everybody_has():
    """Whoever names somebody, or is for all, is one; a tag is named with its value."""
    named = [{"scope": "gateway"}, {"scope": "user", "user": "anna"}, {"scope": "tag", "tag": "team=a"}]
    each = [{"scope": scope} for scope in ("user", "key", "project", "model")] + [
        {"scope": "tag", "tag": tag} for tag in ("team", "team=")
    ]
    budgets = [Budget(name=f"b{number}", limit_usd=1, **more) for number, more in enumerate([*named, *each])]
    caps = Caps(budgets, Fixed())
    assert caps.named() == [Cap(f"b{n}", "2027-01-15", 10**12, (0.8,)) for n in range(3)]
    assert [cap.name for cap in caps.each()] == [f"b{n}" for n in range(3, 9)]


def test_a_cap_has_its_window_and_its_limit():
    """In picodollars."""
    (cap,) = Caps([Budget(name="b", limit_usd="0.5", window="month")], Fixed())(CALL, "m")
    assert (cap.window, cap.limit) == ("2027-01", 500_000_000_000)


@given(
    st.datetimes(datetime(2025, 1, 1), datetime(2031, 1, 1)),  # noqa: DTZ001  drawn without a zone
    st.sampled_from(["UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "Africa/Cairo", "Pacific/Apia"]),
)
def test_windows_are_those_of_the_calendar(moment, zone):
    """In any zone, over changes of the clocks, asked once or for the thousandth time."""
    local = moment.replace(tzinfo=ZoneInfo(zone))
    time = local.timestamp()
    shown = datetime.fromtimestamp(time, ZoneInfo(zone))
    expected = {"day": f"{shown:%Y-%m-%d}", "week": f"{shown:%G-W%V}", "month": f"{shown:%Y-%m}", "total": "total"}
    for kind, label in expected.items():
        window = Window(kind, zone)
        window.at(time - 40 * 86_400)
        assert (window.at(time), window.at(time)) == (label, label)
        assert window.at(time + 40 * 86_400) == Window(kind, zone).at(time + 40 * 86_400)


def test_a_window_turns_at_midnight():
    """To the second, where its zone has midnight."""
    window = Window("day", "Europe/Berlin")
    midnight = datetime(2027, 3, 28, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
    assert [window.at(midnight + seconds) for seconds in (-0.001, 0, 23 * 3600 - 0.001, 23 * 3600)] == [
        "2027-03-27", "2027-03-28", "2027-03-28", "2027-03-29",
    ]  # fmt: skip
