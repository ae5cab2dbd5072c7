"""Words as events: how a stream begins, ends and breaks, and what a caller who leaves takes along."""

import asyncio
import contextlib
import json
from dataclasses import dataclass

import pytest
from fastapi import HTTPException
from starlette.background import BackgroundTask

from headgate.apps.events import STOPPING, Events, connected
from headgate.apps.failures import UNEXPECTED
from headgate.core.errors import InterruptedError, RateLimitError  # noqa: A004  the house's word
from headgate.testing import VirtualClock, virtual_time

DONE = {"type": "done"}


@dataclass
class Piece:
    """A piece, as `gate.stream` gives it."""

    text: str


class Caller:
    """Somebody who listens; `leaves` is when, in seconds."""

    def __init__(self, leaves: float | None = None) -> None:
        self.leaves = leaves
        self.heard: list[dict] = []
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.complete = False

    async def receive(self):
        """Nothing, until the end."""
        await asyncio.sleep(3600 if self.leaves is None else self.leaves)
        return {"type": "http.disconnect"}

    async def send(self, message):
        """What is said."""
        if message["type"] == "http.response.start":
            assert self.status is None
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        assert self.status is not None
        assert not self.complete
        body = message["body"].decode()
        assert body.startswith("data: ")
        assert body.endswith("\n\n")
        self.heard.append(json.loads(body.removeprefix("data: ")))
        self.complete = not message["more_body"]


class Source:
    """Words one after another; then, perhaps, a failure. Knows whether it was closed."""

    def __init__(self, *steps) -> None:
        self.steps = steps
        self.closed = False

    async def __aiter__(self):
        try:
            for step in self.steps:
                if isinstance(step, BaseException):
                    raise step
                if isinstance(step, int):
                    await asyncio.sleep(step)
                else:
                    yield step
        finally:
            self.closed = True


def answered(*steps, leaves=None, **more):
    """Who listened, and the source."""
    caller, source = Caller(leaves), Source(*steps)
    virtual_time(Events(source.__aiter__(), **more)({}, caller.receive, caller.send))
    return caller, source


def said(caller):
    """The words."""
    return [event["content"] for event in caller.heard if event["type"] == "content"]


def test_words_and_an_end():
    """Plain text or pieces; pieces without words say nothing; one `done`, last."""
    caller, source = answered("Hello", Piece(" wörld\n"), Piece(""), Piece("."), headers={"x-a": "b"})
    assert caller.heard == [
        {"content": "Hello", "type": "content"},
        {"content": " wörld\n", "type": "content"},
        {"content": ".", "type": "content"},
        DONE,
    ]
    assert caller.complete
    assert source.closed
    assert caller.headers == {
        "cache-control": "no-cache",
        "connection": "keep-alive",
        "x-accel-buffering": "no",
        "content-type": "text/event-stream; charset=utf-8",
        "x-a": "b",
    }


def test_an_event_is_spelled_as_the_requirement_spells_it():
    """Byte for byte."""
    sent = []

    async def send(message):
        sent.append(message.get("body"))

    virtual_time(Events(Source("a").__aiter__())({}, Caller().receive, send))
    assert sent[1:] == [b'data: {"content": "a", "type": "content"}\n\n', b'data: {"type": "done"}\n\n']


def test_an_empty_answer_is_an_answer():
    """200, and only the end."""
    caller, _ = answered()
    assert (caller.status, caller.heard) == (200, [DONE])


@pytest.mark.parametrize("error", [RateLimitError("x"), HTTPException(418, "x"), ZeroDivisionError()])
def test_what_fails_before_the_first_word_is_raised(error):
    """Nothing was sent: it is for the application to answer."""
    caller, source = Caller(), Source(Piece(""), error)
    with pytest.raises(type(error)):
        virtual_time(Events(source.__aiter__())({}, caller.receive, caller.send))
    assert caller.status is None
    assert source.closed


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InterruptedError("secret"), "The answer broke off: this is not all of it. Try again."),
        (HTTPException(502, "As somebody put it."), "As somebody put it."),
        (ZeroDivisionError("secret"), UNEXPECTED),
    ],
)
def test_what_fails_later_is_told_in_the_stream(error, words):
    """One `error`, and no `done`."""
    caller, source = answered("Hello", error)
    assert caller.heard == [{"content": "Hello", "type": "content"}, {"type": "error", "message": words}]
    assert caller.complete
    assert source.closed


@pytest.mark.parametrize("steps", [("Hello", 100), (100,)])
def test_who_leaves_takes_the_source_along(steps):
    """At once, even where it is silent."""
    caller, source = Caller(leaves=3), Source(*steps)

    async def story():
        clock = VirtualClock()
        began = clock.monotonic()
        # Where nothing was sent, somebody has to be told; where something was, nobody listens any more.
        with contextlib.suppress(HTTPException):
            await Events(source.__aiter__())({}, caller.receive, caller.send)
        return clock.monotonic() - began

    assert virtual_time(story()) == 3
    assert source.closed
    assert DONE not in caller.heard


def test_a_server_that_stops_says_so():
    """Who is cut off from outside gets an error, and the cancellation goes on."""
    caller, source = Caller(), Source("Hello", 100)

    async def story():
        async with asyncio.timeout(2):
            await Events(source.__aiter__())({}, caller.receive, caller.send)

    with pytest.raises(TimeoutError):
        virtual_time(story())
    assert caller.heard[-1] == {"type": "error", "message": STOPPING}
    assert source.closed


def test_background_work_runs_when_the_stream_has_ended():
    """As with any answer of FastAPI."""
    done = []
    caller = Caller()
    events = Events(Source("Hello").__aiter__())

    async def work():
        done.append(caller.complete)

    events.background = BackgroundTask(work)
    virtual_time(events({}, caller.receive, caller.send))
    assert done == [True]


def test_what_ends_in_time_is_not_stopped():
    """Neither its own time limits nor its cancellation are mistaken for a caller who left."""

    async def story():
        caller = Caller()
        async with connected(caller.receive):
            await asyncio.sleep(5)
        with pytest.raises(TimeoutError):
            async with connected(caller.receive):
                raise TimeoutError
        with pytest.raises(ZeroDivisionError):
            async with connected(caller.receive):
                raise ZeroDivisionError
        return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}

    assert virtual_time(story()) == set()


def test_a_body_that_was_not_read_is_passed_over():
    """Only the end of the connection means that the caller has left."""

    async def story():
        messages = [{"type": "http.request", "body": b"x", "more_body": False}]

        async def receive():
            if messages:
                return messages.pop()
            await asyncio.sleep(3600)
            raise AssertionError

        async with connected(receive):
            await asyncio.sleep(1)

    virtual_time(story())
