"""What a person is told when the server is up. Sockets and signals are in `e2e/test_server_*.py`."""

import asyncio
import hashlib
import subprocess
import sys

import pytest

from headgate.gate.issuing import Who
from headgate.gate.load import load
from headgate.server.head import Refusal
from headgate.server.serve import banner, hosts
from headgate.testing import virtual_time

SETTINGS = {"store": "memory://", "providers": {"p": {"type": "simulator"}}}
KEYS = [{"name": "web", "sha256": hashlib.sha256(b"hg-one").hexdigest()}]


def _banner(simulated_gate, **settings) -> str:
    async def story():
        async with simulated_gate(**settings) as gate:
            return banner(gate, "http://127.0.0.1:4000")

    return virtual_time(story())


def test_the_banner_names_address_providers_and_models(simulated_gate):
    """Where to call, who answers, which names."""
    told = _banner(simulated_gate)
    assert "listens on http://127.0.0.1:4000" in told
    assert "providers  p\n" in told
    assert "gpt-6-luna" in told


def test_the_banner_says_that_it_simulates(simulated_gate):
    """Nobody takes made-up answers for a model's."""
    assert "SIMULATED" in _banner(simulated_gate)


def test_the_banner_says_what_retires(simulated_gate):
    """Models that are gone or go soon, on the virtual day 2027-01-15; nothing of others."""
    assert "RETIRING" not in _banner(simulated_gate)
    targets = [{"provider": "p", "model": name} for name in ("gpt-4o", "gpt-5.4-nano", "gpt-6-luna")]
    told = _banner(simulated_gate, models={"m": {"targets": targets}})
    assert "  RETIRING   The model 'gpt-4o' was shut down by its maker on 2027-01-14; its successor is" in told
    assert (
        "  RETIRING   The model 'gpt-5.4-nano' retires in 76 days, on 2027-04-01; its successor is 'gpt-6-luna'."
        in told
    )
    assert told.count("RETIRING") == 2


def test_the_banner_says_who_may_call(simulated_gate):
    """Anybody, or holders of a key; never a key or its hash."""
    assert "anybody" in _banner(simulated_gate)
    told = _banner(simulated_gate, server={"auth": "keys"}, keys=KEYS)
    assert "holders of a key" in told
    assert KEYS[0]["sha256"] not in told


@pytest.mark.parametrize(
    ("server", "others"),
    [
        ({}, False),
        ({"host": "::1"}, False),
        ({"auth": "keys"}, True),
        ({"host": "0.0.0.0"}, True),  # noqa: S104  nothing listens
        ({"host": "0.0.0.0", "auth": "none"}, True),  # noqa: S104  ditto
        ({"host": "0.0.0.0", "allowed_hosts": ["gw.example"]}, False),  # noqa: S104  ditto
    ],
)
def test_names_are_asked_for_where_pages_could_lead_callers_here(server, others):
    """On loopback without keys, and wherever names are set; these always do."""
    config = load(None, environment={}, settings={**SETTINGS, "server": server, "keys": KEYS}).config
    told = hosts(config)
    told.check(b"localhost:4000")
    told.check(b"127.0.0.1:4000")
    if "allowed_hosts" in server:
        told.check(b"gw.example")
    if others:
        told.check(b"evil.example")
        return
    with pytest.raises(Refusal):
        told.check(b"evil.example")


def test_any_name_is_told_where_no_name_has_a_route(simulated_gate):
    """A configuration with `*` alone takes every name."""
    assert "any name" in _banner(simulated_gate, models={"*": {"targets": [{"provider": "p"}]}})


def test_the_web_framework_waits_until_a_server_is_made():
    """Whoever only imports this module (the command line does) does not pay for FastAPI."""
    code = "import sys, headgate.server.serve; print('fastapi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_banner_says_that_nobody_can_call_yet(simulated_gate, tmp_path):
    """And how somebody would: a gateway may start without keys where its store keeps them."""
    told = []

    async def story():
        store = f"sqlite:///{tmp_path}/books.db"
        async with simulated_gate(server={"auth": "keys"}, store=store, journal={"path": f"{tmp_path}/j"}) as gate:
            told.append(banner(gate, "http://127.0.0.1:4000"))
            await gate.follow_keys()
            told.append(banner(gate, "http://127.0.0.1:4000"))
            await gate.issuer.create({"name": "web"}, Who("ann", "here"))
            await gate.keyring.refresh()
            told.append(banner(gate, "http://127.0.0.1:4000"))

    asyncio.run(story())
    assert ["headgate keys create" in text for text in told] == [False, True, False]
