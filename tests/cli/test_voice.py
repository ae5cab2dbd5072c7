"""How the command line speaks: streams, errors, exit codes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.cli.voice import complain, configuration, put, say, visible, write
from headgate.core.errors import BadRequestError, ConfigError, NoTargetError, UnknownModelError, UnreachableError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("Wrong."), 2),
        (BadRequestError("Wrong."), 2),
        (UnknownModelError("Wrong."), 2),
        (NoTargetError("Wrong."), 1),
        (UnreachableError("Wrong."), 1),
    ],
)
def test_what_was_asked_wrongly_is_2_and_what_went_wrong_is_1(error, code, capsys):
    """The message on stderr; nothing on stdout, which is for data."""
    assert complain(error) == code
    assert capsys.readouterr() == ("", "error: Wrong.\n")


def test_a_hint_follows_a_blank_line(capsys):
    """What failed, then the cure."""
    complain(ConfigError("Wrong.", hint="Right it."))
    assert capsys.readouterr().err == "error: Wrong.\n\nhint: Right it.\n"


def test_data_and_talk_go_different_ways(capsys):
    """`put` is for pipes, `say` for people."""
    put("data")
    say("talk")
    say()
    assert capsys.readouterr() == ("data\n", "talk\n\n")


def test_every_command_reads_its_configuration_alike(tmp_path, monkeypatch, capsys):
    """The folder's file and `.env`; warnings are told; options win."""
    for name in ("HEADGATE_CONFIG", "HEADGATE_SIMULATE", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-from-file\n")
    (tmp_path / "headgate.yaml").write_text(
        "providers:\n  a: {type: openai}\n  b: {type: openai, api_key: '${NOWHERE:-}'}\nserver: {port: 1}\n"
    )
    loaded = configuration(None, overrides={"server.port": 2})
    assert set(loaded.config.providers) == {"a"}
    assert loaded.config.server.port == 2
    out, said = capsys.readouterr()
    assert out == ""
    assert said.startswith("warning: The provider `b` is skipped")
    assert set(configuration(None, simulate=True).config.providers) == {"simulator"}
    with pytest.raises(ConfigError, match="nowhere"):
        configuration(tmp_path / "nowhere.yaml")


def test_the_local_model_takes_the_place_of_every_provider(tmp_path, monkeypatch):
    """Store and server stay those of the file; providers and models go; the simulator is something else."""
    for name in ("HEADGATE_CONFIG", "HEADGATE_SIMULATE", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HEADGATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "headgate.yaml").write_text(
        "store: memory://\nproviders: {a: {type: openai}}\nmodels: {x: {targets: [{provider: a}]}}\n"
    )
    for _ in range(2):
        config = configuration(None, local=True, overrides={"server.port": 2}).config
        assert [(name, provider.type) for name, provider in config.providers.items()] == [("local", "local")]
        assert config.providers["local"].model_file == str(tmp_path / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf")
        assert (config.store, config.server.port, config.models["default"]) == ("memory://", 2, "smollm2-135m-instruct")
        assert set(config.models) == {"default", "smollm2-135m-instruct", "*"}
    with pytest.raises(ConfigError, match="exclude each other"):
        configuration(None, local=True, simulate=True)


@given(st.text())
def test_a_terminal_is_given_no_orders(text):
    """No control character is left but tabs and line ends; all other text stays as it is."""
    shown = visible(text)
    assert not [c for c in shown.replace("\r\n", "\n") if (ord(c) < 32 or 127 <= ord(c) < 160) and c not in "\t\n"]
    if text.isprintable():
        assert shown == text


def test_orders_are_spelled_out():
    """A reader sees what was there; line ends of both kinds stay."""
    assert visible("a\x1b[2J\x07\r\nb\rc\x9b1m\té👩‍🚀") == "a\\x1b[2J\\x07\r\nb\\x0dc\\x9b1m\té👩‍🚀"


def test_messages_are_made_visible(capsys):
    """They quote what strangers wrote. Data for a file or a pipe stay as they are."""
    say("ta\x07lk")
    put("da\x07ta")
    write("more")
    assert capsys.readouterr() == ("da\x07ta\nmore", "ta\\x07lk\n")


def test_data_on_a_terminal_are_made_visible(capsys, terminal):
    """Words of a model could otherwise move the cursor, or set the title."""
    terminal()
    put("da\x07ta")
    assert capsys.readouterr().out == "da\\x07ta\n"
