"""The apps at the gateway's door: keys, headers, and refusals in their shape."""

import hashlib

import pytest

from headgate.server.app import application
from headgate.stores.protocols import Query
from headgate.testing import VirtualClock, virtual_time

JSON = ("content-type", "application/json")
KEY = ("authorization", "Bearer hg-one")
KEYS = {
    "server": {"auth": "keys"},
    "keys": [{"name": "web", "sha256": hashlib.sha256(b"hg-one").hexdigest(), "project": "shop"}],
    "models": {"default": "gpt-6-luna", "*": {"targets": [{"provider": "p"}]}},
}


def told(simulated_gate, client, *headers, body=None, path="/generate", **settings):
    """An answer, and the rows of the books."""

    async def story():
        async with simulated_gate(**{**KEYS, **settings}) as gate:
            here = client(application(gate, clock=VirtualClock()))
            got = await here.post(path, body or {"prompt": "Hi", "max_tokens": 20}, (JSON, *headers))
            return got, [row async for row in gate.rows(Query())]

    return virtual_time(story())


def test_an_answer_is_on_the_books_of_its_key(simulated_gate, client):
    """With its tags, under the name that the caller was told."""
    got, (row,) = told(simulated_gate, client, KEY, ("x-headgate-tags", "team=a"), ("x-headgate-priority", "7"))
    assert got.status == 200
    assert set(got.json) == {"content", "tokens_used", "cost"}
    assert (row.key, row.project, dict(row.tags)) == ("web", "shop", {"team": "a"})
    assert got.headers["x-request-id"] == f"req_{row.call_id}"
    assert got.headers["x-headgate-simulated"] == "1"
    assert got.json["tokens_used"] == row.prompt_tokens + row.completion_tokens


@pytest.mark.parametrize("path", ["/generate", "/generate-stream"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((), 401),
        ((("authorization", "Bearer hg-two"),), 401),
        ((KEY, ("x-headgate-tags", "team")), 400),
        ((KEY, ("x-headgate-tags", b"team=\xff")), 400),
        ((KEY, ("x-headgate-deadline", "soon")), 400),
    ],
)
def test_what_is_refused_costs_nothing(simulated_gate, client, headers, status, path):
    """A sentence under `detail`, a name, and no row."""
    got, rows = told(simulated_gate, client, *headers, path=path)
    assert got.status == status
    assert set(got.json) == {"detail"}
    assert isinstance(got.json["detail"], str)
    assert got.headers["x-request-id"].startswith("req_")
    assert rows == []
    assert ("www-authenticate" in got.headers) == (status == 401)


def test_the_model_is_the_configuration_s(simulated_gate, client):
    """`apps.generate.model`, where it is set."""
    _, (row,) = told(simulated_gate, client, KEY, apps={"generate": {"model": "gpt-5.4-mini"}})
    assert row.model == "gpt-5.4-mini"


@pytest.mark.parametrize("path", ["/generate", "/generate-stream"])
def test_a_404_about_a_model_is_not_one_about_an_address(simulated_gate, client, path):
    """The refusal of a call is told as such, with the name of the call."""
    got, _ = told(simulated_gate, client, KEY, path=path, apps={"generate": {"model": "gpt-3.5-turbo-0301"}})
    assert got.status == 404
    assert "gpt-3.5-turbo-0301" in got.json["detail"]


@pytest.mark.parametrize("path", ["/generate", "/generate-stream"])
def test_a_provider_s_failure_is_told_by_the_gateway_s_matrix(simulated_gate, client, path):
    """The credentials that the provider refuses are the gateway's: 500; and the attempt is told."""
    faults = [{"kind": "status", "status": 401}]
    got, (row,) = told(simulated_gate, client, KEY, path=path, providers={"p": {"type": "simulator", "faults": faults}})
    assert got.status == 500
    assert got.headers["x-headgate-attempts"] == "1"
    assert got.headers["x-request-id"] == f"req_{row.call_id}"


def test_a_call_with_a_name_is_made_once(simulated_gate, client):
    """`Idempotency-Key` holds here as on `/v1`."""

    async def story():
        async with simulated_gate(**KEYS) as gate:
            here = client(application(gate, clock=VirtualClock()))
            headers = (JSON, KEY, ("idempotency-key", "one"))
            answers = [await here.post("/generate", {"prompt": "Hi", "max_tokens": 20}, headers) for _ in range(2)]
            other = await here.post("/generate", {"prompt": "Ho", "max_tokens": 20}, headers)
            return answers, other, [row.attempt async for row in gate.rows(Query()) if row.attempt]

    (first, second), other, attempts = virtual_time(story())
    assert first.json["content"] == second.json["content"]
    assert (other.status, "detail" in other.json) == (422, True)
    assert attempts == [1]


def test_what_is_asked_twice_costs_once(simulated_gate, client):
    """Whole or streamed, the second answer comes from the cache, unless the caller does not want that."""

    async def story():
        async with simulated_gate(**KEYS) as gate:
            # What was cut off is not kept.
            here, body = client(application(gate, clock=VirtualClock())), {"prompt": "Hi"}
            first = await here.post("/generate", body, (JSON, KEY))
            again = await here.post("/generate", body, (JSON, KEY))
            streamed = await here.post("/generate-stream", body, (JSON, KEY))
            fresh = await here.post("/generate", body, (JSON, KEY, ("x-headgate-cache", "off")))
            return first, again, streamed, fresh

    first, again, streamed, fresh = virtual_time(story())
    assert [got.headers["x-headgate-cache"] for got in (first, again, streamed, fresh)] == ["miss", "hit", "hit", "off"]
    assert again.json == {**first.json, "cost": "0"}
    assert streamed.body.endswith(b'data: {"type": "done"}\n\n')
    assert fresh.json["cost"] != "0"


def test_the_log_tells_of_it_once_by_the_same_name(simulated_gate, client, caplog):
    """The story of the call; what never became one is told as any other page's refusal."""
    caplog.set_level("INFO", "headgate.calls")
    got, _ = told(simulated_gate, client, KEY)
    (line,) = [record for record in caplog.records if record.name == "headgate.calls"]
    assert got.headers["x-request-id"] in line.getMessage()
    caplog.clear()
    got, _ = told(simulated_gate, client)
    (line,) = [record for record in caplog.records if record.name == "headgate.calls"]
    assert got.headers["x-request-id"] in line.getMessage()
    assert "/generate" in line.getMessage()


def test_they_are_described(simulated_gate, client):
    """`/openapi.json` has both, with their bounds."""

    async def story():
        async with simulated_gate() as gate:
            return await client(application(gate, clock=VirtualClock())).get("/openapi.json")

    described = virtual_time(story()).json
    assert {"/generate", "/generate-stream"} <= set(described["paths"])
    assert described["components"]["schemas"]["Prompt"]["properties"]["prompt"]["maxLength"] == 5000
    assert "text/event-stream" in described["paths"]["/generate-stream"]["post"]["responses"]["200"]["content"]
