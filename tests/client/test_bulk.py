"""Many prompts by the Python door."""

import asyncio
from contextlib import aclosing

import pytest

from headgate import AsyncHeadgate, Headgate
from headgate.core.errors import BadRequestError, HeadgateError, OverBudgetError, PartialFailureError
from headgate.jobs.row import Lane


def _gate(**provider):
    return AsyncHeadgate({
        "store": "memory://",
        "providers": {"p": {"type": "simulator", **provider}},
        "models": {"default": "gpt-6-luna", "*": {"targets": [{"provider": "p"}]}},
    })  # fmt: skip


def test_a_dry_retry_budget_fails_nobody():
    """Thirty calls of forty fail once; the retry budget pays for ten."""

    async def story():
        faults = [{"kind": "status", "status": 503, "times": 30, "rate": 0.6, "retry_after": 0}]
        settings = {
            "store": "memory://",
            "providers": {"p": {"type": "simulator", "seed": 3, "faults": faults}},
            "models": {"default": "gpt-6-luna", "*": {"targets": [{"provider": "p"}]}},
            "policies": {"breaker": {"failures": 1000}, "retry": {"max_attempts": 9, "budget": 0}},
        }
        async with AsyncHeadgate(settings) as gate:
            return await gate.batch_generate([f"Say {n}." for n in range(60)], concurrency=20)

    replies = asyncio.run(story())
    assert len(replies) == 60
    assert all(reply.text for reply in replies)


def test_a_stream_of_results_in_order():
    """Of any iterable; an error stands in the place of its result."""

    async def prompts():
        for n in range(20):
            await asyncio.sleep(0)
            yield f"Say {n}."

    async def story():
        faults = [{"kind": "status", "status": 400, "times": 1}]
        async with _gate(faults=faults) as gate:
            results = [result async for result in gate.batch_stream(prompts(), concurrency=1)]
            again = [result async for result in gate.batch_stream(f"Say {n}." for n in range(3))]
            return results, again

    results, again = asyncio.run(story())
    assert isinstance(results[0], HeadgateError)
    assert all(result.text for result in results[1:])
    assert len(results) == 20
    assert all(result.text for result in again)


def test_prompts_are_taken_as_results_are():
    """An endless input does no harm, and leaving early leaves nothing running."""
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield f"Say {taken}."

    async def story():
        async with _gate() as gate:
            before = asyncio.all_tasks()
            async with aclosing(gate.batch_stream(endless(), concurrency=3)) as results:
                async for _ in results:
                    break
            return asyncio.all_tasks() - before

    assert asyncio.run(story()) == set()
    assert taken <= 4 * 3 + 2


def test_a_result_does_not_wait_for_the_next_prompt():
    """Whoever asks slowly hears at once."""

    async def story():
        heard = asyncio.Event()

        async def prompts():
            yield "Say one."
            await heard.wait()
            yield "Say two."

        async with _gate() as gate, asyncio.timeout(30):
            found = 0
            async for _ in gate.batch_stream(prompts()):
                found += 1
                heard.set()
            return found

    assert asyncio.run(story()) == 2


def test_a_mistake_in_the_input_comes_through():
    """It is the caller's own."""

    def broken():
        yield "Say one."
        raise ZeroDivisionError

    async def story():
        async with _gate() as gate:
            with pytest.raises(ZeroDivisionError):
                async for _ in gate.batch_stream(broken()):
                    pass
            with pytest.raises(BadRequestError, match="is a string"):
                await anext(gate.batch_stream("Hello"))
            with pytest.raises(BadRequestError, match="`concurrency` is 0"):
                await anext(gate.batch_stream(["Hello"], concurrency=0))
            found = [result async for result in gate.batch_stream([5])]
            assert isinstance(found[0], BadRequestError)

    asyncio.run(story())


def test_what_prompts_would_cost():
    """Without asking anybody."""

    async def story():
        async with _gate(limits={"requests_per_minute": 60}) as gate:
            quote = await gate.estimate([f"Say {n}." for n in range(120)], max_tokens=50)
            return quote, (await gate.usage()).attempts

    quote, attempts = asyncio.run(story())
    lane = quote.lanes[Lane.REALTIME]
    assert (quote.rows, attempts) == (120, 0)
    assert 0 < lane.low_usd <= lane.cost_usd <= lane.high_usd
    assert lane.seconds == 120


def test_a_budget_that_runs_out_carries_what_succeeded():
    """Those that could be paid for are there."""

    async def story():
        settings = {
            "store": "memory://",
            "providers": {"p": {"type": "simulator"}},
            "models": {"default": "gpt-6-luna", "*": {"targets": [{"provider": "p"}]}},
            "budgets": [{"name": "b", "scope": "gateway", "window": "total", "limit_usd": "0.0005"}],
        }
        async with AsyncHeadgate(settings) as gate:
            with pytest.raises(PartialFailureError) as caught:
                await gate.batch_generate([f"Say {n}." for n in range(60)], max_tokens=60)
            return caught.value.results

    results = asyncio.run(story())
    good = [result for result in results if not isinstance(result, HeadgateError)]
    assert len(results) == 60
    assert good
    assert sum(result.cost_usd for result in good) <= 0.0005
    assert {type(result) for result in results if isinstance(result, HeadgateError)} == {OverBudgetError}


def test_the_same_without_async():
    """`Headgate` has them, too."""
    with Headgate(simulate=True) as gate:
        assert len(list(gate.batch_stream(["One.", "Two."]))) == 2
        assert gate.estimate(["One."]).rows == 1
