"""Covers catalog/tokens.py: counts of texts and requests, at once or in a thread, corrected by what answers report."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
from random import Random  # noqa: TID251  a corpus with a fixed seed

import pytest

from headgate.catalog import tokens as module
from headgate.catalog.encodings import Encodings
from headgate.catalog.tokens import AT_ONCE, Count, Tokens
from headgate.core.body import Body
from headgate.core.call import Operation
from headgate.providers.simulator.dice import Dice
from headgate.providers.simulator.simulator import Simulator
from headgate.providers.simulator.visit import Request
from headgate.providers.simulator.words import prose, talk
from headgate.testing import VirtualClock, virtual_time

VOCABULARIES = Encodings()


@pytest.fixture
def tokens(monkeypatch):
    """A counter without a network, whose vocabularies were read by an earlier test."""

    def never(*_):
        pytest.fail("somebody went to the network")

    monkeypatch.setattr(socket, "getaddrinfo", never)
    made = Tokens()
    made._encodings = VOCABULARIES
    yield made
    made.close()


def body(**fields) -> Body:
    """A request's body."""
    return Body(json.dumps(fields).encode())


def said(tokens: Tokens, text: str, model: str = "gpt-4o") -> Count:
    """The count of a text."""
    return asyncio.run(tokens.text(text, model))


def asked(tokens: Tokens, operation: Operation = Operation.CHAT, model: str = "gpt-4o", **fields) -> Count:
    """The count of a request."""
    return asyncio.run(tokens.request(operation, body(**fields), model))


def test_texts(tokens):
    """A text is counted by its model's vocabulary; one that is not published is a guess."""
    assert said(tokens, "tiktoken is great!") == Count(tokens=6, words=6)
    assert said(tokens, "Привет, мир!", "gpt-4o").tokens == 5
    assert said(tokens, "Привет, мир!", "gpt-4").tokens == 7
    guess = said(tokens, "Hello, world!", "gpt-6-luna")
    assert (guess.tokens, guess.guesses, guess.exact) == (4, ("vocabulary",), False)
    assert said(tokens, "") == Count(tokens=0, words=0)


def test_a_conversation_has_the_tokens_that_openai_documents(tokens):
    """The example of OpenAI's own cookbook: 129 tokens for GPT-4 and GPT-3.5, 124 for GPT-4o."""
    system = (
        "You are a helpful, pattern-following assistant that translates corporate jargon into plain English.",
        "New synergies will help drive top-line growth.",
        "Things working well together will increase revenue.",
        "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
        "Let's talk later when we're less busy about how to do better.",
    )
    names = (None, "example_user", "example_assistant", "example_user", "example_assistant")
    messages = [
        {"role": "system", "content": text} | ({"name": name} if name else {})
        for text, name in zip(system, names, strict=True)
    ]
    late = "This late pivot means we don't have time to boil the ocean for the client deliverable."
    messages.append({"role": "user", "content": late})
    counts = [asked(tokens, model=model, messages=messages) for model in ("gpt-4-0613", "gpt-3.5-turbo", "gpt-4o")]
    assert [(count.tokens, count.exact) for count in counts] == [(129, True), (129, True), (124, True)]


def test_embeddings(tokens):
    """Texts and tokens, nothing around them."""
    count = asked(tokens, Operation.EMBEDDINGS, "text-embedding-3-small", input=["tiktoken is great!", "Hi", [1, 2, 3]])
    assert count == Count(tokens=10, words=10)


def test_parts_of_a_count(tokens):
    """Words, tools and pictures are told apart, and what is guessed is named."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"type": "string"}}}}}
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    count = asked(tokens, messages=[{"role": "user", "content": [picture]}], tools=[tool])
    assert count == Count(tokens=7 + 30 + 765, words=7, tools=30, other=765, guesses=("pictures", "tools"))
    assert asked(tokens, Operation.RESPONSES, input="Hi").guesses == ("framing",)


def test_only_requests_that_tell_are_counted(tokens):
    """What a picture to be drawn costs is not in the words that ask for it."""
    with pytest.raises(ValueError, match=r"images costs is not told"):
        asked(tokens, Operation.IMAGES, prompt="a horse")


def test_short_texts_need_no_thread_and_long_ones_get_one(tokens, monkeypatch):
    """What is short is counted where it is asked for; all else, and reading a vocabulary, in one thread."""
    where = []
    original = Encodings.count

    def count(self, name, text):
        where.append(threading.current_thread().name)
        return original(self, name, text)

    monkeypatch.setattr(Encodings, "count", count)
    main = threading.current_thread().name
    said(tokens, "a " * (AT_ONCE // 2))
    assert where == [main]
    where.clear()
    assert said(tokens, "a " * AT_ONCE).tokens == AT_ONCE + 1
    asked(tokens, messages=[{"role": "user", "content": "b " * AT_ONCE}])
    assert set(where) == {"headgate-tokens_0"}
    where.clear()
    tokens._encodings = Encodings()
    said(tokens, "a")
    assert where == ["headgate-tokens_0"]


def test_the_loop_is_free_and_a_long_count_lets_others_in(tokens):
    """While ten megabytes are counted, other texts that need the thread get their turn."""
    said(tokens, "x")
    order = []

    async def one(name, text):
        order.append((name, (await tokens.text(text, "gpt-4o")).tokens))

    async def both():
        async with asyncio.TaskGroup() as group:
            group.create_task(one("long", "ab " * 1_000_000))
            group.create_task(one("short", "cd " * 5_000))

    asyncio.run(both())
    assert [name for name, _ in order] == ["short", "long"]
    assert order[1][1] == 1_000_001


def test_a_caller_who_leaves_stops_the_count(tokens, monkeypatch):
    """After a cancellation nothing but the turn that is running is still counted."""
    monkeypatch.setattr(module, "TURN", 1)
    turns = []
    third = asyncio.Event()
    loop: asyncio.AbstractEventLoop | None = None
    original = module._turn

    def turn(steps):
        turns.append(1)
        if len(turns) == 3:
            loop.call_soon_threadsafe(third.set)
        return original(steps)

    monkeypatch.setattr(module, "_turn", turn)

    async def story():
        nonlocal loop
        loop = asyncio.get_running_loop()
        task = loop.create_task(tokens.text("ab " * 2_000_000, "gpt-4o"))
        await third.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return len(turns)

    turned = asyncio.run(story())
    tokens._thread.shutdown(wait=True)
    assert len(turns) <= turned + 1 < 183


@pytest.mark.parametrize("text", [" " * 3_000_000, "a" * 1_000_000, "\n\t" * 500_000, "🙂" * 300_000])
def test_hostile_requests_are_counted(tokens, text):
    """An endless word is counted in bounded pieces and marked."""
    count = asked(tokens, messages=[{"role": "user", "content": text}])
    assert count.guesses == ("length",)
    assert 7 < count.tokens <= len(text.encode())


def test_many_tiny_messages_are_counted(tokens):
    """A request of nothing but frames."""
    count = asked(tokens, messages=[{"role": "user", "content": "a"}] * 20_000)
    assert count == Count(tokens=20_000 * 5 + 3, words=20_000 * 5 + 3)


def test_close_ends_the_thread():
    """No thread is left behind, and closing twice, or what never ran, is nothing."""
    made = Tokens()
    made.close()
    made._encodings = VOCABULARIES
    said(made, "a " * AT_ONCE)
    (thread,) = [thread for thread in threading.enumerate() if thread.name.startswith("headgate-tokens")]
    made.close()
    made.close()
    thread.join(10)
    assert not thread.is_alive()


def test_exact_counts_are_not_corrected(tokens):
    """Where nothing is estimated, a report changes nothing."""
    count = asked(tokens, messages=[{"role": "user", "content": "Hello!"}])
    tokens.learn("gpt-4o", count, 50)
    assert asked(tokens, messages=[{"role": "user", "content": "Hello!"}]) == count


def test_pictures_and_files_teach_nothing(tokens):
    """The guess of a picture must not spoil the count of words."""
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    messages = [{"role": "user", "content": [picture, {"type": "text", "text": "What is it?"}]}]
    count = asked(tokens, model="gpt-6-luna", messages=messages)
    tokens.learn("gpt-6-luna", count, 20_000)
    assert asked(tokens, model="gpt-6-luna", messages=messages) == count


def test_two_percent_of_the_simulator_after_calibration(tokens):
    """Chats with tools, counted as the simulator charges for them: all together, and the typical one, within 2 %."""
    draw = Random(20261120)  # noqa: S311  a corpus
    tools = [_tool(draw, at) for at in range(12)]
    requests = [json.dumps(_conversation(draw, tools), ensure_ascii=False).encode() for _ in range(500)]

    async def charge(simulator: Simulator) -> list[int]:
        for raw in requests:
            answer = simulator.take(Request("POST", "/v1/chat/completions", {}, raw))
            await answer.head()
            while await answer.receive():
                pass
        return [line.usage.prompt_tokens for line in simulator.bill.lines]

    async def count(reports: list[int]) -> list[tuple[int, int, int]]:
        found = []
        for raw, reported in zip(requests, reports, strict=True):
            count = await tokens.request(Operation.CHAT, Body(raw), "gpt-6-luna")
            found.append((count.words + count.tools, count.tokens, reported))
            tokens.learn("gpt-6-luna", count, reported)
        return found

    found = asyncio.run(count(virtual_time(charge(Simulator(clock=VirtualClock())))))
    after = found[100:]
    plain, ours, theirs = (sum(column) for column in zip(*after, strict=True))
    assert plain < 0.9 * theirs  # what it was before anything was learned
    assert abs(ours / theirs - 1) < 0.005
    errors = sorted(abs(ours / theirs - 1) for _, ours, theirs in after)
    assert errors[len(errors) // 2] < 0.02
    assert errors[len(errors) * 9 // 10] < 0.05


def _tool(draw: Random, at: int) -> dict:
    """A function with some parameters."""
    words = ("city", "unit", "when", "limit", "note", "account")
    properties = {
        f"{draw.choice(words)}_{number}": {
            "type": draw.choice(("string", "integer", "number")),
            "description": talk(Dice(draw.randbytes(16)))[: draw.randint(15, 80)],
        }
        for number in range(draw.randint(1, 6))
    }
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    name = f"{draw.choice(('get', 'set', 'find'))}_{draw.choice(('weather', 'invoice', 'route'))}_{at}"
    about = talk(Dice(draw.randbytes(16)))
    return {"type": "function", "function": {"name": name, "description": about, "parameters": parameters}}


def _conversation(draw: Random, tools: list[dict]) -> dict:
    """A chat of some turns; most have tools."""
    messages = [{"role": "system", "content": prose(Dice(draw.randbytes(16)), draw.randint(20, 300))}]
    for _ in range(draw.randint(1, 6)):
        messages.append({"role": "user", "content": talk(Dice(draw.randbytes(16)))})
        if draw.random() < 0.5:
            messages.append({"role": "assistant", "content": talk(Dice(draw.randbytes(16)))})
    some = draw.sample(tools, draw.randint(0, 6))
    # With tools it takes no other effort in Chat Completions.
    return {"model": "gpt-6-luna", "messages": messages, "reasoning_effort": "none"} | ({"tools": some} if some else {})


def test_import_of_headgate_loads_no_tokenizer():
    """Counting costs nothing when nobody asks: not even its import."""
    code = "import sys, headgate; print({'tiktoken', 'headgate.catalog.encodings'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


def test_what_is_said_at_once(tokens):
    """By the vocabulary where it has been read, else by bytes; also of what is too long to be counted at once."""
    said(tokens, "read it")
    assert tokens.soon("Hello, world!", "gpt-4o") == said(tokens, "Hello, world!").tokens == 4
    assert tokens.soon("", "gpt-4o") == 0
    assert tokens.soon("word " * 2000, "gpt-4o") == 2500
    fresh = Tokens()
    assert (fresh.soon("Hello, world!", "gpt-4o"), fresh.soon("\ud800", "gpt-4o")) == (4, 1)
    assert not fresh._encodings.ready("o200k_base"), "nobody waits for it"
