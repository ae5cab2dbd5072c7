"""The log of a server tells, for any request id, what happened; nothing secret is in it."""

import asyncio
import hashlib
import json
import signal
import sys
from collections import Counter

import httpx2
import pytest

from headgate.gate.ports import SystemChance

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
CALLS = 1000
KEY, ADMIN, WRONG, WORDS = "hg-planted-key-1", "planted-admin-2", "hg-planted-wrong-3", "planted-words-4"
FAULTS = [
    {"rate": 0.1, "kind": "status", "status": 503},
    {"rate": 0.05, "kind": "status", "status": 400},
    {"rate": 0.05, "kind": "cut", "after_tokens": 3},
    {"rate": 0.05, "kind": "reset"},
]
SETTINGS = {
    "server": {"auth": "keys", "admin_key": ADMIN},
    "store": "sqlite:///books.db",
    "providers": {
        "first": {"type": "simulator", "seed": 5, "faults": FAULTS, "max_retries": 1},
        "second": {"type": "simulator", "seed": 6},
    },
    "models": {
        "m": {"targets": [{"provider": "first", "model": "gpt-6-luna"}, {"provider": "second", "model": "gpt-6-luna"}]}
    },
    "policies": {"retry": {"max_wait": "10ms"}},
    "keys": [{"name": "web", "sha256": hashlib.sha256(KEY.encode()).hexdigest(), "models": ["m"]}],
}


async def _ask(http, chance) -> tuple[str, int]:
    """One request of some kind; gives its id and its status."""
    kind = chance.random()
    key = WRONG if kind < 0.05 else KEY
    body = {"model": "m", "messages": [{"role": "user", "content": WORDS}], "max_completion_tokens": 8}
    path = "nothing" if 0.05 <= kind < 0.1 else "chat/completions"
    if 0.1 <= kind < 0.15:
        body["model"] = "other\n{}"
    body["stream"] = kind > 0.7
    got = await http.post(path, json=body, headers={"authorization": f"Bearer {key}"})
    return got.headers["x-request-id"], got.status_code


def test_a_thousand_requests(command, tmp_path):
    """Each has one line; it says what its caller saw, and of its attempts what the ledger says."""
    (tmp_path / "headgate.yaml").write_text(json.dumps(SETTINGS))

    async def story():
        with (tmp_path / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "headgate", "serve", "--port", "0", cwd=tmp_path, stderr=log
            )
        while "listens on" not in (said := (tmp_path / "log").read_text()):  # noqa: ASYNC110  another writes
            await asyncio.sleep(0.05)
        address = said.split("listens on ")[1].split()[0]
        chance = SystemChance(7)
        async with httpx2.AsyncClient(base_url=f"{address}/v1/", timeout=30, trust_env=False) as http:
            seen = []
            for _ in range(CALLS // 100):
                seen += await asyncio.gather(*(_ask(http, chance) for _ in range(100)))
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        rows = (await command(tmp_path, "usage", "--rows", "--json")).lines
        return seen, rows

    seen, rows = asyncio.run(story())
    written = (tmp_path / "log").read_text()
    lines = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    told = {line["request_id"]: line for line in lines if "request_id" in line}
    assert len(told) == sum("request_id" in line for line in lines) == CALLS
    books = {}
    for row in rows:
        if row["attempt"]:
            books.setdefault(row["request_id"], []).append(row)
    for name, status in seen:
        line = told[name]
        # A stream that broke after its first word had said 200.
        assert line["status"] == status or (status == 200 and line["error_type"] == "stream_interrupted"), line
        attempts = line.get("attempts", [])
        for field in ("attempt", "provider", "model", "settled", "status", "error_type", "cost_usd"):
            expected = [row[field] for row in books.get(name, ())]
            assert [one.get(field) for one in attempts] == expected, (field, line)
    statuses = Counter(status for _, status in seen)
    assert {200, 400, 401, 404} <= set(statuses)
    assert any(len(line.get("attempts", ())) > 2 for line in lines)
    for secret in ("planted", KEY, ADMIN):
        assert secret not in written
