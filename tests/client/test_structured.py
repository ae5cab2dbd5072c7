"""`parse` and `stream_parse` through the gate: repairs in the books, refusals, models without schemas, growth."""

import asyncio
from typing import Annotated

import msgspec
import pytest
from pydantic import BaseModel, Field, TypeAdapter, field_validator

from headgate.client.asynchronous import AsyncHeadgate
from headgate.core.call import Origin
from headgate.core.errors import (
    BadRequestError,
    FilteredError,
    HeadgateError,
    OverBudgetError,
    RefusalError,
    TruncatedError,
    ValidationError,
)
from headgate.stores.protocols import Query


class City(BaseModel):
    """Where people live."""

    name: str
    inhabitants: int


class Odd(BaseModel):
    """The simulator's first number is even: `test_a_repair_…` says so if that changes."""

    number: int

    @field_validator("number")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            message = "it must be odd"
            raise ValueError(message)
        return value


class Never(BaseModel):
    """Nothing fits."""

    word: str

    @field_validator("word")
    @classmethod
    def _never(cls, value: str) -> str:
        message = f"no word of {len(value)} letters will do"
        raise ValueError(message)


MANY = TypeAdapter(Annotated[list[City], Field(min_length=3)])


async def outcome(work):
    """What comes of it: a result or an error of ours."""
    try:
        return await work
    except HeadgateError as error:
        return error


async def everything(parts):
    """All of them."""
    return [part async for part in parts]


async def _rows(gate):
    await gate.usage()
    return [row async for row in gate._gate.rows(Query())]


def _simulator(gate):
    return gate._gate.simulators["sim"]


@pytest.mark.parametrize("responses", [True, False])
def test_a_repair_is_counted_and_paid_for(practice, responses):
    """A call of its own in the books, on behalf of the caller's, who has asked once; the sum is the provider's bill."""

    async def story():
        repaired = 0
        async with AsyncHeadgate(practice(responses=responses)) as gate:
            asked = 12
            for n in range(asked):
                before = len(_simulator(gate).log)
                found = await outcome(gate.parse(Odd, f"Number {n}.", tags={"run": "r"}))
                if isinstance(found, ValidationError):
                    assert len(found.attempts) == 2
                    assert found.problems == ("`number`: Value error, it must be odd",)
                repaired += len(_simulator(gate).log) - before - 1
            assert 0 < repaired < asked
            report = await gate.usage(by="tag:run")
            assert (report.calls, report.attempts, report.errors) == (asked, asked + repaired, 0)
            assert report.cost_usd == _simulator(gate).bill.usd()
            rows = await _rows(gate)
            assert len(rows) == len({row.call_id for row in rows}) == asked + repaired
            assert all(row.settled == "billed" and row.cost for row in rows)
            # Each repair names the caller's call that it was made for.
            own = {row.call_id for row in rows if row.parent is None}
            assert len(own) == asked
            assert {row.parent for row in rows if row.parent} < own

    asyncio.run(story())


def test_a_repair_is_an_internal_call_with_the_same_deadline(practice):
    """Its parent is the caller's call."""

    async def story():
        async with AsyncHeadgate(practice()) as gate:
            seen = []
            inside = gate._gate._stack._handle

            def watch(one):
                seen.append(one)
                return inside(one)

            gate._gate._stack._handle = watch
            with pytest.raises(ValidationError, match="will do"):
                await gate.parse(Never, "Say a word.", timeout=30, user="u", tags={"a": "b"})
            first, second = seen
            assert (first.origin, first.parent) == (Origin.CALLER, None)
            assert (second.origin, second.parent) == (Origin.INTERNAL, first.id)
            assert (second.deadline, second.user, second.tags) == (first.deadline, "u", {"a": "b"})

    asyncio.run(story())


def test_a_repair_counts_against_the_budget(practice):
    """What is left after the first call is not enough for it: refused, caused by what was to be repaired."""

    async def story():
        config = practice() | {"budgets": [{"name": "small", "scope": "gateway", "window": "day", "limit_usd": 1}]}
        async with AsyncHeadgate(config) as gate:
            with pytest.raises(ValidationError):
                await gate.parse(Never, "Say a word.", max_tokens=50, repairs=0)
            cost = (await gate.usage()).cost_usd
        config["budgets"][0]["limit_usd"] = float(cost) * 2.5
        async with AsyncHeadgate(config) as gate:
            found = await outcome(gate.parse(Never, "Say a word.", max_tokens=50, repairs=5))
            assert isinstance(found, OverBudgetError)
            assert isinstance(found.__cause__, ValidationError)
            assert 1 <= len(found.attempts) <= 3
            assert 0 < (await gate.usage()).cost_usd <= cost * 5 / 2

    asyncio.run(story())


@pytest.mark.parametrize("responses", [True, False])
def test_refusal_cut_and_filter(practice, responses):
    """Each its own error, whole and streamed, and nobody is asked twice."""
    filtering = {"kind": "error_event", "code": "content_filter", "after_tokens": 3, "model": "gpt-4.1"}

    async def both(gate, *arguments, **options):
        for face in (gate.parse, gate.stream_parse):
            before = len(_simulator(gate).log)
            asked = face(*arguments, **options)
            found = await outcome(asked if face == gate.parse else everything(asked))
            assert len(_simulator(gate).log) == before + 1
            yield found

    async def story():
        async with AsyncHeadgate(practice(filtering, responses=responses)) as gate:
            async for error in both(gate, City, "Refuse to answer."):
                assert type(error) is RefusalError
                assert error.text == "I'm sorry, I cannot help with that."
                assert len(error.attempts) == 1
            async for error in both(gate, MANY, "Describe all cities.", max_tokens=16, reasoning_effort="none"):
                assert type(error) is TruncatedError
                assert "max_tokens" in error.hint
            async for error in both(gate, City, "Describe Lyon.", model="gpt-4.1"):
                assert type(error) is FilteredError

    asyncio.run(story())


@pytest.mark.parametrize("responses", [True, False])
def test_a_model_without_schemas_still_gives_objects(practice, responses):
    """The catalog says that it takes none: it is asked for JSON, and told the schema; what comes is validated."""
    Name = dict[str, str]  # noqa: N806  a type

    async def story():
        config = practice(responses=responses) | {
            "catalog": {"models": {"gpt-4o": {"capabilities": ["streaming"]}}},
        }
        async with AsyncHeadgate(config) as gate:
            # The simulator says `{"answer": …, "done": true}` where it is asked for any object.
            class Simulated(BaseModel):
                answer: str
                done: bool

            found = await gate.parse(Simulated, "Say something.", model="gpt-4o", system="Be brief.")
            assert found.done is True
            sent = msgspec.json.decode(_simulator(gate).last.body)
            form = sent["text"]["format"] if responses else sent["response_format"]
            assert form == {"type": "json_object"}
            assert b"fits this JSON schema" in _simulator(gate).last.body
            with pytest.raises(ValidationError):
                await gate.parse(City, "Say something.", model="gpt-4o")
            with pytest.raises(ValidationError):
                await gate.parse(Name, "Say something.", model="gpt-4o", strict=False)
            assert (await gate.parse(City, "Say something.", model="gpt-4.1")).name

    asyncio.run(story())


def test_an_object_is_seen_growing(practice):
    """Plain data, more and more of it, and in the end the object; one call, all of it paid for."""

    async def story():
        async with AsyncHeadgate(practice()) as gate:
            parts = await everything(gate.stream_parse(MANY, "Describe some cities."))
            *growing, last = parts
            assert [part.done for part in parts] == [False] * len(growing) + [True]
            assert len(growing) > 3
            assert all(isinstance(city, City) for city in last.value)
            assert growing[-1].value == [city.model_dump() for city in last.value]
            assert (await gate.usage()).cost_usd == _simulator(gate).bill.usd()

    asyncio.run(story())


def test_what_grew_wrong_is_repaired(practice):
    """The last part is the object of a second, whole call."""

    async def story():
        async with AsyncHeadgate(practice()) as gate:
            outcomes = set()
            for n in range(12):
                before = len(_simulator(gate).log)
                found = await outcome(everything(gate.stream_parse(Odd, f"Number {n}.")))
                failed = isinstance(found, ValidationError)
                outcomes.add(("error" if failed else "object", len(_simulator(gate).log) - before))
                assert failed or isinstance(found[-1].value, Odd)
            assert ("object", 1) in outcomes
            assert ("object", 2) in outcomes
            assert outcomes <= {("object", 1), ("object", 2), ("error", 2)}

    asyncio.run(story())


def test_leaving_early_closes_the_call(practice):
    """As with any stream."""

    async def story():
        async with AsyncHeadgate(practice()) as gate:
            parts = gate.stream_parse(list[City], "Describe some cities.")
            await anext(parts)
            await parts.aclose()
            assert gate._gate.meter.counters.in_flight == 0

    asyncio.run(story())


def test_nothing_is_sent_for_what_cannot_be_asked(practice):
    """Not even a call in the books."""

    async def story():
        async with AsyncHeadgate(practice()) as gate:
            for into in (dict[str, int], {"type": "object"}, "City"):
                with pytest.raises(BadRequestError):
                    await gate.parse(into, "Describe Lyon.")
                with pytest.raises(BadRequestError):
                    await anext(gate.stream_parse(into, "Describe Lyon."))
            with pytest.raises(BadRequestError, match="colour"):
                await gate.parse(City, "Describe Lyon.", colour="red")
            assert len(_simulator(gate).log) == 0
            assert (await gate.usage()).calls == 0
            assert (await gate.parse(dict[str, int], "Describe Lyon.", strict=False)) is not None

    asyncio.run(story())
