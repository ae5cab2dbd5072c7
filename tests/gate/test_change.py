"""Another configuration for a running gate: what changes, what goes on, what is refused."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from headgate.core.call import Caller, Operation
from headgate.core.errors import ConfigError, HeadgateError, OverBudgetError, RestingError, StoppingError
from headgate.gate import lasting
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemChance
from headgate.gate.tasks import Tasks
from headgate.stores.protocols import Query
from headgate.testing import VirtualClock, virtual_time

PLAIN = {"store": "memory://", "providers": {"p": {"type": "simulator"}}, "models": {"m": {"targets": [{"provider": "p", "model": "gpt-6-luna"}]}}}  # fmt: skip  # noqa: E501
BROKEN = [{"kind": "status", "status": 503}]


def _config(**settings):
    return load(None, environment={}, settings={**PLAIN, **settings}).config


@asynccontextmanager
async def _standing(**settings):
    async with await Gate.open(_config(**settings), clock=VirtualClock(), chance=SystemChance(1)) as gate:
        yield gate


async def _ask(gate, model="m", *, stream=False, caller=None, **more):
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": stream, **more}
    call = gate.call(Operation.CHAT, json.dumps(body).encode(), caller=caller or Caller())
    return await gate(call)


async def _whole(gate, *args, **more):
    async with await _ask(gate, *args, **more) as reply:
        return reply.target, await reply.read()


def test_the_next_call_passes_the_new_rules():
    """Routes, models and guards are the new ones at once."""

    async def story():
        async with _standing() as gate:
            assert (await _whole(gate))[0].model == "gpt-6-luna"
            models = {
                "m": {"targets": [{"provider": "p", "model": "gpt-5.6-luna"}]},
                "n": {"targets": [{"provider": "p"}]},
            }
            await gate.change(
                _config(models=models, policies={"guard": {"input": [{"kind": "words", "words": ["x"]}]}})
            )
            assert (await _whole(gate))[0].model == "gpt-5.6-luna"
            assert gate.models() == ["m", "n"]
            with pytest.raises(HeadgateError, match="found 'x'"):
                await _whole(gate, messages=[{"role": "user", "content": "x"}])

    virtual_time(story())


def test_a_stream_under_way_ends_as_it_began():
    """Its provider is left out of the new configuration, and closed when its last answer must have ended."""

    async def story():
        slow = {"type": "simulator", "latency": {"first_token": 1, "per_token": 0.5}}
        async with _standing(providers={"p": slow}) as gate:
            reply = await _ask(gate, stream=True, max_completion_tokens=20)
            before = gate._providers["p"]
            other = {"q": {"type": "simulator"}}
            await gate.change(
                _config(providers=other, models={"m": {"targets": [{"provider": "q", "model": "gpt-6-luna"}]}})
            )
            assert (await _whole(gate))[0].provider == "q"
            events = [event async for event in reply]
            await reply.close()
            assert events[-1].raw.startswith(b"data: [DONE]")
            assert gate._left == {before}
            await asyncio.sleep(601)
            assert not gate._left
            rows = [row async for row in gate.rows(Query())]
            assert sorted((row.provider, row.settled) for row in rows) == [("p", "billed"), ("q", "billed")]

    virtual_time(story())


def test_connections_go_on_where_the_settings_do():
    """The same provider object serves; a changed one is new."""

    async def story():
        two = {"p": {"type": "simulator"}, "q": {"type": "simulator"}}
        async with _standing(providers=two) as gate:
            p, q = gate._providers["p"], gate._providers["q"]
            await gate.change(_config(providers={**two, "q": {"type": "simulator", "seed": 9}}))
            assert gate._providers["p"] is p
            assert gate._providers["q"] is not q

    virtual_time(story())


@pytest.mark.parametrize("policies", [{}, {"breaker": {"failures": 4, "rest": 20}}])
def test_a_target_that_rests_goes_on_resting(policies):
    """Whether the breaker's settings are the same or not; and it comes back in its time."""

    async def story():
        failing = {"p": {"type": "simulator", "faults": [{**BROKEN[0], "times": 3}], "max_retries": 0}}
        async with _standing(providers=failing, policies={"breaker": {"failures": 3, "rest": 20}}) as gate:
            for _ in range(3):
                with pytest.raises(HeadgateError):
                    await _whole(gate)
            await gate.change(_config(providers=failing, policies={"breaker": {"failures": 3, "rest": 20}, **policies}))
            with pytest.raises(RestingError):
                await _whole(gate)
            await asyncio.sleep(20.1)
            await _whole(gate)

    virtual_time(story())


@pytest.mark.parametrize(("now", "after"), [(3, 59.9), (5, 35.9), (10, 35.9)])
def test_what_is_used_of_a_limit_stays_used(now, after):
    """Three calls have gone, 12 s apart; the next one goes when the new limit has room for it beside them."""

    async def story():
        limits = {"requests_per_minute": 5, "window": "sliding"}
        async with _standing(providers={"p": {"type": "simulator", "limits": limits}}) as gate:
            begun = asyncio.get_running_loop().time()
            for _ in range(3):
                await _whole(gate)
            other = {"type": "simulator", "limits": {**limits, "requests_per_minute": now}}
            await gate.change(_config(providers={"p": other}))
            await _whole(gate)
            return asyncio.get_running_loop().time() - begun

    assert after <= virtual_time(story()) < after + 1


def test_what_is_spent_of_a_budget_stays_spent():
    """By its name: a cap that is raised has the difference left, one that is lowered has nothing."""

    async def story():
        def budget(usd):
            return [{"name": "all", "limit_usd": usd}]

        async with _standing(budgets=budget(1)) as gate:
            for _ in range(5):
                await _whole(gate, max_completion_tokens=50)
            (before,) = await gate.budgets()
            await gate.change(_config(budgets=budget(before.spent / 1e12)))
            with pytest.raises(OverBudgetError):
                await _whole(gate, max_completion_tokens=50)
            await gate.change(_config(budgets=budget(2)))
            await _whole(gate, max_completion_tokens=50)
            (after,) = await gate.budgets()
            assert after.spent > before.spent
            assert after.cap.limit == 2 * 10**12

    virtual_time(story())


def test_keys_of_the_configuration_come_and_go():
    """A key that stays is the same caller, so what is counted for it goes on."""

    async def story():
        def key(name, number, **more):
            return {"name": name, "sha256": f"{number:064x}", **more}

        server = {"auth": "keys"}
        async with _standing(server=server, keys=[key("a", 1), key("b", 2)]) as gate:
            entries = gate.keyring._entries
            await gate.change(_config(server=server, keys=[key("a", 1), key("b", 2, project="x"), key("c", 3)]))
            now = gate.keyring._entries
            digests = [number.to_bytes(32) for number in (1, 2, 3)]
            assert now[digests[0]].caller is entries[digests[0]].caller
            assert now[digests[1]].caller.project == "x"
            assert now[digests[2]].caller.key == "c"
            await gate.change(_config(server=server, keys=[key("c", 3)]))
            assert list(gate.keyring._entries) == digests[2:]

    virtual_time(story())


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"store": "sqlite:///other.db"}, "`store`"),
        ({"server": {"port": 1}}, "`server.port`"),
        ({"server": {"workers": 2}, "shared": "redis://x"}, "`shared`, `server.workers`"),
        ({"policies": {"idempotency": {"keep": "1h"}}}, "`policies.idempotency`"),
        ({"alerts": {"webhook": "https://h.example"}}, "`alerts`"),
    ],
)
def test_what_cannot_change_is_refused_by_name(settings, name):
    """Nothing of the new configuration holds then."""

    async def story():
        async with _standing() as gate:
            before = gate.config
            more = {"models": {"other": {"targets": [{"provider": "p"}]}}}
            other = _config(**{"store": "sqlite:///x.db", **more, **settings})
            other = other if "store" in settings else other.model_copy(update={"store": before.store})
            with pytest.raises(ConfigError) as refused:
                await gate.change(other)
            assert refused.value.message.startswith(f"{name} cannot change while the gateway runs")
            assert gate.config is before
            assert gate.models() == ["m"]
            await _whole(gate)

    virtual_time(story())


def test_what_cannot_be_made_changes_nothing(tmp_path):
    """A file of certificates that is not there, say."""

    async def story():
        async with _standing() as gate:
            bad = {"type": "openai", "api_key": "k", "ca_bundle": str(tmp_path / "none.pem")}
            with pytest.raises(ConfigError, match="ca_bundle"):
                await gate.change(_config(providers={**PLAIN["providers"], "bad": bad}))
            await _whole(gate)
            assert list(gate._providers) == ["p"]

    virtual_time(story())


def test_changes_under_load_drop_no_call():
    """Two hundred calls, whole and streamed, while the configuration changes ten times: all answered, all booked."""

    async def story():
        slow = {"type": "simulator", "latency": {"first_token": 0.2, "per_token": 0.01}}
        async with _standing(providers={"p": slow}) as gate:

            async def one(number):
                await asyncio.sleep(number * 0.01)
                async with await _ask(gate, stream=number % 2 == 0, max_completion_tokens=10) as reply:
                    return [event async for event in reply]

            async def changing():
                for number in range(10):
                    await asyncio.sleep(0.2)
                    await gate.change(_config(providers={"p": {**slow, "seed": number}}))

            answers, _ = await asyncio.gather(asyncio.gather(*map(one, range(200))), changing())
            total, _ = await gate.usage(Query())
            return answers, total

    answers, total = virtual_time(story())
    assert all(answers)
    assert (total.calls, total.errors) == (200, 0)


def test_an_answer_under_way_is_joined_and_forgotten_as_before():
    """Whoever asks the same after the change joins it; what was under way when answers were forgotten is not kept."""

    async def story():
        routes = {"m": {**PLAIN["models"]["m"], "cache": True}}
        slow = {"p": {"type": "simulator", "latency": {"first_token": 1}}}
        async with _standing(providers=slow, models=routes) as gate:
            tasks = Tasks()
            first = tasks.start(_cached(gate), "first")
            await asyncio.sleep(0.5)
            await gate.change(_config(providers=slow, models=routes, policies={"retry": {"max_attempts": 1}}))
            assert [await _cached(gate), await first, await _cached(gate)] == ["coalesced", "miss", "hit"]
            await gate.cache.purge()
            first = tasks.start(_cached(gate), "first")
            await asyncio.sleep(0.5)
            await gate.change(_config(providers=slow, models=routes))
            await gate.cache.purge()
            assert [await first, await _cached(gate)] == ["miss", "miss"]

    virtual_time(story())


async def _cached(gate):
    async with await _ask(gate) as reply:
        await reply.read()
        return reply.cache


def test_names_that_callers_make_up_are_not_kept_for_ever(monkeypatch):
    """However often the configuration changes; what was asked last is known."""
    monkeypatch.setattr(lasting, "MOST", 10)

    async def story():
        any_ = {"*": {"targets": [{"provider": "p"}]}}
        async with _standing(models=any_) as gate:
            for change in range(5):
                for number in range(4):
                    with pytest.raises(HeadgateError, match="does not exist"):
                        await _whole(gate, f"made-up-{change}-{number}")
                before = gate._stack.targets()["p", f"made-up-{change}-3"]["breaker"]
                await gate.change(_config(models=any_, policies={"on_unsupported": "drop" if change % 2 else "refuse"}))
                former = gate._stack.lasting._former
                assert former[("p", f"made-up-{change}-3"), "breaker"] is before
                assert len(former) <= 10

    virtual_time(story())


@pytest.mark.parametrize("steps", range(0, 24, 2))
def test_a_gate_that_is_closed_while_it_changes_leaves_nothing_behind(steps):
    """Wherever the change has come: it is refused, or ended before the gate is; no task stays."""
    other = {"q": {"type": "simulator"}}
    models = {"m": {"targets": [{"provider": "q", "model": "gpt-6-luna"}]}}

    async def story():
        async with _standing() as gate:
            changing = Tasks().start(gate.change(_config(providers=other, models=models)), "change")
            for _ in range(steps):
                await asyncio.sleep(0)
            await gate.close()
            try:
                await changing
            except StoppingError:
                assert set(gate._providers) == {"p"}
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())
