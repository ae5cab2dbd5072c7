"""The fault table (`tools/faults.py`, printed in `docs/reference/faults.md`), row by row, at every door.

Each row says what goes wrong at the first target, and what must follow: what the caller gets, how often each target was
asked, how long it took, and what the ledger says of every attempt. Rows run with a second target and alone, for chat
and for Responses, through the HTTP door, the Python door and the client that the official SDK is given; each on a gate
of its own, on the simulator, in virtual time.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from functools import cache
from typing import Any, NamedTuple

import httpx2
import openai
import pytest

from headgate.client.asynchronous import AsyncHeadgate
from headgate.core.errors import HeadgateError
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemChance
from headgate.server.app import application
from headgate.stores.protocols import Query
from headgate.testing import VirtualClock, virtual_time
from tools import faults
from tools.faults import CONTINUED, NEXT, ROWS, Continued, Row, Then

CHAT, RESPONSES = "chat", "responses"
QUESTION = "Tell me a long story."
MESSAGES: Any = [{"role": "user", "content": QUESTION}]
FINISHES = {"completed": "stop", "incomplete": "content_filter"}
"""How Responses says it."""
ACCOUNTS = {
    ("billed", "reported"): faults.BILLED,
    ("billed", "counted"): faults.COUNTED,
    ("not_billed", None): faults.NOT,
    ("unknown", None): faults.UNKNOWN,
}


class Got(NamedTuple):
    """What a caller got."""

    text: str = ""
    error: tuple[int, str, str] | None = None
    """Status, type and code."""
    finish: str | None = None
    kind: str | None = None
    """The class of the error, where the door can say it."""
    trail: tuple[int, ...] = ()
    """The numbers of the attempts that the error brings along, ditto."""


Ask = Callable[[bool], Awaitable[Got]]


def settings(
    api: str,
    fault: Mapping[str, Any] | None = None,
    *,
    second: Mapping[str, Any] | None = None,
    recovery: str = "none",
    model: str = faults.SIMULATED,
) -> dict[str, Any]:
    """A route `m` whose first target meets a fault; `second` is what the other one is beside that."""
    provider = {
        "type": "simulator",
        "responses": api == RESPONSES,
        "timeout": {
            "connect": 1,
            "first_token": faults.FIRST_TOKEN,
            "silence": faults.SILENCE,
            "total": faults.TOTAL,
        },
    }
    targets = [
        {"provider": "first", "model": model, "priority": 1},
        {"provider": "second", "model": faults.SIMULATED, "priority": 2},
    ]
    return {
        "store": "memory://",
        "providers": {
            "first": {**provider, "faults": [dict(fault)] if fault else []},
            "second": {**provider, **(second or {})},
        },
        "models": {"m": {"targets": targets if second is not None else targets[:1], "recovery": recovery}},
    }


@asynccontextmanager
async def http_door(given: dict[str, Any], api: str) -> AsyncIterator[tuple[Gate, Ask]]:
    """The server's application, without a socket."""
    clock = VirtualClock()
    config = load(None, environment={}, settings=given).config
    body = {"messages": MESSAGES} if api == CHAT else {"input": QUESTION, "store": False}
    path = "/v1/chat/completions" if api == CHAT else "/v1/responses"
    async with await Gate.open(config, clock=clock, chance=SystemChance(seed=5)) as gate:
        transport = httpx2.ASGITransport(application(gate, clock=clock))
        async with httpx2.AsyncClient(transport=transport, base_url="http://gate", timeout=None) as client:

            async def ask(stream: bool) -> Got:
                answer = await client.post(path, json={"model": "m", "stream": stream, **body})
                assert answer.headers["x-request-id"].startswith("req_")
                if answer.status_code != 200:
                    assert answer.headers["x-should-retry"] == "false"
                    error = answer.json()["error"]
                    return Got(error=(answer.status_code, error["type"], error["code"]))
                return (of_events if stream else of_body)(api, answer.text)

            yield gate, ask


def of_body(api: str, body: str) -> Got:
    """A whole answer."""
    told = json.loads(body)
    if api == CHAT:
        (choice,) = told["choices"]
        return Got(choice["message"]["content"], finish=choice["finish_reason"])
    text = "".join(part["text"] for item in told["output"] for part in item.get("content", ()))
    return Got(text, finish=FINISHES[told["status"]])


def of_events(api: str, body: str) -> Got:
    """A stream of events."""
    text, finish, error = "", None, None
    *events, nothing = body.split("\n\n")
    assert nothing == ""
    datas = [line.removeprefix("data: ") for event in events for line in event.split("\n") if line.startswith("data")]
    done = datas[-1] == "[DONE]"
    for data in datas[: -1 if done else None]:
        told = json.loads(data)
        if told.get("error"):
            assert data is datas[-1]
            # The status was sent with the first word.
            error = (200, told["error"]["type"], told["error"]["code"])
        elif api == CHAT:
            for choice in told["choices"]:
                text += choice["delta"].get("content") or ""
                finish = choice["finish_reason"] or finish
        elif told["type"] == "response.output_text.delta":
            text += told["delta"]
        elif told["type"] in {"response.completed", "response.incomplete"}:
            finish = FINISHES[told["response"]["status"]]
    assert not (error and done)
    return Got(text, error, finish)


@asynccontextmanager
async def opened(given: dict[str, Any]) -> AsyncIterator[AsyncHeadgate]:
    """The Python door, in virtual time."""
    door = AsyncHeadgate(given)
    door._clock = VirtualClock()
    async with door:
        yield door


@asynccontextmanager
async def python_door(given: dict[str, Any], _api: str) -> AsyncIterator[tuple[Gate, Ask]]:
    """`generate_response` and `stream`. They use Responses where the target has it."""
    async with opened(given) as door:

        async def ask(stream: bool) -> Got:
            text, finish = "", None
            try:
                if stream:
                    async with aclosing(door.stream(QUESTION, model="m")) as pieces:
                        async for piece in pieces:
                            text += piece.text
                            finish = piece.finish
                else:
                    answer = await door.generate_response(QUESTION, model="m")
                    text, finish = answer.text, answer.finish_reason
            except HeadgateError as error:
                facts = (error.http_status, error.type, error.code)
                return Got(text, facts, None, type(error).__name__, tuple(one.number for one in error.attempts))
            return Got(text, finish=finish)

        yield door._gate, ask


@asynccontextmanager
async def sdk_door(given: dict[str, Any], api: str) -> AsyncIterator[tuple[Gate, Ask]]:
    """The official SDK, on the client that the Python door gives it."""
    async with opened(given) as door, door.http_client() as client:
        sdk = openai.AsyncOpenAI(api_key="unused", http_client=client, max_retries=0)

        speak = sdk_chat if api == CHAT else sdk_responses

        async def ask(stream: bool) -> Got:
            heard: list[str] = []
            try:
                finish = await speak(sdk, heard, stream=stream)
            except openai.APIStatusError as error:
                return Got(error=(error.status_code, error.type, error.code))
            except openai.APIError as error:
                return Got("".join(heard), (200, error.type, error.code))
            return Got("".join(heard), finish=finish)

        yield door._gate, ask


async def sdk_chat(sdk: openai.AsyncOpenAI, heard: list[str], *, stream: bool) -> str | None:
    """Chat completions: why the answer ended."""
    answer = await sdk.chat.completions.create(model="m", messages=MESSAGES, stream=stream)
    if not stream:
        heard.append(answer.choices[0].message.content)
        return answer.choices[0].finish_reason
    finish = None
    async for chunk in answer:
        for choice in chunk.choices:
            heard.append(choice.delta.content or "")
            finish = choice.finish_reason or finish
    return finish


async def sdk_responses(sdk: openai.AsyncOpenAI, heard: list[str], *, stream: bool) -> str | None:
    """Responses: why the answer ended."""
    answer = await sdk.responses.create(model="m", input=QUESTION, store=False, stream=stream)
    if not stream:
        heard.append(answer.output_text)
        return FINISHES[answer.status]
    finish = None
    async for event in answer:
        if event.type == "response.output_text.delta":
            heard.append(event.delta)
        elif event.type in {"response.completed", "response.incomplete"}:
            finish = FINISHES[event.response.status]
    return finish


DOORS = {"http": http_door, "python": python_door, "sdk": sdk_door}


@cache
def truth(door: str, api: str) -> str:
    """The whole answer, where nothing goes wrong."""

    async def story() -> str:
        async with DOORS[door](settings(api), api) as (_, ask):
            return (await ask(False)).text

    return virtual_time(story())


async def story(given: dict[str, Any], then: Then, door: str, api: str, full: str, *, stream: bool) -> None:
    """One call, and everything that must be true of it."""
    clock = VirtualClock()
    async with DOORS[door](given, api) as (gate, ask):
        start = clock.monotonic()
        got = await ask(stream)
        seconds = clock.monotonic() - start
        rows = [line async for line in gate.rows(Query())]
        logs = [gate.simulators[name].log for name in ("first", "second")]
        in_flight = gate.meter.counters.in_flight
    status = 200 if then.broken and door != "python" else then.status
    assert got.error == ((status, then.type, then.code) if then.error else None)
    if then.error and door == "python":
        assert (got.kind, got.trail) == (then.error, tuple(range(1, len(then.books) + 1)))
    if not then.error:
        assert got.finish == then.finish
        assert got.text == full if then.finish == "stop" else len(got.text) < len(full)
    assert bool(got.text) == (then.broken or not then.error)
    assert full.startswith(got.text)
    assert then.seconds[0] - 0.001 <= seconds <= then.seconds[1] + 0.001
    assert tuple(map(len, logs))[: len(then.sends)] == then.sends
    assert [ACCOUNTS[line.settled, line.basis] for line in rows] == list(then.books)
    assert [line.attempt for line in rows] == list(range(1, len(then.books) + 1))
    assert all((line.cost is None) == (line.settled == "unknown") for line in rows)
    assert in_flight == 0


CASES = [
    pytest.param(
        row, then, stream, another,
        id=f"{row.name.replace(' ', '_')}-{'streamed' if stream else 'whole'}-{'another' if another else 'alone'}",
    )
    for row in ROWS
    for stream, case in ((False, row.whole), (True, row.streamed))
    for another, then in ((True, case and case.another), (False, case and case.alone))
    if then is not None
]  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch, tmp_path):
    # The Python door reads the environment and `.env`.
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL", "HEADGATE_SIMULATE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("api", [CHAT, RESPONSES])
@pytest.mark.parametrize(("row", "then", "stream", "another"), CASES)
def test_each_row(row: Row, then: Then, stream: bool, another: bool, api: str, door: str):  # noqa: PLR0917  a table
    """What the caller gets, who was asked how often, how long it took, what the ledger says."""
    given = settings(api, row.fault, second={} if another else None, model=row.model)
    virtual_time(story(given, then, door, api, truth(door, api), stream=stream))


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("api", [CHAT, RESPONSES])
@pytest.mark.parametrize("number", range(len(NEXT)), ids=[other.name.replace(" ", "_") for other in NEXT])
@pytest.mark.parametrize("row", CONTINUED, ids=[row.name.replace(" ", "_") for row in CONTINUED])
def test_each_stream_that_may_go_on(row: Continued, number: int, api: str, door: str):
    """Whole where the next target can mend it, else the first error, typed; and what the ledger says of both."""
    given = settings(api, row.fault, second=NEXT[number].provider, recovery="continue")
    virtual_time(story(given, row.then[number], door, api, truth(door, api), stream=True))


def test_the_table_is_as_long_as_was_promised():
    """At least 24 faults, each whole and streamed; each kind of fault that the simulator knows; each row its own."""
    from typing import get_args

    from headgate.providers.simulator.settings import FaultKind

    assert len([row for row in ROWS if row.whole and row.streamed]) >= 24
    # What goes wrong with questions that were put together is told by `test_combined.py`.
    assert {row.fault["kind"] for row in ROWS} == set(get_args(FaultKind)) - {"missing_item", "unfit"}
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_retries_stop_when_the_deadline_comes():
    """A call with ten seconds does not spend sixty on a silent provider."""

    async def deadline() -> float:
        async with opened(settings(CHAT, {"kind": "silence"})) as door:
            with pytest.raises(HeadgateError):
                await door.generate_response(QUESTION, model="m", timeout=10)
            return VirtualClock().monotonic()

    assert virtual_time(deadline()) == pytest.approx(10)
