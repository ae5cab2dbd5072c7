"""`headgate serve` as a process: whom it forwards to, when it refuses, and how it says that it simulates."""

import asyncio
import json
import time
from pathlib import Path

import httpx2
import openai
import pytest
import yaml

pytestmark = pytest.mark.e2e

EXAMPLE = Path(__file__).parents[2] / "examples" / "gateway_config.yaml"
MESSAGES = [{"role": "user", "content": "Hello"}]
KEY = "sk-environments-own"


def _said(model: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}
    return json.dumps(answer).encode()


def _sdk(address: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="hg-callers-own", max_retries=0, timeout=30)


def test_the_environment_is_enough(tmp_path, serve, recording, whole):
    """`OPENAI_API_KEY` and `OPENAI_BASE_URL`, and nothing else: any model goes to that server with that key."""
    up = recording()
    up.answer = lambda seen: whole(_said(seen.json["model"]))

    async def story():
        async with (
            up.listening(),
            serve(tmp_path, OPENAI_API_KEY=KEY, OPENAI_BASE_URL=f"{up.address}/v1") as at,
            _sdk(at.address) as sdk,
            httpx2.AsyncClient(base_url=at.address, trust_env=False) as http,
        ):
            raw = await sdk.chat.completions.with_raw_response.create(model="any-name", messages=MESSAGES)
            pages = {path: await http.get(path) for path in ("/", "/healthz", "/readyz", "/docs")}
            with pytest.raises(openai.APIStatusError) as caught:
                await sdk.responses.create(model="any-name", input="Hello")
            return at, raw, pages, caught.value

    at, raw, pages, refused = asyncio.run(story())
    (seen,) = up.seen
    assert seen.header("authorization") == f"Bearer {KEY}"
    assert seen.json == {"model": "any-name", "messages": MESSAGES}
    assert raw.parse().choices[0].message.content == "Yes."
    assert raw.headers["x-headgate-provider"] == "openai"
    assert raw.headers["x-request-id"].startswith("req_")
    assert "x-headgate-simulated" not in raw.headers
    assert "simulat" not in at.banner.lower()
    assert "openai" in at.banner
    for page in pages.values():
        assert page.status_code == 200
        assert KEY not in page.text
        assert page.text.startswith("<") or page.json()["simulated"] is False
    assert KEY not in at.banner
    # A compatible server need not have the Responses API: nothing is sent on the chance of it.
    assert (refused.status_code, refused.code) == (503, "no_target")


def test_without_a_provider_it_does_not_start(tmp_path, command):
    """Exit 2, the reason and the cure on stderr, and nothing on stdout; an empty key counts as none."""

    async def story():
        file = tmp_path / "one.yaml"
        file.write_text("providers: {p: {type: openai, api_key: '${SOMEWHERE_KEY:-}'}}\n")
        return await asyncio.gather(
            command(tmp_path, "serve"),
            command(tmp_path, "serve", OPENAI_API_KEY=""),
            command(tmp_path, "serve", "--config", str(file)),
        )

    for done in asyncio.run(story()):
        assert (done.code, done.out) == (2, "")
        assert done.said.startswith("error: No usable provider.")
        assert "\n\nhint: Set OPENAI_API_KEY" in done.said
        assert "--simulate" in done.said
    assert "SOMEWHERE_KEY" in done.said
    # Refusing leaves no store and no journal behind.
    assert [path.name for path in tmp_path.iterdir()] == ["one.yaml"]


@pytest.mark.parametrize("how", ["option", "variable", "file"])
def test_every_surface_says_that_it_simulates(tmp_path, serve, how):
    """Banner, pages, health, and each answer, whole or streamed, in either API; no key is used."""
    arguments, variables = {
        "option": (["--simulate"], {"OPENAI_API_KEY": KEY}),
        "variable": ([], {"OPENAI_API_KEY": KEY, "HEADGATE_SIMULATE": "1"}),
        "file": (["--config", "it.yaml"], {}),
    }[how]
    if how == "file":
        settings = {"store": "memory://", "providers": {"practice": {"type": "simulator"}}}
        (tmp_path / "it.yaml").write_text(json.dumps(settings))

    async def story():
        async with (
            serve(tmp_path, *arguments, **variables) as at,
            _sdk(at.address) as sdk,
            httpx2.AsyncClient(base_url=at.address, trust_env=False) as http,
        ):
            pages = {path: await http.get(path) for path in ("/", "/healthz", "/readyz", "/health")}
            docs = [await http.get(path) for path in ("/docs", "/openapi.json")]
            chat, responses = sdk.chat.completions.with_raw_response, sdk.responses.with_raw_response
            answers = [
                await chat.create(model="gpt-6-luna", messages=MESSAGES),
                await chat.create(model="gpt-6-luna", messages=MESSAGES, stream=True),
                await responses.create(model="gpt-6-luna", input="Hello"),
                await responses.create(model="gpt-6-luna", input="Hello", stream=True),
            ]
            for stream in (answers[1].parse(), answers[3].parse()):
                async for _ in stream:
                    pass
            with pytest.raises(openai.BadRequestError) as caught:
                await sdk.chat.completions.create(model="gpt-6-luna", messages=MESSAGES, max_tokens=-1)
            return at.banner, pages, docs, [*answers, caught.value.response]

    banner, pages, docs, answers = asyncio.run(story())
    assert "SIMULATED" in banner
    for page in pages.values():
        assert page.status_code == 200
        assert page.json()["simulated"] is True
    for page in docs:
        assert "simulated" in page.text.lower()
    for answer in answers:
        assert answer.headers["x-headgate-simulated"] == "1"


def test_the_short_form_serves(tmp_path, serve, recording, whole):
    """`examples/gateway_config.yaml` as it stands: weights by their shares, each model also by its own name."""
    up = recording()
    up.answer = lambda seen: whole(_said(seen.json["model"]))
    calls = 300

    async def story():
        async with (
            up.listening(),
            serve(tmp_path, "--config", str(EXAMPLE), OPENAI_API_KEY=KEY, OPENAI_BASE_URL=f"{up.address}/v1") as at,
            httpx2.AsyncClient(base_url=at.address, trust_env=False, timeout=20) as http,
        ):

            async def ask(count: int, body: dict) -> list[str]:
                return [(await http.post("/v1/chat/completions", json=body)).json()["model"] for _ in range(count)]

            unnamed = await asyncio.gather(*(ask(calls // 10, {"messages": MESSAGES}) for _ in range(10)))
            luna = await ask(3, {"model": "gpt-6-luna", "messages": MESSAGES})
            other = await ask(3, {"model": "another", "messages": MESSAGES})
            models = (await http.get("/v1/models")).json()
            return [name for names in unnamed for name in names], luna, other, models

    unnamed, luna, other, models = asyncio.run(story())
    assert len(unnamed) == calls
    assert set(unnamed) == {"gpt-6-sol", "gpt-6-luna"}
    # 210 are expected; five standard deviations are 40.
    assert 170 <= unnamed.count("gpt-6-sol") <= 250
    assert luna == ["gpt-6-luna"] * 3
    assert other == ["another"] * 3
    assert {"gpt-6-sol", "gpt-6-luna"} <= {model["id"] for model in models["data"]}
    assert {seen.header("authorization") for seen in up.seen} == {f"Bearer {KEY}"}


def test_the_short_forms_retries_and_timeouts(tmp_path, serve, recording, whole):
    """`max_retries: 3` is four attempts, then the other one's own three; `timeout` ends a silent stream's attempt."""
    up = recording()
    soon = [("content-type", "application/json"), ("retry-after-ms", "1")]
    failure = b'{"error":{"message":"Down.","type":"server_error","param":null,"code":null}}'
    up.answer = lambda seen: [3600.0] if seen.json.get("stream") else whole(failure, status=503, headers=soon)
    settings = yaml.safe_load(EXAMPLE.read_text())
    assert settings["providers"]["openai-sol"]["timeout"] == 30.0
    # The same file with a shorter patience, and the order drawn once for all: sol first.
    settings["providers"]["openai-sol"]["timeout"] = 0.4
    settings["providers"]["openai-luna"] |= {"timeout": 0.4, "priority": 2}
    (tmp_path / "it.yaml").write_text(yaml.safe_dump(settings))

    async def story():
        async with (
            up.listening(),
            serve(tmp_path, "--config", "it.yaml", OPENAI_API_KEY=KEY, OPENAI_BASE_URL=f"{up.address}/v1") as at,
            httpx2.AsyncClient(base_url=at.address, trust_env=False, timeout=20) as http,
        ):
            failed = await http.post("/v1/chat/completions", json={"messages": MESSAGES})
            asked = [seen.json["model"] for seen in up.seen]
            up.seen.clear()
            start = time.monotonic()  # noqa: TID251  how long a caller really waits
            soon_enough = {"x-headgate-deadline": "1.5s"}
            silent = await http.post(
                "/v1/chat/completions", json={"messages": MESSAGES, "stream": True}, headers=soon_enough
            )
            return failed, asked, silent, [seen.json["model"] for seen in up.seen], time.monotonic() - start  # noqa: TID251

    failed, asked, silent, asked_again, took = asyncio.run(story())
    assert asked == ["gpt-6-sol"] * 4 + ["gpt-6-luna"] * 3
    assert failed.status_code == 502
    assert failed.headers["x-headgate-attempts"] == "7"
    # Silence: at once to the other target, which is asked again only because nobody is left.
    assert asked_again[:2] == ["gpt-6-sol", "gpt-6-luna"]
    assert silent.status_code == 504
    assert 0.8 <= took < 5
