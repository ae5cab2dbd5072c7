"""Keys over real processes: made and revoked by command line and by HTTP, known to every gateway in five seconds."""

import asyncio
import hashlib
import json
from contextlib import AsyncExitStack

import httpx2
import pytest

from headgate.gate.ports import SystemClock

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
CLOCK = SystemClock()
ASK = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hello"}]}
ADMIN = "an-admin-key-for-these-tests"
SOON = 5.0


@pytest.fixture(params=["sqlite", "postgres"])
def folder(request, tmp_path):
    """A folder with a configuration that asks for keys, and has one."""
    store = "sqlite:///books.db" if request.param == "sqlite" else request.getfixturevalue("database")
    (tmp_path / "headgate.yaml").write_text(json.dumps(settings(store)))
    return tmp_path


def settings(store):
    """A configuration without a provider of money's worth."""
    return {
        "server": {"auth": "keys", "admin_key": "${HEADGATE_ADMIN_KEY:-}"},
        "store": store,
        "providers": {"p": {"type": "simulator"}},
        "models": {"gpt-6-luna": {"targets": [{"provider": "p"}]}},
        "keys": [{"name": "own", "sha256": hashlib.sha256(b"hg-own").hexdigest()}],
    }


async def asks(http, address, key):
    """The status of a call with a key."""
    headers = {"authorization": f"Bearer {key}"}
    return (await http.post(f"{address}/v1/chat/completions", json=ASK, headers=headers)).status_code


async def until(http, addresses, key, status):
    """Wait until a key is known everywhere so; gives the seconds that it took."""
    began = CLOCK.monotonic()
    for address in addresses:
        while await asks(http, address, key) != status:
            assert CLOCK.monotonic() - began < SOON, f"{address} does not say {status}"
            await asyncio.sleep(0.05)
    return CLOCK.monotonic() - began


def test_every_gateway_knows_within_five_seconds(folder, serve, command):
    """Two gateways on one store: a key is made beside them, replaced and revoked through one; the other hears of it."""

    async def story():
        async with AsyncExitStack() as stack:
            up = [await stack.enter_async_context(serve(folder, HEADGATE_ADMIN_KEY=ADMIN)) for _ in range(2)]
            http = await stack.enter_async_context(httpx2.AsyncClient(headers={"x-api-key": ADMIN}))
            addresses = [one.address for one in up]
            made = await command(folder, "keys", "create", "web", "--rpm", "1000")
            assert made.code == 0, made.said
            first = made.out.strip()
            await until(http, addresses, first, 200)
            rotated = await http.post(f"{addresses[0]}/admin/keys/web/rotate", json={})
            second = rotated.json()["key"]
            assert [await asks(http, addresses[0], key) for key in (first, second)] == [401, 200], "here at once"
            await until(http, addresses, first, 401)
            await until(http, addresses, second, 200)
            assert (await http.delete(f"{addresses[1]}/admin/keys/web")).status_code == 200
            assert await asks(http, addresses[1], second) == 401, "here at once"
            await until(http, addresses, second, 401)
            assert [await asks(http, address, "hg-own") for address in addresses] == [200, 200]
            audit = (await http.get(f"{addresses[0]}/admin/audit")).json()["data"]
            assert [note["action"] for note in audit] == ["key.revoke", "key.rotate", "key.create"]
            assert [note["origin"].partition(" on ")[0] for note in audit] == ["127.0.0.1", "127.0.0.1", "command line"]

    asyncio.run(story())


def test_a_grace_ends_by_itself(folder, serve, command):
    """A former value works as long as was said; then it is refused, and told why."""

    async def story():
        first = (await command(folder, "keys", "create", "web")).out.strip()
        async with serve(folder) as up, httpx2.AsyncClient() as http:
            assert await asks(http, up.address, first) == 200
            rotated = await command(folder, "keys", "rotate", "web", "--grace", "4s")
            second = rotated.out.strip()
            await until(http, [up.address], second, 200)
            assert await asks(http, up.address, first) == 200
            await asyncio.sleep(4)
            headers = {"authorization": f"Bearer {first}"}
            refused = await http.post(f"{up.address}/v1/chat/completions", json=ASK, headers=headers)
            assert refused.status_code == 401
            assert "was replaced" in refused.json()["error"]["message"]
            assert await asks(http, up.address, second) == 200

    asyncio.run(story())


def test_a_budget_of_a_key_holds_in_every_gateway(folder, serve, command):
    """What one has let through the other knows of; the refusal says what is left, and so does the key's usage."""

    async def story():
        # A call costs less than a cent, and may cost more.
        key = (await command(folder, "keys", "create", "web", "--budget-usd", "0.001", "--window", "total")).out.strip()
        call = {**ASK, "max_completion_tokens": 100}
        headers = {"authorization": f"Bearer {key}"}
        async with AsyncExitStack() as stack:
            up = [await stack.enter_async_context(serve(folder)) for _ in range(2)]
            http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers))
            cost, refused = 0.0, []
            for number in range(400):
                address = up[number % 2].address
                got = await http.post(f"{address}/v1/chat/completions", json=call)
                if got.status_code == 200:
                    cost += float(got.headers["x-headgate-cost-usd"])
                else:
                    refused.append(got)
                    if len(refused) > 4:
                        break
            assert 0.0008 < cost <= 0.001
            assert {got.status_code for got in refused} == {429}
            error = refused[-1].json()["error"]
            assert error["code"] == "budget_exceeded"
            assert "'key:web'" in error["message"]
            told = (await http.get(f"{up[0].address}/v1/usage")).json()
            (budget,) = told["budgets"]
            assert (budget["name"], budget["limit_usd"]) == ("key:web", "0.001")
            assert 0 <= float(budget["left_usd"]) < 0.0002

    asyncio.run(story())


def test_a_gateway_starts_without_its_store(tmp_path, serve, own_postgres, command):
    """Keys of the configuration are served, it is not ready; when the store is there, its keys are known, and stay."""
    (tmp_path / "headgate.yaml").write_text(json.dumps(settings(own_postgres.url)))

    async def story():
        async with serve(tmp_path) as up, httpx2.AsyncClient() as http:
            assert await asks(http, up.address, "hg-own") == 200
            assert (await http.get(f"{up.address}/readyz")).status_code == 503
            health = await http.get(f"{up.address}/health", headers={"api-key": "hg-own"})
            assert health.json()["keys"]["status"] == "unknown"
            await asyncio.to_thread(own_postgres.start)
            key = (await command(tmp_path, "keys", "create", "web")).out.strip()
            await until(http, [up.address], key, 200)
            assert (await http.get(f"{up.address}/readyz")).status_code == 200
            await asyncio.to_thread(own_postgres.stop)
            await asyncio.sleep(3)
            assert [await asks(http, up.address, one) for one in (key, "hg-own", "hg-none")] == [200, 200, 401]
            health = await http.get(f"{up.address}/health", headers={"api-key": key})
            assert health.json()["keys"]["status"] == "stale"

    asyncio.run(story())


def test_a_gateway_may_start_without_keys(tmp_path, serve, command):
    """Nobody gets in, and the banner says how somebody would; the first key is made while it runs."""
    facts = {**settings("sqlite:///books.db"), "keys": []}
    (tmp_path / "headgate.yaml").write_text(json.dumps(facts))

    async def story():
        async with serve(tmp_path) as up, httpx2.AsyncClient() as http:
            assert "headgate keys create" in up.banner
            assert await asks(http, up.address, "hg-none") == 401
            key = (await command(tmp_path, "keys", "create", "first")).out.strip()
            await until(http, [up.address], key, 200)

    asyncio.run(story())
