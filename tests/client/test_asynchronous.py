"""`AsyncHeadgate`, on the simulator."""

import asyncio
import contextlib
import gc
import json
import logging
from base64 import b64encode
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pydantic import BaseModel

from headgate.client.asynchronous import AsyncHeadgate
from headgate.core.errors import (
    BadRequestError,
    ConfigError,
    InterruptedError,  # noqa: A004  the house's word
    OverloadedError,
    PartialFailureError,
    RateLimitError,
    StoppingError,
    TimeoutError,  # noqa: A004  ditto
    TruncatedError,
    ValidationError,
)
from headgate.gate.load import load
from headgate.providers.simulator.models import MODELS
from headgate.stores.protocols import Query
from headgate.testing import VirtualClock, virtual_time

PNG = b"\x89PNG\r\n\x1a\n"
LONG = "Tell me everything, please: " + "more " * 200


class City(BaseModel):
    """What is asked for."""

    name: str
    inhabitants: int


def _simulator(gate, name="sim"):
    return gate._gate.simulators[name]


class InNovember(VirtualClock):
    """2026-11-20, when each of the simulator's models still answered."""

    def time(self):
        return 1_795_132_800 + self.monotonic()


def _nothing_is_left():
    return asyncio.all_tasks() == {asyncio.current_task()}


# ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_key_it_says_so_at_once():
    """Nobody to ask is an error at construction, with the cure; no answer is ever invented."""
    with pytest.raises(ConfigError, match="No usable provider") as caught:
        AsyncHeadgate()
    assert "OPENAI_API_KEY" in caught.value.hint


def test_a_key_is_enough():
    """An argument takes the place of the environment's variable; nothing is opened yet."""
    gate = AsyncHeadgate(api_key="sk-made-up", base_url="http://127.0.0.1:9/v1", model="gpt-6-sol")
    provider = gate.config.providers["openai"]
    assert (provider.api_key.reveal(), provider.base_url) == ("sk-made-up", "http://127.0.0.1:9/v1")
    assert gate.config.models["default"] == "gpt-6-sol"
    assert gate._gate is None
    assert "made-up" not in repr(vars(gate))


def test_the_environment_is_enough(monkeypatch, tmp_path):
    """The variables of the process, or of `.env` beside it."""
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-from-dotenv\nOPENAI_MODEL=gpt-6-sol\n")
    gate = AsyncHeadgate()
    assert gate.config.providers["openai"].api_key.reveal() == "sk-from-dotenv"
    assert gate.config.models["default"] == "gpt-6-sol"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-environment")
    assert AsyncHeadgate().config.providers["openai"].api_key.reveal() == "sk-from-environment"


def test_a_configuration_comes_as_file_mapping_or_config(tmp_path, practice):
    """All three make the same gate, and a file beside the program is found by itself."""
    by_mapping = AsyncHeadgate(practice(seed=5)).config
    file = tmp_path / "headgate.yaml"
    file.write_text(
        "store: memory://\nproviders: {sim: {type: simulator, max_retries: 0, seed: 5}}\n"
        "models: {default: gpt-6-luna, '*': {targets: [{provider: sim, priority: 1}]}}\n"
    )
    assert AsyncHeadgate(file).config == by_mapping
    assert AsyncHeadgate(str(file)).config == by_mapping
    assert AsyncHeadgate().config == by_mapping
    assert AsyncHeadgate(by_mapping).config == by_mapping
    assert AsyncHeadgate(load(file, environment={}).config, model="other").config.models["default"] == "other"
    assert by_mapping.models["default"] == "gpt-6-luna"


def test_a_wrong_setting_is_named():
    """A misspelled key is an error with the nearest known name."""
    with pytest.raises(ConfigError, match="provders"):
        AsyncHeadgate({"provders": {}})


def test_a_configuration_of_no_known_type_is_not_passed_over():
    """Else the gate would be made of the environment, and nobody would know."""
    with pytest.raises(ConfigError, match="of the type list"):
        AsyncHeadgate([("providers", {})], simulate=True)


def test_what_is_skipped_is_warned_of(practice, caplog):
    """A provider without its key is left out, and the log says so."""
    config = practice()
    config["providers"]["openai"] = {"type": "openai", "api_key": "${MISSING_KEY:-}"}
    with caplog.at_level(logging.WARNING, "headgate"):
        AsyncHeadgate(config)
    assert "MISSING_KEY" in caplog.text


def test_it_opens_at_first_use_and_only_once(practice):
    """Calls that come together open one gate."""

    async def story():
        gate = AsyncHeadgate(practice())
        replies = await asyncio.gather(*(gate.generate_response(f"Say {n}.") for n in range(5)))
        assert len({reply.request_id for reply in replies}) == 5
        assert len(_simulator(gate).log) == 5
        await gate.aclose()
        assert _nothing_is_left()

    asyncio.run(story())


def test_after_the_close_it_says_so(practice):
    """Every method: a clear error, not a hang, not a new gate. Closing twice, or unopened, is fine."""

    async def story():
        async with AsyncHeadgate(practice()) as gate:
            await gate.generate_response("Hello")
        await gate.aclose()
        for use in (gate.generate_response("Hi"), gate.usage(), gate.models(), gate.health(), anext(gate.stream("Hi"))):
            with pytest.raises(StoppingError, match="closed"):
                await use
        await AsyncHeadgate(practice()).aclose()

    asyncio.run(story())


def test_another_event_loop_is_refused(practice):
    """Connections belong to a loop; the error names the cure."""
    gate = AsyncHeadgate(practice())
    with asyncio.Runner() as first:
        first.run(gate.generate_response("Hello"))
        with asyncio.Runner() as second, pytest.raises(RuntimeError, match="another event loop"):
            second.run(gate.models())
        first.run(gate.aclose())


# ── generate_response ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_response_says_everything(practice):
    """Words, model, provider, tokens, cost to the picodollar as the simulator bills it."""

    async def story():
        async with AsyncHeadgate(practice()) as gate:
            reply = await gate.generate_response("Name a city.", max_tokens=50, temperature=1, system="Be short.")
            assert reply.text
            assert (reply.model, reply.provider, reply.attempts, reply.cached) == ("gpt-6-luna", "sim", 1, False)
            assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 0
            assert reply.cost_usd == _simulator(gate).bill.usd() > 0
            assert reply.finish_reason in {"stop", "length"}
            assert reply.simulated
            assert reply.latency_ms > 0
            assert reply.raw["object"] == "response"
            sent = _simulator(gate).last
            assert sent.path.endswith("/responses")
            assert b'"store":false' in sent.body
            assert b'"max_output_tokens":50' in sent.body

    asyncio.run(story())


EVERYTHING = {
    "max_tokens": 10**6, "reasoning_effort": "max", "verbosity": "low", "temperature": 0.2, "top_p": 0.9,
    "store": False,
}  # fmt: skip
TALKS = sorted(name for name, model in MODELS.items() if model.serves in {"talk", "everything"})


@pytest.mark.parametrize("responses", [True, False])
def test_every_model_takes_the_same_options(practice, responses):
    """Through either API; what a model does not take is named as the option it was. One that takes all gets all."""

    async def story():
        dropped = {}
        gate = AsyncHeadgate(practice(responses=responses))
        gate._clock = InNovember()
        async with gate:
            for model in TALKS:
                reply = await gate.generate_response("Name a city.", model=model, **EVERYTHING)
                assert reply.text
                dropped[model] = reply.dropped
                streamed = [piece async for piece in gate.stream("Name a city.", model=model, **EVERYTHING)]
                assert streamed[-1].dropped == reply.dropped
                assert (await gate.parse(City, "Describe Lyon.", model=model, **EVERYTHING)).name is not None
        return dropped

    dropped = asyncio.run(story())
    assert dropped["fake"] == ()
    assert set(dropped["gpt-4.1"]) == {"reasoning_effort", "max_tokens"}
    assert set(dropped["gpt-6-luna"]) == {"max_tokens", "temperature", "top_p"}
    assert set(dropped["o3"]) == {"reasoning_effort", "max_tokens", "temperature", "top_p"}


def test_options_that_only_chat_has(practice):
    """They are asked for there, so that a model that takes them gets them."""

    async def story():
        gate = AsyncHeadgate(practice())
        gate._clock = InNovember()
        async with gate:
            old = await gate.generate_response("Name a city.", model="gpt-4.1", stop=["zzz"], seed=7)
            assert b'"stop":["zzz"],"seed":7' in _simulator(gate).last.body
            new = await gate.generate_response("Name a city.", model="gpt-6-luna", stop="zzz", seed=7)
            assert (old.raw["object"], old.dropped) == ("chat.completion", ())
            assert (new.raw["object"], new.dropped) == ("chat.completion", ("stop",))

    asyncio.run(story())


def test_a_setting_holds_at_this_door_too(practice):
    """Whoever wants to hear of what a model does not take hears of it; nothing leaves."""

    async def story():
        config = practice()
        config["policies"] = {"on_unsupported": "refuse"}
        async with AsyncHeadgate(config) as gate:
            with pytest.raises(BadRequestError, match="takes no `temperature`"):
                await gate.generate_response("Name a city.", temperature=0.2)
            assert len(_simulator(gate).log) == 0
            assert (await gate.generate_response("Name a city.", max_tokens=50)).dropped == ()

    asyncio.run(story())


def test_callers_of_the_api_hear_it_from_the_model(practice):
    """`http_client` speaks the provider's language: what leaves is what came."""

    async def story():
        async with AsyncHeadgate(practice()) as gate, gate.http_client() as client:
            body = b'{"model":"gpt-6-luna","input":"Hi","temperature":0.2}'
            answer = await client.post(
                "http://gate/v1/responses", content=body, headers={"content-type": "application/json"}
            )
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unsupported_value")
            assert _simulator(gate).last.body == body

    asyncio.run(story())


def test_chat_where_a_target_has_no_responses(practice):
    """One of the targets cannot: chat completions, and the same kind of result."""

    async def story():
        async with AsyncHeadgate(practice(backup={"responses": False})) as gate:
            reply = await gate.generate_response("Name a city.", max_tokens=50)
            assert reply.raw["object"] == "chat.completion"
            assert reply.text == reply.raw["choices"][0]["message"]["content"]
            assert b'"max_completion_tokens":50' in _simulator(gate).last.body
            city = await gate.parse(City, "Describe Lyon.")
            assert isinstance(city.inhabitants, int)
            pieces = [piece async for piece in gate.stream("Count.")]
            assert pieces[-1].usage.completion_tokens > 0

    asyncio.run(story())


def test_messages_instead_of_a_prompt(practice):
    """A conversation goes as it is; both or neither is an error, and nothing is sent."""

    async def story():
        async with AsyncHeadgate(practice()) as gate:
            talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
            reply = await gate.generate_response(messages=[*talk, {"role": "user", "content": "Name a city."}])
            assert reply.text
            sent = len(_simulator(gate).log)
            for arguments in ({}, {"prompt": "a", "messages": talk}):
                with pytest.raises(BadRequestError, match="prompt"):
                    await gate.generate_response(**arguments)
            assert len(_simulator(gate).log) == sent == 1

    asyncio.run(story())


def test_a_prompt_about_pictures(practice, tmp_path):
    """Bytes and files go along whole, addresses as they are; in either API, and streamed."""
    file = tmp_path / "a.png"
    file.write_bytes(PNG)
    data = "data:image/png;base64," + b64encode(PNG).decode()
    pictures = [PNG, file, "https://x.example/a.png"]

    async def story():
        async with AsyncHeadgate(practice()) as gate:
            reply = await gate.generate_response("What is on it?", images=pictures)
            assert reply.text
            (message,) = json.loads(_simulator(gate).last.body)["input"]
            assert message["content"] == [
                {"type": "input_text", "text": "What is on it?"},
                *({"type": "input_image", "image_url": url} for url in (data, data, "https://x.example/a.png")),
            ]
            assert [piece async for piece in gate.stream("What is on it?", images=(PNG,), priority=9)][-1].usage
        async with AsyncHeadgate(practice(responses=False)) as gate:
            await gate.generate_response("What is on it?", images=[PNG])
            (message,) = json.loads(_simulator(gate).last.body)["messages"]
            assert message["content"][1] == {"type": "image_url", "image_url": {"url": data}}

    asyncio.run(story())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_token": 5}, "max_token"),
        ({"tags": {"Team": "a"}}, "x-headgate-tags"),
        ({"tags": ["team"]}, "not a mapping"),
        ({"priority": 10}, "priority"),
        ({"images": ["a.png"]}, "not an address"),
        ({"messages": [{"role": "user", "content": "Hi"}], "images": ["https://x.example/a.png"]}, "images"),
        ({"messages": "Hi"}, "messages"),
        ({"temperature": object()}, "JSON"),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_sent(practice, options, said):
    """Unknown, malformed, or not to be written as JSON."""

    async def story():
        async with AsyncHeadgate(practice()) as gate:
            with pytest.raises(BadRequestError, match=said):
                await gate.generate_response(None if "messages" in options else "Hi", **options)
            assert not _simulator(gate).log

    asyncio.run(story())


def test_errors_are_of_the_house(practice):
    """Each failure in its class, with the attempts that were made."""

    async def story(fault, error):
        async with AsyncHeadgate(practice(fault)) as gate:
            with pytest.raises(error) as caught:
                await gate.generate_response("Hi")
            assert len(caught.value.attempts) == 1

    asyncio.run(story({"kind": "status", "status": 429, "retry_after": 90}, RateLimitError))
    asyncio.run(story({"kind": "status", "status": 500}, OverloadedError))


def test_the_timeout_bounds_the_call(practice, virtual):
    """Retries and fallback included; nothing is left running."""

    async def story():
        gate = virtual(practice({"kind": "silence"}, backup={"faults": [{"kind": "silence"}]}))
        async with gate:
            start = asyncio.get_running_loop().time()
            with pytest.raises(TimeoutError):
                await gate.generate_response("Hi", timeout=7)
            assert asyncio.get_running_loop().time() - start == pytest.approx(7, abs=0.1)
        assert _nothing_is_left()

    virtual_time(story())


def test_cancelling_leaves_nothing_behind(practice, virtual):
    """A cancelled call ends, and its attempt is on the books as unknown."""

    async def story():
        async with virtual(practice({"kind": "silence"})) as gate:
            with pytest.raises(asyncio.TimeoutError):
                async with asyncio.timeout(3):
                    await gate.generate_response("Hi")
            usage = await gate.usage()
            assert (usage.calls, usage.attempts, usage.unknown_attempts) == (1, 1, 1)
        assert _nothing_is_left()

    virtual_time(story())


# ── stream ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_stream_comes_in_pieces(practice):
    """The words add up to those of the whole answer; the last piece has the end, the tokens and the cost."""

    async def story():
        async with AsyncHeadgate(practice(seed=3)) as gate:
            pieces = [piece async for piece in gate.stream("Count to ten.")]
            whole = await gate.generate_response("Count to ten.")
            assert len(pieces) > 2
            assert "".join(piece.text for piece in pieces) == whole.text
            assert all(piece.text and piece.finish is None and piece.usage is None for piece in pieces[:-1])
            last = pieces[-1]
            assert (last.text, last.finish) == ("", whole.finish_reason)
            assert last.usage.completion_tokens == whole.usage.completion_tokens
            assert last.cost_usd + whole.cost_usd == _simulator(gate).bill.usd()
            assert (last.model, last.provider, last.simulated) == (whole.model, whole.provider, True)

    asyncio.run(story())


def test_a_stream_without_usage_is_counted(practice):
    """The provider said nothing of tokens: the last piece has what the books have."""

    async def story():
        async with AsyncHeadgate(practice({"kind": "no_usage"})) as gate:
            *_, last = [piece async for piece in gate.stream("Count to ten.")]
            await gate.usage()
            (row,) = [row async for row in gate._gate.rows(Query())]
            assert row.basis == "counted"
            assert last.usage.completion_tokens == row.completion_tokens > 0

    asyncio.run(story())


def test_a_broken_stream_is_never_a_success(practice):
    """What was said stands; then the error, and no last piece."""

    async def story():
        said = []
        async with AsyncHeadgate(practice({"kind": "cut", "after_tokens": 5})) as gate:
            pieces = gate.stream(LONG)

            async def listen():
                async for piece in pieces:
                    said.append(piece)  # noqa: PERF401  what came before the error counts

            with pytest.raises(InterruptedError):
                await listen()
        assert said
        assert all(piece.finish is None for piece in said)

    asyncio.run(story())


@pytest.mark.parametrize("how", ["break", "aclosing", "cancel"])
def test_leaving_a_stream_closes_it_upstream(practice, virtual, how):
    """By a `break`, at the end of a block, or by a cancellation: the connection is given back, the books are closed."""

    async def leave(gate):
        if how == "cancel":
            with contextlib.suppress(asyncio.TimeoutError):
                async with asyncio.timeout(5):
                    async for _ in gate.stream(LONG):
                        pass
        elif how == "aclosing":
            async with contextlib.aclosing(gate.stream(LONG)) as pieces:
                await anext(pieces)
        else:
            async for _ in gate.stream(LONG):
                break
            gc.collect()
            await asyncio.sleep(0.5)

    async def story():
        async with virtual(practice(latency={"per_token": 1})) as gate:
            await leave(gate)
            await gate.usage()
            rows = [row async for row in gate._gate.rows(Query())]
            assert [(row.settled, row.basis) for row in rows] == [("billed", "counted")]
            # Cut off when it had hardly begun: its words take minutes.
            assert rows[0].latency_ms < 10_000
        assert _nothing_is_left()

    virtual_time(story())


# ── parse and batch_generate ─────────────────────────────────────────────────────────────────────────────────────────


def test_parse_gives_an_object(practice):
    """The schema is sent strict, and the answer is an instance."""

    async def story():
        async with AsyncHeadgate(practice()) as gate:
            city = await gate.parse(City, "Describe Lyon.")
            assert isinstance(city, City)
            assert city.name
            sent = _simulator(gate).last.body
            assert b'"strict":true' in sent
            assert b'"additionalProperties":false' in sent

    asyncio.run(story())


def test_an_answer_cut_short_is_no_object(practice):
    """The text that came is on the error."""

    async def story():
        async with AsyncHeadgate(practice(backup={"responses": False})) as gate:
            with pytest.raises(ValidationError) as caught:
                await gate.parse(City, "Describe Lyon.", max_tokens=2)
            assert type(caught.value) is TruncatedError

    asyncio.run(story())


def test_many_prompts(practice):
    """Results in order, costs that add up to the simulator's bill, all of it in the ledger."""

    async def story():
        async with AsyncHeadgate(practice()) as gate:
            results = await gate.batch_generate([f"Say {n}." for n in range(30)], tags={"run": "r1"}, concurrency=7)
            assert len(results) == 30
            assert sum(result.cost_usd for result in results) == _simulator(gate).bill.usd()
            report = await gate.usage(by="tag:run", since=datetime(2020, 1, 1, tzinfo=UTC))
            assert (report.calls, report.attempts, report.errors) == (30, 30, 0)
            assert report.cost_usd == _simulator(gate).bill.usd()
            assert [part.group for part in report.by] == [{"tag:run": "r1"}]

    asyncio.run(story())


def test_one_prompt_is_not_many(practice):
    """A string would be a paid call for each of its letters."""

    async def story():
        async with AsyncHeadgate(practice()) as gate:
            with pytest.raises(BadRequestError, match="`prompts` is a string"):
                await gate.batch_generate("Hello")
            assert not _simulator(gate).log

    asyncio.run(story())


def test_what_succeeded_among_many_is_kept(practice):
    """Three calls fail: the error has twenty-seven answers and three errors, each in its place."""

    async def story():
        async with AsyncHeadgate(practice({"kind": "status", "status": 400, "times": 3})) as gate:
            with pytest.raises(PartialFailureError, match="3 of 30") as caught:
                await gate.batch_generate([f"Say {n}." for n in range(30)], concurrency=1)
            kinds = [isinstance(result, Exception) for result in caught.value.results]
            assert kinds == [True] * 3 + [False] * 27
            with pytest.raises(BadRequestError, match="concurrency"):
                await gate.batch_generate(["a"], concurrency=0)

    asyncio.run(story())


# ── the rest ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_models_and_health(practice):
    """What may be asked for, and how it is doing."""

    async def story():
        async with AsyncHeadgate(practice()) as gate:
            assert await gate.models() == ["gpt-6-luna"]
            health = await gate.health()
            assert (health["status"], health["simulated"]) == ("ok", True)

    asyncio.run(story())


def test_a_sync_client_needs_an_open_gate(practice):
    """It works from other threads once the gate is open; before that it says so."""

    async def story():
        gate = AsyncHeadgate(practice())
        client = gate.http_client(sync=True)
        with pytest.raises(StoppingError, match="not open"):
            client.get("http://gate/v1/models")
        async with gate:
            assert (await asyncio.to_thread(client.get, "http://gate/v1/models")).status_code == 200

    asyncio.run(story())


def test_closing_while_it_opens(practice):
    """A call that was waiting for the gate to open is refused; nothing is left open."""

    async def story():
        gate = AsyncHeadgate(practice())
        await gate._opening.acquire()
        waiting = asyncio.gather(gate.models(), return_exceptions=True)
        closing = asyncio.gather(gate.aclose())
        await asyncio.sleep(0)
        gate._opening.release()
        (refused,) = await waiting
        await closing
        assert isinstance(refused, StoppingError)
        assert gate._gate is None

    asyncio.run(story())


def test_the_books_know_a_user(practice):
    """`user` and tags are dimensions of usage."""

    async def story():
        async with AsyncHeadgate(practice()) as gate:
            await gate.generate_response("Hi", user="ann")
            await gate.generate_response("Hi", user="bob")
            report = await gate.usage(by=["user"], where={"user": "ann"})
            assert [(part.group, part.calls) for part in report.by] == [({"user": "ann"}, 1)]
            assert report.cost_usd > Decimal(0)

    asyncio.run(story())
