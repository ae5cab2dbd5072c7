"""Planted secrets appear nowhere but where they belong: not in logs, answers, metrics, rows, files, reprs, reports."""

import asyncio
import hashlib
import json
import logging
import sqlite3
import sys
import traceback
from contextlib import asynccontextmanager, closing

import httpx2
import psycopg
import pytest

from headgate.core.call import Operation
from headgate.gate.gate import Gate
from headgate.gate.issuing import Who
from headgate.gate.load import load

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
MARK = "planted"
"""A part of every secret: whoever finds it has found one."""
PROVIDER, HEADER, ADMIN = "sk-planted-provider-0001", "planted-header-0002", "planted-admin-key-0003"
OWN, WRONG, COOKIE = "hg-planted-own-0004", "hg-planted-wrong-0005", "session=planted-cookie-0006"
STORE, SHARED, PROXY = "planted-store-0007", "planted-shared-0008", "planted-proxy-0009"
ENVIRONMENT = {
    "P_KEY": PROVIDER, "P_HEADER": HEADER, "HEADGATE_ADMIN_KEY": ADMIN, "STORE_PASSWORD": STORE,
    "SHARED_PASSWORD": SHARED, "PROXY_PASSWORD": PROXY,
}  # fmt: skip
ASK = {"model": "good", "messages": [{"role": "user", "content": "Hello"}]}
ECHO = json.dumps({"error": {"message": f"Incorrect key {PROVIDER}; {HEADER}", "type": "x", "code": "y"}}).encode()
GOOD = json.dumps(
    {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-6-luna",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Paris"}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
    }
).encode()  # fmt: skip


def settings(address, store, shared="memory://"):
    """A configuration full of secrets, with providers that fail in many ways."""

    def hosted(**more):
        facts = {"type": "openai", "api_key": "${P_KEY}", "headers": {"x-planted": "${P_HEADER}"}, "max_retries": 0}
        return {**facts, "base_url": f"{address}/v1", **more}

    names = ("good", "unauthorized", "refused", "broken", "garbled", "away", "proxied")
    providers = {name: hosted() for name in names}
    providers["away"]["base_url"] = "http://127.0.0.1:9/v1"
    providers["proxied"]["proxy"] = "http://u:${PROXY_PASSWORD}@127.0.0.1:9"
    return {
        "server": {"auth": "keys", "admin_key": "${HEADGATE_ADMIN_KEY}"},
        "store": store,
        "shared": shared,
        "journal": {"path": "journal"},
        "providers": providers,
        "models": {name: {"targets": [{"provider": name, "model": name}]} for name in names},
        "keys": [{"name": "own", "sha256": hashlib.sha256(OWN.encode()).hexdigest()}],
    }


def answering(whole, garbage=b"Bearer sk-planted-provider-0001"):
    """An upstream that echoes credentials wherever it can."""

    def answer(seen):
        name = seen.json["model"] if seen.body else "list"
        if name == "unauthorized":
            return whole(ECHO, status=401)
        if name == "refused":
            return whole(ECHO, status=400)
        if name == "broken":
            return [b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{", None]
        if name == "garbled":
            return whole(garbage)
        if name == "list":
            return whole(ECHO, status=403)
        return whole(GOOD)

    return answer


@asynccontextmanager
async def server(folder, **variables):
    """`headgate serve` whose words are kept, and which is killed in the end: its files stay as they are."""
    with (folder / "said.txt").open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headgate", "serve", "--port", "0", cwd=folder, stdout=said, stderr=said,
            env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **variables},
        )  # fmt: skip
        try:
            async with asyncio.timeout(30):
                while b"listens on http" not in (text := (folder / "said.txt").read_bytes()):
                    assert process.returncode is None, text
                    await asyncio.sleep(0.05)
            yield text.split(b"listens on ")[1].split()[0].decode()
        finally:
            process.kill()
            await process.wait()


async def everything(http, address):
    """Ask for all that can be asked for; gives every answer as text."""
    heard = []

    async def ask(method, path, **how):
        got = await http.request(method, address + path, **how)
        heard.append(f"{method} {path} {got.status_code} {got.headers} {got.text}")
        return got

    admin, own = {"authorization": f"Bearer {ADMIN}"}, {"authorization": f"Bearer {OWN}", "cookie": COOKIE}
    for headers in (own, {"authorization": f"Bearer {WRONG}"}, {"x-api-key": OWN + " " + OWN}, {"api-key": ADMIN}):
        for model in ("good", "unauthorized", "refused", "broken", "garbled", "away", "proxied"):
            for stream in (False, True):
                await ask(
                    "POST", "/v1/chat/completions", json={**ASK, "model": model, "stream": stream}, headers=headers
                )
    for headers in (own, admin, {}, {"authorization": f"Bearer {WRONG}"}):
        for path in ("/health", "/readyz", "/metrics", "/openapi.json", "/docs", "/v1/models", "/v1/usage",
                     "/admin/keys", "/admin/keys/own", "/admin/audit"):  # fmt: skip
            await ask("GET", path, headers=headers)
    made = await http.post(f"{address}/admin/keys", json={"name": "web", "tags": {"team": "a"}}, headers=admin)
    rotated = await http.post(f"{address}/admin/keys/web/rotate", json={"grace": "1h"}, headers=admin)
    given = [made.json()["key"], rotated.json()["key"]]
    for key in given:
        got = await ask("POST", "/v1/chat/completions", json=ASK, headers={"authorization": f"Bearer {key}"})
        assert got.status_code == 200
    for path in ("/admin/keys", "/admin/keys/web", "/admin/audit"):
        await ask("GET", path, headers=admin)
    await ask("DELETE", "/admin/keys/web", headers=admin)
    await ask(
        "POST", "/v1/chat/completions", content=b"{" + OWN.encode(), headers={**own, "content-type": "application/json"}
    )
    return heard, given


def stored(store):
    """Every row of every table."""
    if store.startswith("sqlite"):
        with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as connection:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return repr([connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables])  # noqa: S608
    with psycopg.connect(store) as connection:
        asked = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        tables = [name for (name,) in connection.execute(asked).fetchall()]
        rows = [connection.execute(f"SELECT * FROM {table}".encode()).fetchall() for table in tables]  # noqa: S608
        return repr(rows)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_no_secret_gets_out(kind, request, tmp_path, recording, whole, command):  # noqa: PLR0917  fixtures
    """A gateway that meets every kind of failure: its answers, its words, its store, its files, and every command."""
    store = f"sqlite:///{tmp_path}/books.db"
    written = store
    if kind == "postgres":
        store = request.getfixturevalue("database").replace("postgres@", f"postgres:{STORE}@")
        written = store.replace(STORE, "${STORE_PASSWORD}")

    async def story():
        async with recording().listening() as upstream:
            upstream.answer = answering(whole)
            shared = "redis://:${SHARED_PASSWORD}@127.0.0.1:9/0"
            (tmp_path / "headgate.yaml").write_text(json.dumps(settings(upstream.address, written, shared)))
            async with server(tmp_path, **ENVIRONMENT) as address, httpx2.AsyncClient(timeout=60) as http:
                heard, given = await everything(http, address)
                # The drain has had its time; what is in the journal now stays there.
                await asyncio.sleep(1)
            assert any(PROVIDER in str(seen.headers) for seen in upstream.seen), "it was sent where it belongs"
            assert not any("hg-" in str(seen.headers) or COOKIE in str(seen.headers) for seen in upstream.seen)
            for words in (
                "config show", "doctor --json", "usage --rows --json", "keys list --all --json", "keys show web",
                "ask hi --model unauthorized", "ask hi --model proxied",
            ):  # fmt: skip
                done = await command(tmp_path, *words.split(), **ENVIRONMENT)
                heard.append(f"{words} {done.out} {done.said}")
            return heard, given

    heard, given = asyncio.run(story())
    heard.append((tmp_path / "said.txt").read_text())
    heard += [stored(store)]
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "headgate.yaml"]
    heard += [path.read_bytes().decode("latin-1") for path in files]
    text = "\n".join(heard)
    assert "gpt-6-luna" in text
    assert "key.rotate" in text
    for secret in (PROVIDER, HEADER, ADMIN, OWN, WRONG, COOKIE, STORE, SHARED, PROXY, *given):
        assert secret not in text, [line for line in text.splitlines() if secret in line][:3]
    assert MARK not in text.replace("x-planted", "")


def test_no_report_of_a_failure_holds_one(tmp_path, recording, whole, caplog):
    """Not even one that shows the variables of every frame, nor a log at its most talkative; nor any repr."""
    told = []

    async def fail(gate, name, *, stream):
        body = json.dumps({**ASK, "model": name, "stream": stream}).encode()
        try:
            async with await gate(gate.call(Operation.CHAT, body)) as reply:
                async for _ in reply:
                    pass
        except Exception as error:  # noqa: BLE001  every failure there is
            # The last frames: those above are this test's own.
            report = traceback.TracebackException.from_exception(error, capture_locals=True)
            report.stack = traceback.StackSummary.from_list([f for f in report.stack if "/tests/" not in f.filename])
            told.append("".join(report.format()))
            told.append(repr(error))

    async def story():
        async with recording().listening() as upstream:
            # A variable holds what came; that it is no JSON is what the report is about.
            upstream.answer = answering(whole, b"no JSON")
            shared = f"redis://:{SHARED}@127.0.0.1:9/0"
            store = f"postgresql://u:{STORE}@127.0.0.1:9/d"
            given = settings(upstream.address, store, shared)
            given["journal"]["path"] = f"{tmp_path}/journal"
            loaded = load(None, environment=ENVIRONMENT, settings=given)
            async with await Gate.open(loaded.config) as gate:
                for name in given["models"]:
                    for stream in (False, True):
                        await fail(gate, name, stream=stream)
                for doing in (gate.issuer.create({"name": "a"}, Who("a", "b")), gate.ready(), gate.health()):
                    try:
                        told.append(repr(await doing))
                    except Exception as error:  # noqa: BLE001  ditto
                        report = traceback.TracebackException.from_exception(error, capture_locals=True)
                        told.append("".join(line for line in report.format() if "/tests/" not in line))
                told.extend(map(repr, (loaded, loaded.config, gate, vars(gate), gate._ledger, vars(gate._ledger))))

    with caplog.at_level(logging.DEBUG):
        asyncio.run(story())
    text = "\n".join([*told, caplog.text]).replace("x-planted", "")
    assert "UnreachableError" in text
    assert MARK not in text, [line for line in text.splitlines() if MARK in line][:5]
