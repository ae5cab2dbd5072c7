"""The configuration of a gate in a program."""

import pytest

from headgate.client.configuration import loaded
from headgate.core.errors import ConfigError
from headgate.gate.config import Config

FACTS = {"simulate": False, "api_key": None, "base_url": None, "model": None}


def test_every_form_is_the_same_configuration(tmp_path):
    """A mapping, a file, or a `Config` that was loaded."""
    settings = {"store": "memory://", "providers": {"sim": {"type": "simulator"}}}
    by_mapping = loaded(settings, **FACTS).config
    file = tmp_path / "gate.yaml"
    file.write_text("store: memory://\nproviders: {sim: {type: simulator}}\n")
    assert isinstance(by_mapping, Config)
    assert loaded(file, **FACTS).config == loaded(str(file), **FACTS).config == by_mapping
    assert loaded(by_mapping, **FACTS).config == by_mapping


def test_arguments_win():
    """Over what the environment says, and over the configuration's own model."""
    found = loaded(None, **FACTS | {"api_key": "sk-1", "base_url": "http://127.0.0.1:1/v1", "model": "m"}).config
    assert found.models["default"] == "m"
    assert found.providers["openai"].base_url == "http://127.0.0.1:1/v1"
    assert {provider.type for provider in loaded(None, **FACTS | {"simulate": True}).config.providers.values()} == {
        "simulator"
    }


def test_what_is_no_configuration_is_refused():
    """By its type, with what would do."""
    with pytest.raises(ConfigError, match="of the type list"):
        loaded([], **FACTS)
