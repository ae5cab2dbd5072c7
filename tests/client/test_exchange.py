"""HTTP requests of a client in this process: addresses, forms, bytes of any kind."""

import asyncio
import json

import httpx2
import pytest

from headgate.client.asynchronous import AsyncHeadgate
from headgate.client.exchange import Chunks
from headgate.client.synchronous import Headgate
from headgate.core.body import Body
from headgate.core.call import Call, Operation, Timeouts
from headgate.core.errors import (
    InterruptedError,  # noqa: A004  the house's word
    StoppingError,
    TimeoutError,  # noqa: A004  ditto
)
from headgate.core.reply import Event, Kind, Reply
from headgate.stores.protocols import Query

FILES = "http://gate/v1/files"
LINES = b'{"a": 1}\n' * 100_000
"""As much as many chunks, and more than waits in memory."""


def _story(practice, tell, *faults, **settings):
    async def story():
        async with AsyncHeadgate(practice(*faults, **settings)) as gate, gate.http_client() as client:
            await tell(gate, client)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())


def _form(purpose="user_data", content=LINES):
    return {"data": {"purpose": purpose}, "files": {"file": ("lines.jsonl", content, "application/jsonl")}}


class Spools:
    """The spools that a gate has made."""

    def __init__(self, gate, monkeypatch):
        self.made = []
        make = gate.spool

        def spool(content_type):
            self.made.append(make(content_type))
            return self.made[-1]

        monkeypatch.setattr(gate, "spool", spool)

    @property
    def closed(self):
        return [spool._store._closed for spool in self.made]


# ── addresses ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_model_and_all_models(practice):
    """As the server's door tells them."""

    async def tell(gate, client):
        found = await client.get("http://gate/v1/models/gpt-6-luna")
        assert (found.status_code, found.json()["id"]) == (200, "gpt-6-luna")
        assert found.json() in (await client.get("http://gate/v1/models")).json()["data"]
        # Every name is taken here, so every name is a model.
        assert (await client.get("http://gate/v1/models/any/name")).json()["id"] == "any/name"
        wrong = await client.delete("http://gate/v1/models/gpt-6-luna")
        assert wrong.status_code == 405
        assert not gate._gate.simulators["sim"].log

    _story(practice, tell)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/files/%2e%2e/models", 404),
        ("GET", "/files/file-1/contents", 404),
        ("GET", "/fine_tuning/jobs", 404),
        ("PUT", "/files", 405),
        ("DELETE", "/batches/batch_1", 405),
        ("GET", "/embeddings", 405),
        ("GET", f"/files?after={'x' * 5000}", 400),
    ],
)
def test_no_other_address_leads_anywhere(practice, method, path, status):
    """Nothing is sent."""

    async def tell(gate, client):
        answer = await client.request(method, f"http://gate/v1{path}")
        assert answer.status_code == status, answer.text
        assert gate._gate.simulators["sim"].last is None

    _story(practice, tell)


def test_objects_are_made_read_and_deleted(practice):
    """GET, POST and DELETE, with ids in the address and a query behind it."""

    async def tell(_gate, client):
        made = (await client.post(FILES, **_form(content=b"one\n"))).json()
        assert (made["bytes"], made["filename"], made["purpose"]) == (4, "lines.jsonl", "user_data")
        listed = (await client.get(FILES, params={"limit": "1", "purpose": "user_data"})).json()
        assert [entry["id"] for entry in listed["data"]] == [made["id"]]
        assert (await client.get(f"{FILES}/{made['id']}")).json() == made
        assert (await client.delete(f"{FILES}/{made['id']}")).json()["deleted"] is True
        assert (await client.get(f"{FILES}/{made['id']}")).status_code == 404

    _story(practice, tell)


# ── forms ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_form_goes_over_chunk_by_chunk(practice, monkeypatch):
    """It waits on the spool, which is let go when the call is over; what arrives is what was sent."""

    async def tell(gate, client):
        spools = Spools(gate._gate, monkeypatch)
        made = await client.post(FILES, **_form())
        assert made.json()["bytes"] == len(LINES)
        assert spools.closed == [True]
        content = await client.get(f"{FILES}/{made.json()['id']}/content")
        assert content.content == LINES

    _story(practice, tell)


def test_the_same_for_callers_who_wait(practice, monkeypatch):
    """A file is read in the caller's thread; the gate's loop gets its chunks."""
    with Headgate(practice()) as gate, gate.http_client() as client:
        spools = Spools(gate._gate._gate, monkeypatch)
        made = client.post(FILES, **_form())
        assert made.json()["bytes"] == len(LINES)
        assert spools.closed == [True]
        with client.stream("GET", f"{FILES}/{made.json()['id']}/content") as content:
            assert b"".join(content.iter_raw()) == LINES


@pytest.mark.parametrize(
    ("path", "content_type", "status"),
    [
        ("/files", "multipart/form-data", 415),
        ("/embeddings", "multipart/form-data; boundary=x", 415),
        ("/nothing", "multipart/form-data; boundary=x", 404),
        ("/files", "multipart/form-data; boundary=x", 400),
        ("/files", "application/json", 415),
    ],
)
def test_a_form_is_refused_as_by_the_server(practice, monkeypatch, path, content_type, status):
    """With no boundary, where none is taken, malformed: nothing is sent, and nothing kept. Asynchronous and not."""
    sent = {"content": b"--y\r\n no form", "headers": {"content-type": content_type}}

    async def tell(gate, client):
        spools = Spools(gate._gate, monkeypatch)
        answer = await client.post(f"http://gate/v1{path}", **sent)
        assert answer.status_code == status, answer.text
        assert answer.headers["x-request-id"].startswith("req_")
        assert gate._gate.simulators["sim"].last is None
        assert all(spools.closed)

    _story(practice, tell)
    with Headgate(practice()) as gate, gate.http_client() as client:
        assert client.post(f"http://gate/v1{path}", **sent).status_code == status


def test_a_form_that_is_too_large_is_not_read_to_its_end(practice):
    """413, long before its sender is through."""
    config = practice()
    config["server"] = {"max_upload_mb": 0.1}

    async def tell():
        sent = 0

        async def chunks():
            nonlocal sent
            yield b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
            for _ in range(100):
                sent += 10_000
                yield b"a" * 10_000

        headers = {"content-type": "multipart/form-data; boundary=x"}
        async with AsyncHeadgate(config) as gate, gate.http_client() as client:
            pieces = chunks()
            answer = await client.post(FILES, content=pieces, headers=headers)
            await pieces.aclose()
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
        assert sent == 100_000

    asyncio.run(tell())


def test_a_sender_that_breaks_off_leaves_nothing(practice, monkeypatch):
    """Its error is its own; the spool is let go."""

    async def chunks():
        yield b"--x\r\n"
        message = "the disk is gone"
        raise OSError(message)

    async def tell(gate, client):
        spools = Spools(gate._gate, monkeypatch)
        with pytest.raises(OSError, match="disk is gone"):
            await client.post(FILES, content=chunks(), headers={"content-type": "multipart/form-data; boundary=x"})
        assert spools.closed == [True]
        assert gate._gate.simulators["sim"].last is None

    _story(practice, tell)


def test_a_streamed_answer_keeps_its_question(practice, monkeypatch):
    """A retry may need it: the spool of a form is let go when the response is closed, or the gate refuses."""
    png = {"image": ("a.png", b"\x89PNG\r\n\x1a\n", "image/png")}

    async def tell(gate, client):
        spools = Spools(gate._gate, monkeypatch)
        kept = []
        monkeypatch.setattr(Chunks, "aclose", _noting(kept, spools))
        data = {"model": "gpt-image-2", "prompt": "A fox", "stream": "true"}
        async with client.stream("POST", "http://gate/v1/images/edits", data=data, files=png) as response:
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            assert spools.closed == [False]
            text = "".join([piece async for piece in response.aiter_text()])
        assert "image_edit.completed" in text
        assert kept == [[False]]
        assert spools.closed == [True]

    _story(practice, tell)


def _noting(kept, spools):
    close = Chunks.aclose

    async def aclose(self):
        kept.append(spools.closed)
        await close(self)

    return aclose


# ── bytes of any kind ────────────────────────────────────────────────────────────────────────────────────────────────


def _call(*, opaque, timeouts=None):
    return Call(
        id="c", operation=Operation.FILES, model="", body=Body(b""), started=0.0, day="2027-01-15", opaque=opaque,
        timeouts=timeouts,
    )  # fmt: skip


async def _broken(error):
    yield Event(kind=Kind.CONTENT, raw=b"half")
    raise error


async def _all(chunks):
    return b"".join([chunk async for chunk in chunks])


@pytest.mark.parametrize("timeouts", [None, Timeouts()])
def test_bytes_that_break_off_break_the_connection(timeouts):
    """They have no word for an error, and half of them must not look like all."""
    reply = Reply([], _broken(InterruptedError("The answer broke off.")), stream=True)
    with pytest.raises(httpx2.RemoteProtocolError, match="broke off"):
        asyncio.run(_all(Chunks(_call(opaque=True, timeouts=timeouts), reply, trailer=False)))


def test_silence_in_their_middle_is_the_clients_own_timeout():
    """Where the client named one."""
    error = InterruptedError("The answer broke off.")
    error.__cause__ = TimeoutError("Silence.")
    reply = Reply([], _broken(error), stream=True)
    with pytest.raises(httpx2.ReadTimeout):
        asyncio.run(_all(Chunks(_call(opaque=True, timeouts=Timeouts()), reply, trailer=False)))


def test_their_type_is_the_providers_and_no_comment_follows(practice):
    """Even if the cost is asked for: a comment would be part of the file."""

    async def tell(gate, client):
        made = (await client.post(FILES, **_form(content=b"one\n"))).json()
        answer = await client.get(f"{FILES}/{made['id']}/content", headers={"x-headgate-trailer": "1"})
        assert answer.content == b"one\n"
        sent = gate._gate.simulators["sim"].last
        assert (sent.method, sent.path) == ("GET", f"/v1/files/{made['id']}/content")
        assert not answer.headers["content-type"].startswith("text/event-stream")
        await gate.usage()
        rows = [row async for row in gate._gate.rows(Query())]
        assert [(row.operation, row.settled, row.cost) for row in rows] == [("files", "billed", 0)] * 2

    _story(practice, tell)


def test_a_closed_gate_takes_no_form(practice):
    """It says so."""

    async def story():
        gate = AsyncHeadgate(practice())
        client = gate.http_client()
        await gate.aclose()
        with pytest.raises(StoppingError, match="closed"):
            await client.post(FILES, **_form())

    asyncio.run(story())


def test_an_error_answer_to_a_form_is_the_providers(practice):
    """Its status and its own words."""

    async def tell(_gate, client):
        answer = await client.post(FILES, **_form(purpose="nonsense", content=b"a"))
        assert answer.status_code == 400
        assert json.loads(answer.content)["error"]["param"] == "purpose"

    _story(practice, tell)
