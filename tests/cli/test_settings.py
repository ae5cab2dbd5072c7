"""`headgate config`."""

import pytest
import yaml


@pytest.mark.usefixtures("books")
def test_a_good_configuration(headgate):
    """`check` says so on stderr; there are no data."""
    done = headgate("config", "check")
    assert (done.code, done.out) == (0, "")
    assert done.said == (
        "headgate.yaml: good. Providers: broken, cutting, p. Models: broken, cutting, default, gpt-6-luna, strange.\n"
    )


@pytest.mark.usefixtures("books")
def test_a_simulated_configuration(headgate):
    """The simulator in place of every provider is told."""
    assert headgate("config", "check", "--simulate").said.startswith("headgate.yaml: good. Providers: simulator.")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("serverr: {}", "headgate.yaml:1: `serverr` is not a setting"),
        ("server: {port: x}", "headgate.yaml:1: `server.port`"),
        ("a: [", "headgate.yaml:1: not valid YAML"),
    ],
)
def test_a_bad_configuration(headgate, tmp_path, text, said):
    """`check` names the file, the line and the setting; 2."""
    (tmp_path / "headgate.yaml").write_text(text)
    done = headgate("config", "check")
    assert (done.code, done.out) == (2, "")
    assert said in done.said


def test_a_file_that_does_not_exist(headgate):
    """It is named."""
    done = headgate("config", "check", "--config", "nowhere.yaml")
    assert done.code == 2
    assert "nowhere.yaml" in done.said


def test_what_is_in_force(headgate, monkeypatch):
    """`show` prints YAML with every default and without a credential, even where nobody could be asked."""
    shown = yaml.safe_load(headgate("config", "show").out)
    assert (shown["server"]["port"], shown["providers"]) == (4000, {})
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never-shown")
    done = headgate("config", "show")
    assert yaml.safe_load(done.out)["providers"]["openai"]["api_key"] == "***"
    assert "sk-never-shown" not in done.out + done.said
