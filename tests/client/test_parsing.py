"""`parse` on more than two hundred schemas, generated and hand-picked: a valid object or a typed error, nothing else.

The simulator answers, by both APIs, whole and streamed. What it says is valid for what was sent, so that what does not
fit the rest (lengths, further formats, validators, the order in a tuple) is told it, asked again, and often fails for
good: then the error is typed, and every call is paid for.
"""

import asyncio
import datetime as dt
import ipaddress
import uuid  # noqa: TID251  the type
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, Optional, TypeVar

import jsonschema
import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    Json,
    RootModel,
    SecretStr,
    TypeAdapter,
    create_model,
    field_validator,
    model_validator,
)
from typing_extensions import TypedDict

from headgate.client.asynchronous import AsyncHeadgate
from headgate.core.errors import BadRequestError, HeadgateError, ValidationError
from headgate.providers.simulator.dice import Dice
from headgate.stores.protocols import Query

T = TypeVar("T")


# ── hand-picked types ────────────────────────────────────────────────────────────────────────────────────────────────


class Colour(Enum):
    """Texts."""

    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    """Numbers."""

    LOW = 1
    HIGH = 2


class Mixed(Enum):
    """Of several types."""

    A = "a"
    B = 1
    C = None


class Cat(BaseModel):
    """Tagged."""

    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=1, le=9)]


class Dog(BaseModel):
    """Tagged."""

    kind: Literal["dog"]
    name: str


class Owner(BaseModel):
    """With a union that is told apart by a tag."""

    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    others: list[Annotated[Cat | Dog, Field(discriminator="kind")]]


class Node(BaseModel):
    """Recursive."""

    value: int
    children: list["Node"]


class Even(BaseModel):
    """Recursive by way of another one."""

    odd: Optional["Odd"]


class Odd(BaseModel):
    """The other one."""

    even: Even | None


class Box(BaseModel, Generic[T]):
    """Generic."""

    inside: T
    many: list[T]


class Times(BaseModel):
    """Dates and durations."""

    at: dt.datetime
    day: dt.date
    clock: dt.time
    long: dt.timedelta


class Ids(BaseModel):
    """Texts with a form."""

    key: uuid.UUID
    four: ipaddress.IPv4Address
    six: ipaddress.IPv6Address


class Money(BaseModel):
    """Decimals."""

    amount: Decimal
    price: Annotated[Decimal, Field(max_digits=12, decimal_places=6)]


class Bounds(BaseModel):
    """Constrained in every way that is held to."""

    n: Annotated[int, Field(gt=3, lt=30, multiple_of=3)]
    x: Annotated[float, Field(ge=0, le=1)]
    few: Annotated[list[int], Field(min_length=1, max_length=3)]
    code: Annotated[str, Field(pattern=r"^[A-Z]{3}-\d{2}$")]


class Lengths(BaseModel):
    """Constrained in ways that are not held to."""

    short: Annotated[str, Field(max_length=200)]
    long: Annotated[str, Field(min_length=1)]


class Impossible(BaseModel):
    """No answer of the simulator is so long."""

    long: Annotated[str, Field(min_length=5000)]


class Aliased(BaseModel):
    """Its names in JSON are others."""

    model_config = ConfigDict(populate_by_name=True)
    first_name: str = Field(alias="firstName")
    class_: int = Field(alias="class")


class Strict(BaseModel):
    """No coercion."""

    model_config = ConfigDict(strict=True)
    n: int
    day: dt.date
    both: tuple[int, int]


class Open(BaseModel):
    """Anything besides."""

    model_config = ConfigDict(extra="allow")
    n: int


class Closed(BaseModel):
    """Nothing besides."""

    model_config = ConfigDict(extra="forbid")
    n: int


class Empty(BaseModel):
    """No fields."""


class Defaults(BaseModel):
    """Everything may be left out."""

    a: int = 1
    b: str | None = None
    c: list[int] = Field(default_factory=list)
    d: Colour = Colour.RED


class Sums(BaseModel):
    """A rule about several fields."""

    a: int
    b: int

    @model_validator(mode="after")
    def _ordered(self) -> "Sums":
        if self.a > self.b:
            message = "a must not be more than b"
            raise ValueError(message)
        return self


class Never(BaseModel):
    """A rule that nothing fulfils."""

    a: int

    @field_validator("a")
    @classmethod
    def _never(cls, _: int) -> int:
        message = "never"
        raise ValueError(message)


class Described(BaseModel):
    """Words with "quotes" and 🙂."""

    näme: str = Field(description='of "it"\n…')  # noqa: PLC2401  users do
    title: str = Field(title="Another")


class Pair(NamedTuple):
    """A tuple with names."""

    a: int
    b: str


class Movie(TypedDict, total=False):
    """Nothing is required."""

    name: str
    year: int


@dataclass
class Point:
    """A dataclass in a dataclass."""

    x: float
    next: Optional["Point"] = None


Links = create_model("Links", url=(HttpUrl, ...), path=(Path, ...), secret=(SecretStr, ...))
Deep = Box[Box[Box[int]]]
Eleven: Any = int
for _depth in range(11):
    Eleven = create_model(f"L{_depth}", x=(Eleven, ...))

TYPES: list[Any] = [
    Owner, Node, Even, Box[int], Box[Colour], Box[Cat], Deep, Times, Ids, Money, Bounds, Lengths, Impossible, Aliased,
    Strict, Closed, Empty, Defaults, Sums, Never, Described, Links, Colour, Level, Mixed, Pair, Movie, Point,
    int, str, float, bool, dt.date, Decimal, list[int], set[int], frozenset[str], tuple[int, ...],
    tuple[int, int], tuple[int, str], list[Cat], Cat | Dog, Cat | None, int | str | None, Literal["a", 1] | None,
    Literal["x"], RootModel[list[Cat]], RootModel[Cat], RootModel[int], list[list[list[int]]],
    list[Cat | Dog | None], Json[int], bytes,
    Annotated[list[Node], Field(max_length=2)], Annotated[int, AfterValidator(abs)], TypeAdapter(list[Point]),
]  # fmt: skip
REFUSED_TYPES: list[Any] = [
    dict, dict[str, int], dict[str, Cat], Any, object, list, list[Any], Open, Eleven, Box[Any], Box[dict[str, int]],
    create_model("Free", a=(dict[str, list[int]], ...)), "Cat", None, 7, object(), tuple[()], complex | dict,
]  # fmt: skip


def obj(**properties: Any) -> dict[str, Any]:
    """An object's schema."""
    return {"type": "object", "properties": properties}


N, S = {"type": "integer"}, {"type": "string"}
SCHEMAS: list[Any] = [
    obj(a=N), obj(), obj(a=N) | {"required": []}, obj(**{"$ref": N, "items": N, "": S, "a.b": N, "ä\n": N}), N, S,
    {"title": "T i t l e!", "type": "array", "items": N}, {"enum": [1, "a", None]}, {"const": "only"},
    obj(a={"oneOf": [N, S]}), obj(a={"oneOf": [N, {"type": "number"}]}), obj(a={"anyOf": [N, {"type": "null"}]}),
    obj(a={"allOf": [N]}), obj(a={"$ref": "#/$defs/A"}) | {"$defs": {"A": obj(b=N)}},
    obj(a={"$ref": "#/$defs/A", "description": "words"}) | {"$defs": {"A": N, "Unused": {}}},
    obj(a={"$ref": "#/definitions/A"}) | {"definitions": {"A": N}}, {"$ref": "#/$defs/A", "$defs": {"A": obj(a=N)}},
    obj(next={"anyOf": [{"$ref": "#"}, {"type": "null"}]}), obj(a=N | {"minimum": 3, "maximum": 3}),
    obj(a=S | {"format": "date-time"}, b=S | {"format": "uuid"}, c=S | {"format": "hostname"},
        d=S | {"format": "email"}),
    obj(a=S | {"format": "unheard-of"}), obj(a=S | {"pattern": "^(a|b)+$"}), obj(a=S | {"pattern": "^(?!secret)"}),
    obj(a=S | {"minLength": 1, "maxLength": 400}), obj(a=S | {"minLength": 9000}),
    obj(a={"type": "array", "items": N, "uniqueItems": True}),
    obj(a={"type": "array", "items": N, "contains": {"const": 7}}),
    obj(a={"type": "array", "prefixItems": [N, S], "items": False, "minItems": 2}),
    obj(a={"type": ["integer", "null"]}), obj(a={"type": ["object", "null"], "properties": {"b": N}}),
    {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "http://example.com/x", **obj(a=N)},
    obj(a={"items": N}), obj(a={"type": "boolean", "x-mine": {"deep": [1]}, "examples": [True], "default": False}),
    obj(a={"type": "number", "multipleOf": 0.01}), obj(a={"type": "null"}), obj(a={"enum": [1.5, 2]}),
]  # fmt: skip
REFUSED_SCHEMAS: list[Any] = [
    {}, {"type": "object"}, {"type": "array"}, obj(a={}), obj(a=True), obj(a=False), {"additionalProperties": True},
    obj(a={"type": "object", "additionalProperties": N}), obj(a={"not": N}), obj(a={"if": N, "then": N}),
    obj(a={"allOf": [obj(b=N), obj(c=N)]}), {"patternProperties": {"a": N}, **obj()}, {"type": "strange"},
    {"properties": 3}, obj(a={"$ref": "#/nowhere"}), obj(a={"$ref": "http://127.0.0.1:1/x"}),
    obj(a=S | {"pattern": "("}), {"$ref": "#"}, obj(a={"enum": [[1]]}), obj(**{f"p{n}": N for n in range(5001)}),
    obj(a={"enum": list(range(1001))}),
    obj(a=obj(a=obj(a=obj(a=obj(a=obj(a=obj(a=obj(a=obj(a=obj(a=obj())))))))))),
]  # fmt: skip


# ── generated ones ───────────────────────────────────────────────────────────────────────────────────────────────────


def schema_of(dice: Dice, depth: int = 0) -> dict[str, Any]:  # noqa: PLR0911  a table
    """A JSON schema of whatever comes up."""
    kinds = ["integer", "number", "string", "boolean", "enum", "null"]
    kind = dice.pick([*kinds, "array", "object", "anyOf"] if depth < 3 else kinds)
    match kind:
        case "integer" | "number":
            low = dice.between(-50, 50)
            return {"type": kind, **({"minimum": low, "maximum": low + 60} if dice.below(2) else {})}
        case "string":
            return S | dice.pick([{}, {}, {"format": "date"}, {"maxLength": 500}, {"pattern": "^[a-f]{2,4}$"}])
        case "enum":
            return {"enum": [f"e{n}" for n in range(dice.between(1, 4))]}
        case "array":
            return {"type": "array", "items": schema_of(dice, depth + 1), "maxItems": dice.between(1, 4)}
        case "object":
            names = [f"{dice.pick(['name', 'count', 'date', 'x y', 'Ü'])}{n}" for n in range(dice.between(1, 4))]
            return obj(**{name: schema_of(dice, depth + 1) for name in names}) | {"required": names[:1]}
        case "anyOf":
            return {"anyOf": [schema_of(dice, depth + 1) for _ in range(dice.between(1, 3))]}
        case _:
            return {"type": kind}


def type_of(dice: Dice, depth: int = 0) -> Any:
    """A type of whatever comes up."""
    plain = [int, float, str, bool, Colour, Level, dt.date, Literal["a", "b"], Cat, uuid.UUID, Decimal]
    match dice.below(9 if depth < 3 else 4):
        case 4:
            return list[type_of(dice, depth + 1)]
        case 5:
            return type_of(dice, depth + 1) | None
        case 6:
            one, other = type_of(dice, depth + 1), type_of(dice, depth + 1)
            return one | other
        case 7 | 8:
            fields = {f"f{n}": (type_of(dice, depth + 1), ...) for n in range(dice.between(1, 4))}
            return create_model(f"Made{dice.below(10**6)}", **fields)
        case _:
            return dice.pick(plain)


def made() -> list[Any]:
    """A hundred of each, always the same."""
    dice = Dice(b"structured")
    return [schema_of(dice) for _ in range(100)] + [type_of(dice) for _ in range(100)]


def fits(into: Any, value: Any) -> bool:
    """Whether a value is what was asked for, by somebody else's judgement."""
    if isinstance(into, dict):
        jsonschema.validate(value, {word: part for word, part in into.items() if word != "$id"})
        return True
    adapter = into if isinstance(into, TypeAdapter) else TypeAdapter(into)
    shown = adapter.dump_json(value, by_alias=True) if into is not Links else None
    return shown is None or adapter.validate_json(shown) == value or isinstance(value, Decimal)


async def one(gate: AsyncHeadgate, into: Any, number: int, **options: Any) -> Any:
    """What comes of it: an object, or an error of ours; every third is streamed."""
    words = f"Question {number}."
    try:
        if number % 3:
            return await gate.parse(into, words, **options)
        return [part async for part in gate.stream_parse(into, words, **options)][-1].value
    except HeadgateError as error:
        return error


@pytest.mark.parametrize("responses", [True, False])
def test_more_than_two_hundred_schemas(practice, responses):
    """All that can be said strictly gets an answer that fits, or the error that says what does not; all is paid for."""

    async def story():
        async with AsyncHeadgate(practice(responses=responses)) as gate:
            asked = [*TYPES, *SCHEMAS, *made()]
            assert len(asked) > 200
            objects, unfit = 0, []
            for number, into in enumerate(asked):
                found = await one(gate, into, number)
                if isinstance(found, HeadgateError):
                    assert type(found) is ValidationError, (into, found)
                    assert found.problems, into
                    assert len(found.attempts) == 2, into
                    unfit.append(into)
                else:
                    assert fits(into, found), (into, found)
                    objects += 1
            assert objects > 0.9 * len(asked), unfit
            assert Never in unfit
            assert Impossible in unfit
            # The books: one call for each, and one more attempt for each repair; the sum is the simulator's bill.
            simulator = gate._gate.simulators["sim"]
            report = await gate.usage()
            assert report.calls == len(asked)
            assert report.attempts == len(simulator.log) >= len(asked) + len(unfit)
            assert report.cost_usd == simulator.bill.usd()
            rows = [row async for row in gate._gate.rows(Query())]
            assert len(rows) == report.attempts
            assert {row.settled for row in rows} == {"billed"}

    asyncio.run(story())


def test_what_cannot_be_said_strictly_is_refused_before_it_is_sent(practice):
    """With the place and the cure; and most of it may be asked for otherwise."""

    async def story():
        async with AsyncHeadgate(practice()) as gate:
            simulator = gate._gate.simulators["sim"]
            refused = [*REFUSED_TYPES, *REFUSED_SCHEMAS]
            for number, into in enumerate(refused):
                found = await one(gate, into, number)
                assert type(found) is BadRequestError, (into, found)
                assert found.param
                assert found.hint
            assert len(simulator.log) == 0
            assert (await gate.usage()).calls == 0
            for number, into in enumerate((dict[str, int], list[Any], Open, Eleven, obj(a={"not": N}), obj(a={}))):
                found = await one(gate, into, number, strict=False)
                assert fits(into, found), (into, found)
            assert len(simulator.log) >= 6

    asyncio.run(story())
