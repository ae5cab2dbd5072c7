"""The policy: what leaves, what is counted, and what stays."""

import asyncio
import json

from headgate.catalog.tokens import Tokens
from headgate.core.body import Body
from headgate.core.call import Call, Operation, Target
from headgate.core.reply import Event, Kind, Reply
from headgate.policies.compress.compress import AT_ONCE, Compress
from headgate.policies.compress.shorten import How

PRETTY = json.dumps({"list": [1, 2, 3], "name": "x"}, indent=4)
SHORT = '{"list":[1,2,3],"name":"x"}'
LONG = "Once upon a time there was a gate through which every word had to pass. " * 8


def passed(operation, asked, how=How(), model="gpt-6-luna"):  # noqa: B008  frozen
    """What goes on of a call."""
    seen = []

    async def last(call):
        seen.append(call)
        return Reply([Event(kind=Kind.TERMINAL)])

    async def story():
        tokens = Tokens()
        policy = Compress(lambda name: how if name == "fast" else None, tokens)
        raw = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
        call = Call(
            id="1", operation=operation, model="fast", body=Body(raw), started=0, day="2027-01-15",
            target=Target("p", model),
        )  # fmt: skip
        await policy(call, last)
        saved = (await tokens.text(PRETTY, model)).tokens - (await tokens.text(SHORT, model)).tokens
        other = Call(id="2", operation=operation, model="other", body=Body(raw), started=0, day="2027-01-15")
        await policy(other, last)
        assert seen[1] is other, "its route does not ask for it"
        tokens.close()
        return call, saved

    call, saved = asyncio.run(story())
    return seen[0], call, saved


def test_only_words_change_and_what_is_saved_is_counted():
    """Every other byte stays: numbers, doubles of unknown fields, space, tools, order."""
    raw = (
        b'{"n": 1.0, "n": 1.00,"messages" : [ {"role":"user", "content": %b, "x": 1E5}, '
        b'{"role": "assistant", "tool_calls": [{"function": {"arguments": %b}}]}, '
        b'{"role":"tool","content":%b}, {"role":"user","content":"Go."} ]}'
    )
    quoted, short = json.dumps(PRETTY).encode(), json.dumps(SHORT).encode()
    found, _, saved = passed(Operation.CHAT, raw % (quoted, quoted, quoted))
    assert found.body.raw == raw % (short, quoted, quoted)
    assert found.saved_tokens == saved > 10
    found, _, _ = passed(Operation.CHAT, raw % (quoted, quoted, quoted), How(tools=True))
    assert found.body.raw == raw % (short, short, short)
    assert found.saved_tokens == 3 * saved


def test_every_dialect():
    """Responses and completions as well; what holds no words is not even looked at."""
    for operation, asked in (
        (Operation.RESPONSES, {"input": PRETTY}),
        (Operation.RESPONSES, {"instructions": PRETTY, "input": []}),
        (Operation.COMPLETIONS, {"prompt": ["a", PRETTY]}),
    ):
        found, _, saved = passed(operation, asked)
        assert json.loads(found.body.raw) == json.loads(
            json.dumps(asked).replace(json.dumps(PRETTY), json.dumps(SHORT))
        )
        assert found.saved_tokens == saved
    found, call, _ = passed(Operation.EMBEDDINGS, {"input": PRETTY})
    assert found is call


def test_a_call_with_nothing_to_save_is_the_same_call():
    """Nothing is copied; a text that would not have fewer tokens stays, however many letters it has less."""
    found, call, _ = passed(Operation.CHAT, {"messages": [{"role": "user", "content": "Hello."}]})
    assert found is call
    found, call, _ = passed(Operation.CHAT, {"messages": [{"role": "user", "content": "a \nb"}]})
    assert found is call or found.saved_tokens > 0


def test_prompts_do_not_know_of_each_other_and_the_model_does_not_refer():
    """A reference leads to something above in the same conversation."""
    how = How(repeats=True)
    found, call, _ = passed(Operation.COMPLETIONS, {"prompt": [LONG, LONG]}, how)
    assert found is call
    asked = {"messages": [{"role": role, "content": LONG} for role in ("user", "assistant", "user")]}
    found, _, _ = passed(Operation.CHAT, asked, how)
    first, second, third = (message["content"] for message in json.loads(found.body.raw)["messages"])
    assert (first, second) == (LONG, LONG)
    assert third.startswith("[Here a paragraph from above stands again: ")


def test_a_large_prompt_leaves_the_loop_free():
    """It is shortened in a thread, to the same."""
    asked = {"messages": [{"role": "user", "content": "\n\n".join([PRETTY] * (AT_ONCE // 40))}]}
    found, call, _ = passed(Operation.CHAT, asked)
    assert call.body.size > AT_ONCE
    assert json.loads(found.body.raw)["messages"][0]["content"] == "\n\n".join([SHORT] * (AT_ONCE // 40))
