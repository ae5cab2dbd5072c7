"""A gate as a process of its own, in front of a simulator that remembers; the homes of the clients; the table.

Nothing stands between a client and the gate. What the simulator was asked and what it answered is kept, so that a
client's report can be held against the answer, and both against the ledger.
"""

import asyncio
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from headgate.gate.ports import SystemClock
from headgate.providers.simulator import Simulator, simulator_app
from headgate.server.listener import Listener
from headgate.server.serve import listening

HERE = Path(__file__).parent
HOMES = HERE.parents[1] / "build" / "clients"
KEY = "hg-clients-own"
UPSTREAM_KEY = "sk-upstream"
MODEL = "gpt-6-luna"
EMBEDDING_MODEL = "text-embedding-3-small"


class Exchange(NamedTuple):
    """One request that reached the simulator, and its answer."""

    path: str
    attempt: str
    """`<call>-<attempt>`, as the gate names it to its provider."""
    key: str
    question: Any
    answer: bytes


class Provider:
    """The simulator over HTTP; keeps what passed."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.simulator = Simulator(clock=SystemClock(), seed=11, api_key=UPSTREAM_KEY)
        self._app = simulator_app(self.simulator)

    async def __call__(self, scope, receive, send) -> None:
        """Answer, and keep it."""
        asked, answered = [], []

        async def hear():
            message = await receive()
            asked.append(message.get("body", b""))
            return message

        async def tell(message):
            answered.append(message.get("body", b""))
            await send(message)

        await self._app(scope, hear, tell)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        question = json.loads(b"".join(asked) or b"null")
        attempt, key = headers.get("x-client-request-id", ""), headers.get("authorization", "")
        self.exchanges.append(Exchange(scope["path"], attempt, key, question, b"".join(answered)))


class Told(NamedTuple):
    """What a client's program was through with."""

    steps: list[Any]
    """What it printed: a line for each of its calls."""
    exchanges: list[Exchange]
    rows: list[Any]
    """The ledger, oldest first."""
    bill: Decimal
    """What the simulator charged, in USD."""


def _environment(**more: str) -> dict[str, str]:
    """Nothing of the one who runs the tests but the way to programs and certificates."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG"}}
    return {**kept, "HOME": "/nonexistent", "NO_COLOR": "1", **more}


async def _run(*command: str | Path, folder: Path, **variables: str) -> str:
    """Run a program to its end; what it printed."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=folder,
        env=_environment(**variables),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(180):
            out, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{command[-1]} ended with {process.returncode}\n{out.decode()}\n{said.decode()}"
    return out.decode()


@asynccontextmanager
async def _gate(folder: Path, upstream: str) -> AsyncIterator[str]:
    """Run `headgate serve` on a free port; gives its address. It must end well."""
    up = {"type": "openai", "base_url": f"{upstream}/v1", "api_key": UPSTREAM_KEY, "responses": True}
    config = {
        "server": {"auth": "keys"},
        "store": f"sqlite:///{folder / 'books.db'}",
        "journal": {"path": str(folder / "journal")},
        "providers": {"up": up},
        "models": {name: {"targets": [{"provider": "up"}]} for name in (MODEL, EMBEDDING_MODEL)},
        # The model calls tools in Chat Completions only with effort none, of which most clients know nothing.
        "policies": {"on_unsupported": "drop"},
        "keys": [{"name": "visitor", "sha256": hashlib.sha256(KEY.encode()).hexdigest(), "project": "clients"}],
    }
    (folder / "headgate.yaml").write_text(json.dumps(config))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headgate", "serve", "--port", "0",
        cwd=folder, env=_environment(PYTHONWARNINGS="error"), stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        said = b""
        async with asyncio.timeout(30):
            while not (found := re.search(rb"listens on (http://[^\s/]+)", said)):
                piece = await process.stderr.read(65536)
                assert piece, said.decode()
                said += piece
        yield found[1].decode()
        process.terminate()
        async with asyncio.timeout(20):
            rest = await process.stderr.read()
            assert (await process.wait(), b"Traceback" in rest) == (0, False), rest.decode()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _tell(folder: Path, command: list[str | Path], **variables: str) -> Told:
    """Let a client's program talk to a fresh gate, and read the books."""
    provider = Provider()
    listener = Listener(provider)
    async with listening(listener, host="127.0.0.1", port=0, grace=1) as upstream, _gate(folder, upstream) as address:
        printed = await _run(
            *command,
            folder=folder,
            BASE_URL=f"{address}/v1",
            API_KEY=KEY,
            MODEL=MODEL,
            EMBEDDING_MODEL=EMBEDDING_MODEL,
            **variables,
        )
    rows = await _run(sys.executable, "-m", "headgate", "usage", "--rows", "--json", folder=folder)
    steps, books = ([json.loads(line) for line in text.splitlines()] for text in (printed, rows))
    books.sort(key=lambda row: row["time"])
    return Told(steps, provider.exchanges, books, provider.simulator.bill.usd())


def _install(home: Path, wanted: str, *commands: list[str | Path]) -> None:
    """Make a home anew, unless it holds what is wanted.

    Args:
        home: the folder.
        wanted: what it is to hold; any text.
        *commands: make it.
    """
    mark = home / ".holds"
    if mark.exists() and mark.read_text() == wanted:
        return
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    for command in commands:
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(f"{' '.join(map(str, command))} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    mark.write_text(wanted)


class Homes:
    """Where the clients for Python live: a virtual environment for each file of `requirements/`."""

    def __call__(self, name: str) -> Path:
        """The environment, made if need be."""
        file = HERE / "requirements" / f"{name}.txt"
        home = HOMES / name
        _install(
            home,
            f"Python {sys.version}\n{file.read_text('utf-8')}",
            [sys.executable, "-m", "venv", home],
            [home / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-compile", "--requirement", file],
        )
        return home

    def version(self, package: str, home: Path) -> str:
        """A package of an environment, and its version."""
        text = (HERE / "requirements" / f"{home.name}.txt").read_text("utf-8")
        pins = dict(line.split("==") for line in text.splitlines() if "==" in line)
        (version,) = (pin for name, pin in pins.items() if name.partition("[")[0] == package)
        return f"{package} {version}"


class NodeHome:
    """Where the clients for Node live: a folder with what `package.json` names, a Node of the right age among it."""

    def __call__(self) -> Path:
        """The folder, made if need be."""
        npm = _need("npm", "install Node.js 20 or newer, which brings it: https://nodejs.org")
        files = [HERE / "package.json", HERE / "package-lock.json"]
        home = HOMES / "node"
        wanted = "".join(file.read_text("utf-8") for file in files)
        _install(home, wanted, ["cp", *files, home], [npm, "ci", "--no-fund", "--no-audit", "--loglevel=error"])
        return home

    def version(self, package: str) -> str:
        """A package, and its version."""
        pins = json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"]
        return f"{package} {pins[package]} (Node)"


def _need(program: str, cure: str) -> str:
    """Where a program of this machine is. Without it the command would prove less than it says: it fails."""
    found = shutil.which(program)
    if found is None:
        pytest.fail(f"{program} is not on this machine\n\nhint: {cure}", pytrace=False)
    return found


@pytest.fixture(name="python")
def _python_homes():
    """Makes the environments of the clients for Python."""
    return Homes()


@pytest.fixture(name="node")
def _node_home():
    """Makes the home of the clients for Node."""
    return NodeHome()


@pytest.fixture(name="need")
def _needed():
    """Finds a program of this machine."""
    return _need


@pytest.fixture(name="tell")
def _told():
    """Lets a client's program talk to a fresh gate."""
    return _tell


TASKS = ("conversation", "stream", "tool", "embedding", "error")
TABLE = pytest.StashKey[dict[tuple[str, str], Counter[str]]]()
"""Calls that were proved, by task, of each client and door."""


@pytest.fixture(name="table")
def _table(request):
    """Enters what was proved of a client into the table."""
    lines = request.config.stash.setdefault(TABLE, {})

    def enter(client: str, calls: list[tuple[str, str]]) -> None:
        for door, task in calls:
            lines.setdefault((client, door), Counter())[task] += 1

    return enter


def pytest_terminal_summary(terminalreporter, config) -> None:
    """Print the table: how many calls of each client and task were right, in the answer and on the books."""
    lines = config.stash.get(TABLE, {})
    if not lines:
        return
    wide = max(len(client) for client, _ in lines) + 2
    terminalreporter.section("calls that were right, at the client, the provider and in the ledger")
    terminalreporter.write_line("client".ljust(wide) + "door".ljust(12) + "".join(task.rjust(14) for task in TASKS))
    for (client, door), counts in lines.items():
        figures = "".join(str(counts[task] or "-").rjust(14) for task in TASKS)
        terminalreporter.write_line(client.ljust(wide) + door.ljust(12) + figures)
    terminalreporter.write_line(f"{sum(counts.total() for counts in lines.values())} calls")
