"""Models and parameters, cell by cell, through a whole gate on the simulator.

What follows was written by hand from OpenAI's documentation of November 2026 and what was observed then, and knows
neither the catalog nor the simulator's rules: in each cell, all three must agree.

Each cell is asked three times. `pass`: the request leaves byte by byte, and the simulator answers, or refuses it in its
own words. `drop`: there is an answer, and header and ledger name what the model did not get. `refuse`: 400, and nothing
leaves.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import pytest

from headgate.core.call import Operation
from headgate.core.errors import APIError, BadRequestError
from headgate.gate import present
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemChance
from headgate.providers.simulator.models import MODELS as SIMULATED
from headgate.stores.protocols import Query
from headgate.testing import VirtualClock, virtual_time

CHAT, RESPONSES = Operation.CHAT, Operation.RESPONSES
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
TOOL = {"name": "f", "parameters": {"type": "object", "properties": {}}}
SCHEMA = {"name": "n", "schema": {"type": "object", "properties": {}}}


class InNovember(VirtualClock):
    """2026-11-20, when each of the models below still answered."""

    def time(self) -> float:
        return 1_795_132_800 + self.monotonic()


class Facts(NamedTuple):
    """What is written about a model.

    Attributes:
        efforts: first and last, of those in between it has all; none for a model that does not reason.
        none: it has the effort `none`, too.
        effort: its default.
        chat: the last effort that it has in chat.
        tools: in chat: always, only with effort none, never.
        cache: it takes `prompt_cache_options`.
        longest: its longest answer.
    """

    efforts: tuple[str, str] | None = None
    none: bool = False
    effort: str = "none"
    chat: str = "max"
    tools: str = "always"
    cache: bool = False
    longest: int = 128_000

    def takes(self, effort: str, operation: Operation) -> bool:
        """Whether it has an effort."""
        if self.efforts is None or effort == "none":
            return self.none
        first, last = map(EFFORTS.index, self.efforts)
        most = EFFORTS.index(self.chat) if operation is CHAT else last
        return first <= EFFORTS.index(effort) <= min(last, most)


OLD = Facts()
THINKS = Facts(("low", "max"), effort="medium", tools="never", cache=True)
BOTH = Facts(("low", "max"), none=True, effort="medium", tools="none", cache=True)
MODELS = {
    "gpt-4o": OLD._replace(longest=16_384),
    "gpt-4o-mini": OLD._replace(longest=16_384),
    "gpt-4.1": OLD._replace(longest=32_768),
    "gpt-4.1-mini": OLD._replace(longest=32_768),
    "o3": Facts(("low", "high"), effort="medium", longest=100_000),
    "gpt-5": Facts(("minimal", "high"), effort="medium"),
    "gpt-5-mini": Facts(("minimal", "high"), effort="medium"),
    "gpt-5-nano": Facts(("minimal", "high"), effort="medium"),
    "gpt-5.1": Facts(("low", "high"), none=True),
    "gpt-5.2": Facts(("low", "xhigh"), none=True),
    "gpt-5.4": Facts(("low", "xhigh"), none=True, tools="none"),
    "gpt-5.4-mini": Facts(("low", "xhigh"), none=True, tools="none"),
    "gpt-5.4-nano": Facts(("low", "xhigh"), none=True, tools="none"),
    "gpt-5.5": Facts(("low", "xhigh"), none=True, effort="medium", tools="none"),
    "gpt-5.6-sol": BOTH._replace(chat="xhigh"),
    "gpt-5.6-terra": BOTH._replace(chat="xhigh"),
    "gpt-5.6-luna": BOTH._replace(chat="xhigh"),
    "gpt-6-sol": BOTH,
    "gpt-6-luna": BOTH,
    "gpt-6.1-terra": BOTH,
    "gpt-6-astra": THINKS,
    "gpt-6.1-sol": THINKS._replace(chat="xhigh"),
    "gpt-6.2-astra": THINKS,
    "gpt-6.2-sol": THINKS,
}

Told = Callable[[Facts], tuple[str, ...]]


class Ask(NamedTuple):
    """A column of the table.

    Attributes:
        title: its name.
        operation: which API.
        fields: what is asked for.
        told: the names that the model does not get; none where it takes everything.
        idle: it asks for what happens anyway: the model lets it pass, and so does `refuse`.
    """

    title: str
    operation: Operation
    fields: dict[str, Any]
    told: Told
    idle: bool = False


def reasons(*names: str) -> Told:
    """Refused by models that reason, at any effort."""
    return lambda model: names if model.efforts else ()


def thinks(*names: str, effort: str | None = None) -> Told:
    """Refused where the effort, asked for or by default, is not none."""
    return lambda model: names if (effort or model.effort) != "none" else ()


def always(*names: str) -> Told:
    """Refused by every model."""
    return lambda _: names


def effort(name: str, asked: str, operation: Operation) -> Told:
    """Refused by models that do not have it."""
    return lambda model: () if model.takes(asked, operation) else (name,)


def cached(model: Facts) -> tuple[str, ...]:
    """Refused by models before gpt-5.6."""
    return () if model.cache else ("prompt_cache_options",)


def tools(asked: str | None) -> Told:
    """Tools in chat, with an effort that was asked for, or with none."""

    def told(model: Facts) -> tuple[str, ...]:
        names = () if asked is None or model.takes(asked, CHAT) else ("reasoning_effort",)
        if model.tools == "never":
            return (*names, "tools", "tool_choice")
        return ("reasoning_effort",) if model.tools == "none" and (asked or model.effort) != "none" else names

    return told


def asks() -> Iterator[Ask]:
    """All columns."""
    yield from in_chat()
    yield from in_responses()
    # What both spell alike.
    for operation, name in ((CHAT, "reasoning_effort"), (RESPONSES, "reasoning.effort")):
        for one in EFFORTS:
            asked = {"reasoning_effort": one} if operation is CHAT else {"reasoning": {"effort": one}}
            yield Ask(f"{name} {one}", operation, asked, effort(name, one, operation))
            warm = {**asked, "temperature": 0.2}
            if one in {"none", "low"}:
                yield Ask(f"temperature at {one}", operation, warm, warmth(name, one, operation))
        for field in ("temperature", "top_p"):
            yield Ask(field, operation, {field: 0.5}, thinks(field))
            yield Ask(f"{field} 1", operation, {field: 1}, thinks(field), idle=True)
        yield Ask("prompt_cache_options", operation, {"prompt_cache_options": {"ttl": "12h"}}, cached)
        yield Ask("store", operation, {"store": False}, always())
        yield Ask("metadata", operation, {"metadata": {"a": "b"}}, always())
        yield Ask("service_tier", operation, {"service_tier": "flex"}, always())
        yield Ask("user", operation, {"user": "u"}, always())


def warmth(name: str, asked: str, operation: Operation) -> Told:
    """A temperature beside an effort: what becomes of the effort decides about the temperature."""

    def told(model: Facts) -> tuple[str, ...]:
        fits = model.takes(asked, operation)
        cold = () if model.efforts is None or (asked == "none" and model.none) else ("temperature",)
        return (*(() if fits else (name,)), *cold)

    return told


def in_chat() -> Iterator[Ask]:
    """What is asked for in Chat Completions."""

    def ask(title: str, told: Told, *, idle: bool = False, **fields: Any) -> Ask:
        return Ask(title, CHAT, fields, told, idle)

    yield ask("nothing", always())
    yield ask("max_tokens", reasons("max_tokens"), max_tokens=50)
    yield ask("max_completion_tokens", always(), max_completion_tokens=50)
    yield ask("beyond", always("max_completion_tokens"), max_completion_tokens=1_000_000)
    yield ask(
        "beyond, the old way",
        lambda model: ("max_tokens", "max_completion_tokens") if model.efforts else ("max_tokens",),
        max_tokens=1_000_000,
    )
    yield ask("max_output_tokens", always("max_output_tokens"), max_output_tokens=50)
    yield ask("text", always("text.verbosity", "text"), text={"verbosity": "low"})
    yield ask("verbosity", always(), verbosity="low")
    yield ask("logprobs", thinks("logprobs", "top_logprobs"), logprobs=True, top_logprobs=2)
    yield ask("logprobs false", thinks("logprobs"), logprobs=False, idle=True)
    yield ask("stop", reasons("stop"), stop=["zzz"])
    yield ask("n", always(), n=2)
    yield ask("penalties", reasons("frequency_penalty", "presence_penalty"), frequency_penalty=1, presence_penalty=0.5)
    yield ask("penalty 0", reasons("presence_penalty"), presence_penalty=0, idle=True)
    yield ask("logit_bias", reasons("logit_bias"), logit_bias={"50": 1})
    yield ask("prediction", reasons("prediction"), prediction={"type": "content", "content": "x"})
    yield ask(
        "sound", reasons("audio", "modalities"), modalities=["text", "audio"], audio={"voice": "a", "format": "wav"}
    )
    yield ask("modalities text", reasons("modalities"), modalities=["text"], idle=True)
    yield ask("seed", always(), seed=7)
    schema = {"type": "json_schema", "json_schema": SCHEMA}
    yield ask("response_format", always(), response_format=schema)
    yield ask("text.format", always("text.format", "text"), text={"format": {"type": "json_schema", **SCHEMA}})
    for one in (None, "none", "low"):
        given = {} if one is None else {"reasoning_effort": one}
        tool = {"type": "function", "function": TOOL}
        yield ask(f"tools, effort {one}", tools(one), tools=[tool], tool_choice="auto", **given)


def in_responses() -> Iterator[Ask]:
    """What is asked for in Responses."""

    def ask(title: str, told: Told, *, idle: bool = False, **fields: Any) -> Ask:
        return Ask(title, RESPONSES, fields, told, idle)

    yield ask("nothing", always())
    yield ask("max_output_tokens", always(), max_output_tokens=50)
    yield ask("beyond", always("max_output_tokens"), max_output_tokens=1_000_000)
    for name in ("max_tokens", "max_completion_tokens"):
        yield ask(name, always(name), **{name: 50})
    yield ask(
        "reasoning_effort",
        lambda model: ("reasoning_effort",) if model.efforts else ("reasoning_effort", "reasoning.effort"),
        reasoning_effort="low",
    )
    yield ask("verbosity", always(), text={"verbosity": "low"})
    yield ask("verbosity, as in chat", always("verbosity"), verbosity="low")
    schema = {"type": "json_schema", "json_schema": SCHEMA}
    yield ask("response_format", always("response_format"), response_format=schema)
    yield ask("text.format", always(), text={"format": {"type": "json_schema", **SCHEMA}})
    yield ask("top_logprobs", thinks("top_logprobs"), top_logprobs=2)
    yield ask("logprobs", thinks("include"), include=["message.output_text.logprobs"])
    for name, value in (("stop", "zzz"), ("n", 2), ("seed", 7), ("logit_bias", {"50": 1}), ("presence_penalty", 0.5)):
        yield ask(name, always(name), **{name: value})
    yield ask("tools", always(), tools=[{"type": "function", **TOOL}], tool_choice="auto")
    yield ask("tools, effort low", tool_effort, tools=[{"type": "function", **TOOL}], reasoning={"effort": "low"})


def tool_effort(model: Facts) -> tuple[str, ...]:
    """In Responses, tools go with any effort that the model has."""
    return () if model.efforts else ("reasoning.effort",)


ASKS = tuple(asks())


def raw(model: str, ask: Ask) -> bytes:
    """The request."""
    said = {"messages": [{"role": "user", "content": "Hi"}]} if ask.operation is CHAT else {"input": "Hi"}
    return msgspec.json.encode({"model": model, **said, **ask.fields})


def through(mode: str, model: str, check: Callable[[Ask, tuple[str, ...], bytes, Any], None]) -> list[Any]:
    """Ask for every cell of a model; gives the rows of the ledger."""

    async def story() -> list[Any]:
        settings = {
            "store": "memory://",
            "providers": {"s": {"type": "simulator"}},
            "models": {"*": {"targets": [{"provider": "s"}]}},
            "policies": {"on_unsupported": mode},
        }
        config = load(None, environment={}, settings=settings).config
        async with await Gate.open(config, clock=InNovember(), chance=SystemChance(3)) as gate:
            simulator = gate.simulators["s"]
            for ask in ASKS:
                before, body = len(simulator.log), raw(model, ask)
                call = gate.call(ask.operation, body)
                told = ask.told(MODELS[model])
                try:
                    async with await gate(call) as reply:
                        await reply.read()
                        answer: Any = present.reply_headers(call, reply)
                except (APIError, BadRequestError) as error:
                    answer = error
                left = simulator.last.body if len(simulator.log) > before and simulator.last else b""
                try:
                    check(ask, told, left, answer)
                except AssertionError as error:
                    error.add_note(f"{mode} {model} {ask.operation} {ask.title}: {body!r} -> {left!r}: {answer!r}")
                    raise
            return [row async for row in gate.rows(Query())]

    return virtual_time(story())


def test_the_table_is_whole():
    """Every model of the simulator that talks has a line."""
    assert set(MODELS) == {name for name, model in SIMULATED.items() if model.serves == "talk"}


@pytest.mark.parametrize("model", MODELS)
def test_pass(model):
    """The request leaves byte by byte; the model takes it, or refuses it in its own words."""

    def check(ask: Ask, told: tuple[str, ...], left: bytes, answer: Any) -> None:
        assert left == raw(model, ask)
        if told and not ask.idle:
            assert isinstance(answer, APIError)
            assert answer.http_status == 400
            assert answer.answer is not None
        else:
            assert isinstance(answer, dict)
            assert "x-headgate-dropped" not in answer

    through("pass", model, check)


@pytest.mark.parametrize("model", MODELS)
def test_drop(model):
    """There is an answer; header and ledger name what the model did not get, and nothing else is touched."""
    expected: list[tuple[str, ...]] = []

    def check(ask: Ask, told: tuple[str, ...], left: bytes, answer: Any) -> None:
        assert isinstance(answer, dict)
        names = answer.get("x-headgate-dropped")
        assert sorted(names.split(",") if names else ()) == sorted(told)
        assert told or left == raw(model, ask)
        expected.append(tuple(names.split(",")) if names else ())

    rows = through("drop", model, check)
    assert [row.dropped for row in rows] == expected


@pytest.mark.parametrize("model", MODELS)
def test_refuse(model):
    """What does not fit is a 400 that names it, and nothing leaves; what fits leaves byte by byte."""

    def check(ask: Ask, told: tuple[str, ...], left: bytes, answer: Any) -> None:
        if told and not ask.idle:
            assert isinstance(answer, BadRequestError)
            assert (answer.http_status, left, answer.attempts) == (400, b"", ())
            assert answer.param in told
            assert model in answer.message or "Responses" in answer.message or "Chat Completions" in answer.message
        else:
            assert isinstance(answer, dict)
            assert left == raw(model, ask)

    through("refuse", model, check)
