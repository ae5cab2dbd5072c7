"""`headgate local demo`: one question through all three doors, whole and streamed, to a model that nobody here wrote.

Decides what is asked and what counts as an answer. Everything else is the product as it stands: the Python door in this
process, a gateway on a socket with the official OpenAI SDK and plain HTTP in front of it, and `headgate` commands, all
with the same books, which are shown at the end.
"""

import asyncio
import json
import sys
import tempfile
import urllib.request
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any

import typer

from headgate.cli.local import installed
from headgate.cli.voice import FAILED, put
from headgate.client.asynchronous import AsyncHeadgate
from headgate.core.errors import ConfigError, HeadgateError
from headgate.gate.config import Config
from headgate.gate.environment import process_environment, switched, with_dotenv
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.providers.local.model import SMOLLM2, check, models_folder

QUESTION = "What is the capital of France?"
SYSTEM = "Answer in one short English sentence."
"""Without it so small a model likes to answer in something like French."""
MOST_TOKENS = 40
SECONDS = 120
MESSAGES: Any = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]


def demo() -> None:
    """Ask a real model one question through every door, and look at the books.

    Brings the model file first, where it is not there yet. Ends with 1 if a door did not answer.
    """
    try:
        import openai  # noqa: F401  an extra
    except ImportError:
        raise ConfigError(
            "One of the doors is tried with the official OpenAI SDK, which is not installed.",
            hint="pip install 'headgate[demo,local]'",
        ) from None
    environment = with_dotenv(process_environment(), Path(".env"))
    if switched(environment, "HEADGATE_SIMULATE"):
        raise ConfigError("HEADGATE_SIMULATE is set, and this demo asks a real model.", hint="unset HEADGATE_SIMULATE")
    file, _ = installed(SMOLLM2, models_folder(environment).absolute())
    check("providers.local", file)
    with tempfile.TemporaryDirectory(prefix="headgate-") as folder:
        path = Path(folder) / "headgate.yaml"
        settings = {
            "store": f"sqlite:///{folder}/books.db",
            "journal": {"path": f"{folder}/journal"},
            "providers": {"local": {"type": "local", "model_file": str(file), "defaults": {"temperature": 0}}},
            "models": {"default": SMOLLM2.name, "*": {"targets": [{"provider": "local"}]}},
        }
        path.write_text(json.dumps(settings), "utf-8")  # which is YAML, too
        if not asyncio.run(_demo(path)):
            raise typer.Exit(FAILED)


async def _demo(path: Path) -> bool:
    put(f"{QUESTION} (asked of {SMOLLM2.file}, on this machine)\n")
    config = load(path, environment={}).config
    answered = [
        *await _python(config),
        *await _http(config),
        await _door("command line, whole", _command("ask", QUESTION, "--whole", *_OPTIONS, config=path)),
        await _door("command line, streamed", _command("ask", QUESTION, "--stream", *_OPTIONS, config=path)),
    ]
    put("\n$ headgate usage --rows")
    put(await _command("usage", "--rows", config=path))
    rows = [json.loads(line) for line in (await _command("usage", "--rows", "--json", config=path)).splitlines()]
    own = [row for row in rows if row["basis"] == "reported" and row["prompt_tokens"] and row["completion_tokens"]]
    put(f"\n{sum(answered)} of {len(answered)} calls answered; {len(own)} booked with the model's own token counts.")
    return all(answered) and len(own) == len(answered)


_OPTIONS = ("--system", SYSTEM, "--max-tokens", str(MOST_TOKENS))


async def _door(name: str, answer: Awaitable[str]) -> bool:
    """Tell what came through a door; whether anything did."""
    try:
        text = (await asyncio.wait_for(answer, SECONDS)).strip() or "FAILED: no words"
    except Exception as error:  # noqa: BLE001  whatever it is, this door did not answer; the others are still tried
        text = f"FAILED: {error or type(error).__name__}"
    put(f"  {name:<26}{text}")
    return not text.startswith("FAILED")


async def _python(config: Config) -> list[bool]:
    async with AsyncHeadgate(config) as gate:

        async def whole() -> str:
            return (await gate.generate_response(QUESTION, system=SYSTEM, max_tokens=MOST_TOKENS)).text

        async def streamed() -> str:
            pieces = gate.stream(QUESTION, system=SYSTEM, max_tokens=MOST_TOKENS)
            return "".join([piece.text async for piece in pieces])

        return [await _door("Python, whole", whole()), await _door("Python, streamed", streamed())]


async def _http(config: Config) -> list[bool]:
    from openai import AsyncOpenAI

    from headgate.server.serve import running

    asked: Any = {"model": SMOLLM2.name, "messages": MESSAGES, "max_tokens": MOST_TOKENS}
    async with await Gate.open(config) as gate, running(gate, port=0, grace=1) as address:
        url = f"{address}/v1"
        async with AsyncOpenAI(base_url=url, api_key="unused", max_retries=0) as client:

            async def whole() -> str:
                answer = await client.chat.completions.create(**asked)
                return answer.choices[0].message.content or ""

            async def streamed() -> str:
                chunks = await client.chat.completions.create(**asked, stream=True)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])

            return [
                await _door("HTTP, SDK, whole", whole()),
                await _door("HTTP, SDK, streamed", streamed()),
                await _door("HTTP, plain, whole", asyncio.to_thread(_plain, url, asked)),
                await _door("HTTP, plain, streamed", asyncio.to_thread(_plain, url, asked | {"stream": True})),
            ]


def _plain(url: str, asked: Mapping[str, Any]) -> str:
    """What curl does."""
    head = {"content-type": "application/json"}
    request = urllib.request.Request(f"{url}/chat/completions", json.dumps(asked).encode(), head)  # noqa: S310  ours
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310  ditto
        text = answer.read().decode()
    if not asked.get("stream"):
        return str(json.loads(text)["choices"][0]["message"]["content"])
    *events, done, _ = text.split("\n\n")
    if done != "data: [DONE]":
        raise HeadgateError(f"The stream ended with {done!r}.")
    choices = [choice for event in events for choice in json.loads(event.removeprefix("data: "))["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


async def _command(*words: str, config: Path) -> str:
    """What a command of ours says on stdout."""
    command = [sys.executable, "-m", "headgate", *words, "--config", str(config)]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    try:
        said, complaint = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise HeadgateError(complaint.decode(errors="replace").strip())
    return said.decode().rstrip()
