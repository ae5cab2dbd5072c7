"""What the words of a configuration become."""

import sys
from decimal import Decimal

import pytest
import trustme

from headgate.catalog.models import Own
from headgate.core.call import Operation, Target, Timeouts
from headgate.core.errors import ConfigError
from headgate.core.secret import Secret
from headgate.gate import wiring
from headgate.gate.load import load
from headgate.gate.ports import SystemChance
from headgate.gate.tasks import Tasks
from headgate.policies.once.made import Settings
from headgate.policies.route import Plan
from headgate.providers.http import HttpTransport
from headgate.providers.local import model
from headgate.providers.local.local import Local
from headgate.providers.local.process import Address
from headgate.providers.simulator import Batch, Fault, Latency, Limits, SimulatorTransport
from headgate.stores.memory_rates import MemoryRates
from headgate.testing import VirtualClock, virtual_time

CLOCK = VirtualClock()


def rates(**settings):
    """The store of rates of a configuration."""
    given = config(providers={"p": {"type": "simulator"}}, **settings)
    return wiring.rates(given, CLOCK, SystemChance(), Tasks().start)


def test_what_is_chosen_of_calls_that_are_made_once():
    """A day, 16 MB, and no call without its store; or what is said."""
    plain = config(providers={"p": {"type": "simulator"}})
    assert wiring.idempotency(plain) == Settings(keep=86_400, most=16_000_000, on_store_lost="closed")
    chosen = {"idempotency": {"keep": "1h", "max_answer_mb": 0.5, "on_store_lost": "open"}}
    said = config(providers={"p": {"type": "simulator"}}, policies=chosen)
    assert wiring.idempotency(said) == Settings(keep=3600, most=500_000, on_store_lost="open")


def test_rates_are_kept_where_it_is_said():
    """In memory, or in a Redis with what happens without it."""

    async def story():
        assert isinstance(rates(), MemoryRates)
        return rates(shared="redis://h:1/2", policies={"on_shared_store_lost": "closed"}).health()

    health = virtual_time(story())
    assert (health["type"], health["status"], health["mode"], health["processes"]) == ("redis", "away", "closed", 1)


def test_a_driver_that_is_not_installed(monkeypatch):
    """The message names the package and the cure."""
    monkeypatch.setitem(sys.modules, "hiredis", None)
    for name in ("headgate.stores.courier", "headgate.stores.rates_speech", "headgate.stores.redis_rates"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ConfigError, match="`shared` names a Redis, and the package 'hiredis'") as error:
        rates(shared="redis://h")
    assert "pip install 'headgate[redis]'" in error.value.hint


def config(**settings):
    """A configuration; nothing of it is unusable."""
    return load(None, environment={}, settings={"store": "memory://", **settings}).config


def provider(**settings):
    """The one provider `p` of a configuration."""
    given = config(providers={"p": {"type": "openai", "api_key": "sk-1", **settings}})
    return wiring.providers(given, CLOCK, {}, "hop")["p"]


def test_routes_become_plans():
    """Targets keep their order, weight and priority; a name for another route is none."""
    models = {
        "default": "a",
        "a": {
            "strategy": "weighted",
            "targets": [{"provider": "p", "model": "m", "weight": 3}, {"provider": "q", "priority": 2}],
        },
        "*": {"targets": [{"provider": "q"}]},
    }
    given = config(providers={"p": {"type": "simulator"}, "q": {"type": "simulator"}}, models=models)
    assert wiring.plans(given) == {
        "a": Plan((Target("p", "m", 3, 1), Target("q", None, 1, 2)), "weighted"),
        "*": Plan((Target("q"),), "priority"),
    }


def test_the_short_form_makes_plans_too():
    """A provider that names its model is a target of that name and of the default model."""
    given = config(
        providers={
            "p": {"type": "simulator", "model": "m"},
            "q": {"type": "simulator", "model": "n", "priority": 2, "weight": 2},
        }
    )
    first, second = Target("p", "m"), Target("q", "n", 2, 2)
    assert wiring.plans(given) == {
        "m": Plan((first,)),
        "default": Plan((first, second)),
        "n": Plan((second,)),
        "*": Plan((Target("p"),)),
    }


def test_a_simulator_is_told_everything():
    """Seed, latency, limits, faults and durations arrive; what only the pace policy knows does not."""
    settings = {
        "type": "simulator",
        "seed": 5,
        "latency": {"first_token": "1s", "per_token": "10ms", "jitter": 0.5},
        "faults": [{"kind": "cut", "rate": 0.5, "after_tokens": 3}],
        "batch": {"seconds": "9s", "window": "1m", "failing": 0.2, "status": 429},
        "background": 4,
    }
    made = wiring.simulator(config(providers={"p": settings}).providers["p"], CLOCK)
    assert (made._seed, made._desk._latency) == (5, Latency(first_token=1, per_token=0.01, jitter=0.5))
    assert made._desk._limits == Limits()
    assert made._archive._batches._life == Batch(seconds=9, window=60, failing=0.2, status=429)
    assert made._archive._storeroom._seconds == 4
    assert list(made._desk._faults._faults) == [Fault(kind="cut", rate=0.5, after_tokens=3)]


def test_a_simulator_is_limited_as_its_provider_is():
    """The limits of the configuration are those of the simulated account."""
    plain = config(providers={"p": {"type": "simulator"}}).providers["p"]
    limits = {"requests_per_minute": 3, "group": "g", "window": "sliding", "spread": True}
    section = type(plain).model_fields["limits"].annotation.__args__[0]
    limited = plain.model_copy(update={"limits": section(**limits)})
    assert wiring.simulator(limited, CLOCK)._desk._limits == Limits(requests_per_minute=3, group="g")
    silent = plain.model_copy(update={"limit_headers": False})
    assert wiring.simulator(silent, CLOCK)._desk._limits == Limits(headers=False)


def test_a_simulated_provider_stays_in_process():
    """It talks to its own simulator, says so, and has the Responses API."""
    given = config(providers={"p": {"type": "simulator"}})
    simulator = wiring.simulator(given.providers["p"], CLOCK)
    made = wiring.providers(given, CLOCK, {"p": simulator}, "hop")["p"]
    assert made.simulated
    assert isinstance(made._transport, SimulatorTransport)
    assert made._transport.simulator is simulator
    assert made.speaks(Operation.RESPONSES)


def test_a_hosted_provider_goes_over_the_network():
    """Address, credential and timeouts arrive; without a proxy or a bundle there is none."""
    made = provider(base_url="https://llm.example/v1/", timeout={"connect": 1, "total": "1m"})
    assert (made.name, made.simulated) == ("p", False)
    assert made._urls[Operation.CHAT] == "https://llm.example/v1/chat/completions"
    assert dict(made._get)["authorization"] == "Bearer sk-1"
    assert dict(made._post)["x-headgate-hop"] == "hop"
    assert made._timeouts == Timeouts(connect=1, first_token=30, silence=30, total=60)
    assert not made.speaks(Operation.RESPONSES)
    assert isinstance(made._transport, HttpTransport)
    assert (made._transport._tls, made._transport._proxy) == (None, None)


def test_own_headers_organization_and_project_travel():
    """Header names are lower-case by then, so that each stands once."""
    made = provider(headers={"Api-Key": "secret"}, organization="org-1", project="proj-1")
    headers = dict(made._get)
    assert headers["api-key"] == "secret"
    assert (headers["openai-organization"], headers["openai-project"]) == ("org-1", "proj-1")


def test_headers_of_a_configuration_that_was_not_loaded_are_lower_case():
    """A configuration may be made in code; the settings `organization` and `project` win over headers."""
    plain = config(providers={"p": {"type": "openai", "api_key": "k"}}).providers["p"]
    settings = plain.model_copy(update={"headers": {"OpenAI-Project": Secret("a"), "X-A": Secret("b")}, "project": "c"})
    assert wiring._headers(settings) == {"openai-project": Secret("c"), "x-a": Secret("b")}


def test_a_provider_without_a_key_sends_none():
    """A server that asks for none gets no `authorization` header."""
    given = config(providers={"p": {"type": "openai", "base_url": "http://llm.example/v1"}})
    assert "authorization" not in dict(wiring.providers(given, CLOCK, {}, "hop")["p"]._get)


def test_a_proxy_is_gone_through():
    """Its address and its credentials arrive at the transport."""
    proxy = provider(proxy="http://user:word@proxy.example:3128")._transport._proxy
    assert str(proxy.origin) == "http://proxy.example:3128"
    assert proxy.authorization == "Basic dXNlcjp3b3Jk"


def test_a_bundle_of_authorities_is_trusted(tmp_path):
    """The transport trusts those of the file, and nobody else."""
    bundle = tmp_path / "ca.pem"
    trustme.CA(organization_name="ours").cert_pem.write_to_path(str(bundle))
    tls = provider(ca_bundle=str(bundle))._transport._tls
    assert [dict(pair[0] for pair in ca["subject"])["organizationName"] for ca in tls.get_ca_certs()] == ["ours"]


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file"), (b"not a certificate", "NO_CERTIFICATE_OR_CRL_FOUND")]
)
def test_a_bundle_that_cannot_be_read_is_refused(tmp_path, content, why):
    """The message names the setting, the file and the reason; the hint says what is wanted."""
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        provider(ca_bundle=str(bundle))
    assert caught.value.message.startswith(f"providers.p.ca_bundle: {str(bundle)!r} cannot be read: ")
    assert why in caught.value.message
    assert "PEM" in caught.value.hint


def test_a_model_on_this_machine_runs_in_a_process_of_its_own(tmp_path, monkeypatch):
    """The command names file and model; whoever talks to the process has its port and its key, and the settings."""
    monkeypatch.setattr(model, "engine", lambda: True)
    file = tmp_path / "Tiny.gguf"
    file.touch()
    settings = {"type": "local", "model_file": str(file), "timeout": 7}
    given = config(providers={"p": settings})
    made = wiring.providers(given, CLOCK, {}, "hop")["p"]
    assert isinstance(made, Local)
    assert (made.name, made.simulated, made._timeouts.first_token) == ("p", False, 7)
    module = [sys.executable, "-P", "-m", "headgate.providers.local.worker"]
    assert made._process._command == [*module, "--model", str(file), "--name", "tiny"]
    speaker = made._speaker(Address(4321, Secret("k" * 64)))
    assert speaker._urls[Operation.CHAT] == "http://127.0.0.1:4321/v1/chat/completions"
    assert dict(speaker._get)["authorization"] == "Bearer " + "k" * 64
    assert speaker._timeouts == made._timeouts
    assert wiring.plans(given) == {
        "tiny": Plan((Target("p", "tiny"),)),
        "default": Plan((Target("p", "tiny"),)),
        "*": Plan((Target("p"),)),
    }


def test_without_its_file_a_local_provider_is_refused(tmp_path):
    """The message names the setting and the path; the hint is the command that gets the file."""
    given = load(None, environment={"HEADGATE_HOME": str(tmp_path)}, settings={"providers": {"p": {"type": "local"}}})
    with pytest.raises(ConfigError, match=r"^providers\.p\.model_file: there is no file '") as caught:
        wiring.providers(given.config, CLOCK, {}, "hop")
    assert str(tmp_path / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf") in caught.value.message
    assert "headgate local install" in caught.value.hint


def test_the_users_facts_reach_the_catalog():
    """Prices, limits and abilities; an empty list of abilities is not the same as none."""
    own = {
        "acme": {"base": "gpt-4.1-mini", "input_usd_per_million": "0.80", "cached_input_usd_per_million": 0.2},
        "house": {"output_usd_per_million": 0, "context": 9, "max_output": 8, "capabilities": []},
    }
    found = wiring.catalog(config(providers={"p": {"type": "simulator"}}, catalog={"models": own})).own
    assert found == {
        "acme": Own(base="gpt-4.1-mini", input=Decimal("0.80"), cached=Decimal("0.2")),
        "house": Own(output=Decimal(0), context=9, max_output=8, capabilities=frozenset()),
    }


def test_the_store_is_opened_by_nobody_yet(tmp_path, monkeypatch):
    """SQLite by its path, memory, or Postgres; nothing is made or connected by naming it."""
    kinds = {"memory://": "SqliteLedger", f"sqlite:///{tmp_path}/h.db": "SqliteLedger"}
    kinds["postgresql://nowhere.invalid/d"] = "PostgresLedger"
    assert {store: type(wiring.ledger(store)).__name__ for store in kinds} == kinds
    assert [wiring.ledger(store, 30)._keep_days for store in kinds] == [30] * len(kinds)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setitem(sys.modules, "headgate.stores.postgres", None)
    with pytest.raises(ConfigError, match="its driver cannot be loaded") as caught:
        wiring.ledger("postgresql://h/d")
    assert "headgate[postgres]" in caught.value.hint
