"""`headgate doctor`."""

import json
from pathlib import Path

import pytest

from headgate.cli import doctor as module
from headgate.gate.config import Config


@pytest.mark.usefixtures("books")
def test_a_healthy_gateway(headgate):
    """Every part answers; what is simulated says so; 0."""
    done = headgate("doctor")
    assert (done.code, done.said) == (0, "")
    lines = done.out.splitlines()
    assert all(line.startswith("ok    ") for line in lines)
    assert [line[6:].partition(":")[0] for line in lines] == [
        "python", "configuration", "store", "journal", "provider p", "provider broken", "provider cutting",
    ]  # fmt: skip
    assert lines[1:4] == [
        "ok    configuration: headgate.yaml, providers: p, broken, cutting",
        "ok    store: sqlite:///books.db answers",
        "ok    journal: can be written",
    ]
    assert all(line.endswith(" ms (simulated)") for line in lines[4:])


def test_facts_for_scripts(headgate):
    """One object per item; a cure only where something is wrong."""
    done = headgate("doctor", "--json", "--simulate")
    items = [json.loads(line) for line in done.out.splitlines()]
    assert [item["name"] for item in items] == ["python", "configuration", "store", "journal", "provider simulator"]
    assert all(item["good"] and item["found"] and not item["cure"] for item in items)


def test_without_a_configuration(headgate):
    """Nobody could be asked: that is told with its cure; a bad configuration is 2."""
    done = headgate("doctor")
    assert (done.code, done.said) == (2, "")
    assert done.out.splitlines()[1:] == [
        "FAIL  configuration: No usable provider.",
        (
            "      hint: Set OPENAI_API_KEY, name a provider in `headgate.yaml`, or practise with `--simulate` or "
            "HEADGATE_SIMULATE=1."
        ),
    ]


def test_a_bad_configuration_without_a_cure(headgate):
    """The message says it all."""
    Path("headgate.yaml").write_text("a: [")
    done = headgate("doctor")
    assert done.code == 2
    assert len(done.out.splitlines()) == 2


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"store": "sqlite:///none/books.db"}, "none/books.db"),
        ({"journal": {"path": "/dev/null/journal"}}, "/dev/null/journal"),
        ({"providers": {"p": {"type": "openai", "api_key": "k", "ca_bundle": "/none.pem"}}}, "/none.pem"),
    ],
    ids=["store", "journal", "certificates"],
)
def test_a_gate_that_cannot_be_opened(headgate, settings, found):
    """What stands in its way is told, with its cure; 1."""
    Path("headgate.yaml").write_text(json.dumps({"providers": {"p": {"type": "simulator"}}, **settings}))
    done = headgate("doctor")
    assert done.code == 1
    failed, hint = done.out.splitlines()[2:]
    assert failed.startswith("FAIL  gate: ")
    assert found in failed
    assert hint.startswith("      hint: ")


HEALTH = {
    "store": {"status": "down", "kind": "sqlite", "error": "the disk is on fire"},
    "journal": {"status": "failing", "error": "no space"},
    "providers": {
        "a": {"state": "failing", "latency_ms": 3.0, "error": "answered 401"},
        "b": {"state": "unreachable", "latency_ms": None, "error": None},
        "c": {"state": "ok", "latency_ms": 2.5, "error": None},
    },
}


def test_each_part_has_its_cure():
    """What was found is told as it is, and where to look."""
    config = Config(store="postgresql://user:word@host/db")
    store = module._store(config, HEALTH)
    assert (store.good, store.cure) == (False, "Look at `store` in the configuration.")
    assert store.found.endswith(" the disk is on fire")
    assert "word" not in store.found
    assert module._journal(HEALTH) == module.Item(
        "journal", good=False, found="no space", cure="Look at `journal.path` and its disk."
    )


def test_a_shared_store_is_looked_at(headgate):
    """Where one is named, and without its password: calls go on without it, so nobody else would say."""
    away = {"providers": {"p": {"type": "simulator"}}, "store": "memory://", "shared": "redis://:word@127.0.0.1:1/0"}
    Path("headgate.yaml").write_text(json.dumps(away))
    done = headgate("doctor")
    assert done.code == 1
    (line,) = [line for line in done.out.splitlines() if "shared:" in line]
    assert line.startswith("FAIL  shared: redis://***@127.0.0.1:1/0 ConnectionError: ")
    assert "policies.on_shared_store_lost" in done.out
    config = Config(shared="redis://there")
    assert module._shared(config, {"shared": {"status": "ok"}})[0].found == "redis://there answers"


def test_providers_are_told_apart():
    """One that fails, one that is away, and one that answers; only a simulator is called simulated."""
    items = module._providers(HEALTH, {"c"})
    assert [(item.name, item.good, item.found) for item in items] == [
        ("provider a", False, "answered 401"),
        ("provider b", False, "unreachable"),
        ("provider c", True, "answered in 2.5 ms (simulated)"),
    ]
    assert "providers.a" in items[0].cure


def test_an_old_python_is_told(monkeypatch):
    """The house needs 3.11."""
    monkeypatch.setattr("sys.version_info", (3, 10))
    assert not module._python().good
