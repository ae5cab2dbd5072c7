"""Recovery through whole gates, on simulators in virtual time: streams that break arrive whole, or end in one error.

Two simulators of equal seed say the same of the same model; of another seed, something else.
"""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest
from jsonschema import Draft202012Validator

from headgate.client.asynchronous import AsyncHeadgate
from headgate.core.call import Operation
from headgate.core.errors import HeadgateError, InterruptedError  # noqa: A004
from headgate.core.reply import Event, Kind
from headgate.dialects.registry import DIALECTS
from headgate.dialects.sse import Decoder
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemChance
from headgate.providers.simulator.visit import Request
from headgate.stores.protocols import Query
from headgate.stores.records import AttemptRow
from headgate.testing import VirtualClock, virtual_time

CHAT, RESPONSES, COMPLETIONS = Operation.CHAT, Operation.RESPONSES, Operation.COMPLETIONS
QUESTION = "Say it in 8 tokens."
MESSAGES: Any = [{"role": "user", "content": QUESTION}]
FIELDS: dict[Operation, dict[str, Any]] = {
    CHAT: {"messages": MESSAGES, "stream_options": {"include_usage": True}},
    RESPONSES: {"input": QUESTION, "store": False},
    COMPLETIONS: {"prompt": QUESTION, "max_tokens": 50, "stream_options": {"include_usage": True}},
}
MODELS = {CHAT: "gpt-4o", RESPONSES: "gpt-4o", COMPLETIONS: "gpt-3.5-turbo-instruct"}
SCHEMAS = json.loads((Path(__file__).parents[1] / "providers/simulator/openapi.json").read_text("utf-8"))["components"]
DESCRIBED = {CHAT: "CreateChatCompletionStreamResponse", COMPLETIONS: "CreateCompletionResponse"}


class Autumn(VirtualClock):
    """A clock that begins while models of the older kind still live, on 2026-09-21."""

    def time(self) -> float:
        """Seconds since 1970."""
        return 1_790_000_000 + self.monotonic()


def cut(after: int, kind: str = "cut") -> dict[str, Any]:
    """A provider whose streams break after so many words."""
    return {"faults": [{"kind": kind, "after_tokens": after}]}


def given(*providers: dict[str, Any], recovery: str = "continue", **more: Any) -> dict[str, Any]:
    """A route over simulators that are asked in turn."""
    names = [chr(ord("p") + at) for at in range(len(providers))]
    targets = [{"provider": name, "priority": at + 1} for at, name in enumerate(names)]
    made = {
        name: {"type": "simulator", "timeout": 5, **provider} for name, provider in zip(names, providers, strict=True)
    }
    return {
        "store": "memory://",
        "providers": made,
        "models": {"*": {"targets": targets, "recovery": recovery}},
        **more,
    }


class Told(NamedTuple):
    """What became of a call."""

    events: list[Event]
    error: HeadgateError | None
    rows: list[AttemptRow]

    @property
    def text(self) -> str:
        """All words."""
        return "".join(event.text for event in self.events)

    @property
    def data(self) -> list[dict[str, Any]]:
        """What stands in the events."""
        found = (decoded.data for event in self.events for decoded in Decoder().feed(event.raw))
        return [json.loads(data) for data in found if data is not None and data != b"[DONE]"]

    @property
    def books(self) -> list[tuple[str, str | None, str | None, str | None]]:
        """Of each attempt: who, how it was settled, on what basis, and why it failed."""
        return [(row.provider, row.settled, row.basis, row.error_type) for row in self.rows]


def asked(
    operation: Operation, config: dict[str, Any], *, pour: bool = False, fresh: bool = False, **fields: Any
) -> Told:
    """Ask a gate once; the first simulator has been asked before, unless it is fresh, so that their ids differ."""

    async def story() -> Told:
        settings = load(None, environment={}, settings=config).config
        body = {"model": MODELS[operation], "stream": True, **FIELDS[operation], **fields}
        async with await Gate.open(settings, clock=Autumn(), chance=SystemChance(3)) as gate:
            # A simulator's ids tell how often it was asked.
            if not fresh:
                gate.simulators["p"].take(Request("POST", "/v1/chat/completions", {}, b"{}")).close()
            call = gate.call(operation, json.dumps(body).encode())
            events: list[Event] = []
            error = None

            def sink(event: Event) -> bool:
                events.append(event)
                return True

            async def drained() -> None:
                raise AssertionError

            async with await gate(call) as reply:
                try:
                    if pour:
                        await reply.pour(sink, drained)
                    else:
                        async for event in reply:
                            sink(event)
                except HeadgateError as raised:
                    error = raised
            rows = [row async for row in gate.rows(Query()) if row.call_id == call.id]
            counters = gate.meter.counters
            assert (counters.calls, counters.errors, counters.in_flight) == (1, error is not None, 0)
            assert counters.attempts == len(rows)
            return Told(events, error, sorted(rows, key=lambda row: row.attempt))

    return virtual_time(story())


@cache
def unbroken(operation: Operation, model: str) -> Told:
    """The answer of a simulator that nothing befalls."""
    return asked(operation, given({}), model=model)


@pytest.mark.parametrize("operation", [*MODELS])
def test_equal_seeds_answer_equally_under_different_names(operation):
    """What the tests below stand on."""
    one = unbroken(operation, MODELS[operation])
    other = asked(operation, given({}), fresh=True)
    assert one.text == other.text
    assert name_of(operation, one) != name_of(operation, other)
    assert asked(operation, given({"seed": 7})).text != one.text


def tokens(operation: Operation, model: str) -> int:
    """How many events with words the answer has."""
    return sum(bool(event.text) for event in unbroken(operation, model).events)


def complaints(operation: Operation, told: Told) -> set[tuple[str, str, str]]:
    """Where events are not as OpenAI describes them."""
    found = set()
    for value in told.data:
        name = DESCRIBED.get(operation) or component(value["type"])
        validator = Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": SCHEMAS})
        for error in validator.iter_errors(value):
            where = ".".join(part for part in error.absolute_path if isinstance(part, str))
            found.add((name, where, str(error.validator)))
    return found


def component(kind: str) -> str:
    """The description of an event of Responses."""
    schemas = SCHEMAS["schemas"]
    names = [choice["$ref"].rpartition("/")[2] for choice in schemas["ResponseStreamEvent"]["anyOf"]]
    (name,) = (one for one in names if kind in schemas[one]["properties"]["type"]["enum"])
    return str(name)


def fits(operation: Operation, told: Told, whole: Told) -> None:
    """It is one whole answer, and its events are as those of an unbroken one."""
    assert told.error is None
    assert told.text == whole.text
    reader = DIALECTS[operation].read_stream(usage_wanted=True)
    again = [reader.read(decoded) for event in told.events for decoded in Decoder().feed(event.raw)]
    assert reader.complete
    assert [event.text for event in again] == [event.text for event in told.events]
    assert [event.kind for event in told.events].count(Kind.TERMINAL) == 1
    assert sum(event.usage is not None for event in told.events) == 1
    assert complaints(operation, told) <= complaints(operation, whole)
    shape = [set(one) for one in told.data]
    assert [sorted(one) for one in shape if one not in [set(other) for other in whole.data]] == []
    assert name_of(operation, told) == name_of(operation, whole)
    if operation is RESPONSES:
        assert [one["sequence_number"] for one in told.data] == list(range(len(told.data)))
        (item,) = {one["item_id"] for one in told.data if "item_id" in one}
        last = told.data[-1]["response"]
        assert last["output"][-1]["id"] == item
        assert last["output"][-1]["content"][0]["text"] == whole.text
    else:
        assert told.events[-1].raw == b"data: [DONE]\n\n"


def name_of(operation: Operation, told: Told) -> str:
    """The id of an answer, of which all its events must know."""
    data = [one["response"] for one in told.data if "response" in one] if operation is RESPONSES else told.data
    (name,) = {one["id"] for one in data}
    return str(name)


BROKEN = ("p", "billed", "counted", "stream_interrupted")


@pytest.mark.parametrize("pour", [True, False])
@pytest.mark.parametrize(
    ("operation", "model"),
    [(CHAT, "gpt-4o"), (CHAT, "gpt-6-luna"), (RESPONSES, "gpt-4o"), (RESPONSES, "gpt-6-luna"), *[*MODELS.items()][2:]],
)
def test_wherever_it_is_cut_the_answer_is_whole(operation, model, pour):
    """After each of its words; one call, two attempts, each with its own account."""
    whole = unbroken(operation, model)
    assert tokens(operation, model) > 5
    for after in range(1, tokens(operation, model) + 1):
        told = asked(operation, given(cut(after), {}), pour=pour, model=model)
        fits(operation, told, whole)
        assert told.books == [BROKEN, ("q", "billed", "reported", None)]
        assert told.rows[1].completion_tokens == whole.rows[0].completion_tokens


@pytest.mark.parametrize("operation", [CHAT, RESPONSES])
@pytest.mark.parametrize("kind", ["stall", "malformed", "error_event"])
def test_whatever_breaks_it(operation, kind):
    """Silence, an event that cannot be read, the provider's own word that it failed."""
    fault = cut(3, kind)
    told = asked(operation, given(fault, {}))
    fits(operation, told, unbroken(operation, "gpt-4o"))
    row = told.rows[0]
    assert (row.settled, row.basis) == ("billed", "counted")
    assert row.error_type in {"stream_interrupted", "server_error"}


def test_several_break_in_turn():
    """Each goes on where the one before it stopped, or is asked in vain; the last one ends it."""
    told = asked(CHAT, given(cut(3), cut(2), cut(6), {"faults": [{"kind": "status", "status": 503}]}, {}))
    fits(CHAT, told, unbroken(CHAT, "gpt-4o"))
    assert [row.provider for row in told.rows] == ["p", "q", "r", "s", "s", "s", "t"]
    assert [row.settled for row in told.rows] == ["billed"] * 3 + ["not_billed"] * 3 + ["billed"]


@pytest.mark.parametrize("operation", [*MODELS])
def test_another_answer_is_no_continuation(operation):
    """The words that were said, then the first error, typed; both attempts are on the books."""
    told = asked(operation, given(cut(4), {"seed": 7}))
    assert isinstance(told.error, InterruptedError)
    assert (
        told.text
        == "".join(event.text for event in unbroken(operation, MODELS[operation]).events if event.text)[
            : len(told.text)
        ]
    )
    assert Kind.TERMINAL not in [event.kind for event in told.events]
    assert told.books == [BROKEN, ("q", "billed", "counted", "cancelled")]
    assert [attempt.number for attempt in told.error.attempts] == [1, 2]


def test_all_break():
    """The first error, after every target was asked once."""
    told = asked(CHAT, given(cut(5), cut(3), cut(7)))
    assert isinstance(told.error, InterruptedError)
    assert told.error.attempts[0].error_type == told.error.code
    assert sum(bool(event.text) for event in told.events) == 7
    assert [row.provider for row in told.rows] == ["p", "q", "r"]


@pytest.mark.parametrize(
    ("config", "fields"),
    [
        (given(cut(3), {}, recovery="none"), {}),
        (given(cut(3)), {}),
        (given(cut(3), {}), {"reasoning_effort": "low", "model": "gpt-6-luna"}),
        (given(cut(3), {}), {"n": 2}),
        (given(cut(3), {}), {"store": True}),
        (
            given(cut(3), {}),
            {"response_format": {"type": "json_object"}, "messages": [{"role": "user", "content": "JSON"}]},
        ),
    ],
)
def test_where_nothing_is_continued(config, fields):
    """By default, without another target, and where an answer is more than words: the error, after one attempt."""
    told = asked(CHAT, config, **fields)
    assert isinstance(told.error, InterruptedError)
    assert told.books == [BROKEN]


def test_a_kept_response_is_not_continued():
    """The provider keeps it unless told not to, and calls that chain to it would find the half of it."""
    told = asked(RESPONSES, given(cut(3), {}), store=None)
    assert isinstance(told.error, InterruptedError)
    assert told.books == [BROKEN]


def test_a_model_that_takes_a_prefill_goes_on():
    """It says something else; asked to go on from the words said, it does, and the stream is one."""
    facts = {"models": {"gpt-4o": {"base": "gpt-4o", "capabilities": ["prefill", "tools"]}}}
    told = asked(CHAT, given(cut(4), {"seed": 7}, catalog=facts))
    assert told.error is None
    words = [event.text for event in unbroken(CHAT, "gpt-4o").events if event.text]
    assert told.text.startswith("".join(words[:4]))
    assert len(told.text) > len("".join(words[:4])) + 10
    assert len({one["id"] for one in told.data}) == 1
    assert told.books == [BROKEN, ("q", "billed", "counted", "cancelled"), ("q", "billed", "reported", None)]


def test_the_callers_deadline_holds_for_all():
    """Whoever breaks after it is not followed."""

    async def story() -> tuple[Any, int, float]:
        config = given({**cut(3, "stall"), "timeout": {"silence": 4}}, {}, {})
        settings = load(None, environment={}, settings=config).config
        clock = Autumn()
        async with await Gate.open(settings, clock=clock, chance=SystemChance(3)) as gate:
            body = {"model": "gpt-4o", "stream": True, "messages": MESSAGES}
            call = gate.call(CHAT, json.dumps(body).encode(), timeout=3)
            async with await gate(call) as reply:
                with pytest.raises(InterruptedError) as caught:
                    async for _ in reply:
                        pass
            return caught.value, len(call.trail), clock.monotonic()

    _, attempts, took = virtual_time(story())
    assert attempts == 1
    assert 3 <= took < 3.1


# ── the doors of this process ────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def opened(config: dict[str, Any]) -> AsyncIterator[tuple[AsyncHeadgate, openai.AsyncOpenAI]]:
    """The Python door, and the official SDK on the client that it gives."""
    door = AsyncHeadgate(config)
    door._clock = Autumn()
    async with door, door.http_client() as client:
        sdk = openai.AsyncOpenAI(api_key="unused", http_client=client, max_retries=0)
        # Else it asks for the platform in a thread, which virtual time cannot see.
        sdk._platform = "Linux"
        yield door, sdk


@pytest.mark.parametrize("after", [1, 3, 8])
def test_the_sdk_puts_a_joined_chat_together(after):
    """`chat.completions.stream`: its final completion is what an unbroken stream would have given."""

    async def story() -> tuple[Any, Any]:
        async with opened(given(cut(after), {})) as (_, sdk):
            async with sdk.chat.completions.stream(model="gpt-4o", messages=MESSAGES) as stream:
                final = await stream.get_final_completion()
            done = [chunk async for chunk in await sdk.completions.create(
                model=MODELS[COMPLETIONS], prompt=QUESTION, max_tokens=50, stream=True
            )]  # fmt: skip
            return final, done

    final, done = virtual_time(story())
    (choice,) = final.choices
    assert choice.message.content == unbroken(CHAT, "gpt-4o").text
    assert (choice.message.role, choice.finish_reason) == ("assistant", "stop")
    assert "".join(one.choices[0].text for one in done) == unbroken(COMPLETIONS, MODELS[COMPLETIONS]).text


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-6-luna"])
@pytest.mark.parametrize("after", [1, 3, 8])
def test_the_sdk_puts_a_joined_response_together(model, after):
    """`responses.stream`: every snapshot grows, and the final response is whole."""

    async def story() -> tuple[list[str], Any]:
        async with (
            opened(given(cut(after), {})) as (_, sdk),
            sdk.responses.stream(model=model, input=QUESTION, store=False) as stream,
        ):
            grown = [event.snapshot async for event in stream if event.type == "response.output_text.delta"]
            return grown, await stream.get_final_response()

    grown, final = virtual_time(story())
    text = unbroken(RESPONSES, model).text
    assert grown[-1] == final.output_text == text
    assert all(text.startswith(one) for one in grown)
    assert sorted(grown, key=len) == grown
    assert final.status == "completed"
    assert [item.type for item in final.output][-1] == "message"


def test_the_sdk_hears_the_first_error():
    """Where the next target says something else: the words, and then one error in-band."""
    heard: list[str] = []

    async def story() -> None:
        async with opened(given(cut(3), {"seed": 7})) as (_, sdk):
            async for chunk in await sdk.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True):
                heard.extend(choice.delta.content or "" for choice in chunk.choices)

    with pytest.raises(openai.APIError, match="broke after its first word") as caught:
        virtual_time(story())
    assert caught.value.code == "stream_interrupted"
    assert unbroken(CHAT, "gpt-4o").text.startswith("".join(heard))


def test_the_python_door():
    """`stream` gives each word once; its last piece tells who served it, and what both attempts cost."""

    async def story() -> tuple[list[Any], list[AttemptRow]]:
        async with opened(given(cut(3), {})) as (door, _), aclosing(door.stream(QUESTION, model="gpt-4o")) as pieces:
            got = [piece async for piece in pieces]
            assert door._gate is not None
            return got, [row async for row in door._gate.rows(Query())]

    pieces, rows = virtual_time(story())
    assert "".join(piece.text for piece in pieces) == unbroken(RESPONSES, "gpt-4o").text
    assert len(rows) == 2
    assert pieces[-1].finish == "stop"
