"""What tests of the Python door share: an environment that says nothing, and gates that practise."""

import os

import pytest

from headgate.client.asynchronous import AsyncHeadgate
from headgate.testing import VirtualClock


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "HEADGATE_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def practice():
    """Make the configuration of a gate with one simulator, or two."""

    def make(*faults, backup=None, retry=None, **provider):
        providers = {"sim": {"type": "simulator", "faults": list(faults), "max_retries": 0, **provider}}
        targets = [{"provider": "sim", "priority": 1}]
        if backup is not None:
            providers["backup"] = {"type": "simulator", "max_retries": 0, **backup}
            targets.append({"provider": "backup", "priority": 2})
        models = {"default": "gpt-6-luna", "*": {"targets": targets}}
        policies = {} if retry is None else {"retry": retry}
        return {"store": "memory://", "providers": providers, "models": models, "policies": policies}

    return make


@pytest.fixture
def virtual():
    """Make a gate that lives in virtual time."""

    def make(config):
        gate = AsyncHeadgate(config)
        gate._clock = VirtualClock()
        return gate

    return make
