"""An upstream that says exactly what it is told to and keeps what it heard; gates in front of it; real processes."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import openai
import pytest
import uvicorn

from headgate.client.asynchronous import AsyncHeadgate
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.server.serve import running

KEY = "sk-upstream"
CALLERS_KEY = "hg-callers-own"
JSON_HEAD = (("content-type", "application/json"),)
EVENTS_HEAD = (("content-type", "text/event-stream; charset=utf-8"),)
CUT = None
"""In a script: break the connection, in the middle of whatever it is."""
ENDED = ...
"""In a script: close the connection in an orderly way, though the answer is not whole."""

Script = Iterable[Any]


class Seen(NamedTuple):
    """One request, byte for byte."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int

    def header(self, name: str) -> str:
        """The one value of a header; it must be there once."""
        (value,) = (value for key, value in self.headers if key == name)
        return value

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Upstream:
    """An HTTP server of scripted bytes.

    `answer` makes the script of each answer: bytes to write as one segment, seconds to wait, `CUT` or `ENDED`.
    """

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.answer: Callable[[Seen], Script] = lambda _: whole(b"{}")
        self.asked = asyncio.Event()
        self.left = asyncio.Event()
        """A connection was closed by the other side while an answer was under way."""
        self.connections = 0
        self.open = 0
        self.address = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Upstream"]:
        """Be there."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            self.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        connection = self.connections
        try:
            while seen := await _request(reader, connection):
                self.seen.append(seen)
                self.asked.set()
                if not await self._play(self.answer(seen), reader, writer):
                    return
        finally:
            self.open -= 1
            writer.close()

    async def _play(self, script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection can serve another request."""
        for step in script:
            if step is CUT or step is ENDED:
                if step is CUT:
                    writer.transport.abort()
                return False
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
                await asyncio.sleep(0)
                continue
            # Nobody sends a second request before the answer to the first: what comes now is the end.
            try:
                async with asyncio.timeout(step):
                    await reader.read(1)
            except TimeoutError:
                continue
            except ConnectionError:
                pass
            self.left.set()
            return False
        return True


async def _request(reader: asyncio.StreamReader, connection: int) -> Seen | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.split("\r\n")[:-2]
        headers = [(name.lower(), value) for name, _, value in (text.partition(": ") for text in rest)]
        length = int(dict(headers).get("content-length", 0))
        return Seen(line, headers, await reader.readexactly(length), connection)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def whole(body: bytes, *, status: int = 200, headers: Iterable[tuple[str, str]] = JSON_HEAD) -> list[bytes]:
    """A whole answer."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return [f"HTTP/1.1 {status} Scripted\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body]


def streamed(*pieces: Any, headers: Iterable[tuple[str, str]] = EVENTS_HEAD, end: bool = True) -> list[Any]:
    """A streamed answer: bytes become one chunk and one segment each, everything else stays what it is."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    script: list[Any] = [f"HTTP/1.1 200 OK\r\n{lines}transfer-encoding: chunked\r\n\r\n".encode()]
    script += [b"%x\r\n%b\r\n" % (len(piece), piece) if isinstance(piece, bytes) else piece for piece in pieces]
    return [*script, b"0\r\n\r\n"] if end else script


class Standing(NamedTuple):
    """A gate in front of the upstream, and one door of it."""

    upstream: Upstream
    gate: Gate
    http: httpx2.AsyncClient
    """Talks to that door as any HTTP client would."""
    sdk: openai.AsyncOpenAI
    """The official SDK at that door."""
    address: str
    """Where the HTTP door is; empty for the door in process."""

    def connections(self) -> int:
        """Connections that the gate holds, in use or idle."""
        return sum(len(provider._transport._all) for provider in self.gate._providers.values())


@asynccontextmanager
async def standing(door: str, *, up: Mapping[str, Any] | None = None, **settings: Any) -> AsyncIterator[Standing]:
    """An upstream, a gate in front of it, and clients at one of its doors.

    Args:
        door: `http` or `process`.
        up: more settings of the provider `up`.
        **settings: more sections of the configuration.
    """
    async with Upstream().listening() as upstream:
        provider = {"type": "openai", "base_url": f"{upstream.address}/v1", "api_key": KEY, "responses": True}
        plain = {"store": "memory://", "server": {"port": 0}, "policies": {"retry": {"max_attempts": 1}}}
        config = load(
            None, environment={}, settings={**plain, **settings, "providers": {"up": {**provider, **(up or {})}}}
        ).config
        if door == "http":
            async with (
                await Gate.open(config) as gate,
                running(gate, grace=1) as address,
                httpx2.AsyncClient(base_url=f"{address}/v1/", timeout=20, trust_env=False) as http,
                openai.AsyncOpenAI(base_url=f"{address}/v1", api_key=CALLERS_KEY, max_retries=0) as sdk,
            ):
                yield Standing(upstream, gate, http, sdk, address)
            return
        async with AsyncHeadgate(config) as inside, inside.http_client() as http:
            http.base_url = httpx2.URL("https://api.openai.com/v1/")
            client = inside.http_client()
            async with openai.AsyncOpenAI(api_key=CALLERS_KEY, http_client=client, max_retries=0) as sdk:
                yield Standing(upstream, await inside._ready(), http, sdk, "")


def environment(**variables: str) -> dict[str, str]:
    """The environment of a program that knows nothing of the one that runs the tests."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONWARNINGS": "error", **variables}


class Done(NamedTuple):
    """A program that has ended."""

    code: int
    out: str
    said: str

    @property
    def lines(self) -> list[Any]:
        """Its stdout: a value of JSON in each line."""
        return [json.loads(line) for line in self.out.splitlines()]


async def _command(folder: Path, *arguments: str, text: str = "", **variables: str) -> Done:
    """Run `headgate` with arguments, a stdin and an environment, to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "headgate",
        *arguments,
        cwd=folder,
        env=environment(**variables),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, said = await process.communicate(text.encode())
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), said.decode())


class Serving(NamedTuple):
    """A server that is up."""

    address: str
    banner: str
    pid: int


@asynccontextmanager
async def _serving(folder: Path, *arguments: str, **variables: str) -> AsyncIterator[Serving]:
    """Run `headgate serve` (or another command that listens) on a free port; it must end with 0 and an empty stdout."""
    command = arguments if arguments[:1] == ("simulate",) else ("serve", *arguments)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "headgate",
        *command,
        "--port",
        "0",
        cwd=folder,
        env=environment(**variables),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        said = b""
        async with asyncio.timeout(30):
            # A banner comes in one write; whatever was read before it are warnings.
            while not (found := re.search(rb"listens on (http://[^\s/]+)", said)):
                piece = await process.stderr.read(65536)
                assert piece, said
                said += piece
        yield Serving(found[1].decode(), said.decode(), process.pid)
        process.terminate()
        async with asyncio.timeout(20):
            out, rest = await asyncio.gather(process.stdout.read(), process.stderr.read())
            assert (await process.wait(), out) == (0, b""), rest
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def _hosted(app: Any, *, grace: int | None = None) -> AsyncIterator[str]:
    """Run an application under uvicorn, on a free port of this loop."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_config=None, access_log=False, timeout_graceful_shutdown=grace)
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve())
        async with asyncio.timeout(20):
            while not server.started:  # noqa: ASYNC110  it tells nobody
                await asyncio.sleep(0.005)
        try:
            port = server.servers[0].sockets[0].getsockname()[1]
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True


@pytest.fixture(name="hosted")
def _host():
    """Runs an application under uvicorn: leaving it is what SIGTERM does."""
    return _hosted


@pytest.fixture(name="stand")
def _stand():
    """Makes an upstream with a gate in front of it, and clients at a door."""
    return standing


@pytest.fixture(name="command")
def _run():
    """Runs one command to its end."""
    return _command


@pytest.fixture(name="serve")
def _serve():
    """Runs `headgate serve`."""
    return _serving


@pytest.fixture(name="recording")
def _recording():
    """The upstream's class."""
    return Upstream


@pytest.fixture(name="whole")
def _whole():
    """Writes a whole answer."""
    return whole


@pytest.fixture(name="streamed")
def _streamed():
    """Writes a streamed answer."""
    return streamed
