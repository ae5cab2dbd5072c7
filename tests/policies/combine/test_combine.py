"""Covers policies/combine/combine.py, in virtual time: who waits with whom, when a group goes, and what follows."""

import asyncio
import json

import msgspec
import pytest

from headgate.catalog.encodings import Encodings
from headgate.catalog.tokens import Tokens
from headgate.core.attempt import Attempt
from headgate.core.body import Body
from headgate.core.call import Call, Caller, Operation, Origin, Target, Timeouts
from headgate.core.errors import (
    APIError,
    ContextLengthError,
    DeadlineError,
    OverBudgetError,
    OverloadedError,
    OversizeError,
    RateLimitError,
    StoppingError,
    TimeoutError,  # noqa: A004
    UnreachableError,
)
from headgate.core.reply import Reply
from headgate.core.together import Combining
from headgate.dialects.registry import DIALECTS
from headgate.gate.ports import SystemChance
from headgate.gate.tasks import Tasks
from headgate.policies.combine.combine import PATIENCE, Combine
from headgate.testing import VirtualClock, virtual_time

READ = Encodings()
READ.load("o200k_base")
HOW = Combining(items=3, seconds=2.0)


def question(text="Hi", **changes):
    """A call."""
    raw = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
    call = Call(id=text, operation=Operation.CHAT, model="m", body=Body(raw), started=0, day="2027-01-15")
    return msgspec.structs.replace(call, trail=[], **changes)


class Provider:
    """Answers each question with its own words in capitals; says what came, and when."""

    def __init__(self, *, error=None, forget=(), takes=0.0):
        self.calls: list[Call] = []
        self.times: list[float] = []
        self.error = error
        self.forget = forget
        self.takes = takes

    async def __call__(self, call):
        self.calls.append(call)
        self.times.append(VirtualClock().monotonic())
        if self.takes:
            await asyncio.sleep(self.takes)
        asked = call.body.view["messages"][-1]["content"]
        for member in call.together.calls if call.together else (call,):
            member.trail.append(Attempt(len(member.trail) + 1, "p", "m"))
        if call.together is None:
            return self._said(asked.upper())
        if self.error is not None:
            raise self.error
        items = [item for item in json.loads(asked)["items"] if item["text"] not in self.forget]
        # In any order.
        told = [{"id": item["id"], "answer": item["text"].upper()} for item in reversed(items)]
        return self._said(json.dumps({"answers": told}))

    def _said(self, text):
        raw = json.dumps({"model": "m", "choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode()
        reply = Reply([DIALECTS[Operation.CHAT].read_answer(raw)], target=Target("p", "m"), headers={"x": "y"})
        reply.simulated = True
        return reply

    @property
    def sizes(self):
        """How many were asked together, call by call."""
        return [len(call.together.calls) if call.together else 1 for call in self.calls]


def policy(how=HOW, *, lacks=False, tasks=None):
    """The policy."""
    tokens = Tokens()
    tokens._encodings = READ
    return Combine(
        lambda _name: how, lacks=lambda _name: lacks, tokens=tokens, start=(tasks or Tasks()).start,
        clock=VirtualClock(), chance=SystemChance(seed=1),
    )  # fmt: skip


async def said(combine, provider, call, after=0.0):
    """What a caller gets: the text, and when."""
    await asyncio.sleep(after)
    async with await combine(call, provider) as reply:
        return (await reply.read()).text, VirtualClock().monotonic()


def told(provider, *calls, how=HOW, **more):
    """What all callers get who come at once."""

    async def story():
        combine = policy(how, **more)
        return await asyncio.gather(*(said(combine, provider, call) for call in calls), return_exceptions=True)

    return virtual_time(story())


def test_a_group_goes_when_it_is_full():
    """At once; what is left over waits for its time."""
    provider = Provider()
    found = told(provider, *(question(f"q{n}") for n in range(5)))
    assert found == [("Q0", 0), ("Q1", 0), ("Q2", 0), ("Q3", 2), ("Q4", 2)]
    assert provider.sizes == [3, 2]


def test_one_without_company_goes_as_it_came():
    """After its wait: the very call."""
    provider = Provider()
    call = question()
    assert told(provider, call) == [("HI", 2)]
    assert provider.calls == [call]


def test_the_first_one_decides_when_a_group_goes():
    """Who comes later waits less."""

    async def story():
        provider, combine = Provider(), policy()
        found = await asyncio.gather(
            said(combine, provider, question("a")), said(combine, provider, question("b"), after=1.5),
            said(combine, provider, question("c"), after=2.5),
        )  # fmt: skip
        assert found == [("A", 2), ("B", 2), ("C", 4.5)]
        assert provider.sizes == [2, 1]

    virtual_time(story())


def test_the_call_that_leaves_is_the_gates_own():
    """With an id of its own, on behalf of the first, and what each weighs in it."""
    provider = Provider()
    calls = [question("short"), question("a much longer question than the other one is")]
    told(provider, *calls)
    (call,) = provider.calls
    assert (call.origin, call.parent, len(call.id), call.tags) == (Origin.INTERNAL, "short", 32, {})
    assert call.together.calls == tuple(calls)
    first, second = call.together.asked
    assert second - first == 2 * (9 - 1), "tokens; what is around them is both's"
    ids = [item["id"] for item in json.loads(call.body.view["messages"][-1]["content"])["items"]]
    assert len(set(ids)) == 2
    answered = json.dumps({"answers": [{"id": ids[1], "answer": "one two three"}]})
    assert call.together.said(answered) == [0, 3 + 8]
    assert call.together.said("nonsense") == [0, 0]


def test_each_reply_is_as_if_it_had_been_asked_alone():
    """Whose it is, who answered, what was tried."""

    async def story():
        provider, combine = Provider(), policy(Combining(items=2, seconds=1))
        calls = [question("a"), question("b")]
        for call, reply in zip(calls, await asyncio.gather(*(combine(call, provider) for call in calls)), strict=True):
            assert (reply.attempts, reply.simulated, reply.headers) == (call.trail, True, {"x": "y"})
            assert (reply.target, reply.status, reply.stream) == (Target("p", "m"), 200, False)
            event = await reply.read()
            assert (event.text, event.finish) == (call.id.upper(), "stop")

    virtual_time(story())


@pytest.mark.parametrize(
    "other",
    [
        {"model": "n"}, {"caller": Caller(project="p")}, {"caller": Caller(key="k")}, {"priority": 9}, {"user": "u"},
        {"headers": {"openai-beta": "x"}}, {"timeouts": Timeouts(total=5)}, {"deadline": 100.0},
        {"unsupported": "drop"}, {"combining": Combining(items=3, seconds=1.0)},
    ],
)  # fmt: skip
def test_who_differs_does_not_share(other):
    """Tenants, models, and whatever the one call could not be to both."""
    provider = Provider()
    told(provider, question("a"), question("b"), question("c", **other), question("d", **other))
    assert provider.sizes == [2, 2]


def test_keys_of_one_project_share():
    """Whatever their tags."""
    provider = Provider()
    calls = [question(key, caller=Caller(key=key, project="p"), tags={"team": key}) for key in "abc"]
    told(provider, *calls)
    assert provider.sizes == [3]


@pytest.mark.parametrize(
    ("changes", "how"),
    [
        ({"stream": True}, HOW), ({"origin": Origin.INTERNAL}, HOW), ({"names": ("file-1",)}, HOW),
        ({"account": "p"}, HOW), ({"avoid": (("p", "m"),)}, HOW), ({"deadline": PATIENCE * 2 - 0.1}, HOW),
        ({"operation": Operation.COMPLETIONS}, HOW), ({"body": Body(b'{"messages": []}')}, HOW), ({}, None),
    ],
)  # fmt: skip
def test_what_is_not_small_and_plain_goes_at_once(changes, how):
    """As it came."""
    provider = Provider()
    call = question("a", **changes)

    async def story():
        combine = policy(how)
        try:
            await combine(call, provider)
        except KeyError:
            assert not call.body.view["messages"]
        except IndexError:
            pass
        return VirtualClock().monotonic()

    assert virtual_time(story()) == 0
    assert provider.calls == [call]


def test_a_model_that_takes_no_schema_is_asked_one_by_one():
    """It could not be held to a list; embeddings need none."""
    provider = Provider()
    assert told(provider, question("a"), question("b"), lacks=True) == [("A", 0), ("B", 0)]


def test_a_call_may_ask_for_it_where_its_route_does_not():
    """Or in another way than its route does."""
    provider = Provider()
    how = Combining(items=2, seconds=1)
    calls = [question(name, combining=how) for name in "ab"]
    assert told(provider, *calls, question("c"), how=None) == [("A", 0), ("B", 0), ("C", 0)]
    assert sorted(provider.sizes) == [1, 2]


def test_who_gets_no_answer_asks_alone():
    """Once, as it came; the others do not wait for it."""
    provider = Provider(forget=("b",))
    calls = [question(name) for name in "abc"]
    assert told(provider, *calls) == [("A", 0), ("B", 0), ("C", 0)]
    assert provider.calls[1] is calls[1]
    assert [len(call.trail) for call in calls] == [1, 2, 1]


def test_an_answer_that_is_longer_than_allowed_is_asked_for_alone():
    """Alone it would have been cut off."""
    provider = Provider()
    calls = [question(name) for name in ("a", "one two three four five six")]
    raw = {"model": "m", "max_tokens": 4}
    calls = [
        msgspec.structs.replace(
            call, body=Body(json.dumps({**raw, "messages": [{"role": "user", "content": call.id}]}).encode())
        )
        for call in calls
    ]
    told(provider, *calls)
    assert provider.sizes == [2, 1]
    assert provider.calls[1] is calls[1]


@pytest.mark.parametrize(
    "error",
    [
        APIError("400"), ContextLengthError("too long"), OversizeError("too much a minute"), OverBudgetError("short"),
        StoppingError("closing"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_what_company_may_have_caused_is_tried_alone(error):
    """Each once."""
    provider = Provider(error=error)
    assert told(provider, question("a"), question("b")) == [("A", 2), ("B", 2)]
    assert provider.sizes == [2, 1, 1]


@pytest.mark.parametrize(
    "error",
    [
        OverloadedError("503"), RateLimitError("429", retry_after=7), TimeoutError("late"), UnreachableError("reset"),
        DeadlineError("never in time"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_what_company_did_not_cause_is_everybodys_error(error):
    """Nobody asks again: each has its own copy, which tells what was tried for it."""
    provider = Provider(error=error)
    calls = [question("a"), question("b")]
    first, second = told(provider, *calls)
    assert provider.sizes == [2]
    assert first is not second
    assert first.attempts is calls[0].trail
    assert second.attempts is calls[1].trail
    assert (type(first), first.message, first.retry_after) == (type(error), error.message, error.retry_after)


def test_a_mistake_of_ours_hangs_nobody():
    """It is everybody's error, too."""
    provider = Provider(error=ZeroDivisionError("ours"))
    assert [type(one) for one in told(provider, question("a"), question("b"))] == [ZeroDivisionError] * 2


def test_who_leaves_before_the_group_goes_is_not_in_it():
    """And a group that all have left never goes."""

    async def story():
        tasks = Tasks()
        provider, combine = Provider(), policy(tasks=tasks)
        waiting = [Tasks().start(said(combine, provider, question(name)), name) for name in "ab"]
        await asyncio.sleep(1)
        waiting[0].cancel()
        assert await waiting[1] == ("B", 2)
        assert provider.sizes == [1]
        last = Tasks().start(said(combine, provider, question("c")), "c")
        await asyncio.sleep(1)
        last.cancel()
        await asyncio.sleep(0.1)
        assert not tasks._running
        assert not combine._growing
        await asyncio.sleep(5)
        assert provider.sizes == [1]

    virtual_time(story())


def test_who_leaves_later_is_known_to_have_left():
    """For the books; the others get their answers. When all have left, the call is cancelled."""

    async def story():
        tasks = Tasks()
        provider, combine = Provider(takes=10), policy(tasks=tasks)
        waiting = [Tasks().start(said(combine, provider, question(name)), name) for name in "abcdef"]
        await asyncio.sleep(1)
        waiting[0].cancel()
        for task in waiting[3:]:
            task.cancel()
        await asyncio.sleep(0.1)
        assert provider.calls[0].together.left == {"a"}
        assert len(tasks._running) == 1, "nobody waits for the second group"
        assert [await task for task in waiting[1:3]] == [("B", 10), ("C", 10)]
        assert not tasks._running

    virtual_time(story())


@pytest.mark.parametrize("when", [1, 3])
def test_who_waits_is_told_of_the_end(when):
    """Of the gate: while the group grows, and while it is asked."""

    async def story():
        tasks = Tasks()
        provider, combine = Provider(takes=10), policy(tasks=tasks)
        waiting = [Tasks().start(said(combine, provider, question(name)), name) for name in "ab"]
        await asyncio.sleep(when)
        await tasks.close()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(one) for one in found] == [StoppingError] * 2

    virtual_time(story())


@pytest.mark.parametrize("name", ["combine", "combined call"])
def test_a_task_that_is_ended_before_it_has_begun(name):
    """It cannot tell anybody itself."""

    class Ending(Tasks):
        def start(self, work, its):
            task = super().start(work, its)
            if its == name:
                task.cancel()
            return task

    full = told(Provider(), question("a"), question("b"), question("c"), tasks=Ending())
    (alone,) = told(Provider(), question("a"), tasks=Ending())
    if name == "combine":
        assert (full, type(alone)) == ([("A", 0), ("B", 0), ("C", 0)], StoppingError)
    else:
        assert ([type(one) for one in full], alone) == ([StoppingError] * 3, ("A", 2))


def test_a_group_has_the_earliest_deadline():
    """Of those that have one."""
    provider = Provider()
    told(provider, question("a", deadline=50.0), question("b", deadline=20.0))
    assert provider.calls[0].deadline == 20


def test_ids_cannot_be_guessed():
    """Another one for each text and each call."""
    provider = Provider()
    told(provider, *(question(f"q{n}") for n in range(9)))
    asked = [json.loads(call.body.view["messages"][-1]["content"])["items"] for call in provider.calls]
    ids = [item["id"] for items in asked for item in items]
    assert len(set(ids)) == 9
    assert all(len(name) == 8 for name in ids)
