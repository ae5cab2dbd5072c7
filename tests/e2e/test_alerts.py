"""Two real gateways share a budget: each alert comes once to a real server, which can prove who has sent it."""

import asyncio
import hashlib
import hmac
import json

import httpx2
import pytest

pytestmark = pytest.mark.e2e
SECRET = "whsec-0123456789"
ASKED = {"model": "gpt-6-luna", "max_completion_tokens": 50, "messages": [{"role": "user", "content": "Say 40 words."}]}


@pytest.fixture
def upstream(recording, whole):
    """A server's class, and how it answers."""
    return recording, whole


@pytest.mark.timeout(120)
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_each_alert_comes_once_and_signed(serve, upstream, request, tmp_path, store):
    """Whichever gateway notices; the first try of the first one fails, and it comes again under the same id."""
    recording, whole = upstream
    address = request.getfixturevalue("database") if store == "postgres" else "sqlite:///books.db"

    async def story():
        async with recording().listening() as hook:
            hook.answer = lambda _: whole(b"", status=503 if len(hook.seen) == 1 else 204)
            config = {
                "store": address,
                "providers": {"p": {"type": "simulator"}},
                "budgets": [{"name": "all", "limit_usd": "0.001", "alert_at": [0.1, 0.2, 0.3], "window": "total"}],
                "alerts": {"webhook": hook.address.replace("://", "://anna:pw@") + "/in?token=t0ken", "secret": SECRET},
            }
            (tmp_path / "headgate.yaml").write_text(json.dumps(config))
            async with serve(tmp_path) as one, serve(tmp_path) as two, httpx2.AsyncClient(trust_env=False) as http:
                for _ in range(10):
                    for gate in (one, two):
                        found = await http.post(f"{gate.address}/v1/chat/completions", json=ASKED, timeout=20)
                        assert found.status_code == 200
                # Within six seconds it is noticed, and within two more it comes again.
                for _ in range(150):
                    if len(hook.seen) < 4:
                        await asyncio.sleep(0.1)
                pages = [(await http.get(f"{gate.address}/metrics")).text for gate in (one, two)]
            return hook.seen, pages

    seen, pages = asyncio.run(story())
    names = [message.header("headgate-delivery") for message in seen]
    assert names[0] == names[1]
    assert len(set(names)) == 3
    assert len(seen) == 4
    for message in seen:
        assert message.line == "POST /in?token=t0ken HTTP/1.1"
        assert message.header("authorization") == "Basic YW5uYTpwdw=="
        # What the page on budgets tells its readers to do.
        time, _, sign = message.header("headgate-signature").removeprefix("t=").partition(",v1=")
        wanted = hmac.new(SECRET.encode(), time.encode() + b"." + message.body, hashlib.sha256).hexdigest()
        assert hmac.compare_digest(sign, wanted)
    told = {message.json["share"]: message.json for message in seen}
    assert sorted(told) == [0.1, 0.2, 0.3]
    assert {one["budget"] for one in told.values()} == {"all"}
    counts = [
        float(line.split()[1])
        for page in pages
        for line in page.splitlines()
        if line.startswith("headgate_alerts_total ")
    ]
    assert sum(counts) == 3
