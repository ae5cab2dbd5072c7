"""The schema, read as a list."""

from headgate.gate.config import Config, Route
from headgate.gate.config_providers import Provider
from headgate.gate.settings import is_secret, section_at, settings_reference


def test_every_setting_has_a_description_and_words_for_its_type():
    """The documentation can say something about each."""
    settings = settings_reference()
    assert len(settings) > 100
    assert [setting.key for setting in settings if not (setting.description and setting.type)] == []
    assert len({setting.key for setting in settings}) == len(settings)


def test_settings_are_said_in_words():
    """Types and defaults read as they are written in a file."""
    known = {setting.key: (setting.type, setting.default) for setting in settings_reference()}
    assert known["server"] == ("mapping", "")
    assert known["server.port"] == ("whole number", "4000")
    assert known["server.auth"] == ("`none` or `keys`", "")
    assert known["server.admin_key"] == ("secret", "")
    assert known["journal.fsync"] == ("true or false", "false")
    assert known["providers.NAME.type"][1] is None
    assert known["providers.NAME.timeout.connect"] == ("duration", "5")
    assert known["providers.NAME.headers"] == ("mapping", "")
    assert known["providers.NAME.faults[].kind"][0].startswith("`status` or `reset`")
    assert known["models.NAME.targets"] == ("list of mapping", None)
    assert known["models"] == ("mapping", "")
    assert known["models.NAME.cache"] == ("mapping", "")
    assert known["keys[].expires"] == ("date", "")
    assert known["keys[].tags"] == ("mapping", "")
    assert known["budgets[].limit_usd"] == ("number", None)
    assert known["budgets[].alert_at"] == ("list of number", "[0.8]")


def test_a_path_leads_to_its_section():
    """Through names, entries of lists and alternatives; nowhere else."""
    assert section_at(()) is Config
    assert section_at(("providers", "openai")) is Provider
    assert section_at(("models", "fast")) is Route
    assert section_at(("models", "fast", "targets", 0)).__name__ == "TargetSettings"
    assert section_at(("server", "port")) is None
    assert section_at(("no", "such")) is None
    assert section_at(("providers", 0)) is None
    assert section_at(("keys", "name")) is None


def test_a_path_tells_whether_it_is_secret():
    """Credentials are, and so is whatever nobody knows."""
    assert is_secret(("providers", "p", "api_key"))
    assert is_secret(("providers", "p", "headers", "x"))
    assert is_secret(("alerts", "webhook"))
    assert is_secret(("providers", "p", "apikey"))
    assert not is_secret(("server", "port"))
    assert not is_secret(("providers", "p", "defaults", "seed"))
