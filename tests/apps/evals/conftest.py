"""What tests of evaluations share: sums, models of known quality, and a way to evaluate in virtual time."""

import json

import pytest

from headgate.apps.evals import Evaluation, evaluate, scorer
from headgate.gate.config import Config
from headgate.testing import VirtualClock, virtual_time


@pytest.fixture
def sums(tmp_path):
    """Writes a dataset of so many sums, and lines as they are given."""

    def write(number, *lines, name="sums.jsonl"):
        rows = [json.dumps({"question": f"What is {at} + {at * at}?", "answer": at + at * at}) for at in range(number)]
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in (*rows, *lines)))
        return path

    return write


@pytest.fixture
def settings():
    """Makes a configuration whose only provider is a simulator."""

    def make(provider=None, **more):
        return Config.model_validate(
            {
                "store": "memory://",
                "providers": {"p": {"type": "simulator", **(provider or {})}},
                "models": {"*": {"targets": [{"provider": "p"}]}},
                **more,
            }
        )

    return make


@pytest.fixture
def evaluated(tmp_path):
    """Evaluates in virtual time."""

    def run(config, dataset, **wanted):
        usual = {
            "models": ["gpt-6-luna"],
            "prompts": {"plain": "{question}"},
            "scorer": scorer("exact", expected="answer"),
            "output": tmp_path / "out",
        }
        evaluation = Evaluation(dataset=dataset, **{**usual, **wanted})
        return virtual_time(evaluate(config, evaluation, clock=VirtualClock()))

    return run
