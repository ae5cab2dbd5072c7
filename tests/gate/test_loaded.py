"""How a loaded configuration is shown."""

import yaml

from headgate.gate.config import Config
from headgate.gate.loaded import Loaded, generation, show

CONFIG = Config.model_validate(
    {
        "shared": "redis://:hunter2@host/1",
        "providers": {
            "p": {
                "type": "openai",
                "api_key": "sk-live",
                "headers": {"x-token": "hush"},
                "proxy": "http://u:pw@proxy:1",
                "defaults": {"stop": ["http://a:b@c"], "seed": 1},
            }
        },
        "keys": [{"name": "a", "sha256": "0" * 64, "expires": "2027-06-30"}],
        "budgets": [{"name": "all", "limit_usd": "0.10"}],
    }
)


def test_the_final_configuration_is_yaml_without_credentials():
    """Every value is there; keys, header values and passwords in addresses are not."""
    text = show(Loaded(config=CONFIG, source="headgate.yaml"))
    data = yaml.safe_load(text)
    assert text.startswith("# source: headgate.yaml\n")
    assert data["server"]["port"] == 4000
    assert data["server"]["admin_key"] == ""
    assert data["providers"]["p"]["api_key"] == "***"
    assert data["providers"]["p"]["headers"] == {"x-token": "***"}
    assert data["keys"][0]["expires"] == "2027-06-30"
    assert data["budgets"][0]["limit_usd"] == "0.10"
    assert data["shared"] == "redis://***@host/1"
    for secret in ("sk-live", "hush", "hunter2", "pw", "a:b"):
        assert secret not in text


def test_what_did_not_come_from_the_file_is_said():
    """Variables are named beside the settings that they made; so is the simulator."""
    origins = {"server": "headgate.yaml:1", "models.default": "OPENAI_MODEL"}
    text = show(Loaded(config=CONFIG, source="headgate.yaml", simulated=True, origins=origins))
    assert "# models.default: from OPENAI_MODEL\n" in text
    assert "# simulated: every provider is replaced by the simulator\n" in text
    assert "from headgate.yaml" not in text


def test_the_generation_names_a_configuration():
    """The same for the same one, another one for another; a credential makes no difference, and is not in it."""
    data = {"store": "postgresql://u:one@h/d", "providers": {"p": {"type": "openai", "api_key": "sk-1"}}}
    other = {"store": "postgresql://u:two@h/d", "providers": {"p": {"type": "openai", "api_key": "sk-2"}}}
    name, same, different = (generation(Config.model_validate(one)) for one in (data, other, {**data, "store": "s"}))
    assert name == same != different
    assert len(name) == 12
