"""The schema itself."""

from datetime import date
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from headgate.gate.config import Config, Route

EXAMPLES = Path(__file__).parents[2] / "examples"


def complaint(**data):
    """Where, and with which words, a configuration is refused."""
    with pytest.raises(ValidationError) as error:
        Config.model_validate(data)
    first = error.value.errors()[0]
    return first["loc"], first["msg"]


@pytest.mark.parametrize("name", ["headgate.yaml", "gateway_config.yaml"])
def test_the_examples_fit_the_schema(name):
    """Every setting of the examples exists, and every value is of its kind."""
    config = Config.model_validate(yaml.safe_load((EXAMPLES / name).read_text()))
    assert config.providers


def test_the_full_example_is_read_as_it_is_meant():
    """Durations, dates, money, nested rules and names arrive with their values."""
    config = Config.model_validate(yaml.safe_load((EXAMPLES / "headgate.yaml").read_text()))
    assert config.server.stream_open_after == 15
    assert config.providers["openai"].timeout.total == 600
    assert config.models["default"] == "fast"
    assert isinstance(config.models["fast"], Route)
    assert config.models["fast"].targets[0].weight == 0.7
    assert config.policies.cache.ttl == 86400
    assert str(config.catalog.models["acme-tuned"].input_usd_per_million) == "0.8"
    assert config.keys[0].expires == date(2027, 6, 30)


def test_a_scalar_timeout_sets_the_first_three():
    """`timeout: 30` leaves the total alone."""
    provider = Config.model_validate({"providers": {"p": {"type": "openai", "timeout": "7s"}}}).providers["p"]
    assert provider.timeout.model_dump() == {"connect": 7, "first_token": 7, "silence": 7, "total": 600}


def test_a_setting_without_a_value_is_absent():
    """A section whose lines are all commented out means its defaults; an unknown name stays unknown."""
    assert Config.model_validate({"policies": None, "server": {"auth": None}}) == Config()
    assert complaint(polices=None) == (("polices",), "Extra inputs are not permitted")


@pytest.mark.parametrize(
    ("data", "where"),
    [
        ({"server": {"port": True}}, ("server", "port")),
        ({"journal": {"max_backlog_mb": False}}, ("journal", "max_backlog_mb")),
        ({"keys": [{"name": "n", "sha256": "0" * 64, "expires": 20270630}]}, ("keys", 0, "expires")),
        ({"journal": {"max_backlog_mb": float("inf")}}, ("journal", "max_backlog_mb")),
        ({"providers": {"p": {"type": "openai", "timeout": 0}}}, ("providers", "p", "timeout", "connect")),
        ({"models": {"a": {"targets": []}}}, ("models", "a", "route", "targets")),
        ({"models": {"a": ["x"]}}, ("models", "a", "route")),
    ],
)
def test_values_of_another_kind_are_refused(data, where):
    """A truth is no number, a number no date, nothing is endless, and no timeout is zero."""
    assert complaint(**data)[0] == where


def test_numbers_in_texts_are_numbers():
    """What comes from the environment is text and means what it says."""
    config = Config.model_validate({"server": {"port": "8080"}, "journal": {"fsync": "true"}})
    assert (config.server.port, config.journal.fsync) == (8080, True)


def test_a_configuration_cannot_be_changed():
    """What was checked stays as it was checked."""
    with pytest.raises(ValidationError, match="frozen"):
        Config().store = "x"
