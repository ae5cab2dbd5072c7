"""What the holder of a key is told of its own use."""

import asyncio

import pytest

from headgate.core.call import ANONYMOUS, Caller
from headgate.core.errors import NotAllowedError, StoreError
from headgate.core.limits import Allowance, Limits
from headgate.gate.caps import Caps
from headgate.gate.config import Budget
from headgate.gate.statements import AGE, MOST, Statements
from headgate.stores.protocols import Usage
from headgate.testing import VirtualClock, virtual_time

USD = 10**12
WEB = Caller(
    key="web", project="shop", models=frozenset({"b", "a"}), limits=Limits(requests_per_minute=60.0),
    budget=Allowance(limit=5 * USD, window="day"),
)  # fmt: skip
BUDGETS = [
    Budget(name="all", limit_usd=100),
    Budget(name="team", scope="project", project="shop", limit_usd=10, window="month"),
    Budget(name="each", scope="key", limit_usd=1),
]


class Books:
    """Books in which each key has spent as many dollars as it has letters, and each cap three dollars."""

    def __init__(self) -> None:
        self.asked = []
        self.away = False

    async def usage(self, query):
        await asyncio.sleep(0.1)
        if self.away:
            raise StoreError("gone fishing")
        self.asked.append(dict(query.where))
        return Usage(calls=2, attempts=3, cost=len(query.where["key"]) * USD), []

    async def spent(self, caps):
        return [(2 * USD, USD // 2) for _ in caps]


def told(story):
    """Run a story with statements of books."""

    async def whole():
        books, clock = Books(), VirtualClock()
        return await story(Statements(books.usage, books, Caps(BUDGETS, clock), clock), books)

    return virtual_time(whole())


def test_a_statement_is_of_its_own_key():
    """What it has spent, what is left of its budgets and its project's, and what it may ask."""

    async def story(statements, books):
        return await statements.of(WEB), books.asked

    found, asked = told(story)
    assert asked == [{"key": "web"}]
    assert (found["key"], found["project"], found["models"]) == ("web", "shop", ["a", "b"])
    assert found["limits"] == {"requests_per_minute": 60}
    assert (found["usage"]["calls"], found["usage"]["cost_usd"]) == (2, "3")
    assert {budget["name"]: budget["left_usd"] for budget in found["budgets"]} == {
        "key:web": "2.5", "team": "7.5", "each:web": "0",
    }  # fmt: skip
    assert found["budgets"][0] == {
        "name": "key:web", "window": "2027-01-15", "limit_usd": "5", "spent_usd": "2", "held_usd": "0.5",
        "left_usd": "2.5",
    }  # fmt: skip
    assert "all" not in str(found["budgets"])


def test_who_asks_all_the_time_asks_the_books_once_a_second():
    """However many ask at once; another key has a statement of its own."""

    async def story(statements, books):
        found = await asyncio.gather(*(statements.of(WEB) for _ in range(50)), statements.of(Caller(key="other")))
        assert found[0] is found[49]
        assert found[-1]["key"] == "other"
        assert len(books.asked) == 2
        await asyncio.sleep(AGE)
        await statements.of(WEB)
        assert len(books.asked) == 3

    told(story)


def test_statements_are_not_kept_for_ever():
    """A thousand keys are remembered, not more."""

    async def story(statements, _books):
        for number in range(MOST + 5):
            await statements.of(Caller(key=f"k{number}"))
        assert len(statements._told) == 5

    told(story)


def test_nobody_in_particular_has_no_statement():
    """Where no key is needed, the caller may be anybody."""

    async def story(statements, books):
        with pytest.raises(NotAllowedError, match="Nobody needs a key here") as caught:
            await statements.of(ANONYMOUS)
        assert "`headgate usage`" in caught.value.hint
        assert books.asked == []

    told(story)


def test_a_store_that_is_away_is_asked_again():
    """An error is not remembered."""

    async def story(statements, books):
        books.away = True
        with pytest.raises(StoreError):
            await statements.of(WEB)
        books.away = False
        assert (await statements.of(WEB))["key"] == "web"

    told(story)
