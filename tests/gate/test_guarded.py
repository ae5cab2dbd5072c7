"""The guard in a whole gate, on the simulator: every endpoint, the books, and what reaches whom."""

import asyncio
import json
import logging

import pytest

from headgate.core.attempt import Settled
from headgate.core.call import Operation
from headgate.core.errors import GuardDownError, GuardError
from headgate.core.upload import Form, Part
from headgate.gate import present
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemChance, SystemClock
from headgate.stores.protocols import Query
from headgate.testing import VirtualClock, virtual_time

SECRET = "sk-" + "proj-Zq7" * 5
BLOCKED = {"kind": "words", "name": "brand", "words": ["acme corp"]}
MASKED = {"kind": "secrets", "name": "keys", "action": "mask"}
MODERATED = {"kind": "moderation", "name": "mod"}


def gated(story, guard, files=None, **provider):
    """Tell a story in a gate with rules."""
    given = {
        "store": f"sqlite:///{files}/h.db" if files else "memory://",
        "providers": {"p": {"type": "simulator", **provider}},
        "models": {"*": {"targets": [{"provider": "p"}]}},
        "policies": {"guard": guard},
        **({"journal": {"path": f"{files}/j"}} if files else {}),
    }

    async def run():
        config = load(None, environment={}, settings=given).config
        clock = SystemClock() if files else VirtualClock()
        async with await Gate.open(config, clock=clock, chance=SystemChance(3)) as gate:
            return await story(gate)

    # A database on disk has threads, whose time is real.
    return asyncio.run(run()) if files else virtual_time(run())


async def ask(gate, operation, body):
    """Ask, and give the raw answer and the headers."""
    raw = body if isinstance(body, Form) else json.dumps(body).encode()
    call = gate.call(operation, raw)
    async with await gate(call) as reply:
        headers = present.reply_headers(call, reply)
        return b"".join([event.raw async for event in reply]), headers, call


async def rows(gate):
    """The lines of the ledger."""
    return [row async for row in gate.rows(Query())]


def form(**fields):
    """A form."""
    return Form([Part(name, b'content-disposition: form-data; name="%b"\r\n' % name.encode(), value.encode())
                 for name, value in fields.items()], "x")  # fmt: skip


PART = {"type": "text", "text": "{}"}
TOOL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ASKED = [
    (Operation.CHAT, {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "about {}"}]}),
    (Operation.CHAT, {"model": "gpt-6-luna", "messages": [{"role": "user", "content": [PART]}]}),
    (
        Operation.CHAT,
        {
            "model": "gpt-6-luna",
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "assistant", "tool_calls": [TOOL]},
                {"role": "tool", "tool_call_id": "1", "content": "found {}"},
            ],
        },
    ),
    (Operation.RESPONSES, {"model": "gpt-6-luna", "input": "say {}", "store": False}),
    (Operation.RESPONSES, {"model": "gpt-6-luna", "input": "a", "instructions": "never {}", "store": False}),
    (Operation.RESPONSES, {"model": "gpt-6-luna", "input": [{"role": "user", "content": "{}"}], "store": False}),
    (Operation.COMPLETIONS, {"model": "gpt-6-luna", "prompt": "say {}"}),
    (Operation.EMBEDDINGS, {"model": "text-embedding-3-small", "input": ["a", "{}"]}),
    (Operation.IMAGES, {"model": "gpt-image-1", "prompt": "{}"}),
    (Operation.SPEECH, {"model": "gpt-4o-mini-tts", "input": "{}", "voice": "alloy"}),
    (Operation.MODERATIONS, {"input": "{}"}),
]  # fmt: skip


def filled(body, words):
    """A request with words in it."""
    return json.loads(json.dumps(body).replace("{}", words))


@pytest.mark.parametrize(("operation", "body"), ASKED)
def test_a_blocked_question_costs_nothing_on_any_endpoint(operation, body):
    """It is refused before anything leaves; the verdict is in the error and on the books."""

    async def story(gate):
        with pytest.raises(GuardError) as error:
            await ask(gate, operation, filled(body, "ACME  Corp"))
        return error.value, await rows(gate)

    error, (row,) = gated(story, {"input": [BLOCKED]})
    status, _, said = present.error_answer(error, "req_1")
    assert status == 403
    told = json.loads(said)["error"]
    assert (told["type"], told["code"]) == ("refused", "blocked")
    assert (told["guard"]["rule"], told["guard"]["pattern"], told["guard"]["layer"]) == ("brand", "acme corp", "words")
    assert (row.attempt, row.settled) == (0, Settled.NOT_BILLED)
    assert json.loads(row.guard) == [told["guard"]]


@pytest.mark.parametrize("operation", [Operation.IMAGE_EDITS])
def test_the_fields_of_a_form_are_judged(operation):
    """A prompt in a form is a prompt."""

    async def story(gate):
        with pytest.raises(GuardError):
            await ask(gate, operation, form(model="gpt-image-1", prompt="for acme corp"))
        return await rows(gate)

    assert [row.attempt for row in gated(story, {"input": [BLOCKED]})] == [0]


@pytest.mark.parametrize("stream", [False, True])
def test_planted_secrets_reach_neither_provider_nor_log_nor_ledger(tmp_path, caplog, stream):
    """Of a masked secret no file holds a byte: not the journal, not the ledger; no log, no answer."""
    caplog.set_level(logging.DEBUG)

    async def story(gate):
        said = []
        for operation, body in ASKED:
            if operation not in {Operation.CHAT, Operation.RESPONSES}:
                continue
            asked = {**filled(body, f"the key {SECRET} here"), "user": SECRET, "stream": stream}
            raw, headers, _ = await ask(gate, operation, asked)
            said.append(raw)
            if not stream:
                assert headers["x-headgate-guard"] == "mask input keys"
        return said, await rows(gate)

    said, found = gated(story, {"input": [MASKED]}, files=tmp_path)
    assert len(found) == len(said) == 6
    assert {row.user for row in found} == {"[openai_key]"}
    assert all(json.loads(row.guard)[0]["action"] == "mask" for row in found)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    everything = b"".join(file.read_bytes() for file in files) + b"".join(said) + caplog.text.encode()
    assert b"proj-Zq7" not in everything


@pytest.mark.parametrize("operation", [Operation.CHAT, Operation.RESPONSES])
@pytest.mark.parametrize("stream", [False, True])
def test_a_blocked_answer_is_paid_for_and_never_shown(operation, stream):
    """The simulator says what it was asked to say; the rule on output stops it, whole or streamed."""

    async def story(gate):
        asked = "Repeat exactly: nothing."
        body = {"model": "gpt-6-luna", "stream": stream}
        body |= (
            {"input": asked, "store": False}
            if operation is Operation.RESPONSES
            else {"messages": [{"role": "user", "content": asked}]}
        )
        first, _, _ = await ask(gate, operation, body)
        return first, await rows(gate)

    flag = {"kind": "patterns", "name": "any", "patterns": ["[a-z]"], "action": "flag"}
    said, (row,) = gated(story, {"output": [flag]})
    assert said
    assert json.loads(row.guard)[0]["rule"] == "any"

    async def blocked(gate):
        with pytest.raises(GuardError) as error:
            await story(gate)
        return error.value, await rows(gate)

    error, (row,) = gated(blocked, {"output": [{**flag, "action": "block"}]})
    assert row.attempt == 1
    assert row.settled is Settled.BILLED
    assert row.cost
    assert [attempt.number for attempt in error.attempts] == [1] or stream


def test_a_moderation_is_on_the_books_under_its_call():
    """It costs nothing, has the caller's call as its parent, and the provider's verdict blocks."""

    async def story(gate):
        body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hello there."}]}
        await ask(gate, Operation.CHAT, body)
        return await rows(gate)

    found = gated(story, {"input": [MODERATED]})
    assert sorted(row.operation for row in found) == ["chat", "moderations"]


def test_a_moderation_that_is_down_closes_or_opens():
    """Closed: 503 and nothing is sent. Open: the answer, and a note on the books."""
    fault = [{"kind": "status", "status": 500, "model": "omni-moderation-latest"}]
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hello there."}]}

    async def closed(gate):
        with pytest.raises(GuardDownError):
            await ask(gate, Operation.CHAT, body)
        return [row.operation for row in await rows(gate)]

    assert set(gated(closed, {"input": [MODERATED]}, faults=fault)) == {"chat", "moderations"}

    async def opened(gate):
        _, headers, _ = await ask(gate, Operation.CHAT, body)
        return headers["x-headgate-guard"]

    assert gated(opened, {"input": [{**MODERATED, "on_failure": "open"}]}, faults=fault) == "flag input mod"


def test_a_rule_for_some_models_holds_for_them_only():
    """Other names pass."""

    async def story(gate):
        body = {"messages": [{"role": "user", "content": "acme corp"}]}
        await ask(gate, Operation.CHAT, {**body, "model": "gpt-6-luna"})
        with pytest.raises(GuardError):
            await ask(gate, Operation.CHAT, {**body, "model": "gpt-6-sol"})

    gated(story, {"input": [{**BLOCKED, "models": ["gpt-6-sol"]}]})
