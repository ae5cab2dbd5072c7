"""One call and its answer: whole, streamed, broken, abandoned."""

import asyncio
import json
import logging

import pytest

from headgate.core.body import Body
from headgate.core.call import Call, Operation
from headgate.core.errors import BadRequestError, InterruptedError, TimeoutError  # noqa: A004  the house's words
from headgate.core.reply import Event, Kind, Reply
from headgate.gate.tasks import Tasks
from headgate.server.exchange import Exchange
from headgate.testing import VirtualClock, virtual_time

CLOCK = VirtualClock()
HELLO = Event(kind=Kind.CONTENT, raw=b'data: {"hello": 1}\n\n')
END = Event(kind=Kind.TERMINAL, raw=b'data: {"end": 1}\n\n')
USAGE = Event(kind=Kind.TRAILER, raw=b"data: {usage}\n\n", hidden=True)
DONE = Event(kind=Kind.TRAILER, raw=b"data: [DONE]\n\n")


class Answer:
    """A gate that gives one answer, made of real replies.

    Events are events, seconds of silence, or exceptions; what comes before the first event happens before the reply.
    """

    def __init__(self, *script, stream: bool = True) -> None:
        self.script = list(script)
        self.stream = stream
        self.closed_at: list[float] = []
        self.cancelled = False
        self.reply: Reply | None = None

    async def __call__(self, _call) -> Reply:
        """Answer."""
        first = await self._next()
        self.reply = Reply([first], self if self.stream else None, close=self._close, stream=self.stream)
        return self.reply

    async def _next(self) -> Event:
        while self.script:
            item = self.script.pop(0)
            if isinstance(item, Exception):
                raise item
            if isinstance(item, Event):
                return item
            try:
                await CLOCK.sleep(item)
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        raise StopAsyncIteration

    def __aiter__(self):
        return self

    async def __anext__(self) -> Event:
        return await self._next()

    async def _close(self) -> None:
        self.closed_at.append(CLOCK.monotonic())


def _call(*, stream: bool = True, operation: Operation = Operation.CHAT) -> Call:
    return Call(
        id="c" * 32, operation=operation, model="m", body=Body(b"{}"), started=0, day="2027-01-15", stream=stream
    )


def _exchange(
    client, answer, *, trailer=False, open_after=15.0, operation=Operation.CHAT, until=1000.0, wanted=None, **how
):
    """Run one exchange; also check that nothing is left behind."""

    async def story():
        tasks = Tasks()

        async def app(_scope, receive, send) -> None:
            await receive()
            call = _call(stream=answer.stream if wanted is None else wanted, operation=operation)
            await Exchange(answer, call, receive, send, tasks=tasks, open_after=open_after, trailer=trailer).run()

        got = await client(app).post(**how)
        assert CLOCK.monotonic() <= until
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not tasks._running
        return got

    return virtual_time(story())


def test_a_whole_answer_is_passed_on(client):
    """Status, headers and the provider's bytes; the reply is closed."""
    answer = Answer(Event(kind=Kind.TERMINAL, raw=b'{"id": "x"}'), stream=False)
    got = _exchange(client, answer)
    assert (got.status, got.body, got.complete) == (200, b'{"id": "x"}', True)
    assert got.headers["x-request-id"] == "req_" + "c" * 32
    assert got.headers["content-type"] == "application/json"
    assert len(answer.closed_at) == 1


def test_a_stream_is_passed_on_as_it_comes(client):
    """Each event leaves when it came, in the provider's bytes; what was not meant for the caller does not."""
    got = _exchange(client, Answer(HELLO, 2, HELLO, 3, END, USAGE, DONE))
    assert got.chunks == [HELLO.raw, HELLO.raw, END.raw, DONE.raw]
    assert got.times == [0, 2, 5, 5]
    assert got.complete
    assert got.headers["content-type"].startswith("text/event-stream")


def test_the_trailer_stands_before_done(client):
    """Clients stop reading at `[DONE]`, so the cost is told before it."""
    got = _exchange(client, Answer(HELLO, END, USAGE, DONE), trailer=True)
    assert got.body.endswith(b": headgate " + b'{"attempts":0,"cost_usd":"0"}' + b"\n\ndata: [DONE]\n\n")


def test_the_trailer_ends_a_stream_without_done(client):
    """A Responses stream ends with its terminal event; the cost follows."""
    got = _exchange(client, Answer(HELLO, END), trailer=True, operation=Operation.RESPONSES)
    assert got.chunks[-2] == END.raw
    assert got.chunks[-1].startswith(b": headgate {")
    assert got.complete


def test_an_error_before_the_first_word_has_a_status(client):
    """Nothing was sent yet: a status and an OpenAI-shaped body."""
    got = _exchange(client, Answer(1.0, TimeoutError("too slow")))
    assert got.status == 504
    assert got.code == "upstream_timeout"
    assert got.headers["x-request-id"] == "req_" + "c" * 32


def test_a_broken_chat_stream_says_so_in_band(client):
    """An error event, no `[DONE]`, and a proper end of the HTTP answer."""
    answer = Answer(HELLO, InterruptedError("the line broke"))
    got = _exchange(client, answer, trailer=True)
    assert got.status == 200
    assert got.complete
    told = json.loads(got.chunks[-1].removeprefix(b"data: "))
    assert told["error"]["code"] == "stream_interrupted"
    assert b"[DONE]" not in got.body
    assert b"headgate" not in got.body
    assert len(answer.closed_at) == 1


def test_a_broken_responses_stream_says_so_in_its_dialect(client):
    """The error event counts on from the events before it."""
    got = _exchange(client, Answer(HELLO, HELLO, InterruptedError("the line broke")), operation=Operation.RESPONSES)
    assert got.chunks[-1].startswith(b"event: error\n")
    assert b'"sequence_number":2' in got.chunks[-1]


@pytest.mark.parametrize("script", [(ZeroDivisionError("secret"),), (HELLO, ZeroDivisionError("secret"))])
def test_an_unforeseen_failure_shows_nothing_of_its_inside(client, caplog, script):
    """Before the first byte and in the stream: an internal error for the caller, one log line with the trace for us."""
    with caplog.at_level(logging.ERROR):
        got = _exchange(client, Answer(*script))
    assert b"internal_error" in got.body
    assert b"secret" not in got.body
    assert got.status == (500 if len(script) == 1 else 200)
    (record,) = caplog.records
    assert record.name == "headgate.server"
    assert "req_" + "c" * 32 in record.getMessage()
    assert record.exc_info


def test_a_silent_stream_is_opened_and_kept_alive(client):
    """After `stream_open_after` the answer is 200 with comments; who answers is not known, so no header says it."""
    got = _exchange(client, Answer(27, HELLO, END, DONE), open_after=15)
    assert got.status == 200
    assert got.chunks == [b": keep-alive\n\n"] * 3 + [HELLO.raw, END.raw, DONE.raw]
    assert got.times == [15, 20, 25, 27, 27, 27]
    assert "x-headgate-provider" not in got.headers
    assert got.headers["x-request-id"] == "req_" + "c" * 32
    assert got.complete


def test_an_error_after_the_opening_is_told_in_band(client):
    """The status has been sent: the error is an event."""
    got = _exchange(client, Answer(16, BadRequestError("no")), open_after=15)
    assert got.status == 200
    assert json.loads(got.chunks[-1].removeprefix(b"data: "))["error"]["message"].startswith("no")
    assert b"[DONE]" not in got.body
    assert got.complete


def test_a_whole_answer_is_not_opened_early(client):
    """Only streams can say something before there is something to say."""
    got = _exchange(client, Answer(60, Event(kind=Kind.TERMINAL, raw=b"{}"), stream=False), open_after=15)
    assert got.chunks == [b"{}"]
    assert got.times == [60]


def test_a_whole_answer_to_a_stream_that_was_opened_is_its_one_event(client):
    """Subtitles that come whole after the head of a stream was sent: a second head would be rubbish."""
    answer = Answer(20, Event(kind=Kind.TERMINAL, raw=b'{"text": "Hi"}'), stream=False)
    got = _exchange(client, answer, open_after=15, wanted=True)
    assert got.status == 200
    assert got.chunks[-1] == b'data: {"text": "Hi"}\n\n'
    assert got.complete


@pytest.mark.parametrize("stream", [True, False])
def test_who_leaves_before_the_answer_takes_the_call_along(client, stream):
    """The gate's work is cancelled at once, and nothing is sent or left behind."""
    answer = Answer(600, HELLO, stream=stream)
    got = _exchange(client, answer, hang_up_after=2.0)
    assert answer.cancelled
    assert got.status is None


def test_who_leaves_at_once_is_noticed_within_a_second(client):
    """Before anybody watches, too."""
    answer = Answer(600, HELLO)

    _exchange(client, answer, hang_up_after=0.0, until=1.0)
    assert answer.cancelled


def test_who_leaves_in_mid_stream_closes_the_providers_connection(client):
    """Within one second."""
    answer = Answer(HELLO, 600, HELLO)
    got = _exchange(client, answer, hang_up_after=3.0)
    assert got.chunks == [HELLO.raw]
    assert answer.closed_at == [3.0]
    assert answer.cancelled


def test_who_leaves_while_a_stream_is_kept_alive_is_noticed(client):
    """The comments stop, and the gate's work is cancelled."""
    answer = Answer(600, HELLO)
    got = _exchange(client, answer, hang_up_after=17.0, open_after=15)
    assert got.chunks == [b": keep-alive\n\n"]
    assert answer.cancelled


@pytest.mark.parametrize(
    ("script", "stream", "status"), [((600, HELLO), True, 503), ((600, HELLO), False, 503), ((HELLO, 600), True, 200)]
)
def test_a_shutdown_is_told_to_the_caller(client, script, stream, status):
    """An answer that is cut off by the server's end says so, with a status or in-band, and stays cancelled."""
    answer = Answer(*script, stream=stream)
    got = _exchange(client, answer, cut_after=5.0)
    assert answer.cancelled
    assert got.cancelled
    assert got.status == status
    assert b'"code":"stopping"' in got.chunks[-1]
    assert got.complete
