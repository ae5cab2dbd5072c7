"""Two workers at one address, one SQLite file and one Valkey: `server.workers: 2`, and one of them is killed."""

import asyncio
import json
import os
import re
import signal
from collections import Counter

import pytest

pytestmark = pytest.mark.e2e


@pytest.fixture(autouse=True)
def _shared(stage, valkey):
    """Several processes, and what they need to share."""
    stage.settings |= {
        "server": {"workers": 2, "shutdown_grace": 10},
        "shared": valkey.url,
        "policies": {"retry": {"max_attempts": 1}},
    }


async def worker_of(stage, port) -> tuple[int, int, str]:
    """Who takes a connection: number, pid and generation."""
    _, health = await stage.get(port, "/health")
    process = health["process"]
    return process["worker"], process["pid"], process["generation"]


async def workers(stage, port, many=2) -> dict[int, int]:
    """All of them: pid by number."""
    found: dict[int, int] = {}
    generations = set()
    for _ in range(400):
        got = await asyncio.gather(*(worker_of(stage, port) for _ in range(8)))
        found |= {number: pid for number, pid, _ in got}
        generations |= {generation for _, _, generation in got}
        if len(found) == many:
            assert len(generations) == 1
            return found
    raise AssertionError(found)


def alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_two_workers_share_the_calls_and_the_books(stage, callers, free_port, until, tell):
    """Both answer at one address, told once; every call is on the books once; SIGTERM ends all, and nothing is left."""

    async def story():
        async with stage:
            await stage.simulate()
            gateway = await stage.serve(free_port())
            await gateway.ready()
            pids = await workers(stage, gateway.port)
            assert gateway.process.pid not in pids.values()
            async with callers(21, [gateway.port]) as crowd:
                await until(lambda: len(crowd.heard) >= 400, "400 calls")
            # The middle of a call's id names the gate that made it.
            marks = Counter(one.call[12:24] for one in crowd.heard if one.call)
            assert len(marks) == 2
            assert min(marks.values()) > 0.35 * marks.total(), marks
            await gateway.stop()
            assert gateway.said.count("listens on") == 1
            assert "workers    2" in gateway.said
            assert gateway.said.rstrip().endswith("headgate has stopped; the books are closed")
            assert not any(alive(pid) for pid in pids.values())
            assert stage.journals() == []
            tell("two workers", await stage.audit(crowd.heard, kills=0))

    asyncio.run(story())


def test_one_worker_is_killed(stage, callers, free_port, until, tell):
    """Calls go on, another one takes its place and adopts its journal, and no attempt is lost or doubled."""

    async def story():
        async with stage:
            await stage.simulate()
            gateway = await stage.serve(free_port())
            await gateway.ready()
            before = await workers(stage, gateway.port)
            async with callers(22, [gateway.port]) as crowd:
                await asyncio.sleep(1.5)
                os.kill(before[1], signal.SIGKILL)
                heard = len(crowd.heard)
                await asyncio.sleep(0.5)
                meanwhile = [one for one in crowd.heard[heard:] if one.whole]
                await until(lambda: "worker 1 is back" in gateway.said, "it is back")
                await asyncio.sleep(1.5)
            assert len(meanwhile) > 20
            after = await workers(stage, gateway.port)
            assert (after[2], after[1] != before[1]) == (before[2], True)
            assert f"worker 1 (pid {before[1]}) was ended by signal 9; it is started again in 0.25 s" in gateway.said
            await asyncio.sleep(1.5)
            # Each has one; what the dead one left is adopted.
            journals = [name for name in stage.journals() if name != "figures"]
            assert len({name.partition("-")[0].partition(".")[0] for name in journals}) == 2
            tally = await stage.audit(crowd.heard, kills=1)
            await gateway.stop()
            assert stage.journals() == []
            assert tally.counts["crashed calls"], "the kill hit no call: the test proves nothing"
            tell("one worker killed", tally)

    asyncio.run(story())


def test_answers_in_flight_end_and_ctrl_c_is_told_once(stage, free_port, until):
    """SIGINT lets a stream in every worker end, within the grace."""
    body = json.dumps({"model": "gpt-6-luna", "stream": True, "messages": [{"role": "user", "content": "20 words"}]})
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"

    async def ask(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
        answer = await reader.read()
        writer.close()
        return answer

    async def story():
        async with stage:
            await stage.simulate((), first_token=0.5, per_token=0.05)
            gateway = await stage.serve(free_port())
            await gateway.ready()
            pids = await workers(stage, gateway.port)
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(ask(gateway.port)) for _ in range(24)]
                await until(lambda: len(stage.arrivals()) == 24, "24 calls")
                await gateway.stop(signal.SIGINT)
            answers = [task.result() for task in asked]
            assert all(b"data: [DONE]" in answer for answer in answers)
            assert len({re.search(rb"x-request-id: req_\w{12}(\w{12})", answer)[1] for answer in answers}) == 2
            assert not any(alive(pid) for pid in pids.values())

    asyncio.run(story())


def test_nobody_watches_over_them_any_more(stage, free_port, until):
    """Where the process that started them is killed, the workers end by themselves, in order."""

    async def story():
        async with stage:
            await stage.simulate()
            gateway = await stage.serve(free_port())
            await gateway.ready()
            pids = await workers(stage, gateway.port)
            await gateway.kill()
            await until(lambda: not any(alive(pid) for pid in pids.values()), "they end")
            assert stage.journals() == []

    asyncio.run(story())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"shared": "memory://"}, "`server.workers` is 2, but the processes could not share `memory://`"),
        ({"store": "memory://"}, "`server.workers` is 2, but the processes could not share `memory://`"),
        ({"store": "sqlite:////dev/null/books.db"}, "error: "),
    ],
)
def test_what_cannot_be_shared_or_opened(stage, free_port, settings, said):
    """It is told once, with the cure, and nothing is started or left."""

    async def story():
        stage.settings |= settings
        async with stage:
            await stage.simulate()
            gateway = await stage.serve(free_port())
            async with asyncio.timeout(20):
                assert await gateway.process.wait() == 2, gateway.said
            assert gateway.said.count("error: ") == 1
            assert said in gateway.said
            assert "hint: " in gateway.said
            assert "Traceback" not in gateway.said

    asyncio.run(story())
