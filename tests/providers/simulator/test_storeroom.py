"""Answers that are kept."""

import asyncio
import json

import pytest
from openai.types.responses import Response, ResponseItemList, ResponseStreamEvent
from pydantic import TypeAdapter

from headgate.providers.simulator.plan import plan
from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.read_responses import read_responses
from headgate.providers.simulator.reported import responses_usage
from headgate.providers.simulator.settings import Fault
from headgate.providers.simulator.storeroom import Kept, Storeroom
from headgate.providers.simulator.write_chat import Identity
from headgate.providers.simulator.write_responses import stream_responses
from headgate.testing import EPOCH, VirtualClock, virtual_time

EVENT = TypeAdapter(ResponseStreamEvent)


class Room:
    """A storeroom, and how answers come into it."""

    def __init__(self):
        self.clock = VirtualClock()
        self.store = Storeroom(self.clock, 100.0)
        self.charged = []
        self.count = 0

    def make(self, *, fault=None, **fields):
        """The name of a new answer; one in the background takes 100 seconds."""
        self.count += 1
        key = f"{self.count:048x}"
        body = json.dumps({"model": "gpt-4o", "input": "40 tokens"} | fields).encode()
        question = read_responses(body, self.store.recall)
        decided = plan(question, 0)
        identity = Identity(key, int(self.clock.time()), "fp")
        told = responses_usage(decided.usage())
        kept = Kept(question, decided, identity, told)
        if question.background:
            self.store.promise(kept, lambda: self.charged.append(key), fault)
        else:
            self.store.keep(kept)
        return "resp_" + key

    def look(self, name):
        """The answer as it is now, valid for the SDK."""
        return Response.model_validate_json(self.store.tell(self.store.find(name)), strict=True)

    async def events(self, name, **how):
        """When each event comes, and what it is; None where the connection breaks."""
        found, at = [], self.clock.time()
        for piece in self.store.events(self.store.find(name), **how):
            at += piece.pause
            await asyncio.sleep(piece.pause)
            if piece.data is None:
                found.append((at - EPOCH, None))
            elif piece.data:
                text = piece.data.decode()
                assert text.endswith("\n\n")
                found.append((at - EPOCH, json.loads(text.split("\ndata: ")[1])))
        return found


def story(tell):
    """Run a story with a room."""

    async def run():
        return await tell(Room())

    return virtual_time(run())


def refused(act, *given):
    """Status, code and message of a refusal."""
    with pytest.raises(Problem) as caught:
        act(*given)
    return caught.value.status, caught.value.code, caught.value.message


def test_kept():
    """An answer that was given at once is complete; after 30 days it is gone."""

    async def tell(room):
        name = room.make()
        answer = room.look(name)
        assert (answer.status, answer.background, len(answer.output_text)) == ("completed", False, 160)
        await asyncio.sleep(30 * 86_400)
        return refused(room.look, name) == (404, None, f"Response with id '{name}' not found.")

    assert story(tell)


def test_replayed():
    """The events of the first time, byte for byte, from any number on."""

    async def tell(room):
        name = room.make(stream=True)
        kept = room.store.find(name)
        script = stream_responses(kept.question, kept.decided, kept.identity, kept.told)
        first = script.opening + b"".join(step.data for step in script.body)
        pieces = list(room.store.events(kept))
        assert b"".join(piece.data for piece in pieces) == first
        assert {piece.pause for piece in pieces} == {0.0}
        rest = await room.events(name, after=5)
        plain = await room.events(name, after=5, obfuscate=False)
        assert all("obfuscation" not in event for _, event in plain)
        assert len(plain) == len(rest) == len(pieces) - 6
        assert await room.events(name, after=1000) == []
        return [event["sequence_number"] for _, event in rest][:3]

    assert story(tell) == [6, 7, 8]


def test_continued():
    """The next answer reads what was said before, as if it had been sent again; without instructions and tools."""

    async def tell(room):
        tool = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
        first = room.make(input="Call f", tools=[tool], instructions="Be brief.")
        called = room.look(first).output[0]
        back = {"type": "function_call_output", "call_id": called.call_id, "output": "42"}
        second = room.make(input=[back], previous_response_id=first)
        third = room.make(input="And now?", previous_response_id=second)
        sent = [
            {"role": "user", "content": "Call f"},
            called.model_dump(),
            back,
            *[item.model_dump() for item in room.look(second).output],
            {"role": "user", "content": "And now?"},
        ]
        by_hand = room.make(input=sent)
        told = room.look(third)
        assert told.previous_response_id == second
        assert told.usage.input_tokens == room.look(by_hand).usage.input_tokens
        assert told.output_text == room.look(by_hand).output_text
        return [item["type"] for item in room.store.input_items(third, {"order": "asc"})["data"]]

    assert story(tell) == ["message", "function_call", "function_call_output", "message", "message"]


def test_what_cannot_be_continued():
    """What was not kept, is unknown, was thrown away, or is in the making."""

    async def tell(room):
        gone = room.make()
        room.store.remove(gone)
        busy = room.make(background=True)
        found = [refused(lambda name=name: room.make(previous_response_id=name)) for name in ("resp_x", gone, busy)]
        return [(status, code) for status, code, _ in found], found[0][2]

    codes, message = story(tell)
    assert codes == [(400, "previous_response_not_found"), (400, "previous_response_not_found"), (400, None)]
    assert message == "Previous response with id 'resp_x' not found."


def test_a_conversation_outlives_its_first_answer():
    """What was thrown away later is still remembered by those who built on it."""

    async def tell(room):
        first = room.make()
        second = room.make(previous_response_id=first)
        room.store.remove(first)
        return len(room.store.input_items(second, {})["data"]), room.make(previous_response_id=second)[:5]

    assert story(tell) == (3, "resp_")


def test_input_items():
    """Valid for the SDK, newest first, by pages."""

    async def tell(room):
        name = room.make(input=[{"role": "user", "content": word} for word in ("a", "b", "c")])
        shown = room.store.input_items(name, {"limit": "2"})
        rest = room.store.input_items(name, {"after": shown["last_id"]})
        assert refused(room.store.input_items, "resp_x", {})[0] == 404
        items = ResponseItemList.model_validate(shown, strict=True).data + ResponseItemList.model_validate(rest).data
        return [item.content[0].text for item in items], shown["has_more"]

    assert story(tell) == (["c", "b", "a"], True)


def test_thrown_away():
    """Gone, in the API's words."""

    async def tell(room):
        name = room.make()
        assert room.store.remove(name) == {"id": name, "object": "response", "deleted": True}
        return refused(room.store.remove, name)[0], refused(room.look, name)[0]

    assert story(tell) == (404, 404)


def test_in_the_background():
    """Queued, in progress, completed; charged once, when it is done."""

    async def tell(room):
        name = room.make(background=True)
        seen = []
        for pause in (0, 9, 1, 89, 1, 1000):
            await asyncio.sleep(pause)
            answer = room.look(name)
            room.store.settle()
            seen.append((answer.status, len(answer.output), answer.usage is None, len(room.charged)))
        assert (answer.created_at, answer.completed_at) == (int(EPOCH), int(EPOCH) + 100)
        assert answer.background
        return seen

    assert story(tell) == [
        ("queued", 0, True, 0),
        ("queued", 0, True, 0),
        ("in_progress", 0, True, 0),
        ("in_progress", 0, True, 0),
        ("completed", 1, False, 1),
        ("completed", 1, False, 1),
    ]


def test_cancelled():
    """Only in the background; not charged; as often as one likes, even when it is done."""

    async def tell(room):
        given, made, done = room.make(), room.make(background=True), room.make(background=True)
        assert refused(room.store.cancel, given) == (400, None, "Cannot cancel a synchronous response.")
        await asyncio.sleep(50)
        states = [json.loads(room.store.cancel(made))["status"] for _ in range(2)]
        await asyncio.sleep(50)
        answer = Response.model_validate_json(room.store.cancel(done), strict=True)
        room.store.settle()
        assert room.look(made).usage is None
        return states, answer.status, len(answer.output), len(room.charged)

    assert story(tell) == (["cancelled", "cancelled"], "completed", 1, 1)


def test_thrown_away_in_the_making():
    """Is not made, and not charged."""

    async def tell(room):
        room.store.remove(room.make(background=True))
        await asyncio.sleep(1000)
        room.store.settle()
        return room.charged

    assert story(tell) == []


def test_a_background_stream():
    """Each event when it happens; who comes back later gets the past at once, with the same numbers."""

    async def tell(room):
        name = room.make(background=True, stream=True)
        first = await room.events(name, cut=20)
        assert first[-1][1] is None
        last = first[-2][1]["sequence_number"]
        rest = await room.events(name, after=last)
        everything = first[:-1] + rest
        for _, event in everything:
            EVENT.validate_python(event)
        assert [event["sequence_number"] for _, event in everything] == list(range(len(everything)))
        again = await room.events(name)
        assert [event for _, event in again] == [event for _, event in everything]
        return everything

    events = story(tell)
    names = [event["type"].removeprefix("response.") for _, event in events]
    assert names[:4] == ["created", "queued", "in_progress", "output_item.added"]
    assert names[-1] == "completed"
    assert [round(at, 6) for at, _ in events[:3]] == [0, 0, 10]
    assert round(events[-1][0], 6) == 100
    assert 30 < events[20][0] < 60


def test_a_stream_ends_with_its_answer():
    """Where that is cancelled, nothing more comes."""

    async def tell(room):
        name = room.make(background=True)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(room.events(name))
            await asyncio.sleep(50)
            room.store.cancel(name)
        events = watching.result()
        assert await room.events(name) == []
        return events[-1][1]["type"], events[-1][0] < 50

    assert story(tell) == ("response.output_text.delta", True)


def test_failed():
    """In the background an error becomes the answer's, and is not charged."""

    async def tell(room):
        name = room.make(background=True, fault=Fault(kind="error_event"))
        await asyncio.sleep(100)
        answer = room.look(name)
        room.store.settle()
        events = await room.events(name)
        EVENT.validate_python(events[-1][1])
        return answer.status, answer.error.code, room.charged, [event["type"] for _, event in events]

    assert story(tell) == (
        "failed",
        "server_error",
        [],
        ["response.created", "response.queued", "response.in_progress", "response.failed"],
    )


def test_no_more_than_ten_thousand():
    """The oldest goes first."""

    async def tell(room):
        names = [room.make() for _ in range(3)]
        kept = room.store.find(names[2])
        for number in range(9_998):
            room.store.keep(Kept(kept.question, kept.decided, Identity(f"k{number}", int(EPOCH), "fp"), None))
        return refused(room.look, names[0])[0], room.look(names[1]).status

    assert story(tell) == (404, "completed")
