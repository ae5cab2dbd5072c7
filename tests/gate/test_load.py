"""From a file and the environment to a configuration that can be used."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.errors import ConfigError
from headgate.core.secret import Secret
from headgate.gate.load import load
from headgate.gate.loaded import show

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def made(tmp_path):
    """Write a file and load it."""

    def write(text, environment=None, **options):
        file = tmp_path / "headgate.yaml"
        file.write_text(text)
        return load(file, environment=environment or {}, **options)

    return write


@pytest.fixture
def refused(made):
    """Write a file and give the message and hint with which it is refused."""

    def write(text, environment=None, **options):
        with pytest.raises(ConfigError) as error:
            made(text, environment, **options)
        return re.sub(r"\S*/headgate\.yaml", "headgate.yaml", error.value.message), error.value.hint

    return write


def from_environment(**variables):
    """Load without a file."""
    return load(None, environment=variables)


def targets(loaded, name):
    """The targets of a route as tuples."""
    return [(target.provider, target.model, target.weight) for target in loaded.config.models[name].targets]


PRACTICE = "providers: {practice: {type: simulator}}\n"


# --- the examples ---------------------------------------------------------------------------------------------------


def test_the_short_example_loads_and_routes():
    """Key and address come from the environment; both providers answer for the default model, by weight."""
    loaded = load(EXAMPLES / "gateway_config.yaml", environment={"OPENAI_API_KEY": "sk-1"})
    sol, luna = ("openai-sol", "gpt-6-sol", 0.7), ("openai-luna", "gpt-6-luna", 0.3)
    assert targets(loaded, "default") == [sol, luna]
    assert targets(loaded, "gpt-6-sol") == [sol]
    assert targets(loaded, "gpt-6-luna") == [luna]
    assert targets(loaded, "*") == [("openai-sol", None, 1)]
    provider = loaded.config.providers["openai-sol"]
    assert provider.api_key == Secret("sk-1")
    assert (provider.max_retries, provider.timeout.connect, provider.responses) == (3, 30, True)
    assert loaded.warnings == ()


def test_the_full_example_loads():
    """As it stands, with every value in force."""
    loaded = load(EXAMPLES / "headgate.yaml", environment={"OPENAI_API_KEY": "sk-1"})
    assert list(loaded.config.providers) == ["openai", "practice"]
    assert targets(loaded, "fast") == [("openai", "gpt-6-luna", 0.7), ("openai", "gpt-5.6-luna", 0.3)]
    assert loaded.config.server.auth == "keys"
    assert loaded.warnings == (
        "The provider `backup` is skipped: its `api_key` needs AZURE_OPENAI_API_KEY, which is empty.",
    )
    backed = load(EXAMPLES / "headgate.yaml", environment={"AZURE_OPENAI_API_KEY": "az"})
    assert list(backed.config.providers) == ["backup", "practice"]
    assert backed.config.providers["backup"].headers == {"api-key": Secret("az")}
    assert backed.config.providers["backup"].responses is True


# --- where it comes from --------------------------------------------------------------------------------------------


def test_without_a_file_the_key_makes_the_provider():
    """Any model name goes to it unchanged."""
    loaded = from_environment(
        OPENAI_API_KEY="sk-1", OPENAI_MODEL="gpt-6-sol", OPENAI_MAX_RETRIES="1", OPENAI_TIMEOUT="9"
    )
    provider = loaded.config.providers["openai"]
    assert (provider.base_url, provider.max_retries) == ("https://api.openai.com/v1", 1)
    assert provider.timeout.model_dump() == {"connect": 9, "first_token": 9, "silence": 9, "total": 600}
    assert loaded.config.models["default"] == "gpt-6-sol"
    assert targets(loaded, "*") == [("openai", None, 1)]
    assert loaded.source == "environment"
    assert loaded.origins["models.default"] == "OPENAI_MODEL"


def test_an_address_alone_is_enough_where_it_is_not_openai_s():
    """A server of one's own needs no key."""
    provider = from_environment(OPENAI_BASE_URL="http://127.0.0.1:8000/v1/").config.providers["openai"]
    assert (provider.base_url, provider.api_key, provider.responses) == ("http://127.0.0.1:8000/v1", None, False)


def test_nothing_configured_is_refused_with_a_hint():
    """The simulator does not answer unasked."""
    with pytest.raises(ConfigError, match=r"^No usable provider\.") as error:
        from_environment()
    assert error.value.message == "No usable provider."
    assert "OPENAI_API_KEY" in error.value.hint
    assert "--simulate" in error.value.hint


def test_the_refusal_says_why_each_provider_is_skipped(refused):
    """And models that lead nowhere are no better than no provider."""
    message, _ = refused("providers: {openai: {type: openai}}")
    assert message == "No usable provider. The provider `openai` is skipped: it has no `api_key`; set OPENAI_API_KEY."
    message, hint = refused(
        "providers: {a: {type: openai, api_key: ''}, b: {type: simulator}}\nmodels: {m: {targets: [{provider: a}]}}"
    )
    assert message.startswith("No usable model. The provider `a` is skipped")
    assert hint == "Add a route to a usable provider."


def test_who_only_reads_the_books_needs_no_provider():
    """`usage` works on a machine without a key."""
    assert load(None, environment={}, serving=False).config.providers == {}


def test_the_file_is_named_by_argument_variable_or_folder(tmp_path):
    """In this order; a folder without the file is no error, a named file that is missing is."""
    for name, port in (("one", 1), ("two", 2), ("headgate", 3)):
        (tmp_path / f"{name}.yaml").write_text(f"{PRACTICE}server: {{port: {port}}}")
    named = {"HEADGATE_CONFIG": str(tmp_path / "two.yaml")}
    assert load(tmp_path / "one.yaml", environment=named, folder=tmp_path).config.server.port == 1
    assert load(None, environment=named, folder=tmp_path).config.server.port == 2
    found = load(None, environment={}, folder=tmp_path)
    assert found.config.server.port == 3
    assert found.source == str(tmp_path / "headgate.yaml")
    assert found.origins["server.port"] == f"{tmp_path / 'headgate.yaml'}:2"
    assert load(None, environment={}, folder=tmp_path / "none", simulate=True).source == "simulate"
    with pytest.raises(ConfigError, match=r"none\.yaml: the configuration file cannot be read"):
        load(None, environment={"HEADGATE_CONFIG": "none.yaml"})


def test_a_dotenv_file_counts(tmp_path):
    """Its variables fill settings and references like any other."""
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-file\n")
    loaded = load(None, environment={}, dotenv=tmp_path / ".env")
    assert loaded.config.providers["openai"].api_key == Secret("sk-file")


def test_overrides_win_and_are_checked_like_the_rest(made, refused):
    """An address from the command line decides about keys, too."""
    loaded = made(PRACTICE + "server: {port: 1}", overrides={"server.port": 0, "journal.path": "x"})
    assert (loaded.config.server.port, loaded.config.journal.path) == (0, "x")
    assert loaded.origins["server.port"] == "command line"
    kept = {"server.host": "0.0.0.0", "store": "memory://"}  # noqa: S104  nothing listens here
    message, _ = refused(PRACTICE, overrides=kept)
    assert "'0.0.0.0', which is not loopback, but there are no `keys`" in message
    message, _ = refused(PRACTICE, overrides={"server.port": 70000})
    assert message == "command line (`server.port`) is 70000, but must be less than or equal to 65535."


# --- the simulator --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"simulate": True}, {"environment": {"HEADGATE_SIMULATE": "1"}}])
def test_the_simulator_needs_no_configuration(options):
    """The default model is set, the books are in memory, nothing is limited."""
    loaded = load(None, **{"environment": {}, **options})
    assert loaded.simulated
    assert loaded.source == "simulate"
    assert list(loaded.config.providers) == ["simulator"]
    assert (loaded.config.models["default"], loaded.config.store) == ("gpt-6-luna", "memory://")
    assert targets(loaded, "*") == [("simulator", None, 1)]


def test_the_simulator_replaces_what_is_configured(made):
    """Routes lead to it, no credential is missed, and what else the file says stays."""
    loaded = made((EXAMPLES / "gateway_config.yaml").read_text(), {"OPENAI_MODEL": "gpt-6-sol"}, simulate=True)
    assert list(loaded.config.providers) == ["simulator"]
    assert targets(loaded, "gpt-6-sol") == [("simulator", "gpt-6-sol", 0.7)]
    assert loaded.config.models["default"] == "gpt-6-sol"
    assert loaded.config.store == "sqlite:///./headgate.db"
    assert loaded.warnings == ()


def test_variables_of_real_providers_do_not_touch_the_simulator():
    """A machine set up for production can practise."""
    variables = {"OPENAI_API_KEY": "sk-1", "OPENAI_RATE_LIMIT_RPM": "5", "OPENAI_MODEL": "m"}
    loaded = load(None, environment=variables, simulate=True)
    assert loaded.config.models["default"] == "m"
    assert loaded.config.providers["simulator"].limits is None


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "providers:\n  openai:\n    type: openai\n    timout: 3",
            "headgate.yaml:4: `providers.openai.timout` is not a setting.",
            "Did you mean `timeout`?",
        ),
        ("provders: {}", "headgate.yaml:1: `provders` is not a setting.", "Did you mean `providers`?"),
        (
            "models:\n  m:\n    targets:\n      - {provider: p, modle: m}",
            "headgate.yaml:4: `models.m.targets[0].modle` is not a setting.",
            "Did you mean `model`?",
        ),
        (
            "providers: {p: {type: opnai}}",
            (
                "headgate.yaml:1: `providers.p.type` is 'opnai', but must be 'openai', 'simulator', 'local', "
                "'anthropic' or 'gemini'."
            ),
            "Did you mean `openai`?",
        ),
        ("providers: {p: {}}", "headgate.yaml:1: `providers.p.type` is missing.", ""),
        ("server:\n  port: x", "headgate.yaml:2: `server.port` is 'x', but must be a whole number.", ""),
        ("server: {port: yes}", "headgate.yaml:1: `server.port` is true, but must not be true or false.", ""),
        ("server: {port: 1.5}", "headgate.yaml:1: `server.port` is 1.5, but must be a whole number.", ""),
        ("server: 5", "headgate.yaml:1: `server` must be a mapping.", ""),
        ("keys: {}", "headgate.yaml:1: `keys` must be a list.", ""),
        ("store: 5", "headgate.yaml:1: `store` is 5, but must be text.", "Put text in quotes."),
        ("models: {m: 5}", "headgate.yaml:1: `models.m` must be a mapping.", ""),
        ("models: {m: {targets: []}}", "headgate.yaml:1: `models.m.targets` is a list, but must not be empty.", ""),
        (
            "models: {m: {targets: [{provider: p}], cache: maybe}}",
            "headgate.yaml:1: `models.m.cache` is 'maybe', but must be true, false or a mapping.",
            "",
        ),
        (
            "models: {m: {targets: [{provider: p}], combine: 10}}",
            "headgate.yaml:1: `models.m.combine` is 10, but must be true, false or a mapping.",
            "",
        ),
        (
            "providers: {p: {type: openai, timeout: soon}}",
            (
                "headgate.yaml:1: `providers.p.timeout` is 'soon', but a duration is a number of seconds, or text such "
                "as '15s', '250ms', '2m', '24h'."
            ),
            "",
        ),
        (
            "keys: [{name: a, sha256: my-very-own-password}]",
            "headgate.yaml:1: `keys[0].sha256` must be 64 hexadecimal digits in lower case.",
            "",
        ),
        (
            f"keys: [{{name: a, sha256: {'ab' * 32}, expires: never}}]",
            "headgate.yaml:1: `keys[0].expires` is 'never', but must be a date such as 2027-06-30.",
            "",
        ),
        (
            'providers: {p: {type: openai, api_key: "hor\\nse"}}',
            (
                "headgate.yaml:1: `providers.p.api_key` cannot be used: a credential is one line of printable ASCII "
                "characters."
            ),
            "",
        ),
        (
            "providers: {p: {type: openai, api_key: 12345}}",
            "headgate.yaml:1: `providers.p.api_key` must be text.",
            "Put text in quotes.",
        ),
        (
            "journal: {max_backlog_mb: .inf}",
            ("headgate.yaml:1: `journal.max_backlog_mb` is inf, but must be a finite number."),
            "",
        ),
        (
            "server: {port: '${PORT}'}",
            "headgate.yaml:1: `server.port` needs the variable PORT, which is not set.",
            "Set it, or give a default: `${PORT:-…}`.",
        ),
        ("server: {port: 1, port: 2}", "headgate.yaml:1: `server.port` stands twice, first in line 1.", "Keep one."),
        (
            "- a",
            "headgate.yaml: the file must hold a mapping of settings.",
            "Begin with a section such as `providers:`.",
        ),
    ],
)
def test_each_mistake_is_named_with_file_line_setting_value_and_cure(refused, text, message, hint):
    """One sentence, and a hint where there is one."""
    assert refused(text) == (message, hint)


def test_all_mistakes_come_at_once(refused):
    """Reading, references, variables and schema are one round."""
    message, _ = refused(
        "server: {port: x, hots: y, auth: '${NOPE}'}\na: 1\na: 2",
        {"OPENAI_TIMEOUT": "1", "OPENAI_TIMEOUT_SECONDS": "2"},
    )
    assert message.splitlines() == [
        "5 settings cannot be used:",
        "  - headgate.yaml:3: `a` stands twice, first in line 2. Keep one.",
        (
            "  - headgate.yaml:1: `server.auth` needs the variable NOPE, which is not set. Set it, or give a default: "
            "`${NOPE:-…}`."
        ),
        "  - OPENAI_TIMEOUT is '1', but OPENAI_TIMEOUT_SECONDS, which means the same, is '2'. Set one of them.",
        "  - headgate.yaml:1: `server.port` is 'x', but must be a whole number.",
        "  - headgate.yaml:1: `server.hots` is not a setting. Did you mean `host`?",
    ]


def test_a_mistake_in_a_variable_names_the_variable():
    """Nobody wrote `providers.openai.max_retries`."""
    with pytest.raises(ConfigError) as error:
        from_environment(OPENAI_API_KEY="sk-1", OPENAI_MAX_RETRIES="many", OPENAI_TIMEOUT="soon")
    assert error.value.message.splitlines()[1:] == [
        (
            "  - OPENAI_TIMEOUT (`providers.openai.timeout.connect`) is 'soon', but a duration is a number of seconds, "
            "or text such as '15s', '250ms', '2m', '24h'."
        ),
        "  - OPENAI_MAX_RETRIES (`providers.openai.max_retries`) is 'many', but must be a whole number.",
    ]


def test_what_does_not_fit_and_what_is_not_built_come_together(refused):
    """One more round at most."""
    message, _ = refused(
        "providers: {practice: {type: simulator}, claude: {type: anthropic, api_key: k}}\n"
        "models: {m: {targets: [{provider: pratice}]}}"
    )
    assert message.splitlines()[1:] == [
        (
            "  - headgate.yaml:2: `models.m.targets[0].provider` is 'pratice', but there is no such provider. Did you "
            "mean `practice`?"
        ),
        (
            "  - headgate.yaml:1: `providers.claude.type` is not built yet: providers of this type. Leave it out: a "
            "setting without effect would only look like a promise."
        ),
    ]


def test_references_are_replaced_and_numbers_in_text_count(made):
    """Where a number is wanted, the text of a variable is one."""
    loaded = made(PRACTICE + "server: {port: '${PORT}', host: '${HOST:-localhost}'}", {"PORT": "8080"})
    assert (loaded.config.server.port, loaded.config.server.host) == (8080, "localhost")


def test_a_value_from_a_variable_is_shown_as_it_was_written(refused):
    """What the variable holds may be a credential."""
    message, _ = refused("server: {port: '${OPENAI_API_KEY}'}", {"OPENAI_API_KEY": "correct-horse"})
    assert message == "headgate.yaml:1: `server.port` is '${OPENAI_API_KEY}', but must be a whole number."
    message, _ = refused(PRACTICE + "models: {m: {targets: [{provider: '${X}'}]}}", {"X": "correct-horse"})
    assert message == "headgate.yaml:2: `models.m.targets[0].provider` is '${X}', but there is no such provider."


def test_keys_that_nobody_asks_for_are_a_warning(made):
    """On loopback the default is that anybody may call."""
    loaded = made(f"{PRACTICE}keys: [{{name: a, sha256: {'ab' * 32}}}]")
    assert loaded.warnings == ("`keys` are not asked for: `server.auth` is `none`, the default on a loopback address.",)


def test_the_process_is_never_asked(monkeypatch):
    """Only the variables that were given count."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-process")
    monkeypatch.setenv("HEADGATE_SIMULATE", "1")
    with pytest.raises(ConfigError, match="No usable provider"):
        load(None, environment={})


SECRET = "correct-horse-battery"
NAMES = st.sampled_from(
    [
        *("server", "providers", "models", "keys", "openai", "type", "api_key", "apikey", "headers", "alerts"),
        *("webhook", "default", "*", "targets", "provider", "timeout", "limits", "x-key", "sha256", "name"),
        *("admin_key", "policies", "retry", "proxy"),
    ]
)
VALUES = st.recursive(
    st.sampled_from([None, True, 5, -1, 0.5, "openai", "simulator", "${NOPE}", "${KEY}", "", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, VALUES, max_size=5), st.booleans())
def test_any_document_loads_or_is_refused_and_no_credential_is_repeated(tmp_path_factory, data, simulate):
    """Whatever is written: a configuration or a `ConfigError`, and never the value of a variable."""
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(yaml.safe_dump(data))
    environment = {"KEY": SECRET, "OPENAI_API_KEY": SECRET}
    try:
        loaded = load(file, environment=environment, simulate=simulate)
        credentials = [provider.api_key for provider in loaded.config.providers.values() if provider.api_key]
        said = show(loaded) if credentials else ""
    except ConfigError as error:
        said = error.message + error.hint
    assert SECRET not in said


GIVEN = {"providers": {"p": {"type": "simulator"}}, "store": "${STORE:-memory://}"}


def test_settings_stand_for_a_file():
    """References in them are resolved, the caller's own mapping is left as it was, and no file is read."""
    loaded = load(None, environment={"HEADGATE_CONFIG": "/missing.yaml"}, settings=GIVEN)
    assert (loaded.config.store, loaded.source) == ("memory://", "settings")
    assert GIVEN["providers"] == {"p": {"type": "simulator"}}


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
