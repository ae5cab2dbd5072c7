"""`Headgate`: the same gate for programs that wait."""

import asyncio
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import BaseModel

from headgate.client.asynchronous import AsyncHeadgate
from headgate.client.synchronous import Headgate
from headgate.core.errors import ConfigError, InterruptedError, RateLimitError, StoppingError  # noqa: A004  the house's word
from headgate.stores.protocols import Query

LONG = "Tell me everything, please: " + "more " * 200


class City(BaseModel):
    """What is asked for."""

    name: str


def _threads():
    return [thread for thread in threading.enumerate() if thread.name == "headgate"]


def _rows(gate):
    async def read():
        await gate._gate._gate.usage(Query())
        return [row async for row in gate._gate._gate.rows(Query())]

    return gate._thread.run(read())


def test_it_has_every_method_of_the_asynchronous_face():
    """Under the same names with the same arguments and the same words about them."""
    names = {name for name in vars(AsyncHeadgate) if not name.startswith("_")} - {"aclose"}
    assert names <= {name for name in vars(Headgate) if not name.startswith("_")} | {"exchange"}
    for name in names - {"http_client"}:
        ours, theirs = getattr(Headgate, name), getattr(AsyncHeadgate, name)
        assert inspect.signature(ours).parameters == inspect.signature(theirs).parameters
        assert ours.__doc__ == theirs.__doc__ or name in {"stream", "stream_parse"}


def test_every_method_works_without_a_loop(practice):
    """Whole, streamed, parsed, many; the books; and the thread ends with the gate."""
    with Headgate(practice()) as gate:
        assert gate.generate_response("Hi").text
        pieces = list(gate.stream("Count."))
        assert pieces[-1].finish == "stop"
        assert gate.parse(City, "Describe Lyon.").name
        assert isinstance(list(gate.stream_parse(City, "Describe Lyon."))[-1].value, City)
        assert len(gate.batch_generate(["a", "b"], progress=True)) == 2
        assert gate.usage().calls == 6
        assert gate.models() == ["gpt-6-luna"]
        assert gate.health()["status"] == "ok"
        assert gate.config.store == "memory://"
        assert len(_threads()) == 1
    assert not _threads()


def test_it_works_inside_a_running_loop(practice):
    """A notebook has a loop of its own, which is blocked meanwhile and none the worse for it."""

    async def story():
        with Headgate(practice()) as gate:
            return gate.generate_response("Hi").text, [piece.text for piece in gate.stream("Hi")]

    text, pieces = asyncio.run(story())
    assert text == "".join(pieces)


def test_many_threads_share_one_gate(practice):
    """Opened once, and every call on its books."""
    with Headgate(practice()) as gate:
        with ThreadPoolExecutor(12) as pool:
            replies = list(pool.map(lambda n: gate.generate_response(f"Say {n}."), range(60)))
        assert len({reply.request_id for reply in replies}) == 60
        assert gate.usage().calls == 60


def test_nothing_starts_before_it_is_used(practice):
    """Making one, and closing it, starts no thread; a wrong configuration is told at once."""
    gate = Headgate(practice())
    assert not _threads()
    gate.close()
    assert not _threads()
    with pytest.raises(ConfigError, match="No usable provider"):
        Headgate()


def test_after_the_close_it_says_so(practice):
    """Every method, and streams that were begun before it."""
    gate = Headgate(practice(latency={"per_token": 0.01}))
    stream = gate.stream(LONG)
    next(stream)
    gate.close()
    gate.close()
    with pytest.raises(StoppingError, match="closed"):
        next(stream)
    for use in (lambda: gate.generate_response("Hi"), gate.usage, gate.models, lambda: next(gate.stream("Hi"))):
        with pytest.raises(StoppingError, match="closed"):
            use()


def test_errors_come_through(practice):
    """In their class, with their facts."""
    with (
        Headgate(practice({"kind": "status", "status": 429, "retry_after": 90})) as gate,
        pytest.raises(RateLimitError) as caught,
    ):
        gate.generate_response("Hi")
    assert caught.value.retry_after == 90


def test_a_broken_stream_is_never_a_success(practice):
    """The error comes where the words end."""
    said = []
    with Headgate(practice({"kind": "cut", "after_tokens": 5})) as gate, pytest.raises(InterruptedError):
        said.extend(gate.stream(LONG))
    assert said
    assert all(piece.finish is None for piece in said)


def test_leaving_a_stream_closes_it_upstream(practice):
    """By a `break`: the attempt is settled at once, as counted, long before its words would have ended."""
    with Headgate(practice(latency={"per_token": 0.05})) as gate:
        for _ in gate.stream(LONG):
            break
        (row,) = _rows(gate)
        assert (row.settled, row.basis) == ("billed", "counted")
        assert row.latency_ms < 5000


def test_its_http_client_waits(practice):
    """A client for the synchronous SDK; the gate outlives it."""
    with Headgate(practice()) as gate:
        with gate.http_client() as client:
            assert client.get("http://gate/v1/models").json()["object"] == "list"
        assert gate.generate_response("Hi").text


def test_a_stream_that_is_never_read_asks_nobody(practice):
    """Making it costs nothing."""
    with Headgate(practice()) as gate:
        gate.stream("Hi").close()
        assert gate.usage().calls == 0
