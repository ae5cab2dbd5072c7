"""Start and end of `headgate serve`, as its users see them: real processes, real signals."""

import asyncio
import json
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

pytestmark = pytest.mark.e2e
BODY = {
    "model": "gpt-6-luna",
    "messages": [{"role": "user", "content": "Count."}],
    "stream": True,
    "max_completion_tokens": 40,
}
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}


def _config(folder, *, grace: float = 10, per_token: float = 0.05) -> str:
    path = folder / "headgate.yaml"
    settings = {
        "store": f"sqlite:///{folder}/books.db",
        "journal": {"path": f"{folder}/journal"},
        "server": {"port": 0, "shutdown_grace": grace},
        "providers": {"p": {"type": "simulator", "latency": {"first_token": 0.05, "per_token": per_token}}},
    }
    path.write_text(json.dumps(settings))
    return str(path)


async def _start(*args: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headgate", *args, stderr=asyncio.subprocess.PIPE, env=ENVIRONMENT
    )


@asynccontextmanager
async def _serving(*args: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    process = await _start(*args)
    try:
        said = b""
        async with asyncio.timeout(30):
            while not (found := re.search(rb"listens on (http://\S+?)(/v1)?\s", said)):
                line = await process.stderr.readline()
                assert line, said
                said += line
        yield process, found[1].decode()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _stream(address: str, begun: asyncio.Event) -> bytes:
    said = b""
    try:
        async with (
            httpx2.AsyncClient(timeout=30) as http,
            http.stream("POST", f"{address}/v1/chat/completions", json=BODY) as answer,
        ):
            assert answer.status_code == 200
            async for piece in answer.aiter_bytes():
                begun.set()
                said += piece
    finally:
        # Nobody waits for a beginning that will not come.
        begun.set()
    return said


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_streams_in_flight_finish_and_the_exit_is_0(tmp_path, sign):
    """No new connections, ten streams to their `[DONE]`, books closed, exit 0."""

    async def story():
        async with _serving("serve", "--config", _config(tmp_path)) as (process, address):
            begun = [asyncio.Event() for _ in range(10)]
            async with asyncio.TaskGroup() as group:
                streams = [group.create_task(_stream(address, event)) for event in begun]
                for event in begun:
                    await event.wait()
                process.send_signal(sign)
                await asyncio.sleep(0.2)
                with pytest.raises(httpx2.ConnectError):
                    async with httpx2.AsyncClient() as http:
                        await http.get(f"{address}/healthz")
            async with asyncio.timeout(5):
                said = await process.stderr.read()
                code = await process.wait()
            return code, [stream.result() for stream in streams], said

    code, streams, said = asyncio.run(story())
    assert code == 0
    assert all(stream.endswith(b"data: [DONE]\n\n") for stream in streams)
    assert b"books are closed" in said
    assert b"Traceback" not in said


def test_the_end_is_bounded_and_told(tmp_path):
    """A stream longer than `shutdown_grace` is cut off with an in-band error, without `[DONE]`; exit 0 all the same."""

    async def story():
        config = _config(tmp_path, grace=0.5, per_token=3)
        async with _serving("serve", "--config", config) as (process, address):
            begun = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                stream = group.create_task(_stream(address, begun))
                await begun.wait()
                process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(5):
                said = await process.stderr.read()
                return await process.wait(), stream.result(), said

    code, stream, said = asyncio.run(story())
    assert code == 0
    assert b'"code":"stopping"' in stream
    assert b"[DONE]" not in stream
    assert b"Traceback" not in said


def test_a_second_ctrl_c_exits_at_once(tmp_path):
    """With 130, whatever is in flight."""

    async def story():
        config = _config(tmp_path, grace=60, per_token=10)
        async with _serving("serve", "--config", config) as (process, address):
            begun = asyncio.Event()
            stream = asyncio.get_running_loop().create_task(_stream(address, begun))
            await begun.wait()
            process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.3)
            assert process.returncode is None
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(3):
                code = await process.wait()
            with pytest.raises(httpx2.HTTPError):
                await stream
            return code

    assert asyncio.run(story()) == 130


def test_a_port_that_is_taken_is_named(tmp_path):
    """Exit 2, the address and the cure; no trace."""

    async def story():
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            process = await _start("serve", "--config", _config(tmp_path), "--port", port)
            _, said = await process.communicate()
            return process.returncode, said.decode(), port

    code, said, port = asyncio.run(story())
    assert code == 2
    assert f"127.0.0.1:{port}" in said
    assert "hint:" in said
    assert "Traceback" not in said


def test_simulate_serves_and_stops():
    """`headgate simulate` says where it is and that it makes up its answers; SIGTERM ends it with 0."""

    async def story():
        async with _serving("simulate", "--port", "0") as (process, address):
            async with httpx2.AsyncClient() as http:
                answer = await http.post(f"{address}/v1/chat/completions", json=BODY)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(5):
                return answer, await process.wait()

    answer, code = asyncio.run(story())
    assert answer.status_code == 200
    assert b"[DONE]" in answer.content
    assert code == 0
