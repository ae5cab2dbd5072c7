"""What is made of a configuration, and what of one cannot change. That it is exchanged is in `test_change.py`."""

import asyncio

import pytest

from headgate.core.errors import ConfigError
from headgate.gate import made
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.made import STAYING, Made, check_staying
from headgate.gate.ports import SystemChance
from headgate.stores.journal import FileJournal, MemoryJournal

TWO = {"p": {"type": "simulator"}, "q": {"type": "simulator"}}


def _config(**settings):
    return load(None, environment={}, settings={"store": "memory://", "providers": TWO, **settings}).config


def test_what_goes_on_and_what_is_left():
    """Providers and simulators whose settings are the same; the others are left with the time of their answers."""

    async def story():
        async with await Gate.open(_config()) as gate:
            first = gate._made
            changed = {"p": TWO["p"], "q": {"type": "simulator", "seed": 2, "timeout": {"total": 7}}}
            config = _config(providers=changed)
            prices = made.prices(config)
            prices.load()
            second = Made(config, prices, gate._ground, first)
            assert second.providers["p"] is first.providers["p"]
            assert second.simulators["p"] is first.simulators["p"]
            assert first.left(second) == [(first.providers["q"], 600.0)]
            third = Made(_config(providers={"p": TWO["p"]}), prices, gate._ground, second)
            assert second.left(third) == [(second.providers["q"], 7.0)]

    asyncio.run(story())


@pytest.mark.parametrize("name", STAYING)
def test_every_section_that_stays_is_named(name):
    """One by one; the message says where the cure is."""
    other = {
        "store": {"store": "sqlite:///a.db"}, "shared": {"shared": "redis://h"},
        "journal": {"journal": {"fsync": True}},
        "retention_days": {"retention_days": 7}, "apps": {"apps": {"generate": {"model": "m"}}},
        "alerts": {"alerts": {"webhook": "https://h"}},
    }[name]  # fmt: skip
    models = {"models": {"m": {"targets": [{"provider": "p"}]}}}
    with pytest.raises(ConfigError, match=f"`{name}` cannot change while the gateway runs") as told:
        check_staying(_config(**models), _config(**models, **other))
    assert told.value.hint == "Start it anew."


def test_what_may_change_is_let_through():
    """The key of the administrator, too."""
    after = _config(server={"admin_key": "another-one-entirely"}, policies={"retry": {"max_attempts": 1}}, providers={"p": TWO["p"]})  # fmt: skip  # noqa: E501
    check_staying(_config(), after)


def test_the_journal_that_is_named(tmp_path):
    """None on disk where nothing is kept."""
    assert isinstance(made.journal(_config(), SystemChance(1)), MemoryJournal)
    kept = _config(store=f"sqlite:///{tmp_path}/a.db", journal={"path": str(tmp_path / "j")})
    assert isinstance(made.journal(kept, SystemChance(1)), FileJournal)
