"""What the tests of kills and losses share: programs in processes of their own, callers who bear everything, an audit.

The simulator writes each arrival down before it answers and keeps its own bill; it is never harmed. Its word is the
truth that the ledger is held against.
"""

import asyncio
import json
import signal
import socket
import sqlite3
import sys
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Self

import psycopg
import pytest

from headgate.gate.ports import SystemChance, SystemClock

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
CLOCK = SystemClock()
MODELS = ("gpt-6-luna", "gpt-5.4-mini", "gpt-4o-mini")
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}
FAULTS = (
    {"kind": "status", "status": 503, "rate": 0.06},
    {"kind": "status", "status": 429, "retry_after": 0.05, "rate": 0.02},
    {"kind": "reset", "rate": 0.03},
    {"kind": "cut", "after_tokens": 2, "rate": 0.05},
    {"kind": "cut", "after_tokens": 0, "rate": 0.03},
    {"kind": "malformed", "after_tokens": 3, "rate": 0.02},
    {"kind": "stall", "after_tokens": 2, "delay": 0.5, "rate": 0.03},
    {"kind": "no_usage", "rate": 0.03},
    {"kind": "no_done", "rate": 0.02},
)
"""A bad day upstream: about a quarter of the calls meets something."""
TOKENS = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")

CALLS = """
SELECT DISTINCT call_id, call_attempts AS attempts, call_status AS status, call_error_type AS error_type, cache,
  call_latency_ms, call_first_token_ms
FROM attempts WHERE cache IS NOT NULL
"""
"""The ends of calls: each stands on every attempt of its call, the same everywhere, or it is found twice."""


def _free_port() -> int:
    """A port that no outgoing connection of anybody will take while its server is down."""
    chance = SystemChance()
    while True:
        # Below the range that systems draw the ports of outgoing connections from.
        port = 20_000 + int(chance.random() * 12_000)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue


async def _until(true, what: str, seconds: float = 20) -> None:
    """Wait until something has come true."""
    end = CLOCK.monotonic() + seconds
    while not true():
        assert CLOCK.monotonic() < end, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.02)


@dataclass
class Program:
    """A process of ours, its port, and what it said."""

    process: asyncio.subprocess.Process
    log: Path
    port: int

    @property
    def said(self) -> str:
        return self.log.read_text()

    async def ready(self, seconds: float = 30) -> None:
        """Wait until it listens."""
        await _until(lambda: "listens on" in self.said or self.process.returncode is not None, self.said, seconds)
        assert self.process.returncode is None, self.said

    def send(self, sign: signal.Signals) -> None:
        self.process.send_signal(sign)

    async def kill(self) -> None:
        """End it as the kernel does."""
        self.send(signal.SIGKILL)
        assert await self.process.wait() == -signal.SIGKILL

    async def stop(self, sign: signal.Signals = signal.SIGTERM, *, seconds: float = 30, troubled: bool = False) -> None:
        """End it as an operator does; it must agree, and complain of nothing if it was not `troubled`."""
        self.send(sign)
        async with asyncio.timeout(seconds):
            code = await self.process.wait()
        assert code == 0, f"exit {code}: {self.said}"
        assert troubled or "Traceback" not in self.said, self.said


@dataclass
class Heard:
    """What a caller got for one call."""

    port: int
    stream: bool
    left: bool = False
    status: int | None = None
    call: str | None = None
    data: bytes = b""

    @property
    def whole(self) -> bool:
        """The answer came to its end, as HTTP has it."""
        head, found, body = self.data.partition(b"\r\n\r\n")
        if not found or self.left:
            return False
        if b"transfer-encoding: chunked" in head.lower():
            return body.endswith(b"\r\n0\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return len(body) == int(length.split(b":")[1])

    @property
    def refused(self) -> bool:
        """It was not made, because it could not have been booked: the one call that need not be on the books."""
        return self.status == 503 and b'"journal_full"' in self.data

    @property
    def finished(self) -> bool:
        """A stream said that it is finished."""
        return b"data: [DONE]" in self.data or b'"type":"response.completed"' in self.data

    def take(self, data: bytes) -> None:
        self.data += data
        if self.status is None and b"\r\n\r\n" in self.data:
            lines = self.data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
            self.status = int(lines[0].split()[1])
            for line in lines[1:]:
                name, _, value = line.partition(": ")
                if name.lower() == "x-request-id":
                    self.call = value.removeprefix("req_")


class Callers:
    """Many at once, each with a will of its own; they bear broken connections and come again.

    Attributes:
        doors: the ports that they knock at; may be changed at any time.
        key: what they call with; may be changed at any time.
        heard: what they got, in the order of its end.
    """

    def __init__(self, seed: int, doors: list[int], *, many: int = 32, leave: float = 0.05, heavy: float = 0.1) -> None:
        self.doors = doors
        self.key = ""
        self.heard: list[Heard] = []
        self._seed = seed
        self._many = many
        self._leave = leave
        self._heavy = heavy
        self._stop = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None

    async def __aenter__(self) -> Self:
        self._group = await asyncio.TaskGroup().__aenter__()
        for number in range(self._many):
            self._group.create_task(self._live(SystemChance(seed=1000 * self._seed + number)))
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stop.set()
        await self._group.__aexit__(*error)

    async def _live(self, chance: SystemChance) -> None:
        while not self._stop.is_set():
            heard = await self._ask(chance)
            self.heard.append(heard)
            if heard.status != 200:
                await asyncio.sleep(0.02 + 0.1 * chance.random())

    async def _ask(self, chance: SystemChance) -> Heard:
        port = self.doors[int(chance.random() * len(self.doors))]
        stream = chance.random() < 0.5
        request = self._request(chance, stream=stream)
        leaves = stream and chance.random() < self._leave
        heard = Heard(port, stream)
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return heard
        try:
            writer.write(request)
            async with asyncio.timeout(60):
                while data := await reader.read(65536):
                    heard.take(data)
                    if leaves and heard.status is not None:
                        heard.left = True
                        break
        except OSError:
            pass
        finally:
            writer.transport.abort()
        return heard

    def _request(self, chance: SystemChance, *, stream: bool) -> bytes:
        model = MODELS[int(chance.random() * len(MODELS))]
        # Some prompts are long enough to be kept in the provider's cache, and are asked again.
        text = f"Say about {5 + int(chance.random() * 30)} words. " + "And so on. " * (600 * (chance.random() < 0.1))
        if chance.random() < 0.5:
            operation = "chat"
            body = {"model": model, "messages": [{"role": "user", "content": text}]}
        else:
            operation = "responses"
            body = {"model": model, "input": text, "store": False}
        raw = json.dumps({**body, "stream": stream}).encode()
        tags = ""
        if chance.random() < self._heavy:
            # Long lines, so that the journal begins new files within seconds.
            tags = "x-headgate-tags: " + ",".join(f"t{n}={'x' * 250}" for n in range(20)) + "\r\n"
        key = f"authorization: Bearer {self.key}\r\n" if self.key else ""
        head = (
            f"POST {PATHS[operation]} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n{tags}{key}"
            f"content-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n"
        )
        return head.encode() + raw


@dataclass
class Tally:
    """What an audit found."""

    counts: Counter = field(default_factory=Counter)
    booked: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def must(self, true: bool, problem: str) -> None:
        if not true:
            self.problems.append(problem)


class Stage:
    """One store, one journal folder, one simulator, and gateways that come and go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "journal"
        self.store = folder / "books.db"
        self.settings: dict[str, object] = {}
        """More of the configuration, or other."""
        self.simulator: Program
        self._programs: list[Program] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for program in self._programs:
            if program.process.returncode is None:
                program.process.kill()
            await program.process.wait()

    async def simulate(self, faults=FAULTS, *, first_token: float = 0.02, per_token: float = 0.001) -> None:
        """Start the simulator."""
        scripted = [word for fault in faults for word in ("--fault", json.dumps(fault))]
        pace = ["--first-token", str(first_token), "--per-token", str(per_token)]
        log = ["--log", str(self.folder / "arrivals.jsonl")]
        self.simulator = await self._start("simulate", *pace, *scripted, *log)
        await self.simulator.ready()

    async def serve(self, port: int, **journal: object) -> Program:
        """Start a gateway; it may not listen yet."""
        return await self._start("serve", "--config", self.config(**journal), port=port)

    def config(self, **journal: object) -> str:
        """The file that all gateways of this stage share."""
        path = self.folder / "headgate.yaml"
        base_url = f"http://127.0.0.1:{self.simulator.port}/v1"
        settings = {
            "store": f"sqlite:///{self.store}",
            "journal": {"path": str(self.journal), **journal},
            "providers": {"up": {"type": "openai", "base_url": base_url, "api_key": "k", "responses": True}},
            **self.settings,
        }
        path.write_text(json.dumps(settings))
        return str(path)

    async def _start(self, *args: str, port: int | None = None) -> Program:
        port = port or _free_port()
        log = self.folder / f"said-{len(self._programs)}.txt"
        with log.open("wb") as said:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "headgate", *args, "--port", str(port), stderr=said, env=ENVIRONMENT
            )
        program = Program(process, log, port)
        self._programs.append(program)
        return program

    async def run(self, *args: str) -> str:
        """Run a command to its end; what it printed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headgate", *args, "--config", str(self.folder / "headgate.yaml"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=ENVIRONMENT,
        )  # fmt: skip
        printed, said = await process.communicate()
        assert process.returncode == 0, said.decode()
        return printed.decode()

    async def get(self, port: int, path: str) -> tuple[int, dict]:
        """Ask a program something."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1]), json.loads(body)

    def arrivals(self) -> list[dict]:
        """What the simulator saw, oldest first."""
        return [json.loads(line) for line in (self.folder / "arrivals.jsonl").read_text().splitlines()]

    def read(self, question: str) -> list[dict]:
        """What the books themselves say."""
        address = str(self.settings.get("store", self.store))
        if address.startswith("postgresql://"):
            with psycopg.connect(address, row_factory=psycopg.rows.dict_row) as database:
                return database.execute(question).fetchall()
        with sqlite3.connect(self.store) as store:
            store.row_factory = sqlite3.Row
            found = [dict(row) for row in store.execute(question)]
        store.close()
        return found

    def journals(self) -> list[str]:
        """The files in the journal's folder."""
        return sorted(path.name for path in self.journal.iterdir())

    def journal_size(self) -> int:
        """Bytes in the journal's folder."""
        return sum(path.stat().st_size for path in self.journal.iterdir())

    async def audit(self, heard: list[Heard] = (), *, kills: int = 0, owed: bool = False) -> Tally:
        """Hold the books against what the simulator saw and charged, and against what the callers got.

        `owed` says that a death came while outcomes could not be written: what callers were told may be unknown.
        """
        tally = Tally()
        rows = [json.loads(line) for line in (await self.run("usage", "--rows", "--json")).splitlines()]
        sums = json.loads(await self.run("usage", "--json"))
        calls = self.read(CALLS)
        lines = (await self.get(self.simulator.port, "/__bill"))[1]["lines"]
        _attempts(tally, rows, self.arrivals())
        _money(tally, rows, lines, sums)
        _calls(tally, rows, calls, sums)
        _callers(tally, rows, calls, heard, owed=owed)
        tally.counts["kills"] = kills
        tally.must(not list(self.journal.glob("*.bad")), "a line of a journal could not be read")
        return tally


def _name(row: dict) -> str:
    return f"{row['call_id']}-{row['attempt']}"


def _attempts(tally: Tally, rows: list[dict], arrivals: list[dict]) -> None:
    """Every attempt that arrived is on the books exactly once, and nothing is invented."""
    booked = Counter(_name(row) for row in rows)
    seen = Counter(arrival["client_request_id"] for arrival in arrivals)
    tally.booked = set(booked)
    lost = [name for name in seen if name not in booked]
    doubled = [name for name, times in booked.items() if times > 1]
    tally.counts.update(arrived=len(arrivals), retries=sum(row["attempt"] > 1 for row in rows))
    tally.counts.update(lost=len(lost), doubled=len(doubled))
    tally.counts.update(f"{row['settled']} {row['basis'] or ''}".strip() for row in rows if row["attempt"])
    tally.must(not lost, f"lost: {lost[:5]}")
    tally.must(not doubled, f"doubled: {doubled[:5]}")
    tally.must(max(seen.values(), default=1) == 1, "an attempt was sent twice under one name")
    answered = {a["client_request_id"] for a in arrivals if a["status"] >= 400}
    for row in rows:
        name = _name(row)
        tally.must(row["settled"] != "billed" or name in seen, f"{name} is billed, and never arrived")
        tally.must(row["error_type"] != "crashed" or row["settled"] == "unknown", f"{name} crashed, and is not unknown")
        if name in answered:
            tally.must(row["settled"] != "billed", f"{name} was answered with an error, and is billed")


def _money(tally: Tally, rows: list[dict], lines: list[dict], sums: dict) -> None:
    """What the provider reported is on the books to the last token and picodollar."""
    bill = {line["client_request_id"]: line for line in lines}
    total = Decimal(0)
    for row in rows:
        name = _name(row)
        line = bill.get(name)
        cost = Decimal(row["cost_usd"] or 0)
        total += cost if row["settled"] != "unknown" else 0
        if row["settled"] == "not_billed":
            tally.must(line is None, f"{name} is on the bill, and not_billed on the books")
        if row["basis"] == "reported":
            told = {token: row[token] for token in TOKENS}
            charged = {token: line["usage"][token] for token in TOKENS} if line else None
            tally.must(told == charged, f"{name}: {told} on the books, {line} on the bill")
            tally.must(line is not None and cost == Decimal(line["amount_usd"]), f"{name}: {cost}, {line}")
    tally.must(Decimal(sums["cost_usd"]) == total, f"rows cost {total}, the sum says {sums['cost_usd']}")
    tally.counts["bill lines"] = len(lines)


def _calls(tally: Tally, rows: list[dict], calls: list[dict], sums: dict) -> None:
    """Every call is on the books once, agrees with its attempts, and says `crashed` where it was cut off."""
    by_call = {call["call_id"]: call for call in calls}
    attempts: dict[str, list[dict]] = {}
    for row in rows:
        attempts.setdefault(row["call_id"], []).append(row)
    tally.counts["calls"] = len(calls)
    tally.counts["crashed calls"] = sum(call["error_type"] == "crashed" for call in calls)
    tally.must(len(by_call) == len(calls), "a call is counted twice")
    tally.must(sums["calls"] == len(calls), f"the sum says {sums['calls']} calls, there are {len(calls)}")
    for call_id in by_call.keys() ^ attempts.keys():
        tally.must(False, f"{call_id} has a call or an attempt, and not both")
    for call_id, call in by_call.items():
        numbers = sorted(row["attempt"] for row in attempts.get(call_id, []))
        expected = list(range(1, call["attempts"] + 1)) or [0]
        tally.must(numbers == expected, f"{call_id} has {call['attempts']} attempts, and rows {numbers}")
        open_ones = any(row["error_type"] == "crashed" for row in attempts.get(call_id, []))
        tally.must(not open_ones or call["error_type"] == "crashed", f"{call_id} was cut off, and says {call}")


def _callers(tally: Tally, rows: list[dict], calls: list[dict], heard: list[Heard], *, owed: bool) -> None:
    """Whatever a caller was told is on the books, too."""
    by_call = {call["call_id"]: call for call in calls}
    last = {row["call_id"]: row for row in sorted(rows, key=lambda row: row["attempt"])}
    for one in heard:
        if one.call is None or one.refused:
            continue
        call = by_call.get(one.call)
        tally.must(call is not None, f"a caller was answered {one.status} by {one.call}, which is not on the books")
        if call is None or not one.whole or (owed and call["error_type"] == "crashed"):
            continue
        tally.counts["answers whole"] += 1
        if one.stream and one.status == 200:
            # The last bytes of a stream may reach its reader before its outcome is written down.
            settled = last[one.call]["settled"] if one.call in last else "not there"
            tally.must(settled in {"billed", "unknown"}, f"{one.call}: a stream was read to its end, and is {settled}")
        else:
            tally.must(call["status"] == one.status, f"{one.call} was answered {one.status}, the books say {call}")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """An empty stage."""
    return Stage(tmp_path)


@pytest.fixture
def callers() -> type[Callers]:
    """Makes callers."""
    return Callers


@pytest.fixture
def free_port():
    """Finds a port."""
    return _free_port


@pytest.fixture
def until():
    """Waits until something has come true."""
    return _until


@pytest.fixture
def tell(record_property):
    """Close an audit: nothing may be wrong; its figures are shown at the end of the run."""

    def told(title: str, tally: Tally) -> None:
        figures = ", ".join(f"{name} {count}" for name, count in sorted(tally.counts.items()))
        record_property("chaos", f"{title}: {figures}")
        assert not tally.problems, "\n".join([f"{title}: {figures}", *tally.problems[:20]])

    return told


def pytest_terminal_summary(terminalreporter) -> None:
    """Show what the audits found."""
    lines = [
        text
        for report in terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", [])
        for name, text in report.user_properties
        if name == "chaos"
    ]
    if lines:
        terminalreporter.section("audits")
        for line in lines:
            terminalreporter.line(line)
