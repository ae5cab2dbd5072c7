"""Routes through a whole gate, on simulators and the virtual clock: who answered, and what the books say."""

from collections import Counter

import msgspec
import pytest

from headgate.core.attempt import Settled
from headgate.core.call import Operation
from headgate.core.errors import BadRequestError, ContextLengthError, OverloadedError
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemChance
from headgate.testing import VirtualClock, virtual_time

LUNA, SOL = "gpt-6-luna", "gpt-6-sol"
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.test/a.png"}}


def opened(providers, route, **settings):
    """A gate with one route, named `m`; settings of providers that say no type are those of simulators."""
    given = {
        "store": "memory://",
        "providers": {name: {"type": "simulator", **provider} for name, provider in providers.items()},
        "models": {"m": route},
        **settings,
    }
    config = load(None, environment={}, settings=given).config
    return Gate.open(config, clock=VirtualClock(), chance=SystemChance(3))


def to(*targets, **more):
    """A route: targets as provider, model, and maybe priority."""
    keys = ("provider", "model", "priority")
    return {"targets": [dict(zip(keys, target, strict=False)) for target in targets], **more}


async def ask(gate, words="hello", **fields):
    """One chat; gives the call, whose trail says who was asked."""
    request = {"model": "m", "messages": [{"role": "user", "content": words}], **fields}
    call = gate.call(Operation.CHAT, msgspec.json.encode(request))
    async with await gate(call) as reply:
        await reply.read()
    return call


def tried(call):
    """Who was asked, in order."""
    return [(attempt.provider, attempt.model) for attempt in call.trail]


def test_latency_finds_the_quicker_of_two_simulators_and_follows_a_swap():
    """Most calls go to the quicker one; when the two change places, so do the calls, within seconds."""
    slow, quick = {"latency": {"first_token": 2}}, {"latency": {"first_token": 0.2}}

    async def story():
        async with await opened({"a": slow, "b": quick}, to(("a", LUNA), ("b", LUNA), strategy="latency")) as gate:
            before = Counter([tried(await ask(gate, stream=True))[-1][0] for _ in range(200)])
            a, b = (gate.simulators[name]._desk for name in "ab")
            a._latency, b._latency = b._latency, a._latency
            after = Counter([tried(await ask(gate, stream=True))[-1][0] for _ in range(100)])
            return before, after

    before, after = virtual_time(story())
    assert before["b"] >= 190
    assert before["a"] >= 1
    assert after["a"] >= 95


def test_cost_picks_the_cheapest_for_this_call():
    """Of the catalog's prices, at the price list of each provider; a stranger's price comes last."""

    async def story():
        route = to(("a", "gpt-5.5"), ("b", LUNA), ("a", SOL), strategy="cost")
        async with await opened({"a": {}, "b": {}}, route) as gate:
            return [tried(await ask(gate, max_completion_tokens=100)) for _ in range(5)]

    assert virtual_time(story()) == [[("b", LUNA)]] * 5


def test_cost_counts_the_bound_of_the_answer():
    """The user's own prices: one is cheap to tell things, the other cheap to hear from."""
    prices = {
        SOL: {"input_usd_per_million": 1, "output_usd_per_million": 20},
        LUNA: {"input_usd_per_million": 10, "output_usd_per_million": 2},
    }

    async def story():
        route = to(("a", SOL), ("a", LUNA), strategy="cost")
        async with await opened({"a": {}}, route, catalog={"models": prices}) as gate:
            long = await ask(gate, "word " * 200)
            short = await ask(gate, "word " * 200, max_completion_tokens=5)
            return tried(short), tried(long)

    assert virtual_time(story()) == ([("a", SOL)], [("a", LUNA)])


def test_a_prompt_cache_key_stays_with_one_account():
    """Ten calls each of twenty keys: one target for a key, and both are used."""

    async def story():
        async with await opened({"a": {}, "b": {}}, to(("a", LUNA), ("b", LUNA))) as gate:
            return {
                key: {tried(await ask(gate, prompt_cache_key=f"tenant {key}"))[0][0] for _ in range(10)}
                for key in range(20)
            }

    found = virtual_time(story())
    assert all(len(providers) == 1 for providers in found.values())
    assert {provider for providers in found.values() for provider in providers} == {"a", "b"}


def test_a_picture_goes_to_a_model_that_sees():
    """The first target is passed by for pictures only; what nobody can do is a 400 before anything leaves."""
    catalog = {"models": {SOL: {"capabilities": ["tools"]}, LUNA: {"capabilities": ["vision"]}}}

    async def story():
        async with await opened({"a": {}}, to(("a", SOL), ("a", LUNA, 2)), catalog=catalog) as gate:
            plain = tried(await ask(gate))
            seen = tried(await ask(gate, [{"type": "text", "text": "what is this?"}, PICTURE]))
            with pytest.raises(BadRequestError, match=f"a/{SOL} lacks vision; a/{LUNA} lacks tools") as caught:
                await ask(gate, [PICTURE], tools=[{"type": "function", "function": {"name": "f"}}])
            return plain, seen, caught.value.attempts

    assert virtual_time(story()) == ([("a", SOL)], [("a", LUNA)], ())


def test_what_is_too_long_here_goes_to_a_larger_context():
    """Our own count refuses it at the small model, and nothing leaves; the large one answers, by the first attempt."""
    catalog = {"models": {SOL: {"context": 200, "max_output": 50}, "gpt-5.5": {"context": 100, "max_output": 50}}}
    route = to(("a", SOL), ("a", "gpt-5.5", 2), ("a", LUNA, 3))

    async def story():
        async with await opened({"a": {}}, route, catalog=catalog) as gate:
            long = await ask(gate, "word " * 400)
            return tried(long), [attempt.number for attempt in long.trail], tried(await ask(gate))

    assert virtual_time(story()) == ([("a", LUNA)], [1], [("a", SOL)])


def test_where_no_context_is_larger_the_provider_has_the_word():
    """Its own 400 comes out, once."""
    fault = {"kind": "status", "status": 400, "code": "context_length_exceeded", "type": "invalid_request_error"}

    async def story():
        async with await opened({"a": {"faults": [fault]}, "b": {}}, to(("a", LUNA), ("b", LUNA, 2))) as gate:
            with pytest.raises(ContextLengthError) as caught:
                await ask(gate)
            return [(attempt.provider, attempt.settled) for attempt in caught.value.attempts]

    assert virtual_time(story()) == [("a", Settled.NOT_BILLED)]


def test_a_target_that_fails_is_told_rather_than_one_that_was_not_asked():
    """That the second one is too small for the question is no help to a caller who asks again later."""
    catalog = {"models": {SOL: {"context": 200, "max_output": 50}}}
    busy = {"max_retries": 0, "faults": [{"kind": "status", "status": 503}]}

    async def story():
        async with await opened({"a": busy, "b": {}}, to(("a", LUNA), ("b", SOL, 2)), catalog=catalog) as gate:
            with pytest.raises(OverloadedError) as caught:
                await ask(gate, "word " * 400)
            return [attempt.provider for attempt in caught.value.attempts]

    assert virtual_time(story()) == ["a"]
