"""`headgate serve` and `headgate simulate`: what they make of their options. That they serve is shown end to end."""

from pathlib import Path

import pytest

from headgate.providers.simulator import Fault, Latency, Limits
from headgate.providers.simulator import Request as Asked


@pytest.fixture
def served(monkeypatch):
    """What would be served, and where."""
    seen = []
    monkeypatch.setattr("headgate.server.serve.serve", lambda config, *, source: seen.append((config, source)))
    monkeypatch.setattr("headgate.server.serve.simulate", lambda *what, **where: seen.append((*what, where)))
    return seen


@pytest.mark.usefixtures("books")
def test_the_file_says_where(headgate, served):
    """Without options the configuration holds."""
    assert headgate("serve").code == 0
    ((config, _),) = served
    assert (config.server.host, config.server.port, list(config.providers)) == (
        "127.0.0.1", 4000, ["p", "broken", "cutting"],
    )  # fmt: skip


@pytest.mark.usefixtures("books")
def test_options_win_over_the_file(headgate, served):
    """Host and port, and the simulator in place of every provider."""
    assert headgate("serve", "--host", "localhost", "--port", "0", "--simulate").code == 0
    ((config, _),) = served
    assert (config.server.host, config.server.port, list(config.providers)) == ("localhost", 0, ["simulator"])


def test_nobody_to_ask(headgate, served):
    """A gateway that could not answer does not start."""
    done = headgate("serve")
    assert (done.code, served) == (2, [])
    assert done.said.startswith("error: No usable provider.\n\nhint: Set OPENAI_API_KEY")


def test_a_simulator_by_default(headgate, served):
    """On a port of its own, quick, patient and faultless."""
    assert headgate("simulate").code == 0
    ((simulator, where),) = served
    assert where == {"host": "127.0.0.1", "port": 4010}
    assert (simulator._seed, simulator._desk._latency, simulator._desk._limits) == (0, Latency(), Limits())
    assert list(simulator._desk._faults._faults) == []


def test_a_simulator_to_order(headgate, served):
    """Every option arrives; a fault is JSON, and there may be several."""
    options = (
        "--host", "::1", "--port", "0", "--seed", "7", "--first-token", "0.5", "--per-token", "0.25",
        "--requests-per-minute", "3", "--tokens-per-minute", "4", "--api-key", "k", "--log", "seen.jsonl",
        "--fault", '{"kind": "cut", "rate": 0.1}', "--fault", '{"kind": "status", "status": 429}',
    )  # fmt: skip
    assert headgate("simulate", *options).code == 0
    ((simulator, where),) = served
    assert where == {"host": "::1", "port": 0}
    assert simulator._seed == 7
    assert simulator._desk._latency == Latency(first_token=0.5, per_token=0.25)
    assert simulator._desk._limits == Limits(requests_per_minute=3, tokens_per_minute=4)
    assert list(simulator._desk._faults._faults) == [Fault(kind="cut", rate=0.1), Fault(kind="status", status=429)]
    assert simulator.take(Asked("GET", "/v1/models", {"authorization": "Bearer k"}, b"")).status == 200
    assert simulator.take(Asked("GET", "/v1/models", {"authorization": "Bearer x"}, b"")).status == 401
    assert Path("seen.jsonl").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--fault", "{"], "error: --fault '{': "),
        (["--fault", '{"kind": "explode"}'], "Invalid enum value 'explode'"),
        (["--fault", '{"kind": "explode"}'], "kinds are status, reset, silence"),
        (["--fault", '{"kind": "cut", "afer": 1}'], "afer"),
        (
            ["--log", "/none/seen.jsonl"],
            "error: --log '/none/seen.jsonl' cannot be written: No such file or directory.",
        ),
        (["--port", "-1"], "error: Invalid value for '--port'"),
        (["--requests-per-minute", "0"], "error: Invalid value for '--requests-per-minute'"),
    ],
)
def test_wrong_use(headgate, served, options, said):
    """The option, its value and the cure; nothing is served."""
    done = headgate("simulate", *options)
    assert (done.code, done.out, served) == (2, "", [])
    assert said in done.said
    assert "\n\nhint: " in done.said


def test_the_file_is_read_again(headgate, served):
    """With the same options; it is watched where that is asked for, and there is a file."""
    Path("headgate.yaml").write_text("providers: {p: {type: simulator}}\nmodels: {a: {targets: [{provider: p}]}}")
    assert headgate("serve", "--watch", "--port", "0").code == 0
    ((_, source),) = served
    assert source.watched == Path("headgate.yaml")
    Path("headgate.yaml").write_text("providers: {p: {type: simulator}}\nmodels: {b: {targets: [{provider: p}]}}")
    config = source.read()
    assert (list(config.models), config.server.port) == (["b"], 0)
    Path("headgate.yaml").unlink()
    done = headgate("serve", "--watch", "--simulate")
    assert (done.code, done.said.splitlines()[0]) == (
        2, "error: --watch: there is no file to watch, the configuration comes from `simulate`.",
    )  # fmt: skip
