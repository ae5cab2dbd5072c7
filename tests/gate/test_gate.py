"""The gate: from a configuration and bytes to calls, books and an end."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from headgate.core.call import Caller, Operation, Timeouts
from headgate.core.errors import (
    BadRequestError,
    ConfigError,
    NotAllowedError,
    StoppingError,
    TimeoutError,  # noqa: A004  the house's word
    UnknownModelError,
)
from headgate.gate.gate import FAREWELL, Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemChance
from headgate.stores.protocols import Query
from headgate.testing import EPOCH, VirtualClock, virtual_time

ROUTE = {"targets": [{"provider": "p"}]}
HELLO = b'{"model": "gpt-6-luna", "messages": [{"role": "user", "content": "hello"}]}'
NAMELESS = b'{"messages": [{"role": "user", "content": "hello"}]}'


def config(store="memory://", provider=None, **settings):
    """One simulator, `p`, behind `gpt-6-luna`."""
    given = {
        "store": store,
        "providers": {"p": {"type": "simulator", **(provider or {})}},
        "models": {"gpt-6-luna": ROUTE},
    }
    return load(None, environment={}, settings=given | settings).config


@asynccontextmanager
async def opened(**settings):
    """A gate in virtual time."""
    async with await Gate.open(config(**settings), clock=VirtualClock(), chance=SystemChance(7)) as gate:
        yield gate


def on_a_gate(story, **settings):
    """Run a story on a gate of its own."""

    async def told():
        async with opened(**settings) as gate:
            return await story(gate)

    return virtual_time(told())


async def ask(gate, raw=HELLO, **wishes):
    """Make a call and read its answer whole."""
    async with await gate(gate.call(Operation.CHAT, raw, **wishes)) as reply:
        return [event async for event in reply]


def test_a_call_is_answered_and_booked():
    """The answer comes through the stack, and the books tell of it at once."""

    async def story(gate):
        events = await ask(gate)
        total, groups = await gate.usage(Query(by=("provider", "model")))
        rows = [row async for row in gate.rows(Query())]
        return events, total, groups, rows, gate.simulators["p"].bill.total

    events, total, groups, rows, bill = on_a_gate(story)
    assert events[0].text
    assert (total.calls, total.attempts, total.errors) == (1, 1, 0)
    assert [group.group for group in groups] == [{"provider": "p", "model": "gpt-6-luna"}]
    assert [(row.attempt, row.status, row.day) for row in rows] == [(1, 200, "2027-01-15")]
    assert total.cost == rows[0].cost == bill * 10**12 > 0


def test_what_a_door_says_of_a_call_stands_in_it():
    """Caller, tags, headers, limits, priority and the request's own facts are the call's."""
    caller = Caller(key="k", models=frozenset({"gpt-6-luna"}))
    limits = Timeouts(connect=1)

    async def story(gate):
        raw = HELLO[:-1] + b', "stream": true, "stream_options": {"include_usage": true}, "user": "u"}'
        return gate.call(
            Operation.CHAT, raw, caller=caller, tags={"a": "1"}, headers={"openai-beta": "x"}, timeout=2.5,
            timeouts=limits, priority=9,
        )  # fmt: skip

    call = on_a_gate(story)
    assert (call.operation, call.model, call.stream, call.usage_wanted, call.user) == (
        "chat", "gpt-6-luna", True, True, "u",
    )  # fmt: skip
    assert (call.caller, call.tags, call.headers) == (caller, {"a": "1"}, {"openai-beta": "x"})
    assert (call.started, call.deadline, call.timeouts, call.priority) == (0, 2.5, limits, 9)
    assert call.day == "2027-01-15"
    assert len(call.id) == 32


def test_pinned_tags_win():
    """A call's own tags stand beside those that its key pins, and never in place of them."""
    caller = Caller(key="k", tags={"team": "ours"})

    async def story(gate):
        return gate.call(Operation.CHAT, HELLO, caller=caller, tags={"team": "theirs", "job": "j"}).tags

    assert on_a_gate(story) == {"team": "ours", "job": "j"}


def test_the_deadline_limits_the_call():
    """An answer that takes longer than the caller's timeout is given up, on the dot."""

    async def story(gate):
        with pytest.raises(TimeoutError):
            await ask(gate, timeout=2)
        return asyncio.get_running_loop().time()

    assert on_a_gate(story, provider={"latency": {"first_token": 60}}) == 2


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_leaves_some_time(timeout):
    """A call that could not be answered in time is refused before anything is sent."""

    async def story(gate):
        with pytest.raises(BadRequestError, match="more than 0") as caught:
            gate.call(Operation.CHAT, HELLO, timeout=timeout)
        return caught.value.param

    assert on_a_gate(story) == "timeout"


def test_a_default_model_is_asked_where_none_is_named():
    """`models.default` names a route; a call without a model is a call for it, and `default_model` tells it."""
    models = {"default": "gpt-6-luna", "gpt-6-luna": ROUTE}

    async def story(gate):
        await ask(gate, NAMELESS)
        rows = [row async for row in gate.rows(Query())]
        return gate.default_model, [(row.model_requested, row.model) for row in rows]

    assert on_a_gate(story, models=models) == ("gpt-6-luna", [("gpt-6-luna", "gpt-6-luna")])


def test_the_default_may_be_a_route_itself():
    """A provider that names its model is a target of the route `default`."""

    async def story(gate):
        await ask(gate, NAMELESS)
        return gate.default_model, [row.model async for row in gate.rows(Query())]

    assert on_a_gate(story, models={}, provider={"model": "gpt-6-sol"}) == ("default", ["gpt-6-sol"])


def test_a_call_without_any_model_is_refused():
    """Without a default a call must name its model; the cure names the settings."""

    async def story(gate):
        with pytest.raises(BadRequestError) as caught:
            gate.call(Operation.CHAT, NAMELESS)
        return gate.default_model, caught.value

    default, error = on_a_gate(story)
    assert default is None
    assert (error.code, error.param) == ("missing_field", "model")
    assert "models.default" in error.hint


def test_a_key_asks_for_its_models_only():
    """Another model is refused at the door, whether it exists or not."""

    async def story(gate):
        caller = Caller(key="k", models=frozenset({"b"}))
        for raw in (HELLO, HELLO.replace(b"luna", b"none")):
            with pytest.raises(NotAllowedError) as caught:
                gate.call(Operation.CHAT, raw, caller=caller)
            assert caught.value.param == "model"
        return gate.call(Operation.CHAT, b'{"model": "b", "messages": []}', caller=caller).model

    assert on_a_gate(story) == "b"


def test_no_model_has_a_name_without_end():
    """A route may take any name, and much is remembered by it: a few thousand of a megabyte would fill the machine."""

    async def story(gate):
        for name, taken in (("x" * 256, True), ("ü" * 256, True), ("x" * 257, False), ("x" * 1_000_000, False)):
            raw = json.dumps({"model": name, "messages": []}).encode()
            if taken:
                assert gate.call(Operation.CHAT, raw).model == name
                continue
            with pytest.raises(UnknownModelError) as caught:
                gate.call(Operation.CHAT, raw)
            assert caught.value.param == "model"
            assert len(caught.value.message) < 200

    on_a_gate(story, models={"*": ROUTE})


def test_the_list_of_models_is_the_callers():
    """Everybody sees routes and default by name; a key sees those it may use; `*` makes each name of a key usable."""

    async def story(gate):
        listed = [gate.models(Caller(models=names)) for names in (None, frozenset({"gpt-6-luna", "x"}), frozenset())]
        return [gate.models(), *listed]

    assert on_a_gate(story) == [["gpt-6-luna"], ["gpt-6-luna"], ["gpt-6-luna"], []]
    everything = {"*": ROUTE, "b": ROUTE}
    assert on_a_gate(story, models=everything) == [["b"], ["b"], ["gpt-6-luna", "x"], []]
    by_default = {"*": ROUTE, "default": "d"}
    assert on_a_gate(story, models=by_default) == [["d"], ["d"], ["gpt-6-luna", "x"], []]


def test_one_model_is_told_to_who_may_ask_for_it():
    """A route or the default; where `*` takes every name, any; to the holder of a key only what the key may use."""

    async def story(gate):
        callers = (Caller(), Caller(models=frozenset({"x"})))
        return [[_exists(gate, name, caller) for name in ("gpt-6-luna", "x")] for caller in callers]

    def _exists(gate, name, caller):
        try:
            return gate.offer(name, caller).name == name
        except UnknownModelError:
            return False

    assert on_a_gate(story) == [[True, False], [False, False]]
    assert on_a_gate(story, models={"*": ROUTE}) == [[True, True], [False, True]]


def test_a_model_without_a_route_is_unknown():
    """Only the stack knows routes: the call is made, and refused and booked there."""

    async def story(gate):
        with pytest.raises(UnknownModelError):
            await ask(gate, HELLO.replace(b"luna", b"none"))
        return [(row.attempt, row.error_type) async for row in gate.rows(Query())]

    assert on_a_gate(story) == [(0, "model_not_found")]


def test_an_api_is_spoken_where_every_target_has_it():
    """`speaks` looks at all targets of the route that the name leads to, or of the default's."""
    providers = {"p": {"type": "simulator"}, "q": {"type": "simulator", "responses": False}}
    models = {
        "default": "both",
        "one": ROUTE,
        "both": {"targets": [{"provider": "p"}, {"provider": "q"}]},
    }

    async def story(gate):
        names = ("one", "both", None, "none")
        return [(gate.speaks(name, Operation.RESPONSES), gate.speaks(name, Operation.CHAT)) for name in names]

    assert on_a_gate(story, providers=providers, models=models) == [
        (True, True), (False, True), (False, True), (False, False),
    ]  # fmt: skip
    assert on_a_gate(story, models={"*": ROUTE})[3] == (True, True)


def test_ids_are_unguessable_and_in_order():
    """Calls, requests that never became one, and the gate itself have names of their own; calls sort by time."""

    async def story(gate):
        ids = []
        for _ in range(3):
            ids += [gate.call(Operation.CHAT, HELLO).id, gate.new_id()]
            await asyncio.sleep(1)
        return [gate.instance, *ids]

    instance, *ids = on_a_gate(story)
    assert {len(name) for name in (instance, *ids)} == {32}
    # 80 bits of it are drawn.
    assert len({name[-20:] for name in (instance, *ids)}) == 7
    assert ids[::2] == sorted(ids[::2])


class Calendar(VirtualClock):
    """A clock whose date is set by hand."""

    now = EPOCH

    def time(self):
        return self.now


def test_the_day_changes_at_midnight():
    """A call belongs to the UTC day on which it came."""
    clock = Calendar()
    midnight = EPOCH - EPOCH % 86400 + 86400

    async def story():
        async with await Gate.open(config(), clock=clock) as gate:
            days = []
            for clock.now in (EPOCH, midnight - 0.001, midnight, midnight + 86400):
                days.append(gate.call(Operation.CHAT, HELLO).day)
            return days

    assert virtual_time(story()) == ["2027-01-15", "2027-01-15", "2027-01-16", "2027-01-17"]


def test_health_tells_of_every_part():
    """Providers, store and journal are told apart; a simulator among the providers is told."""

    async def story(gate):
        return await gate.health(), gate.simulated

    health, simulated = on_a_gate(story)
    assert (health["status"], health["simulated"], simulated) == ("ok", True, True)
    assert health["providers"] == {"p": {"state": "ok", "latency_ms": 0, "error": None}}
    assert (health["store"]["status"], health["journal"]["status"]) == ("ok", "ok")


def test_health_where_providers_are_lost():
    """One provider that does not answer makes the gate degraded; it is down where no other one answers."""

    async def story(gate):
        seen = []
        for name in gate.config.providers:
            await gate._providers[name].close()
            health = await gate.health()
            seen.append((health["status"], [state["state"] for state in health["providers"].values()]))
        return seen

    two = {"p": {"type": "simulator"}, "q": {"type": "simulator"}}
    assert on_a_gate(story, providers=two) == [
        ("degraded", ["unreachable", "ok"]), ("down", ["unreachable", "unreachable"]),
    ]  # fmt: skip


def test_a_gate_without_simulators_does_not_simulate():
    """Only a provider of that type makes answers up."""

    async def story(gate):
        return gate.simulated, gate.simulators

    hosted = {"p": {"type": "openai", "api_key": "sk-1"}}
    assert on_a_gate(story, providers=hosted) == (False, {})


def test_a_journal_that_fails_is_told(tmp_path):
    """A record that could not be written makes the gate degraded and not ready, until it is written."""

    async def story():
        settings = config(f"sqlite:///{tmp_path}/books.db", journal={"path": f"{tmp_path}/journal"})
        async with await Gate.open(settings) as gate:
            before = (await gate.health())["status"], await gate.ready()
            gate._journal._error = "no space"
            after = (await gate.health())["status"], await gate.ready()
            await gate.usage(Query())
            return before, after, await gate.ready()

    assert asyncio.run(story()) == (("ok", True), ("degraded", False), True)


def test_the_file_ledger_survives_the_gate(tmp_path):
    """Calls are booked by the end of the gate; the journal is empty then, and the next gate knows them."""
    settings = config(f"sqlite:///{tmp_path}/books.db", journal={"path": f"{tmp_path}/journal", "fsync": True})

    async def story():
        async with await Gate.open(settings) as gate:
            await ask(gate)
            ready = await gate.ready()
        left = list((tmp_path / "journal").iterdir())
        async with await Gate.open(settings) as gate:
            total, _ = await gate.usage(Query())
        return ready, left, total.calls

    assert asyncio.run(story()) == (True, [], 1)


def test_a_store_that_cannot_be_used_is_refused(tmp_path):
    """The start fails with the reason, and leaves neither a lock nor a thread behind."""
    journal = tmp_path / "journal"
    settings = config(f"sqlite:///{tmp_path}/none/books.db", journal={"path": str(journal)})

    async def story():
        with pytest.raises(ConfigError, match="does not exist"):
            await Gate.open(settings)

    asyncio.run(story())
    assert list(journal.iterdir()) == []


def test_a_closed_gate_does_nothing():
    """Calls and questions are refused; it is not ready; closing again changes nothing."""

    async def story(gate):
        call = gate.call(Operation.CHAT, HELLO)
        await gate.close()
        await asyncio.gather(gate.close(), gate.close())
        for work in (gate(call), gate.usage(Query()), anext(gate.rows(Query())), gate.health()):
            with pytest.raises(StoppingError):
                await work
        return await gate.ready()

    assert on_a_gate(story) is False


def test_a_close_that_was_interrupted_can_be_repeated():
    """Whoever is cancelled while closing leaves a gate that can still be closed."""

    async def story(gate):
        call = asyncio.get_running_loop().create_task(ask(gate))
        await asyncio.sleep(1)
        closing = asyncio.get_running_loop().create_task(gate.close())
        await asyncio.sleep(FAREWELL / 2)
        closing.cancel()
        await asyncio.wait([closing])
        await gate.close()
        call.cancel()
        await asyncio.wait([call])
        return closing.cancelled(), gate._closed, gate._tasks._running

    assert on_a_gate(story, provider={"latency": {"first_token": 60}}) == (True, True, set())


def test_a_call_in_flight_is_not_asked_again():
    """A call that waits for its next attempt when the gate closes ends at once when it wakes; nothing more is sent."""

    async def story(gate):
        call = asyncio.get_running_loop().create_task(ask(gate))
        await asyncio.sleep(0.001)
        await gate.close()
        with pytest.raises(StoppingError):
            await call
        return len(gate.simulators["p"].log)

    assert on_a_gate(story, provider={"faults": [{"kind": "status", "status": 503}]}) == 1


def test_calls_in_flight_have_a_moment_to_be_booked(tmp_path):
    """A call that ends within the farewell is booked as it ended; one that does not is booked by the next start."""
    quick = {"latency": {"first_token": 0.2}}
    settings = config(f"sqlite:///{tmp_path}/books.db", provider=quick, journal={"path": f"{tmp_path}/journal"})

    async def story():
        gate = await Gate.open(settings)
        call = asyncio.get_running_loop().create_task(ask(gate))
        await asyncio.sleep(0.05)
        await gate.close()
        await call
        async with await Gate.open(settings) as gate:
            return [(row.settled, row.status) async for row in gate.rows(Query())]

    assert asyncio.run(story()) == [("billed", 200)]
