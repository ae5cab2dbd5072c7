"""Loading from settings that are given as data."""

import pytest

from headgate.core.errors import ConfigError
from headgate.gate.load import load

PRACTICE = {"providers": {"p": {"type": "simulator"}}, "store": "${STORE:-memory://}"}


def test_settings_stand_for_a_file():
    """References in them are resolved, the caller's own mapping is left as it was, and no file is read."""
    loaded = load(None, environment={"HEADGATE_CONFIG": "/missing.yaml"}, settings=PRACTICE)
    assert (loaded.config.store, loaded.source) == ("memory://", "settings")
    assert PRACTICE["providers"] == {"p": {"type": "simulator"}}


def test_complaints_name_where_the_settings_came_from():
    """An unknown setting is refused as in a file."""
    with pytest.raises(ConfigError, match="settings") as caught:
        load(None, environment={}, settings={"provders": {}})
    assert "provders" in caught.value.message


def test_a_simulated_configuration_is_a_configuration():
    """Only where nothing at all is configured does the simulator choose the store."""
    loaded = load(None, environment={}, settings={"store": "sqlite:///x.db"}, simulate=True)
    assert loaded.config.store == "sqlite:///x.db"
    assert load(None, environment={}, simulate=True).config.store == "memory://"
