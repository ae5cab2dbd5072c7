"""The hot path: every bad request, keys, headers, and the good ones, on the real gate with the simulator."""

import asyncio
import hashlib
import json
import logging
import random  # noqa: TID251  a seeded generator of bad requests

import pytest

from headgate.gate.gate import Gate
from headgate.gate.issuing import Who
from headgate.server.app import application
from headgate.testing import VirtualClock, virtual_time

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
JSON = ("content-type", "application/json")
HELLO = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hello"}]}
HI = {"model": "gpt-6-luna", "input": "Hello"}
ONE_KEY = [{"name": "web", "sha256": hashlib.sha256(b"hg-one").hexdigest(), "models": ["gpt-6-luna"]}]


def _sent(gate: Gate) -> int:
    """How many requests reached the simulator."""
    return sum(len(simulator.log) for simulator in gate.simulators.values())


def _story(simulated_gate, client, act, **settings):
    """Run `act(client, gate)` on a gate in virtual time."""

    async def story():
        async with simulated_gate(**settings) as gate:
            return await act(client(application(gate, clock=VirtualClock())), gate)

    return virtual_time(story())


def _refused(simulated_gate, client, *, method="POST", path=CHAT, body=b"", headers=(JSON,), **settings):
    """Send one request that must be refused without anything being sent on."""

    async def act(client, gate):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        got = await client.send(method, path, [raw], headers)
        assert _sent(gate) == 0
        assert got.headers["x-request-id"].startswith("req_")
        assert got.headers["x-should-retry"] == "false"
        assert got.complete
        return got

    return _story(simulated_gate, client, act, **settings)


DEEP = b'{"model": "m", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", "invalid_json", None),
        (b"  \n", "invalid_json", None),
        (b"{", "invalid_json", None),
        (b'{"model": "m",}', "invalid_json", None),
        (b"{'model': 'm'}", "invalid_json", None),
        (b'{"model": "m"} x', "invalid_json", None),
        (b"nonsense", "invalid_json", None),
        (b"[]", "invalid_json", None),
        (b"null", "invalid_json", None),
        (b'"text"', "invalid_json", None),
        (b"7", "invalid_json", None),
        (b'{"model": NaN}', "invalid_json", None),
        (DEEP, "invalid_json", None),
        (b'{"model": "\xff"}', "invalid_utf8", None),
        (b'{"model": "m", "x": "\xed\xa0\x80"}', "invalid_utf8", None),
        (b'\xef\xbb\xbf{"model": "m"}', "invalid_json", None),
        (b'{"model": 7}', "invalid_type", "model"),
        (b'{"model": ["m"]}', "invalid_type", "model"),
        (b'{"model": "m", "stream": "yes"}', "invalid_type", "stream"),
        (b'{"model": "m", "model": "n"}', "duplicate_field", "model"),
        (b'{"Model": "m"}', "misspelled_field", "Model"),
        (b'{"model": "m", "Model": "n"}', "duplicate_field", "Model"),
        (b'{"model": "m", "stream": true, "stream": false}', "duplicate_field", "stream"),
        (b'{"mod\\u0065l": "m", "model": "n"}', "duplicate_field", "model"),
    ],
)
def test_a_bad_body_is_refused_by_name(simulated_gate, client, path, body, code, param):  # noqa: PLR0917  a table
    """400 in OpenAI's shape, naming what is wrong; nothing is sent."""
    got = _refused(simulated_gate, client, path=path, body=body)
    assert got.status == 400
    assert got.code == code
    assert got.json["error"]["param"] == param
    assert got.json["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("body", [b'{"messages": []}', b'{"model": null, "messages": []}', b'{"model": ""}'])
def test_without_a_default_a_model_must_be_named(simulated_gate, client, body):
    """400 that says which field is missing."""
    got = _refused(simulated_gate, client, body=body)
    assert (got.status, got.json["error"]["param"]) == (400, "model")


def test_an_unknown_model_is_not_found(simulated_gate, client):
    """404 `model_not_found`, and a hint where the names are."""
    got = _refused(simulated_gate, client, body=HELLO, models={"fast": {"targets": [{"provider": "p"}]}})
    assert (got.status, got.code, got.json["error"]["param"]) == (404, "model_not_found", "model")
    assert "/v1/models" in got.json["error"]["message"]


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("content-type", ""),),
        (("content-type", "text/plain"),),
        (("content-type", "application/x-www-form-urlencoded"),),
        (("content-type", "multipart/form-data; boundary=x"),),
        (("content-type", "application/jsonp"),),
        (("content-type", "text/plain,application/x+json"),),
        (JSON, ("content-type", "text/plain")),
        (JSON, ("content-encoding", "gzip")),
        (("content-type", b"\xff\xfe"),),
    ],
)
def test_a_body_must_call_itself_json(simulated_gate, client, headers):
    """415 with the header that helps, which also keeps browsers from posting here unasked."""
    got = _refused(simulated_gate, client, body=HELLO, headers=headers)
    assert (got.status, got.code) == (415, "unsupported_media_type")
    assert "hint" in got.json["error"]["message"]


@pytest.mark.parametrize(
    "media", ["application/json", "application/json; charset=utf-8", "Application/JSON;x=y", "application/a+json"]
)
def test_json_may_be_spelled_in_several_ways(simulated_gate, client, media):
    """Parameters, case and `+json` do not matter."""

    async def act(client, _gate):
        return await client.post(body=HELLO, headers=[("content-type", media)])

    assert _story(simulated_gate, client, act).status == 200


def test_too_large_a_body_is_refused_early(simulated_gate, client):
    """413 by what is announced, before anything is read."""

    async def act(client, gate):
        async def receive():
            raise AssertionError("the body was read")

        sent = []

        async def send(message):
            sent.append(message)

        for length in (b"1001", b"9" * 400):
            scope = {
                "type": "http", "method": "POST", "path": CHAT,
                "headers": [(b"content-type", b"application/json"), (b"content-length", length)],
            }  # fmt: skip
            await client.app(scope, receive, send)
        assert _sent(gate) == 0
        return [message["status"] for message in sent if "status" in message]

    assert _story(simulated_gate, client, act, server={"max_body_mb": 0.001}) == [413, 413]


@pytest.mark.parametrize("parts", [[b"x" * 1001], [b"x" * 600, b"x" * 600], [b"x" * 500] * 9])
def test_too_large_a_body_is_refused_while_it_is_read(simulated_gate, client, parts):
    """413 also where nothing was announced, and not a byte is kept beyond the limit."""

    async def act(client, gate):
        got = await client.send("POST", CHAT, parts, [JSON])
        assert _sent(gate) == 0
        return got

    got = _story(simulated_gate, client, act, server={"max_body_mb": 0.001})
    assert (got.status, got.code) == (413, "request_too_large")
    assert "0.001 MB" in got.json["error"]["message"]


def test_a_body_may_come_in_pieces_up_to_the_limit(simulated_gate, client):
    """However it is cut, it is one body."""

    async def act(client, _gate):
        raw = json.dumps(HELLO).encode()
        pad = b" " * (1000 - len(raw))
        return await client.send("POST", CHAT, [raw[:7], b"", raw[7:], pad], [JSON])

    assert _story(simulated_gate, client, act, server={"max_body_mb": 0.001}).status == 200


@pytest.mark.parametrize(
    "path",
    ["/v1", "/v1/", "/v1/nothing", "/v1//chat/completions", "/v1/chat/completions/", "/v1/models/", "/v1/embedding",
     "/v1/\x00\r\n" + "x" * 5000],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_an_unknown_path_is_not_found(simulated_gate, client, path, method):
    """404 in OpenAI's shape, whatever the method."""
    got = _refused(simulated_gate, client, method=method, path=path, body=HELLO)
    assert (got.status, got.code) == (404, "unknown_url")
    assert len(got.body) < 500


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", CHAT, "POST, OPTIONS"),
        ("HEAD", CHAT, "POST, OPTIONS"),
        ("DELETE", RESPONSES, "POST, OPTIONS"),
        ("POST", "/v1/models", "GET, HEAD, OPTIONS"),
        ("NONSENSE", CHAT, "POST, OPTIONS"),
    ],
)
def test_a_known_path_names_its_methods(simulated_gate, client, method, path, allow):
    """405 with `Allow`."""
    got = _refused(simulated_gate, client, method=method, path=path, body=HELLO)
    assert (got.status, got.code, got.headers["allow"]) == (405, "method_not_allowed", allow)


def test_options_are_told_without_a_key(simulated_gate, client):
    """204 with `Allow`, and no permission for pages of other origins."""

    async def act(client, _gate):
        return await client.send("OPTIONS", CHAT, [b""], [("origin", "https://evil.example")])

    got = _story(simulated_gate, client, act, server={"auth": "keys"}, keys=ONE_KEY)
    assert (got.status, got.headers["allow"], got.body) == (204, "POST, OPTIONS", b"")
    assert not any(name.startswith("access-control") for name in got.headers)


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize(
    "headers", [(), (("authorization", "Bearer wrong"),), (("authorization", "Basic eA=="),), (("api-key", "x"),)]
)
def test_without_a_good_key_nobody_gets_in(simulated_gate, client, headers, method):
    """401 `invalid_api_key` before anything of the request is read."""
    path = CHAT if method == "POST" else "/v1/models"
    got = _refused(
        simulated_gate, client, method=method, path=path, headers=headers, server={"auth": "keys"}, keys=ONE_KEY
    )
    assert (got.status, got.code) == (401, "invalid_api_key")
    assert got.headers["www-authenticate"] == "Bearer"


def test_a_key_may_ask_for_its_models_only(simulated_gate, client):
    """A good key passes; another model is 403; the list shows what it may use."""
    key = ("authorization", "Bearer hg-one")

    async def act(client, gate):
        good = await client.post(body=HELLO, headers=[JSON, key])
        other = await client.post(body={**HELLO, "model": "gpt-6-sol"}, headers=[JSON, key])
        models = await client.get("/v1/models", headers=[key])
        assert _sent(gate) == 1
        return good, other, models

    good, other, models = _story(simulated_gate, client, act, server={"auth": "keys"}, keys=ONE_KEY)
    assert good.status == 200
    assert (other.status, other.code, other.json["error"]["param"]) == (403, "not_allowed", "model")
    assert [model["id"] for model in models.json["data"]] == ["gpt-6-luna"]
    assert models.json["object"] == "list"


def test_the_key_and_its_tags_are_in_the_books(simulated_gate, client):
    """The caller's name, project and pinned tags are booked; its own tags do not replace pinned ones."""
    keys = [{**ONE_KEY[0], "project": "p", "tags": {"team": "web"}}]
    headers = [JSON, ("api-key", "hg-one"), ("x-headgate-tags", "team=other,feature=x"), ("x-headgate-tags", "n=1")]

    async def act(client, gate):
        from headgate.stores.protocols import Query

        got = await client.post(body=HELLO, headers=headers)
        return got, [row async for row in gate.rows(Query())]

    got, rows = _story(simulated_gate, client, act, server={"auth": "keys"}, keys=keys)
    assert got.status == 200
    (row,) = rows
    assert (row.key, row.project) == ("web", "p")
    assert row.tags == {"team": "web", "feature": "x", "n": "1"}
    assert got.headers["x-request-id"] == "req_" + row.call_id


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-headgate-tags", "nonsense"),
        ("x-headgate-tags", b"a=\xff"),
        ("x-headgate-deadline", "soon"),
        ("x-headgate-deadline", "0"),
        ("x-headgate-priority", "10"),
        ("openai-beta", "é"),
        ("openai-beta", "a\tb"),
        ("x-headgate-hop", "é"),
    ],
)
def test_a_wrong_header_is_refused_by_name(simulated_gate, client, name, value):
    """400 that names the header."""
    got = _refused(simulated_gate, client, body=HELLO, headers=[JSON, (name, value)])
    assert (got.status, got.code, got.json["error"]["param"]) == (400, "invalid_header", name)


def test_the_deadline_of_a_header_holds(simulated_gate, client):
    """The call ends when its answer is of no use any more."""

    async def act(client, _gate):
        start = VirtualClock().monotonic()
        got = await client.post(body=HELLO, headers=[JSON, ("x-headgate-deadline", "2s")])
        return got, VirtualClock().monotonic() - start

    got, seconds = _story(
        simulated_gate, client, act, providers={"p": {"type": "simulator", "latency": {"first_token": 30}}}
    )
    assert got.status == 504
    assert seconds == pytest.approx(2, abs=0.1)


def test_a_call_that_comes_back_is_a_loop(simulated_gate, client):
    """508 where this very gate is among those that the call has passed; other gates are no obstacle."""

    async def act(client, gate):
        hops = [gate.instance, f"other,{gate.instance}", f"{gate.instance} , x"]
        looped = [await client.post(body=HELLO, headers=[JSON, ("x-headgate-hop", hop)]) for hop in hops]
        twice = [JSON, ("x-headgate-hop", "other"), ("x-headgate-hop", gate.instance)]
        looped.append(await client.post(body=HELLO, headers=twice))
        assert _sent(gate) == 0
        passed = await client.post(body=HELLO, headers=[JSON, ("x-headgate-hop", "other")])
        (simulator,) = gate.simulators.values()
        return looped, passed, simulator.last.headers["x-headgate-hop"]

    looped, passed, told = _story(simulated_gate, client, act)
    assert {(got.status, got.code) for got in looped} == {(508, "loop_detected")}
    assert passed.status == 200
    assert "other" in told


def test_the_callers_key_and_cookies_stay_here(simulated_gate, client):
    """What travels is the request and `openai-beta`; credentials, cookies and our own headers do not."""
    headers = [
        JSON, ("authorization", "Bearer hg-mine"), ("cookie", "a=b"), ("x-api-key", "hg-mine"),
        ("openai-beta", "responses=v1"), ("x-headgate-tags", "a=b"), ("x-forwarded-for", "10.0.0.1"),
        ("openai-organization", "org-mine"),
    ]  # fmt: skip

    async def act(client, gate):
        assert (await client.post(body=HELLO, headers=headers)).status == 200
        (simulator,) = gate.simulators.values()
        return simulator.last.headers

    seen = _story(simulated_gate, client, act)
    assert seen["openai-beta"] == "responses=v1"
    assert "hg-mine" not in str(seen)
    assert not seen.keys() & {"cookie", "x-forwarded-for", "x-headgate-tags", "openai-organization", "x-api-key"}


@pytest.mark.parametrize(("path", "body"), [(CHAT, HELLO), (RESPONSES, HI)])
def test_a_whole_answer(simulated_gate, client, path, body):
    """The simulator's answer with its cost, and the mark that it was made up."""

    async def act(client, gate):
        got = await client.post(path, body=body)
        assert _sent(gate) == 1
        return got

    got = _story(simulated_gate, client, act)
    assert got.status == 200
    assert got.json["object"] in {"chat.completion", "response"}
    assert got.headers["x-headgate-simulated"] == "1"
    assert got.headers["x-headgate-attempts"] == "1"
    assert float(got.headers["x-headgate-cost-usd"]) > 0


@pytest.mark.parametrize(
    ("path", "body", "end"), [(CHAT, HELLO, b"data: [DONE]"), (RESPONSES, HI, b"response.completed")]
)
def test_a_streamed_answer_with_its_cost(simulated_gate, client, path, body, end):
    """Events to the end; asked for, the trailer tells the cost that the books have."""

    async def act(client, gate):
        from headgate.core.money import show_usd
        from headgate.stores.protocols import Query

        got = await client.post(path, body={**body, "stream": True}, headers=[JSON, ("x-headgate-trailer", "1")])
        total, _ = await gate.usage(Query())
        return got, show_usd(total.cost)

    got, cost = _story(simulated_gate, client, act)
    assert got.status == 200
    assert got.complete
    assert "x-headgate-cost-usd" not in got.headers
    assert end in b"".join(got.chunks[-2:])
    (comment,) = [line for line in got.body.split(b"\n") if line.startswith(b": headgate ")]
    assert json.loads(comment.removeprefix(b": headgate ")) == {"attempts": 1, "cost_usd": cost}
    assert cost != "0"


def test_a_models_name_cannot_write_headers(simulated_gate, client):
    """A name with line ends and other scripts is shown encoded, not as headers of its own."""

    async def act(client, _gate):
        return await client.post(body={**HELLO, "model": "fake\r\nset-cookie: a=b\u2028é"})

    got = _story(simulated_gate, client, act)
    assert "set-cookie" not in got.headers
    assert got.status != 500
    for value in got.headers.values():
        assert value.isascii()
        assert value.isprintable()


def test_an_unforeseen_failure_is_told_and_logged_once(simulated_gate, client, caplog):
    """500 in OpenAI's shape without a trace; the log has it, with the request's id."""

    async def act(client, gate):
        def broken(*_args, **_named):
            raise ZeroDivisionError("inside")

        gate.call = broken
        return await client.post(body=HELLO)

    with caplog.at_level(logging.ERROR):
        got = _story(simulated_gate, client, act)
    assert (got.status, got.code) == (500, "internal_error")
    assert b"inside" not in got.body
    (record,) = caplog.records
    assert got.headers["x-request-id"] in record.getMessage()


def test_who_leaves_while_sending_is_forgotten(simulated_gate, client):
    """Nothing is answered, nothing is sent."""

    async def act(client, gate):
        messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]

        async def receive():
            return messages.pop(0)

        async def send(message):
            raise AssertionError(message)

        scope = {"type": "http", "method": "POST", "path": CHAT, "headers": [(b"content-type", b"application/json")]}
        await client.app(scope, receive, send)
        messages[:] = [{"type": "http.disconnect"}]
        await client.app(scope, receive, send)
        return _sent(gate)

    assert _story(simulated_gate, client, act) == 0


FAULTS = ["cut", "stall", "malformed", "error_event"]


@pytest.mark.parametrize(("path", "body"), [(CHAT, HELLO), (RESPONSES, HI)])
@pytest.mark.parametrize("kind", FAULTS)
def test_a_stream_that_breaks_is_never_a_success(simulated_gate, client, kind, path, body):
    """Whatever goes wrong after the first word: an error event in the caller's dialect, and no `[DONE]`."""
    provider = {"type": "simulator", "faults": [{"kind": kind, "after_tokens": 3}]}

    async def act(client, _gate):
        return await client.post(path, body={**body, "stream": True})

    got = _story(simulated_gate, client, act, providers={"p": provider})
    assert got.status == 200
    assert got.complete
    assert b"[DONE]" not in got.body
    assert b"response.completed" not in got.body
    last = got.chunks[-1]
    assert b"error" in last
    assert last.endswith(b"\n\n")
    if path == RESPONSES:
        assert last.startswith(b"event: error\n")


@pytest.mark.parametrize("stream", [True, False])
def test_who_leaves_closes_the_call_and_leaves_nothing(simulated_gate, client, stream):
    """The books have it as counted (a stream) or unknown (a whole answer); no task stays."""
    provider = {"type": "simulator", "latency": {"first_token": 0.1 if stream else 300, "per_token": 5}}

    async def act(client, gate):
        from headgate.stores.protocols import Query

        before = asyncio.all_tasks()
        start = VirtualClock().monotonic()
        await client.post(body={**HELLO, "stream": stream}, hang_up_after=12.0)
        assert VirtualClock().monotonic() - start <= 13.0
        await asyncio.sleep(0.01)
        assert asyncio.all_tasks() <= before
        (row,) = [row async for row in gate.rows(Query())]
        return row

    row = _story(simulated_gate, client, act, providers={"p": provider})
    assert (str(row.settled), row.basis) == (("billed", "counted") if stream else ("unknown", None))


ALPHABET = [
    b"{", b"}", b"[", b"]", b'"', b":", b",", b"model", b"messages", b"stream", b"input", b"null", b"true",
    b"1e999", b"-", b"\\u0000", b"\\ud800", b"\xff", b"\x00", b" ", b'"model"', b'"gpt-6-luna"',
    b"\n",
]  # fmt: skip


def _bad_body(rng) -> bytes:
    """Nearly a request: cut, doubled, with a byte turned over, or mere noise."""
    good = json.dumps({**HELLO, "stream": rng.random() < 0.5, "user": "ü", "n": 1}).encode()
    kind = rng.randrange(5)
    if kind == 0:
        return good[: rng.randrange(len(good))]
    if kind == 1:
        at = rng.randrange(len(good))
        return good[:at] + bytes([rng.randrange(256)]) + good[at:]
    if kind == 2:
        return b"".join(rng.choice(ALPHABET) for _ in range(rng.randrange(30)))
    if kind == 3:
        value = rng.choice([*ALPHABET, b'{"a": 1}', b"[1]", b'""', b"7", b"false"])
        return b'{"model": ' + value + b', "messages": [], "stream": ' + rng.choice(ALPHABET) + b"}"
    return rng.randbytes(rng.randrange(200))


def _bad_request(rng):
    method = rng.choice(["POST"] * 9 + ["GET", "PUT", "HEAD", "OPTIONS", "BREW"])
    path = rng.choice([CHAT] * 5 + [RESPONSES] * 5 + ["/v1/models", "/v1/x", "/v1", "/v1/%00", "/V1/models"])
    headers = [JSON] * rng.choice([0, 1, 1, 1, 1, 1, 1, 2])
    for name in rng.sample(
        ["authorization", "api-key", "content-length", "content-encoding", "x-headgate-tags", "x-headgate-deadline",
         "x-headgate-priority", "x-headgate-trailer", "x-headgate-hop", "openai-beta", "x-simulate-fault"],
        rng.choice([0, 0, 0, 1, 2]),
    ):  # fmt: skip
        noise = rng.choice([b"", b"1", b"-1", b"a=b", b"1s", b"9" * 99, b"\xff", rng.randbytes(5), b"identity"])
        headers.append((name, noise))
    raw = _bad_body(rng)
    cuts = sorted(rng.randrange(len(raw) + 1) for _ in range(rng.choice([0, 0, 0, 1, 3])))
    parts = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    return method, path, parts, headers


def test_five_thousand_bad_requests_meet_no_5xx(simulated_gate, client, caplog):
    """Whatever comes is answered properly: never a 5xx of ours, never an unshaped error, nothing in the log."""
    rng = random.Random(20271)  # noqa: S311  repeatable

    async def act(client, _gate):
        statuses: dict[int, int] = {}
        for _ in range(5000):
            method, path, parts, headers = _bad_request(rng)
            got = await client.send(method, path, parts, headers)
            assert got.complete
            assert got.status is not None
            assert got.status < 500, (method, path, parts, headers, got)
            assert got.headers["x-request-id"].startswith("req_")
            if got.status >= 400 and path.startswith("/v1") and method != "HEAD":
                assert got.code
            statuses[got.status] = statuses.get(got.status, 0) + 1
        return statuses

    statuses = _story(simulated_gate, client, act)
    # The generator must reach all the ways of being wrong, and some of being right.
    assert {200, 400, 404, 405, 413, 415} <= statuses.keys(), statuses
    assert statuses[400] > 1000
    assert not caplog.records


# --- files, uploads, batches, answers that are kept, and addresses of a key's own

TENANTS = {
    "server": {"auth": "keys"},
    "keys": [
        {"name": "anna", "project": "shop", "sha256": hashlib.sha256(b"hg-anna").hexdigest()},
        {"name": "bert", "project": "lab", "sha256": hashlib.sha256(b"hg-bert").hexdigest()},
        {"name": "carl", "models": ["gpt-6-luna"], "sha256": hashlib.sha256(b"hg-carl").hexdigest()},
        {"name": "dora", "passthrough": ["/v1/*"], "sha256": hashlib.sha256(b"hg-dora").hexdigest()},
    ],
}
FORM = ("content-type", "multipart/form-data; boundary=b")
ROW = {"custom_id": "1", "method": "POST", "url": CHAT, "body": HELLO}


def _form(*fields: tuple[str, bytes], **files: bytes) -> bytes:
    heads = [(f'name="{name}"', value) for name, value in fields]
    heads += [(f'name="{name}"; filename="{name}.jsonl"', value) for name, value in files.items()]
    parts = [b"--b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (head.encode(), v) for head, v in heads]
    return b"".join(parts) + b"--b--\r\n"


def _key(name):
    return ("authorization", f"Bearer hg-{name}")


def _really(simulated_gate, client, act, **settings):
    """Run `act(client, gate)` on a loop in real time, because uploads wait in files that threads write."""

    async def story():
        async with simulated_gate(**settings) as gate:
            return await act(client(application(gate, clock=VirtualClock())), gate)

    return asyncio.run(story())


async def _upload(client, name="anna", *, content=None) -> str:
    raw = _form(("purpose", b"batch"), file=content or json.dumps(ROW).encode() + b"\n")
    got = await client.post("/v1/files", raw, headers=[FORM, _key(name)])
    assert got.status == 200, got.body
    return got.json["id"]


def _as(got, name):
    """What a refusal says, without the name of the object."""
    return got.status, got.body.replace(name.encode(), b"X")


def test_what_a_project_keeps_the_others_do_not_see(simulated_gate, client):
    """Not by its name, not by any address of it, not in a list; to the letter as what nobody has made."""

    async def act(client, gate):
        file = await _upload(client)
        upload = (
            await client.post(
                "/v1/uploads",
                {"purpose": "user_data", "filename": "f", "bytes": 1, "mime_type": "text/jsonl"},
                headers=[JSON, _key("anna")],
            )
        ).json["id"]
        batch = (
            await client.post(
                "/v1/batches",
                {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"},
                headers=[JSON, _key("anna")],
            )
        ).json["id"]
        answer = (await client.post(RESPONSES, HI, headers=[JSON, _key("anna")])).json
        sent = _sent(gate)
        part = _form(data=b"x")

        async def every(file, upload, batch, answer, item):
            key = _key("bert")
            named = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}
            picture = {"role": "user", "content": [{"type": "input_file", "file_id": file}]}
            return [
                (file, await client.get(f"/v1/files/{file}", [key])),
                (file, await client.get(f"/v1/files/{file}/content", [key])),
                (file, await client.send("DELETE", f"/v1/files/{file}", [b""], [key])),
                (file, await client.get("/v1/files", [key], query=f"after={file}")),
                (file, await client.post("/v1/batches", named, headers=[JSON, key])),
                (file, await client.post(RESPONSES, {**HI, "input": [picture]}, headers=[JSON, key])),
                (upload, await client.post(f"/v1/uploads/{upload}/parts", part, headers=[FORM, key])),
                (upload, await client.post(f"/v1/uploads/{upload}/cancel", headers=[key])),
                (upload, await client.post(f"/v1/uploads/{upload}/complete", {"part_ids": []}, headers=[JSON, key])),
                (batch, await client.get(f"/v1/batches/{batch}", [key])),
                (batch, await client.post(f"/v1/batches/{batch}/cancel", headers=[key])),
                (answer, await client.get(f"/v1/responses/{answer}", [key])),
                (answer, await client.get(f"/v1/responses/{answer}", [key], query="stream=true")),
                (answer, await client.get(f"/v1/responses/{answer}/input_items", [key])),
                (answer, await client.send("DELETE", f"/v1/responses/{answer}", [b""], [key])),
                (answer, await client.post(f"/v1/responses/{answer}/cancel", headers=[key])),
                (answer, await client.post(RESPONSES, {**HI, "previous_response_id": answer}, headers=[JSON, key])),
                (
                    answer,
                    await client.post(
                        RESPONSES, {**HI, "previous_response_id": answer, "stream": True}, headers=[JSON, key]
                    ),
                ),
                (
                    answer,
                    await client.post(
                        "/v1/responses/input_tokens", {**HI, "previous_response_id": answer}, headers=[JSON, key]
                    ),
                ),
                (item, await client.post(RESPONSES, {**HI, "input": [{"id": item}]}, headers=[JSON, key])),
            ]

        item = answer["output"][0]["id"]
        theirs = await every(file, upload, batch, answer["id"], item)
        nobodys = await every("file-no", "upload_no", "batch_no", "resp_no", "msg_no")
        assert _sent(gate) == sent
        lists = [await client.get(path, [_key("bert")]) for path in ("/v1/files", "/v1/batches")]
        own = [await client.get(path, [_key("anna")]) for path in ("/v1/files", "/v1/batches")]
        mine = await client.get(f"/v1/files/{file}/content", [_key("anna")])
        then = await client.post(RESPONSES, {**HI, "previous_response_id": answer["id"]}, headers=[JSON, _key("anna")])
        return (file, batch), theirs, nobodys, lists, own, mine, then

    (file, batch), theirs, nobodys, lists, own, mine, then = _really(simulated_gate, client, act, **TENANTS)
    assert {got.status for _, got in theirs} == {404}
    assert {got.code for _, got in theirs} == {"not_found"}
    assert [_as(got, name) for name, got in theirs] == [_as(got, name) for name, got in nobodys]
    assert [got.json["data"] for got in lists] == [[], []]
    assert [[entry["id"] for entry in got.json["data"]] for got in own] == [[file], [batch]]
    assert (mine.status, json.loads(mine.body)) == (200, ROW)
    assert then.status == 200


def test_what_is_streamed_is_known_before_it_ends(simulated_gate, client):
    """A caller who leaves a stream may go on from what it has seen of it."""

    async def act(client, _gate):
        headers = [JSON, _key("anna")]
        got = await client.post(RESPONSES, {**HI, "stream": True}, headers=headers)
        (begun,) = [line for line in got.body.split(b"\n") if b'"response.created"' in line and line[:1] == b"d"]
        name = json.loads(begun.removeprefix(b"data: "))["response"]["id"]
        asked = {**HI, "previous_response_id": name}
        return [(await client.post(RESPONSES, asked, headers=[JSON, _key(who)])).status for who in ("anna", "bert")]

    assert _really(simulated_gate, client, act, **TENANTS) == [200, 404]


def test_a_key_with_models_has_no_batches(simulated_gate, client):
    """403 whatever it does with them: nobody could see which models they ask for. Files it may have."""

    async def act(client, gate):
        file = await _upload(client, "carl")
        key = _key("carl")
        sent = gate.simulators["p"].last
        named = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}
        refused = [
            await client.post("/v1/batches", named, headers=[JSON, key]),
            await client.get("/v1/batches", [key]),
            await client.get("/v1/batches/batch_1", [key]),
            await client.post("/v1/batches/batch_1/cancel", headers=[key]),
        ]
        assert gate.simulators["p"].last is sent
        return refused

    refused = _really(simulated_gate, client, act, **TENANTS)
    assert {(got.status, got.code) for got in refused} == {(403, "not_allowed")}


def test_a_keys_own_addresses_pass_as_they_are(simulated_gate, client):
    """For that key, to the provider and back, unread; for the others there is no such address."""

    async def act(client, gate):
        simulator = gate.simulators["p"]
        headers = [("content-type", "application/x-any"), _key("dora")]
        got = await client.send("PATCH", "/v1/fine_tuning/jobs/1", [b"\x00", b"{"], headers, query="a=1")
        seen = simulator.last
        others = [
            await client.send("PATCH", "/v1/fine_tuning/jobs/1", [b"{}"], [JSON, _key(name)])
            for name in ("anna", "carl")
        ]
        around = [
            await client.get(path, [_key("dora")])
            for path in ("/v1/Files", "/v1/files/a.b", "/v1/x/../files", "/v1/files/{id}", "/v1/x//files")
        ]
        assert simulator.last is seen
        file = await _upload(client, "anna")
        theirs = await client.get(f"/v1/files/{file}", [_key("dora")])
        return got, seen, others, around, theirs

    got, seen, others, around, theirs = _really(simulated_gate, client, act, **TENANTS)
    # The simulator knows no such address, and says so itself.
    assert got.status == 404
    assert got.headers["x-headgate-attempts"] == "1"
    assert (seen.method, seen.path, seen.query, seen.body) == ("PATCH", "/v1/fine_tuning/jobs/1", "a=1", b"\x00{")
    assert seen.headers["content-type"] == "application/x-any"
    assert "hg-dora" not in str(seen.headers)
    assert {(each.status, each.code) for each in (*others, *around)} == {(404, "unknown_url")}
    assert theirs.status == 404


SPEECH = {"model": "fake", "input": "Hello there", "voice": "alloy"}


def test_bytes_of_any_kind_come_as_they_are(simulated_gate, client):
    """Sound with its type; nobody writes a comment on the cost into it, even if asked."""

    async def act(client, _gate):
        return [
            await client.post("/v1/audio/speech", SPEECH, headers=[JSON, ("x-headgate-trailer", value)])
            for value in ("0", "1")
        ]

    plain, asked = _really(simulated_gate, client, act)
    assert plain.status == 200
    assert plain.headers["content-type"].startswith("audio/")
    assert len(plain.body) > 100
    assert asked.body == plain.body
    assert plain.complete


def test_bytes_that_break_off_are_not_ended(simulated_gate, client):
    """There is no word for an error in them: the connection breaks, so that nobody takes half of it for all."""

    async def act(client, _gate):
        with pytest.raises(ConnectionAbortedError):
            await client.post("/v1/audio/speech", SPEECH, headers=[JSON])

    _really(simulated_gate, client, act, providers={"p": {"type": "simulator", "faults": [{"kind": "cut"}]}})


def test_bad_forms_meet_no_5xx(simulated_gate, client, caplog):
    """Cut, doubled, turned over: answered properly, and nothing of it is kept or logged."""
    rng = random.Random(7)  # noqa: S311  repeatable
    good = _form(("purpose", b"user_data"), ("model", b"gpt-transcribe"), file=b"\r\n-b\r\n" + b"x" * 50)

    async def act(client, _gate):
        statuses: dict[int, int] = {}
        for _ in range(1500):
            raw = bytearray(good)
            for _ in range(rng.choice([0, 1, 1, 2, 5])):
                at = rng.randrange(len(raw))
                raw[at : at + rng.choice([0, 1, 1, 9])] = rng.choice(
                    [b"", b"\r\n", b"--b", b'"', b"\\", b"\0", b"\xff", b";", b"--b--\r\n", rng.randbytes(3)]
                )
            path = rng.choice(
                ["/v1/files", "/v1/audio/transcriptions", "/v1/images/edits", "/v1/uploads/upload_1/parts"]
            )
            cuts = sorted(rng.randrange(len(raw) + 1) for _ in range(rng.choice([0, 1, 4])))
            parts = [bytes(raw[a:b]) for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
            got = await client.send("POST", path, parts, [FORM])
            assert got.complete
            assert got.status is not None
            assert got.status < 500, (path, bytes(raw), got)
            statuses[got.status] = statuses.get(got.status, 0) + 1
        return statuses

    statuses = _really(simulated_gate, client, act)
    assert {200, 400, 404} <= statuses.keys(), statuses
    assert not [record for record in caplog.records if record.name != "asyncio"]


def test_a_key_is_told_its_own_usage(simulated_gate, client):
    """`GET /v1/usage`: the calls and the cost of this key alone, and what is left of its budget."""

    async def story():
        settings = {"server": {"auth": "keys", "admin_key": "an-admin-key-of-this-test"}, "keys": ONE_KEY}
        async with simulated_gate(**settings) as gate:
            asks = client(application(gate))
            wish = {"name": "app", "budget": {"limit_usd": 5}, "limits": {"requests_per_minute": 9}}
            made = await asks.post("/admin/keys", wish, [("x-api-key", "an-admin-key-of-this-test"), JSON])
            app = [("authorization", f"Bearer {made.json['key']}"), JSON]
            answer = await asks.post(CHAT, HELLO, app)
            await asks.post(CHAT, HELLO, [("x-api-key", "hg-one"), JSON])
            return answer, await asks.get("/v1/usage", app), await asks.get("/v1/usage"), await asks.post("/v1/usage")

    answer, told, nobody, posted = virtual_time(story())
    cost = answer.headers["x-headgate-cost-usd"]
    assert (told.status, told.json["usage"]["calls"], told.json["usage"]["cost_usd"]) == (200, 1, cost)
    assert told.json["limits"] == {"requests_per_minute": 9}
    (budget,) = told.json["budgets"]
    assert (budget["name"], budget["limit_usd"], budget["spent_usd"]) == ("key:app", "5", cost)
    assert (nobody.status, nobody.code) == (401, "invalid_api_key")
    assert (posted.status, posted.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_usage_is_nobodys_where_nobody_needs_a_key(simulated_gate, client):
    """403 that says who can tell."""

    async def story():
        async with simulated_gate() as gate:
            return await client(application(gate)).get("/v1/usage")

    got = virtual_time(story())
    assert (got.status, got.code) == (403, "not_allowed")
    assert "`headgate usage`" in got.json["error"]["message"]


def test_what_a_key_may_not_do_is_told_with_its_cure(simulated_gate, client):
    """401, 403, 404 and 429 each name what to do, in the message that every SDK shows."""
    hashed = {name: hashlib.sha256(f"hg-{name}".encode()).hexdigest() for name in ("one", "slow", "old")}
    keys = [
        {"name": "one", "sha256": hashed["one"], "models": ["gpt-6-luna"]},
        {"name": "slow", "sha256": hashed["slow"], "limits": {"requests_per_minute": 1}},
        {"name": "old", "sha256": hashed["old"], "expires": "2027-01-14"},
    ]
    targets = {"gpt-6-luna": {"targets": [{"provider": "p"}]}, "*": {"targets": [{"provider": "p"}]}}

    async def act(client, gate):
        poor = await gate.issuer.create({"name": "poor", "budget": {"limit_usd": "0.000001"}}, Who("ann", "here"))
        await gate.keyring.refresh()

        async def said(key, path=CHAT, **changes):
            got = await client.post(path, {**HELLO, **changes}, [JSON, ("authorization", f"Bearer {key}")])
            return got.status, got.code, got.json["error"]["message"]

        assert (await client.post(CHAT, HELLO, [JSON, ("x-api-key", "hg-slow")])).status == 200
        return {
            "wrong": await said("hg-wrong"),
            "old": await said("hg-old"),
            "model": await said("hg-one", model="gpt-6-sol"),
            "path": await said("hg-one", path="/v1/nothing"),
            "slow": await said("hg-slow"),
            "poor": await said(poor.value.reveal()),
        }

    found = _story(simulated_gate, client, act, server={"auth": "keys"}, keys=keys, models=targets)
    for name, status, code, cure in (
        ("wrong", 401, "invalid_api_key", "Authorization: Bearer hg-"),
        ("old", 401, "invalid_api_key", "Ask the operator of this gateway for a new one"),
        ("model", 403, "not_allowed", "GET /v1/models"),
        ("path", 404, "unknown_url", "`/docs` lists the addresses"),
        ("slow", 429, "rate_limit_exceeded", "Try again in"),
        ("poor", 429, "budget_exceeded", "Allow fewer output tokens"),
    ):
        assert found[name][:2] == (status, code)
        assert cure in found[name][2], found[name]
