"""Retired and retiring models, day by day."""

import logging
from datetime import date

import msgspec
import pytest

from headgate.catalog.models import Catalog, Model
from headgate.catalog.retirement import Retirement, fate
from headgate.core.body import Body
from headgate.core.call import Call, Operation, Target
from headgate.core.errors import UnknownModelError

CALL = Call(id="1", operation=Operation.CHAT, model="fast", body=Body(b"{}"), started=0, day="2026-11-20")
CATALOG = Catalog()
MAKERS = {"openai": "openai"}
LUNA, OLD, SOON = Target("openai", "gpt-6-luna"), Target("openai", "gpt-4"), Target("openai", "gpt-5-mini")
ELSEWHERE = Target("vllm", "gpt-4")


def retirement(on_retired="refuse"):
    """What a route asks."""
    return Retirement(CATALOG.find, MAKERS, on_retired)


def on(day, model="fast"):
    """A call of a day."""
    return msgspec.structs.replace(CALL, day=day, model=model)


def test_what_lives_is_passed_on_as_it_is():
    """The very same targets: nothing is built for a call that needs nothing."""
    targets = (LUNA, ELSEWHERE, Target("openai"))
    assert retirement().living(on("2026-11-20", "gpt-6-luna"), targets) is targets


def test_a_retired_target_is_as_good_as_none():
    """The others are asked, in their order."""
    assert list(retirement().living(CALL, (OLD, LUNA, ELSEWHERE))) == [LUNA, ELSEWHERE]


@pytest.mark.parametrize(
    ("name", "successor", "day"),
    [
        ("gpt-4", "gpt-6-sol", "2026-10-23"),
        ("gpt-3.5-turbo", "gpt-6-luna", "2026-10-23"),
        ("o3-mini-2025-01-31", "gpt-5.6-terra", "2026-10-23"),
        ("gpt-4-vision-preview", "gpt-6-sol", "2024-12-06"),
        ("dall-e-3", "gpt-image-2", "2026-05-12"),
    ],
)
def test_nobody_left_is_a_404_that_names_the_successor(name, successor, day):
    """Asked for by its own name, or behind a route's."""
    with pytest.raises(UnknownModelError, match=rf"'{name}' was shut down .* on {day}; .* '{successor}'") as caught:
        retirement().living(on("2026-11-20", name), (Target("openai"),))
    assert (caught.value.http_status, caught.value.code, caught.value.param) == (404, "model_not_found", "model")
    assert "leads to" not in caught.value.message
    assert "on_retired: successor" in caught.value.hint
    with pytest.raises(UnknownModelError, match="It is what 'fast' leads to"):
        retirement().living(CALL, (Target("openai", name),))


def test_the_successor_stands_in_where_that_is_wished():
    """Same provider, same weight and priority; the target says for whom."""
    old = Target("openai", "gpt-4", 0.3, 2)
    assert list(retirement("successor").living(CALL, (old, LUNA))) == [
        Target("openai", "gpt-6-sol", 0.3, 2, instead_of="gpt-4"), LUNA,
    ]  # fmt: skip
    (stand_in,) = retirement("successor").living(on("2026-11-20", "dall-e-2"), (Target("openai"),))
    assert (stand_in.model, stand_in.instead_of) == ("gpt-image-2", "dall-e-2")


def test_without_a_successor_it_is_refused_all_the_same():
    """Nobody is made up."""
    with pytest.raises(UnknownModelError, match=r"'sora-2' was shut down by its maker on 2026-09-24\.") as caught:
        retirement("successor").living(on("2026-11-20", "sora-2"), (Target("openai"),))
    assert caught.value.hint == "Ask for another model."


def test_successors_are_followed_to_one_that_lives():
    """Through those that are gone as well; in a circle nobody lives."""
    gone = date(2026, 1, 1)
    models = {
        "a": Model(id="a", retires=gone, successor="b"),
        "b": Model(id="b", retires=gone, successor="c"),
        "c": Model(id="c", retires=date(2026, 12, 1)),
        "x": Model(id="x", retires=gone, successor="y"),
        "y": Model(id="y", retires=gone, successor="x"),
        "z": Model(id="z", retires=gone, successor="unknown"),
    }
    day = date(2026, 11, 20)
    assert [fate(models.get, name, day).successor for name in "axz"] == ["c", None, "unknown"]
    (stand_in,) = Retirement(models.get, MAKERS, "successor").living(on("2026-11-20"), (Target("openai", "a"),))
    assert stand_in == Target("openai", "c", retires="2026-12-01", instead_of="a")


def test_the_last_day():
    """It answers until the day, and not on it; the same gate notices at midnight."""
    keeper = retirement()
    (found,) = keeper.living(on("2026-12-10"), (SOON,))
    assert (found.model, found.retires) == ("gpt-5-mini", "2026-12-11")
    with pytest.raises(UnknownModelError):
        keeper.living(on("2026-12-11"), (SOON,))


@pytest.mark.parametrize(
    ("day", "told"),
    [
        ("2026-09-11", None),
        ("2026-09-12", "The model 'gpt-5-mini' retires in 90 days, on 2026-12-11; its successor is 'gpt-5.6-terra'."),
        ("2026-11-10", "The model 'gpt-5-mini' retires in 31 days, on 2026-12-11; its successor is 'gpt-5.6-terra'."),
        ("2026-11-11", "SOON: The model 'gpt-5-mini' retires in 30 days, "),
        ("2026-12-10", "SOON: The model 'gpt-5-mini' retires tomorrow, "),
        ("2026-12-11", "The model 'gpt-5-mini' was shut down by its maker on 2026-12-11"),
    ],
)
def test_it_is_told_ninety_days_before_and_more_urgently_thirty(day, told):
    """Not a day earlier."""
    found = fate(CATALOG.find, "gpt-5-mini-2025-08-07", date.fromisoformat(day))
    if told is None:
        assert found is None
    else:
        assert found.told("gpt-5-mini").startswith(told)


def test_the_log_has_it_once_per_model_and_day(caplog):
    """However often it is asked, and by whatever name."""
    keeper = retirement()
    with caplog.at_level(logging.WARNING, "headgate.catalog"):
        for day in ("2026-11-20", "2026-11-20", "2026-11-21"):
            for name in ("gpt-5-mini", "gpt-5-mini-2025-08-07", "gpt-5-mini-2025-01-01", "gpt-6-luna"):
                keeper.living(on(day, name), (Target("openai"),))
    assert [record.getMessage()[:40] for record in caplog.records] == ["SOON: The model 'gpt-5-mini' retires in "] * 2


def test_hostile_names_cannot_fill_memory_or_log(caplog):
    """Made-up dates of a retired model: nothing grows, and the log has one line."""
    keeper = retirement()
    for number in range(3000):
        with pytest.raises(UnknownModelError):
            keeper.living(on("2026-11-20", f"gpt-4-20{number % 100:02}-01-{number // 100:02}"), (Target("openai"),))
        keeper.living(on("2026-11-20", f"made-up-{number}"), (Target("openai"),))
    assert len(keeper._fates) <= 1000
    assert len(caplog.records) == 1


def test_elsewhere_a_name_lives_as_long_as_it_likes():
    """A server of one's own may call a model `gpt-4`."""
    targets = (ELSEWHERE,)
    assert retirement().living(CALL, targets) is targets
    assert list(retirement().living(CALL, (ELSEWHERE, OLD))) == [ELSEWHERE]
