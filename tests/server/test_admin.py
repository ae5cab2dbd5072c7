"""The admin routes."""

import hashlib
import json
import logging

import pytest

from headgate.server.app import admin_application, application
from headgate.stores.protocols import Query
from headgate.testing import virtual_time

ADMIN = [("authorization", "Bearer the-admin-key-of-this-test")]
JSON = ("content-type", "application/json")
SETTINGS = {
    "server": {"auth": "keys", "admin_key": "the-admin-key-of-this-test"},
    "keys": [{"name": "own", "sha256": hashlib.sha256(b"hg-own").hexdigest()}],
}
ASK = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hello"}]}
EVERY = [
    ("GET", "/admin/keys"), ("POST", "/admin/keys"), ("GET", "/admin/keys/own"), ("DELETE", "/admin/keys/own"),
    ("POST", "/admin/keys/own/rotate"), ("GET", "/admin/audit"), ("GET", "/admin/budgets"),
    ("POST", "/admin/usage/resolve"), ("GET", "/admin/usage"), ("GET", "/admin/summary"),
    ("DELETE", "/admin/cache"),
]  # fmt: skip


class Desk:
    """Somebody who administers a gateway."""

    def __init__(self, client) -> None:
        self._client = client

    async def do(self, method, path, body=None, headers=ADMIN, **how):
        """One request."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return await self._client.send(method, path, [raw], [*headers, JSON], **how)

    async def ask(self, key):
        """What becomes of a call with a key."""
        got = await self._client.post("/v1/chat/completions", ASK, [("authorization", f"Bearer {key}"), JSON])
        return got.status


@pytest.fixture
def run(simulated_gate, client):
    """Run a story at the desk of a gate on the simulator."""

    def go(story, **settings):
        async def whole():
            async with simulated_gate(**{**SETTINGS, **settings}) as gate:
                return await story(Desk(client(application(gate))), gate)

        return virtual_time(whole())

    return go


@pytest.mark.parametrize(("method", "path"), EVERY)
def test_without_an_admin_key_they_are_closed(run, method, path):
    """403 that names the setting, whatever is sent."""

    async def story(desk, gate):
        for headers in ([], ADMIN, [("authorization", "Bearer ")], [("authorization", "Bearer hg-own")]):
            got = await desk.do(method, path, headers=headers)
            assert (got.status, got.code) == (403, "not_allowed")
            assert "`server.admin_key`" in got.json["error"]["message"]
        assert await gate.keys.notes() == []

    run(story, server={"auth": "keys"})


@pytest.mark.parametrize(("method", "path"), EVERY)
def test_only_the_admin_key_opens_them(run, method, path):
    """401 that names the setting: no key, a caller's key, one that is nearly right, two at once."""
    wrong = [
        [], [("authorization", "Bearer hg-own")], [("authorization", "Bearer the-admin-key-of-this-tesT")],
        [("authorization", "Basic the-admin-key-of-this-test")], [("cookie", "key=the-admin-key-of-this-test")],
        [("x-api-key", "the-admin-key-of-this-test the-admin-key-of-this-test")],
    ]  # fmt: skip

    async def story(desk, gate):
        for headers in wrong:
            got = await desk.do(method, path, headers=headers)
            assert (got.status, got.code) == (401, "invalid_api_key")
            assert "`server.admin_key`" in got.json["error"]["message"]
            assert got.headers["www-authenticate"] == "Bearer"
            assert "the-admin-key-of" not in got.body.decode()
        assert await gate.keys.notes() == []

    run(story)


def test_the_admin_key_is_no_key_for_calls(run):
    """It administers; it does not ask models."""

    async def story(desk, _gate):
        assert await desk.ask("the-admin-key-of-this-test") == 401
        assert await desk.ask("hg-own") == 200

    run(story)


def test_a_key_from_its_making_to_its_end(run):
    """Made, used, shown, replaced, used, revoked, refused; in this process at once."""

    async def story(desk, _gate):
        made = await desk.do("POST", "/admin/keys", {"name": "web", "project": "shop", "models": ["gpt-6-luna"]})
        assert made.status == 201
        assert made.headers["cache-control"] == "no-store"
        first = made.json["key"]
        assert (made.json["name"], made.json["project"], made.json["warnings"]) == ("web", "shop", [])
        assert await desk.ask(first) == 200

        shown = await desk.do("GET", "/admin/keys/web")
        assert (shown.status, shown.json["status"], shown.json["models"]) == (200, "valid", ["gpt-6-luna"])
        listed = await desk.do("GET", "/admin/keys")
        assert [key["name"] for key in listed.json["data"]] == ["own", "web"]
        assert first not in (shown.body + listed.body).decode()

        rotated = await desk.do("POST", "/admin/keys/web/rotate", {"grace": "1h"})
        assert rotated.status == 200
        assert rotated.json["former_until"] is not None
        second = rotated.json["key"]
        assert [await desk.ask(key) for key in (first, second)] == [200, 200]
        third = (await desk.do("POST", "/admin/keys/web/rotate")).json["key"]
        assert [await desk.ask(key) for key in (first, second, third)] == [401, 401, 200]

        revoked = await desk.do("DELETE", "/admin/keys/web")
        assert (revoked.status, revoked.json["status"]) == (200, "revoked")
        assert await desk.ask(third) == 401
        again = await desk.do("DELETE", "/admin/keys/web")
        assert (again.status, again.code) == (404, "key_not_found")
        assert [key["name"] for key in (await desk.do("GET", "/admin/keys")).json["data"]] == ["own"]
        every = await desk.do("GET", "/admin/keys", query="revoked=true")
        assert [key["status"] for key in every.json["data"]] == ["valid", "revoked"]

        audit = await desk.do("GET", "/admin/audit")
        assert [(note["action"], note["subject"]) for note in audit.json["data"]] == [
            ("key.revoke", "web"), ("key.rotate", "web"), ("key.rotate", "web"), ("key.create", "web"),
        ]  # fmt: skip
        assert {(note["actor"], note["origin"]) for note in audit.json["data"]} == {("admin key", "127.0.0.1")}
        assert audit.json["data"][-1]["details"]["project"] == "shop"
        assert len((await desk.do("GET", "/admin/audit", query="limit=1")).json["data"]) == 1
        for key in (first, second, third):
            assert key not in audit.body.decode()

    run(story)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "words"),
    [
        ("POST", "/admin/keys", {}, 400, "invalid_request", "`name` is missing."),
        ("POST", "/admin/keys", {"name": "a/b"}, 400, "invalid_request", "`name` must be 1 to 64"),
        ("POST", "/admin/keys", {"name": "own"}, 400, "key_exists", "in the configuration"),
        ("POST", "/admin/keys", {"name": "a", "sha256": "x"}, 400, "invalid_request", "`sha256` is no field"),
        ("POST", "/admin/keys", b"{", 400, "invalid_json", "not JSON"),
        ("POST", "/admin/keys", b"\xff\xfe", 400, "invalid_json", "not JSON"),
        ("POST", "/admin/keys", b"[]", 400, "invalid_json", "not a JSON object"),
        ("POST", "/admin/keys", b"[" * 9000, 400, "invalid_json", "not JSON"),
        ("POST", "/admin/keys", b" " * 70_000, 413, "request_too_large", "64 kB"),
        ("POST", "/admin/keys/own/rotate", {}, 400, "key_configured", "stands in the configuration"),
        ("POST", "/admin/keys/zzz/rotate", {}, 404, "key_not_found", "There is no key 'zzz'"),
        ("POST", "/admin/keys/zzz/rotate", {"grace": "soon"}, 400, "invalid_request", "`grace` is no duration"),
        ("POST", "/admin/keys/zzz/rotate", {"grace": None}, 400, "invalid_request", "`grace` is no duration"),
        ("POST", "/admin/keys/zzz/rotate", {"grace": True}, 400, "invalid_request", "`grace` is no duration"),
        ("POST", "/admin/keys/zzz/rotate", {"grace": -1}, 400, "invalid_request", "may be up to 90 days"),
        ("POST", "/admin/keys/zzz/rotate", {"grade": 1}, 400, "invalid_request", "`grade` is no field"),
        ("DELETE", "/admin/keys/own", None, 400, "key_configured", "stands in the configuration"),
        ("GET", "/admin/keys/zzz", None, 404, "key_not_found", "There is no key 'zzz'"),
        ("GET", "/admin/nothing", None, 404, "unknown_url", "There is no '/admin/nothing'"),
        ("PUT", "/admin/keys", None, 405, "method_not_allowed", "does not take PUT"),
    ],
)
def test_what_is_wrong_is_told_in_shape(run, method, path, body, status, code, words):  # noqa: PLR0917  a table
    """As everywhere, with the field and the cure; nothing is done and nothing written down."""

    async def story(desk, gate):
        got = await desk.do(method, path, body)
        assert (got.status, got.code) == (status, code)
        assert words in got.json["error"]["message"]
        assert await gate.keys.notes() == []

    run(story)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=many"])
def test_a_limit_is_a_small_number(run, query):
    """400 in shape, whatever stands there."""

    async def story(desk, _gate):
        got = await desk.do("GET", "/admin/audit", query=query)
        assert (got.status, got.code, got.json["error"]["param"]) == (400, "invalid_request", "limit")

    run(story)


def test_a_body_must_call_itself_json(run):
    """What a page of another site can send without asking first is not taken."""

    async def story(desk, _gate):
        got = await desk._client.send(
            "POST", "/admin/keys", [b'{"name": "a"}'], [*ADMIN, ("content-type", "text/plain")]
        )
        assert (got.status, got.code) == (415, "unsupported_media_type")

    run(story)


def test_keys_are_in_no_log(run, caplog):
    """Neither what was made nor what was sent."""

    async def story(desk, _gate):
        key = (await desk.do("POST", "/admin/keys", {"name": "web"})).json["key"]
        await desk.ask(key)
        await desk.ask(key + "x")
        return key

    with caplog.at_level(logging.DEBUG):
        key = run(story)
    assert key not in caplog.text
    assert "the-admin-key" not in caplog.text


def test_answers_are_forgotten(run):
    """By model, by tag, or all; it is told how many, and written down; both at once, or no tag, is refused."""

    async def story(desk, gate):
        async def ask(cache, tags="team=a"):
            more = [("x-headgate-cache", cache), ("x-headgate-tags", tags)]
            got = await desk._client.post(
                "/v1/chat/completions", ASK, [("authorization", "Bearer hg-own"), JSON, *more]
            )
            return got.headers["x-headgate-cache"]

        assert [await ask("on"), await ask("on"), await ask("off")] == ["miss", "hit", "off"]
        assert (await desk.do("DELETE", "/admin/cache", query="model=other")).json == {"forgotten": 0}
        assert (await desk.do("DELETE", "/admin/cache", query="tag=team=a")).json == {"forgotten": 1}
        assert [await ask("on"), await ask("refresh")] == ["miss", "miss"]
        assert (await desk.do("DELETE", "/admin/cache")).json == {"forgotten": 1}
        for query in ("tag=team", "tag=team=a&model=m"):
            assert (await desk.do("DELETE", "/admin/cache", query=query)).status == 400
        notes = [(note.action, note.subject, note.details) for note in await gate.keys.notes()]
        assert notes[:2] == [("purge", "all answers", {"forgotten": 1}), ("purge", "tag:team=a", {"forgotten": 1})]

    run(story)


def test_a_misspelled_parameter_is_refused(run):
    """It would purge every answer, or sum up all times, where a part was meant."""

    async def story(desk, gate):
        for method, path, query, takes in (
            ("DELETE", "/admin/cache", "modle=gpt-6-luna", "`model`, `tag`"),
            ("GET", "/admin/keys", "revokd=true", "`revoked`"),
            ("GET", "/admin/budgets", "window=day", "none"),
        ):
            got = await desk.do(method, path, query=query)
            name = query.partition("=")[0]
            assert (got.status, got.json["error"]["param"]) == (400, name)
            assert got.json["error"]["message"] == (
                f"`{name}` is not a parameter of this address.\n\nhint: It takes {takes}."
            )
        assert await gate.keys.notes() == []

    run(story)


def test_they_are_described(run):
    """In `/openapi.json`, with the fields of a key."""

    async def story(desk, _gate):
        return (await desk.do("GET", "/openapi.json", headers=[])).json

    told = run(story)
    assert {path for path in told["paths"] if path.startswith("/admin")} == {
        "/admin/keys", "/admin/keys/{name}", "/admin/keys/{name}/rotate", "/admin/audit", "/admin/budgets",
        "/admin/usage/resolve", "/admin/usage", "/admin/summary", "/admin/cache",
    }  # fmt: skip
    assert told["paths"]["/admin/keys"]["post"]["security"] == [{"admin": []}]
    wish = told["components"]["schemas"]["KeyWish"]["properties"]
    assert {"name", "limits", "budget", "expires"} <= set(wish)
    assert told["components"]["schemas"]["BudgetWish"]["properties"]["window"]


def test_usage_as_the_command_line_prints_it(run):
    """Sums by group, of a part, and line by line; what cannot be asked is told."""

    async def story(desk, _gate):
        assert [await desk.ask("hg-own") for _ in range(3)] == [200] * 3
        told = (await desk.do("GET", "/admin/usage", query="by=key&by=model&since=1h")).json
        (group,) = told["by"]
        assert (told["calls"], group["key"], group["model"], group["calls"]) == (3, "own", "gpt-6-luna", 3)
        assert float(told["cost_usd"]) > 0
        assert told["cost_usd"] == group["cost_usd"]
        none = await desk.do("GET", "/admin/usage", query="where=key=other")
        assert (none.json["calls"], none.headers["cache-control"]) == (0, "no-store")
        lines = (await desk.do("GET", "/admin/usage", query="rows=true&where=key=own")).body.splitlines()
        assert [json.loads(line)["settled"] for line in lines] == ["billed"] * 3
        for wrong, param in (("by=colour", "by"), ("since=soon", "since"), ("where=x", "where"), ("only=all", "only")):
            got = await desk.do("GET", "/admin/usage", query=wrong)
            assert (got.status, got.code, got.json["error"]["param"]) == (400, "invalid_request", param)

    run(story)


def test_how_it_went_lately(run):
    """The summary of the last minutes."""

    async def story(desk, _gate):
        assert (await desk.do("GET", "/admin/summary")).json["status"] == "no_data"
        assert await desk.ask("hg-own") == 200
        told = (await desk.do("GET", "/admin/summary", query="minutes=5")).json
        assert (told["status"], told["calls"], told["success_rate"], told["minutes"]) == ("healthy", 1, 1.0, 5)
        got = await desk.do("GET", "/admin/summary", query="minutes=0")
        assert (got.status, got.json["error"]["param"]) == (400, "minutes")

    run(story)


def test_a_port_of_their_own(run, client):
    """Then they are nowhere else, and nothing else is there."""

    async def story(desk, gate):
        assert (await desk.do("GET", "/admin/keys")).status == 404
        assert "/admin/keys" not in (await desk.do("GET", "/openapi.json", headers=[])).json["paths"]
        apart = Desk(client(admin_application(gate)))
        assert (await apart.do("GET", "/admin/keys")).json["data"][0]["name"] == "own"
        assert (await apart.do("GET", "/admin/keys", headers=[])).status == 401
        assert (await apart.do("GET", "/healthz", headers=[])).status == 200
        assert await apart.ask("hg-own") == 404
        assert (await apart.do("GET", "/metrics")).status == 404

    run(story, server={**SETTINGS["server"], "admin_port": 0})


def test_budgets_and_what_nobody_knew(run):
    """An attempt of which nobody knows is charged, and no longer when somebody says that it was not billed."""
    silent = {"type": "simulator", "faults": [{"kind": "silence", "times": 2}], "max_retries": 0, "timeout": 2}

    async def story(desk, gate):
        for _ in range(2):
            assert await desk.ask("hg-own") == 504
        (before,) = (await desk.do("GET", "/admin/budgets")).json["data"]
        first, second = [row async for row in gate.rows(Query(only="unknown"))]
        asked = {"call": f"req_{first.call_id}", "cost_usd": None}
        got = await desk.do("POST", "/admin/usage/resolve", asked)
        assert (got.status, got.json["settled"], got.json["resolved_by"]) == (200, "not_billed", "admin key")
        again = await desk.do("POST", "/admin/usage/resolve", asked)
        assert (again.status, again.code) == (400, "not_unknown")
        billed = {"call": second.call_id, "attempt": 1, "cost_usd": "0.00001"}
        assert (await desk.do("POST", "/admin/usage/resolve", billed)).json["cost_usd"] == "0.00001"
        (after,) = (await desk.do("GET", "/admin/budgets")).json["data"]
        assert float(before["spent_usd"]) > 0.00001
        assert after["spent_usd"] == "0.00001"
        notes = (await desk.do("GET", "/admin/audit")).json["data"]
        assert [note["action"] for note in notes] == ["usage.resolve", "usage.resolve"]

    run(story, providers={"p": silent}, budgets=[{"name": "all", "limit_usd": 1}])


@pytest.mark.parametrize(
    ("body", "param"),
    [({}, "call"), ({"call": 5, "cost_usd": None}, "call"), ({"call": "x"}, "cost_usd"),
     ({"call": "x", "cost_usd": None, "attempt": True}, "attempt"), ({"call": "x", "cost_usd": 0.1}, "cost_usd"),
     ({"call": "x", "cost_usd": "nan"}, "cost_usd"), ({"call": "x", "cost_usd": "-1"}, "cost_usd"),
     ({"call": "x", "cost_usd": "ten"}, "cost_usd"), ({"call": "x", "cost_usd": None, "why": "y"}, "why"),
     ({"call": "x", "cost_usd": None}, None)],
)  # fmt: skip
def test_what_is_no_resolution(run, body, param):
    """400 that names the field; nothing is written down."""

    async def story(desk, gate):
        got = await desk.do("POST", "/admin/usage/resolve", body)
        assert (got.status, got.json["error"]["param"]) == (400, param)
        assert await gate.keys.notes() == []

    run(story)


def test_a_call_that_is_not_on_the_books(run):
    """404."""

    async def story(desk, _):
        got = await desk.do("POST", "/admin/usage/resolve", {"call": "0" * 32, "cost_usd": "0"})
        assert (got.status, got.code) == (404, "not_found")

    run(story)
