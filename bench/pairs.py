"""Alternating pairs: headgate beside nginx and a naive gateway, against one fake upstream, in one run.

CPU is user + system time of the gateway's process tree over a phase, divided by the requests (or streamed chunks) of
that phase. Machines differ and drift, so the figures to quote are ratios: each round measures all three, one after the
other, and the median of the rounds' ratios is what the gates of `docs/performance.md` are about.
"""

import argparse
import json
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")
CHUNKS = 50
KEY = "hg-bench"
GATES = (("540 B", "naive", 1 / 12), ("8 kB", "naive", 1 / 12), ("chunk, paced", "nginx", 3.0))
RSS_MB = 10.0

SYSTEM = (
    "You are a careful assistant. Answer in short sentences, give the fact first and the reason after it, and say so "
    "when you do not know. Do not use lists, headings or code unless the user asks for them in so many words."
)
QUESTION = "What is the capital of France, and on which river does it lie? One sentence each, please."


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    parents: dict[int, list[int]] = {}
    for entry in (path.name for path in Path("/proc").iterdir()):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents.setdefault(int(stat[1]), []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += parents.get(found[-1], [])
    return found


def cpu(pid: int) -> float:
    """Seconds of CPU that a process tree has used."""
    ticks = 0
    for one in family(pid):
        try:
            stat = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        ticks += int(stat[11]) + int(stat[12])
    return ticks / TICK


def rss(pid: int) -> float:
    """Resident memory of a process tree, in MB."""
    kilobytes = 0
    for one in family(pid):
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{one}/status").read_text())
        kilobytes += int(found[1]) if found else 0
    return kilobytes / 1024


def settle(pid: int) -> None:
    """Wait until a process tree is quiet: what a gateway puts off (booking) belongs to the calls that caused it."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        before = cpu(pid)
        time.sleep(1.5)
        if cpu(pid) - before < 0.03:
            return


class Bench:
    """One run."""

    def __init__(self, rounds: int, seconds: float, work: Path, config: Path = HERE / "headgate.yaml") -> None:
        self.rounds = rounds
        self.seconds = seconds
        self.work = work
        self.config = config
        self.upstream = free_port()
        self.cores = sorted(os.sched_getaffinity(0))
        # Real time keeps other users of the machine out of the measured time, where it is allowed.
        self.prefix = (
            ["chrt", "-r", "1"] if subprocess.run(["chrt", "-r", "1", "true"], check=False).returncode == 0 else []
        )

    def pinned(self, core: int) -> list[str]:
        """A command prefix: on which core."""
        return [*self.prefix, "taskset", "-c", str(self.cores[core % len(self.cores)])]

    def build(self) -> None:
        """Compile the load tools, and install what the naive gateway needs."""
        for name in ("upstream", "client"):
            subprocess.run(["cc", "-O2", "-o", self.work / name, HERE / "load" / f"{name}.c"], check=True)

    @contextmanager
    def started(
        self, command: list[str], core: int, env: dict[str, str] | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A process on a core, ended afterwards."""
        with (self.work / "log").open("ab") as log:
            process = subprocess.Popen(
                [*self.pinned(core), *command], env={**os.environ, **(env or {})}, cwd=self.work, stdout=log, stderr=log
            )
            try:
                yield process
            finally:
                process.terminate()
                process.wait(20)

    @contextmanager
    def gateway(self, name: str) -> Iterator[tuple[int, int]]:
        """A gateway that answers: its port and process id."""
        port = free_port()
        up = f"http://127.0.0.1:{self.upstream}"
        if name == "nginx":
            conf = (HERE / "nginx.conf").read_text()
            for key, value in {"work": self.work, "port": port, "upstream": self.upstream}.items():
                conf = conf.replace(f"{{{key}}}", str(value))
            (self.work / "nginx.conf").write_text(conf)
            command = [shutil.which("nginx") or "nginx", "-c", str(self.work / "nginx.conf"), "-p", str(self.work)]
        elif name == "naive":
            command = [sys.executable, "-m", "uvicorn", "--app-dir", str(HERE), "naive:app", "--port", str(port)]
            command += ["--log-level", "error", "--no-access-log"]
        else:
            command = [
                sys.executable,
                "-m",
                "headgate",
                "serve",
                "--config",
                str(self.config),
                "--port",
                str(port),
            ]
        with self.started(command, 0, {"UP": up}) as process:
            until = time.monotonic() + 30
            while time.monotonic() < until:
                if process.poll() is not None:
                    break
                try:
                    if self.load(port, stream=False, mode="closed", arg=1, limit=1)["ok"] == 1:
                        yield port, process.pid
                        return
                except (OSError, subprocess.CalledProcessError):
                    pass
                time.sleep(0.05)
            sys.exit(f"{name} did not start:\n{(self.work / 'log').read_text()[-3000:]}")

    def load(
        self, port: int, *, stream: bool, mode: str, arg: float, model: str = "fake", size: int = 540, limit: int = 0
    ) -> dict[str, float]:
        """Send requests of a size, and check every answer."""
        body = {
            "model": model,
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}],
            "temperature": 0.7,
            "max_tokens": 256,
        }
        if stream:
            body["stream"] = True
        missing = size - len(json.dumps(body, separators=(",", ":")))
        body["messages"][1]["content"] += " Tell me more." * (missing // 14 + 1) if missing > 0 else ""  # type: ignore[index]
        data = json.dumps(body, separators=(",", ":")).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\n"
            f"Content-Type: application/json\r\nAccept: */*\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        request = self.work / "request"
        request.write_bytes(head.encode() + data)
        command = [self.work / "client", "127.0.0.1", str(port), request, mode, str(arg), str(self.seconds), str(limit)]
        done = subprocess.run([*self.pinned(1), *command], capture_output=True, text=True, check=True, timeout=120)
        found: dict[str, float] = json.loads(done.stdout)
        if found["bad"] or found["errors"] or found["hung"]:
            sys.exit(f"wrong answers: {found}")
        return found

    def measure(self, port: int, pid: int) -> dict[str, float]:
        """CPU in microseconds: per whole call of two sizes, per chunk of a paced and of a burst stream."""

        def cost(unit: str, **phase: object) -> float:
            before = cpu(pid)
            done = self.load(port, **phase)  # type: ignore[arg-type]
            settle(pid)
            return (cpu(pid) - before) / max(done[unit], 1) * 1e6

        self.load(port, stream=False, mode="closed", arg=32)
        return {
            "540 B": cost("ok", stream=False, mode="closed", arg=32),
            "8 kB": cost("ok", stream=False, mode="closed", arg=32, size=8192),
            "chunk, paced": cost("tokens", stream=True, mode="rate", arg=30, model="fake-i20"),
            "chunk, burst": cost("tokens", stream=True, mode="closed", arg=32),
        }

    def growth(self) -> tuple[float, float]:
        """Resident memory after warm-up, and 50,000 calls later, in MB."""
        with self.gateway("headgate") as (port, pid):
            self.seconds, seconds = 120, self.seconds
            self.load(port, stream=False, mode="closed", arg=32, limit=10_000)
            before = rss(pid)
            self.load(port, stream=False, mode="closed", arg=32, limit=50_000)
            self.seconds = seconds
            time.sleep(2)  # the books are drained
            return before, rss(pid)

    def run(self) -> bool:
        """Measure, print, and say whether the gates hold."""
        self.build()
        rounds: list[dict[str, dict[str, float]]] = []
        with self.started([str(self.work / "upstream"), str(self.upstream)], 1):
            time.sleep(0.3)
            for number in range(self.rounds):
                found = {}
                for name in ("nginx", "headgate", "naive"):
                    with self.gateway(name) as (port, pid):
                        found[name] = self.measure(port, pid)
                    print(
                        f"round {number + 1} {name:9}" + "".join(f"  {k} {v:8.1f}" for k, v in found[name].items()),
                        flush=True,
                    )
                rounds.append(found)
            before, after = self.growth()
        return report(rounds, before, after)


def report(rounds: list[dict[str, dict[str, float]]], before: float, after: float) -> bool:
    """Print medians, ratios and gates."""

    def median(name: str, what: str) -> float:
        return statistics.median(found[name][what] for found in rounds)

    def ratio(what: str, peer: str) -> float:
        return statistics.median(found["headgate"][what] / found[peer][what] for found in rounds)

    print(f"\n{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {len(rounds)} rounds\n")
    print("| CPU, µs | nginx | headgate | naive | headgate / nginx | naive / headgate |\n|---|---|---|---|---|---|")
    for what in rounds[0]["nginx"]:
        cells = [f"{median(name, what):,.0f}" for name in ("nginx", "headgate", "naive")]
        print(f"| {what} | {' | '.join(cells)} | {ratio(what, 'nginx'):.2f} | {1 / ratio(what, 'naive'):.1f} |")
    held = []
    print()
    for what, peer, gate in GATES:
        found = ratio(what, peer)
        held.append(found <= gate)
        print(f"{'held' if held[-1] else 'MISSED':7}{what}: {found:.4f} × {peer}, gate {gate:.4f}")
    held.append(after - before < RSS_MB)
    grown = f"{before:.1f} → {after:.1f} MB over 50,000 calls"
    print(f"{'held' if held[-1] else 'MISSED':7}memory: {grown}, gate +{RSS_MB:.0f} MB")
    return all(held)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="What a call costs, beside nginx and a naive gateway.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--config", type=Path, default=HERE / "headgate.yaml", help="of headgate; with limits: limits.yaml"
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="of each phase")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        sys.exit(0 if Bench(options.rounds, options.seconds, Path(work), options.config.resolve()).run() else 1)


if __name__ == "__main__":
    main()
