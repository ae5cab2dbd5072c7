"""The simulator in process, as a transport."""

import asyncio
import json
from contextlib import nullcontext

import pytest

from headgate.core.errors import TimeoutError, UnreachableError  # noqa: A004  the house's words
from headgate.providers.simulator.settings import Fault, Latency
from headgate.providers.simulator.simulator import Simulator
from headgate.providers.simulator.transport import SimulatorTransport
from headgate.providers.transport import Outgoing
from headgate.testing import VirtualClock, virtual_time

FOREVER = 1e9


class Note:
    """Whoever wants to know that the request was written."""

    sent = False


def request(path="/v1/chat/completions", *, query="", **fields):
    """A request to a made-up host."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "30 tokens"}]} | fields
    return Outgoing(
        "POST",
        f"http://anywhere.example:8080/api{path}{query}",
        [("x-client-request-id", "c")],
        json.dumps(body).encode(),
    )


def story(tell, **settings):
    """Run a story with a transport, a simulator and a note."""

    async def run():
        simulator = Simulator(clock=VirtualClock(), **settings)
        return await tell(SimulatorTransport(simulator), simulator, Note())

    return virtual_time(run())


async def listen(answer, pieces, ending=None):
    """So many pieces of an answer, or all until the ending that is expected."""
    said = b""
    with ending or nullcontext():
        for _ in range(pieces):
            said += await answer.receive(FOREVER)
    return said


def words(said):
    """Tokens in the pieces of a stream; the first event has none."""
    return said.count(b'"content":') - 1


def test_an_answer():
    """Whatever the host and whatever stands before `/v1`; the query is not looked at."""

    async def tell(transport, simulator, note):
        answer = await transport.send(request(query="?api-version=x"), connect=1, deadline=FOREVER, written=note)
        body = b""
        while data := await answer.receive(FOREVER):
            body += data
        await answer.close()
        await transport.close()
        assert answer.headers["content-type"] == "application/json"
        assert simulator.log[0].client_request_id == "c"
        return answer.status, note.sent, json.loads(body)["usage"]["completion_tokens"]

    assert story(tell) == (200, True, 30)


def test_deadlines():
    """Silence before the head and inside the stream ends at the deadline; the request counts as sent."""

    async def tell(transport, simulator, note):
        with pytest.raises(TimeoutError):
            await transport.send(request(), connect=1, deadline=3, written=note)
        assert (VirtualClock().monotonic(), note.sent, simulator.bill.lines) == (3, True, [])
        answer = await transport.send(request(stream=True), connect=1, deadline=FOREVER, written=note)
        await answer.receive(FOREVER)
        with pytest.raises(TimeoutError):
            await answer.receive(VirtualClock().monotonic() + 4)
        await answer.close()
        return VirtualClock().monotonic(), simulator.bill.lines[0].usage.completion_tokens

    assert story(tell, latency=Latency(first_token=5)) == (7, 0)


def test_broken_connections():
    """A reset instead of the head, a cut in the middle: the errors of a network."""

    async def tell(transport, simulator, note):
        with pytest.raises(UnreachableError):
            await transport.send(request(), connect=1, deadline=FOREVER, written=note)
        answer = await transport.send(request(stream=True), connect=1, deadline=FOREVER, written=note)
        said = await listen(answer, 99, pytest.raises(UnreachableError))
        return note.sent, words(said), [line.usage.completion_tokens for line in simulator.bill.lines]

    assert story(tell, faults=[Fault(kind="reset", times=1), Fault(kind="cut", after_tokens=3)]) == (True, 3, [3])


def test_a_cancelled_reader_is_gone():
    """Cancelling the wait for the head costs nothing and leaves nothing; closing a stream ends its bill."""

    async def tell(transport, simulator, note):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(transport.send(request(), connect=1, deadline=FOREVER, written=note), 1)
        answer = await transport.send(request(stream=True), connect=1, deadline=FOREVER, written=note)
        said = await listen(answer, 9)
        await answer.close()
        await answer.close()
        assert await answer.receive(FOREVER) == b""
        assert words(said) >= 5
        return [(line.usage.completion_tokens - words(said), line.complete) for line in simulator.bill.lines]

    assert story(tell, latency=Latency(first_token=5)) == [(0, False)]


def test_others_get_their_turn():
    """An answer without a pause still lets other tasks run between two pieces."""

    async def tell(transport, _, note):
        turns = 0

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            counting = group.create_task(count())
            answer = await transport.send(request(stream=True), connect=1, deadline=FOREVER, written=note)
            while await answer.receive(FOREVER):
                pass
            counting.cancel()
        return turns >= 30

    assert story(tell)
