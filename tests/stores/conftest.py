"""What the tests of the stores share: short ways to write records."""

import os

import pytest

from headgate.core.attempt import Basis, Settled
from headgate.gate.ports import SystemChance
from headgate.stores.journal import FileJournal
from headgate.stores.records import CallEnd, Intent, Outcome

DAY = "2027-01-15"
TIME = 1_800_000_000.0


class Pen:
    """Writes records that differ in what a test is about."""

    def facts(self, call="c", **changes):
        """Who asked what."""
        return {
            "call_id": call,
            "day": DAY,
            "time": TIME,
            "operation": "chat",
            "model_requested": "fast",
            "key": "web",
            "project": "team-a",
            "user": "u1",
            "tags": {"team": "a"},
            **changes,
        }

    def intent(self, call="c", attempt=1, **changes):
        """An attempt that is about to leave."""
        target = {"provider": "openai", "model": "gpt-6-luna"}
        return Intent(**{**self.facts(call), **target, "attempt": attempt, **changes})

    def outcome(self, call="c", attempt=1, **changes):
        """An attempt that was billed."""
        told = {
            "settled": Settled.BILLED,
            "basis": Basis.REPORTED,
            "prompt_tokens": 100,
            "completion_tokens": 10,
            "cost": 15_000_000,
            "price_table": "genai-prices 0",
            "status": 200,
            **changes,
        }
        return Outcome(call_id=call, attempt=attempt, **told)

    def end(self, call="c", attempts=1, **changes):
        """A call that has ended."""
        intent = None if attempts else self.intent(call, 0, provider=None, model=None)
        return CallEnd(call_id=call, **{"intent": intent, "attempts": attempts, "status": 200, **changes})


@pytest.fixture(scope="session")
def pen():
    """Short ways to write records."""
    return Pen()


@pytest.fixture(scope="session")
def die():
    """End a journal as the death of its process would: its descriptors are closed, and nothing else happens."""

    def kill(journal):
        journal._close_file()
        if journal._lock >= 0:
            os.close(journal._lock)
        journal._reset()

    return kill


@pytest.fixture
def journal(tmp_path):
    """A journal in a folder of its own, closed at the end."""
    made = FileJournal(tmp_path / "journal", SystemChance(seed=1))
    yield made
    made.close(needed=0)
