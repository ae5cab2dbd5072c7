"""The cache in a whole gate, on the simulator, in virtual time: the simulator's log is what was really asked."""

import asyncio
import builtins
import json
from bisect import bisect
from collections import Counter
from itertools import accumulate

import pytest

from headgate.core.call import ANONYMOUS, Caller, Operation
from headgate.core.errors import (
    HeadgateError,
    InterruptedError,  # noqa: A004  the house's word
    OverBudgetError,
    TimeoutError,  # noqa: A004  ditto
)
from headgate.core.limits import Allowance
from headgate.core.money import from_usd
from headgate.core.wish import Wish
from headgate.dialects.openai_replay import as_whole
from headgate.gate import present
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemChance
from headgate.stores.protocols import Query
from headgate.testing import VirtualClock, virtual_time

CHAT, RESPONSES, EMBEDDINGS = Operation.CHAT, Operation.RESPONSES, Operation.EMBEDDINGS
MODEL = "gpt-6-luna"
ON = Wish(on=True)
LATENCY = {"first_token": 0.2, "per_token": 0.01}
KEYED = {"server": {"auth": "keys"}, "keys": [{"name": "k", "sha256": "0" * 64}]}


def gated(story, *, route=True, provider=None, **more):
    """Tell a story in a gate whose one route is cached."""
    given = {
        "store": "memory://",
        "providers": {
            "p": {"type": "simulator", "latency": {"first_token": 0.2, "per_token": 0.01}, **(provider or {})}
        },
        "models": {"*": {"targets": [{"provider": "p"}], "cache": route}},
        **more,
    }

    async def run():
        config = load(None, environment={}, settings=given).config
        async with await Gate.open(config, clock=VirtualClock(), chance=SystemChance(3)) as gate:
            found = await story(gate)
            # Nothing is left behind.
            assert not gate.cache._flights
            assert not gate.cache._looking
            return found

    return virtual_time(run())


def chat(text="Tell me 12 words.", **more):
    """The body of a chat."""
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


def responses(text="Tell me 12 words.", **more):
    """The body of a response that nobody keeps."""
    return {"model": MODEL, "input": text, "store": False, **more}


class Told:
    """What a caller got."""

    def __init__(self, call, reply, headers, events):
        self.call = call
        self.cache = headers["x-headgate-cache"]
        self.headers = headers
        self.events = events
        self.raw = b"".join(event.raw for event in events if not event.hidden)
        self.text = "".join(event.text for event in events)
        self.stream = reply.stream
        self.attempts = len(reply.attempts)

    @property
    def whole(self):
        """The answer as a whole, as JSON."""
        raw = [event.raw for event in self.events]
        return json.loads(as_whole(self.call.operation, raw) if self.stream else raw[0])


async def ask(gate, body=None, operation=CHAT, **how):
    """Ask to the end."""
    call = gate.call(operation, json.dumps(chat() if body is None else body).encode(), **how)
    async with await gate(call) as reply:
        events = [event async for event in reply]
        return Told(call, reply, present.reply_headers(call, reply), events)


def log(gate):
    """What the simulator was asked."""
    return gate.simulators["p"].log


async def rows(gate):
    """The lines of the ledger."""
    return [row async for row in gate.rows(Query())]


def test_the_second_is_a_hit_and_costs_nothing():
    """The same bytes; attempt 0, not billed; the books and their sums show what was saved."""

    async def story(gate):
        first, second = await ask(gate), await ask(gate)
        assert (first.cache, second.cache) == ("miss", "hit")
        assert first.raw == second.raw
        assert len(log(gate)) == 1
        assert first.attempts == 1
        assert second.attempts == 0
        assert second.headers["x-headgate-cost-usd"] == "0"
        assert second.headers["x-headgate-simulated"] == "1"
        assert "x-headgate-upstream-request-id" not in second.headers
        paid, hit = await rows(gate)
        assert (paid.cache, paid.settled, paid.saved) == ("miss", "billed", 0)
        assert (hit.attempt, hit.cache, hit.settled, hit.cost, hit.status) == (0, "hit", "not_billed", 0, 200)
        assert hit.saved == paid.cost > 0
        total, _ = await gate.usage(Query())
        assert (total.calls, total.attempts, total.cache_hits) == (2, 1, 1)
        assert (total.cost, total.cache_saved) == (paid.cost, paid.cost)
        assert paid.cost == from_usd(gate.simulators["p"].bill.usd())

    gated(story)


@pytest.mark.parametrize(("operation", "body"), [(CHAT, chat()), (RESPONSES, responses())])
@pytest.mark.parametrize("first", [False, True])
def test_whole_and_stream_stand_for_each_other(operation, body, first):
    """Kept in one form and given in the other: the same words, id and usage; in its own form, byte for byte."""

    async def story(gate):
        made = await ask(gate, {**body, "stream": first, **usage(operation, stream=first)}, operation)
        again = await ask(gate, {**body, "stream": first, **usage(operation, stream=first)}, operation)
        other = await ask(gate, {**body, "stream": not first, **usage(operation, stream=not first)}, operation)
        assert (made.cache, again.cache, other.cache) == ("miss", "hit", "hit")
        assert again.raw == made.raw
        assert other.stream is not first
        assert other.text == made.text
        for name in ("id", "usage", "model", "output"):
            assert other.whole.get(name) == made.whole.get(name)
        assert len(log(gate)) == 1

    gated(story)


def usage(operation, *, stream):
    """What a chat says to get its usage in the stream."""
    return {"stream_options": {"include_usage": True}} if stream and operation is CHAT else {}


def test_usage_is_for_those_who_ask_for_it():
    """Whoever asked first, each caller's stream has the chunk of usage or not, as it wants."""

    async def story(gate):
        plain, wanting = chat(stream=True), chat(stream=True, stream_options={"include_usage": True})
        first, joined = await asyncio.gather(ask(gate, plain), ask(gate, wanting))
        hit, other = await ask(gate, wanting), await ask(gate, plain)
        told = (first, joined, hit, other)
        assert [one.cache for one in told] == ["miss", "coalesced", "hit", "hit"]
        assert [b'"prompt_tokens"' in one.raw for one in told] == [False, True, True, False]
        assert all(one.raw.endswith(b"data: [DONE]\n\n") for one in told)
        assert len(log(gate)) == 1

    gated(story)


def test_other_operations_have_answers_too():
    """Embeddings, moderations and pictures."""

    async def story(gate):
        asked = [
            (EMBEDDINGS, {"model": "text-embedding-3-small", "input": "Hi"}),
            (Operation.MODERATIONS, {"input": "Hi"}),
            (Operation.IMAGES, {"model": "gpt-image-2", "prompt": "A cat", "size": "1024x1024", "quality": "low"}),
            (Operation.COMPLETIONS, {"model": "fake", "prompt": "Tell me 5 words.", "max_tokens": 200}),
        ]
        for operation, body in asked:
            first, second = await ask(gate, body, operation), await ask(gate, body, operation)
            assert (first.cache, second.cache) == ("miss", "hit"), operation
            assert first.raw == second.raw

    gated(story)


def test_off_is_off():
    """Until a route, a key or the call switches it on; and the call has the last word."""

    async def story(gate):
        plain = [await ask(gate) for _ in range(2)]
        assert [one.cache for one in plain] == ["off", "off"]
        wished = [await ask(gate, cache=ON) for _ in range(2)]
        assert [one.cache for one in wished] == ["miss", "hit"]
        of_a_key = Caller(key="k", project="p", cache=True)
        assert [(await ask(gate, caller=of_a_key)).cache for _ in range(2)] == ["miss", "hit"]
        assert (await ask(gate, caller=of_a_key, cache=Wish(on=False))).cache == "off"
        assert len(log(gate)) == 5

    gated(story, route=False)


def test_refresh_asks_anew_and_keeps_that():
    """And nobody gets the old answer any more."""

    async def story(gate):
        old = await ask(gate)
        new = await ask(gate, cache=Wish(on=True, refresh=True))
        later = await ask(gate)
        assert (new.cache, later.cache) == ("miss", "hit")
        assert old.raw != new.raw == later.raw
        assert len(log(gate)) == 2

    gated(story)


def test_answers_grow_old():
    """By the route's time, or sooner if the caller wants: both for what is kept and for what will do."""

    async def story(gate):
        clock = VirtualClock()
        first = await ask(gate)
        await clock.sleep(50)
        assert (await ask(gate)).cache == "hit"
        assert (await ask(gate, cache=Wish(ttl=40))).cache == "miss"
        await clock.sleep(41)
        assert (await ask(gate)).cache == "miss", "it was kept for 40 seconds"
        await clock.sleep(99)
        assert (await ask(gate)).raw != first.raw
        await clock.sleep(101)
        assert (await ask(gate)).cache == "miss"

    gated(story, route={"ttl": 100})


def test_an_apps_own_key_stands_for_the_question():
    """Whatever the words are; but not for another operation, and not for another tenant."""

    async def story(gate):
        mine = Wish(on=True, key="creative:cars")
        first = await ask(gate, chat("Tell me 5 words."), cache=mine)
        second = await ask(gate, chat("Say something else."), cache=mine)
        assert second.cache == "hit"
        assert second.raw == first.raw
        assert (await ask(gate, responses(), RESPONSES, cache=mine)).cache == "miss"
        assert (await ask(gate, caller=Caller(key="k"), cache=mine)).cache == "miss"
        assert (await ask(gate, chat("creative:cars"), cache=ON)).cache == "miss"

    gated(story)


def test_a_thousand_at_once_are_one_question():
    """One request in the simulator's log and on its bill; each caller has a row of its own."""

    async def story(gate):
        bodies = [chat(stream=number % 3 == 0, user=f"u-{number}") for number in range(1000)]
        told = await asyncio.gather(*(ask(gate, body) for body in bodies))
        assert len(log(gate)) == len(gate.simulators["p"].bill.lines) == 1
        assert Counter(one.cache for one in told) == {"miss": 1, "coalesced": 999}
        assert len({one.text for one in told}) == 1
        lines = await rows(gate)
        assert len(lines) == 1000
        assert sum(row.cost for row in lines) == from_usd(gate.simulators["p"].bill.usd())
        assert len({row.call_id for row in lines}) == 1000
        total, _ = await gate.usage(Query())
        assert (total.calls, total.attempts, total.cache_hits) == (1000, 1, 999)
        assert total.cache_saved == 999 * total.cost

    gated(story)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("when", [0.1, 0.3])
def test_the_first_one_may_leave(stream, when):
    """Before the first word or after it: the others get the answer of the one question, and the books are whole."""

    async def story(gate):
        body = chat(stream=stream)

        async def leaving():
            async with asyncio.timeout(when):
                await ask(gate, body)

        told = await asyncio.gather(leaving(), *(ask(gate, body) for _ in range(99)), return_exceptions=True)
        assert isinstance(told[0], builtins.TimeoutError)
        assert [one.cache for one in told[1:]] == ["coalesced"] * 99
        assert len(log(gate)) == 1
        lines = await rows(gate)
        (paid,) = [row for row in lines if row.attempt == 1]
        assert (paid.settled, paid.basis) == ("billed", "reported")
        assert paid.cost == from_usd(gate.simulators["p"].bill.usd())
        assert len(lines) == 100
        assert (await ask(gate, body)).cache == "hit"

    gated(story)


def test_an_attempt_after_the_first_one_has_left_is_booked():
    """The first caller leaves, then the attempt fails and is repeated for the others: the call counts once."""

    async def story(gate):
        async def leaving():
            async with asyncio.timeout(0.05):
                await ask(gate)

        told = await asyncio.gather(leaving(), ask(gate), return_exceptions=True)
        assert told[1].cache == "coalesced"
        assert [arrival.status for arrival in log(gate)] == [503, 200]
        lines = await rows(gate)
        assert sorted((row.attempt, str(row.settled)) for row in lines) == [
            (0, "not_billed"), (1, "not_billed"), (2, "billed"),
        ]  # fmt: skip
        total, _ = await gate.usage(Query())
        assert (total.calls, total.attempts, total.cache_hits, total.errors) == (2, 2, 1, 1)
        assert gate._drain.health()["status"] == "ok"

    faults = [{"kind": "status", "status": 503, "times": 1}]
    gated(story, provider={"faults": faults})


def test_who_leaves_last_ends_it():
    """Nobody waits any more: the connection is closed, the attempt is settled, and the next one asks anew."""

    async def story(gate):
        async def leaving(seconds):
            async with asyncio.timeout(seconds):
                await ask(gate, chat(stream=True))

        await asyncio.gather(leaving(0.25), leaving(0.27), return_exceptions=True)
        assert not gate.cache._flights
        assert [row.settled for row in await rows(gate) if row.attempt] == ["billed"]
        assert (await ask(gate, chat(stream=True))).cache == "miss"
        assert len(log(gate)) == 2

    gated(story)


def test_a_refusal_is_the_first_callers_alone():
    """A key that has spent its budget is refused; who waits with it is not, and still there is one question."""

    async def story(gate):
        poor = Caller(key="poor", project="p", budget=Allowance(limit=1, window="day"))
        rich = Caller(key="rich", project="p", budget=Allowance(limit=10**12, window="day"))
        callers = [poor, rich, poor, rich]
        told = await asyncio.gather(*(ask(gate, caller=caller) for caller in callers), return_exceptions=True)
        assert isinstance(told[0], OverBudgetError)
        assert [getattr(one, "cache", None) for one in told[1:]] == ["miss", "coalesced", "coalesced"]
        assert len(log(gate)) == 1

    gated(story, **KEYED)


def test_a_failure_is_everybodys():
    """One question, one failure: everybody has an error of their own, and nothing is kept."""

    async def story(gate):
        told = await asyncio.gather(*(ask(gate) for _ in range(50)), return_exceptions=True)
        assert {type(one).__name__ for one in told} == {"APIError"}
        assert len({id(one) for one in told}) == 50
        assert [len(one.attempts) for one in told] == [1, *[0] * 49]
        assert len(log(gate)) == 1
        assert (await ask(gate)).cache == "miss"

    gated(story, provider={"faults": [{"kind": "status", "status": 400, "times": 1}]})


def test_deadlines_are_each_callers_own():
    """The first one's time is over, and the question goes on for the others; also in the middle of a stream."""

    async def story(gate):
        for stream, error in ((False, TimeoutError), (True, InterruptedError)):
            body = chat(f"Tell me 200 words. {stream}", stream=stream)
            told = await asyncio.gather(
                ask(gate, body, timeout=1.0), ask(gate, body), ask(gate, body, timeout=0.1), return_exceptions=True
            )
            assert isinstance(told[0], error)
            assert isinstance(told[2], TimeoutError)
            assert told[2].http_status == 504
            assert told[1].cache == "coalesced"
        assert len(log(gate)) == 2

    gated(story)


@pytest.mark.parametrize(
    ("body", "provider", "finish"),
    [
        (chat("Tell me 100 words.", max_completion_tokens=20), {}, "length"),
        (chat("Tell me 100 words.", max_completion_tokens=20, stream=True), {}, "length"),
        (
            chat(
                "I want you to refuse to answer.",
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "x", "strict": True, "schema": {
                        "type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"],
                        "additionalProperties": False,
                    }},
                },
            ),
            {}, "stop",
        ),
    ],
)  # fmt: skip
def test_what_is_not_whole_is_not_kept(body, provider, finish):
    """Cut off, or refused."""

    async def story(gate):
        told = [await ask(gate, body) for _ in range(2)]
        assert [one.cache for one in told] == ["miss", "miss"]
        assert told[0].whole["choices"][0]["finish_reason"] == finish
        assert len(log(gate)) == 2

    gated(story, provider=provider)


@pytest.mark.parametrize("kind", ["cut", "malformed", "error_event", "stall"])
def test_a_stream_that_breaks_is_not_kept(kind):
    """Everybody who waits gets what was said and then the error; the next one asks anew."""

    async def story(gate):
        told = await asyncio.gather(*(ask(gate, chat(stream=True)) for _ in range(5)), return_exceptions=True)
        assert all(isinstance(one, HeadgateError) for one in told)
        assert (await ask(gate, chat(stream=True))).cache == "miss"

    gated(story, provider={"faults": [{"kind": kind, "after_tokens": 3, "times": 1}], "timeout": 2})


def test_a_continued_stream_is_not_kept():
    """What two targets have said together is nobody's answer."""

    async def story(gate):
        told = [await ask(gate, chat(stream=True)) for _ in range(2)]
        assert [one.cache for one in told] == ["miss", "miss"]
        assert told[0].raw.endswith(b"data: [DONE]\n\n")

    gated(
        story,
        providers={
            "p": {"type": "simulator", "faults": [{"kind": "cut", "after_tokens": 3, "times": 1}]},
            "q": {"type": "simulator"},
        },
        models={
            "*": {"targets": [{"provider": "p"}, {"provider": "q", "priority": 2}], "cache": True,
                  "recovery": "continue"},
        },
    )  # fmt: skip


def test_what_was_cut_to_a_budget_is_not_kept_and_not_shared():
    """Who waits with the poor one has not its budget: it asks anew, and gets all."""

    async def story(gate):
        body = chat("Tell me 100 words.", max_completion_tokens=4000)
        poor = Caller(key="poor", project="p", budget=Allowance(limit=from_usd("0.0005"), window="day"))
        rich = Caller(key="rich", project="p")
        first, other = await asyncio.gather(ask(gate, body, caller=poor), ask(gate, body, caller=rich))
        assert "x-headgate-clamped" in first.headers
        assert first.cache == "miss"
        assert "x-headgate-clamped" not in other.headers
        assert other.cache == "miss"
        assert len(log(gate)) == 2
        assert (await ask(gate, body, caller=rich)).raw == other.raw

    gated(story, **KEYED, policies={"budget": {"on_shortage": "clamp"}})


def test_a_response_says_nothing_of_whoever_asked_first():
    """Metadata and user are the caller's own, in hits and for those who join, whole and streamed."""

    async def story(gate):
        mine = responses(metadata={"secret": "a"}, user="u-1", safety_identifier="s-1")
        theirs = responses(metadata={"theirs": "b"}, stream=True)
        first, joined = await asyncio.gather(ask(gate, mine, RESPONSES), ask(gate, theirs, RESPONSES))
        hits = [await ask(gate, body, RESPONSES) for body in (responses(), responses(stream=True), theirs, mine)]
        assert len(log(gate)) == 1
        assert first.whole["metadata"] == {"secret": "a"}
        for other in (joined, *hits[:3]):
            assert b"secret" not in other.raw
            assert b"u-1" not in other.raw
            assert b"s-1" not in other.raw
        assert joined.whole["metadata"] == hits[2].whole["metadata"] == {"theirs": "b"}
        assert hits[3].whole["metadata"] == {"secret": "a"}
        streams = await asyncio.gather(
            ask(gate, responses("Else.", stream=True, user="u-1"), RESPONSES),
            ask(gate, responses("Else.", stream=True), RESPONSES),
        )
        assert [b"u-1" in one.raw for one in streams] == [True, False]
        assert streams[1].cache == "coalesced"

    gated(story)


def test_forgetting():
    """By model, by tag, or all; what is under way meanwhile is not kept."""

    async def story(gate):
        await ask(gate, tags={"team": "a"})
        await ask(gate, chat("Other."), tags={"team": "b"})
        await ask(gate, {**chat(), "model": "gpt-5.6-luna"})
        assert await gate.cache.purge("tag:team=a") == 1
        assert (await ask(gate)).cache == "miss"
        assert (await ask(gate, chat("Other."))).cache == "hit"
        assert await gate.cache.purge("model:gpt-5.6-luna") == 1
        assert (await ask(gate)).cache == "hit"
        asking = gate._tasks.start(ask(gate, chat("Late.")), "asks")
        await asyncio.sleep(0.1)
        assert await gate.cache.purge() == 2
        assert (await asking).cache == "miss"
        assert (await ask(gate, chat("Late."))).cache == "miss"
        assert (await ask(gate)).cache == "miss"

    gated(story)


def test_no_answer_crosses_tenants():
    """Random callers of several projects and keys ask random questions: who shares an answer shares a tenant."""
    people = [
        ANONYMOUS,
        *(Caller(key=f"k{number}", project=project) for number, project in enumerate(["a", "a", "b", "b", None, None])),
        Caller(key="a"),
        Caller(key="project:a"),
        Caller(key="x", project="key:k4"),
    ]
    for scope in ("project", "key"):
        seen = {}

        async def story(gate, scope=scope, seen=seen):
            dice = SystemChance(7).random
            for _ in range(120):
                crowd = range(1 + int(dice() * 4))
                together = [(people[int(dice() * len(people))], chat(f"{int(dice() * 3)}")) for _ in crowd]
                told = await asyncio.gather(*(ask(gate, body, caller=caller) for caller, body in together))
                for (caller, _), one in zip(together, told, strict=True):
                    owner = (caller.tenant, caller.key if scope == "key" else None)
                    # Each answer of the simulator has an id of its own.
                    assert seen.setdefault(one.whole["id"], owner) == owner
            owners = {(caller.tenant, caller.key if scope == "key" else None) for caller in people}
            assert len(log(gate)) == len(seen) == 3 * len(owners)

        gated(story, route={"scope": scope})


def test_a_gateway_wide_answer_is_everybodys():
    """Where the operator says so."""

    async def story(gate):
        assert (await ask(gate, caller=Caller(key="a", project="a"))).cache == "miss"
        assert (await ask(gate, caller=Caller(key="b", project="b"))).cache == "hit"

    gated(story, route={"scope": "gateway"})


def test_todays_rules_hold_for_yesterdays_answers():
    """The guard judges a hit like any answer."""

    async def story(gate):
        first = await ask(gate)
        return first.text.split()[3].strip(".,")

    word = gated(story)

    async def guarded(gate):
        for _ in range(2):
            with pytest.raises(HeadgateError, match="has found"):
                await ask(gate)
        assert len(log(gate)) == 1

    gated(guarded, policies={"guard": {"output": [{"kind": "words", "name": "w", "words": [word]}]}})


def test_a_zipf_shaped_replay_hits_exactly_its_repeats():
    """2,000 requests (20,000 as chaos): hits are the oracle's repeats, and the books show what was saved."""
    gated(zipf(2000))


def zipf(number):
    """A story of so many requests, some of which come up again and again, in crowds of up to eight."""

    async def story(gate):
        dice = SystemChance(11).random
        ranks = list(accumulate(1 / (rank + 1) for rank in range(number // 4)))
        questions = [bisect(ranks, dice() * ranks[-1]) for _ in range(number)]
        seen: set[int] = set()
        repeats = hits = 0
        while questions:
            crowd = [questions.pop() for _ in range(min(1 + int(dice() * 8), len(questions)))]
            told = await asyncio.gather(*(ask(gate, chat(f"{one}: 3 words.", stream=dice() < 0.3)) for one in crowd))
            for one in crowd:
                repeats += one in seen
                seen.add(one)
            hits += sum(one.cache in {"hit", "coalesced"} for one in told)
        assert hits == repeats
        assert len(log(gate)) == len(seen) == number - repeats
        total, _ = await gate.usage(Query())
        assert (total.calls, total.attempts, total.cache_hits) == (number, len(seen), repeats)
        assert total.cost == from_usd(gate.simulators["p"].bill.usd())
        paid = {row.call_id: row.cost for row in await rows(gate) if row.attempt}
        assert total.cache_saved > total.cost > 0
        assert len(paid) == len(seen)

    return story
