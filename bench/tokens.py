"""What counting costs: ordinary requests, and ten megabytes of the worst, with the event loop ticking beside it.

    python -m bench.tokens              everything
    python -m bench.tokens spaces       only what has this in its name

For each text: the tokens, whether they are exact, seconds, the longest pause of the event loop in milliseconds, and by
how many megabytes memory grew at most meanwhile (Linux tells; decoding the request is part of it).
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from random import Random

from headgate.catalog.tokens import Tokens
from headgate.core.body import Body
from headgate.core.call import Operation

MEGA = 1_000_000
DRAW = Random(1)  # noqa: S311  texts


def drawn(alphabet: str, characters: int) -> str:
    """Random characters of an alphabet."""
    return "".join(DRAW.choices(alphabet, k=100_000)) * (characters // 100_000)


def letters(first: int, last: int) -> str:
    """The characters from one code point up to another."""
    return "".join(map(chr, range(first, last)))


TEXTS = {
    "10 MB of tiny messages": "",
    "540 bytes of prose": "The harbour opens slowly, and nobody is surprised. " * 10,
    "8 kB of prose": "The harbour opens slowly, and nobody is surprised. " * 156,
    "10 MB of prose": "The harbour opens slowly, and nobody is surprised. " * 200_000,
    "10 MB of code": "    if value[at] != other[at]:\n        return None  # 12345\n" * 166_000,
    "10 MB of base64": drawn("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 10 * MEGA),
    "10 MB of spaces": " " * (10 * MEGA),
    "10 MB of tabs": "\t" * (10 * MEGA),
    "10 MB of line ends": "\r\n" * (5 * MEGA),
    "10 MB of white space": drawn(" \t\u3000\xa0", 5 * MEGA),
    "10 MB of one letter": "a" * (10 * MEGA),
    "10 MB of small letters": drawn("abcdefghijklmnopqrstuvwxyz", 10 * MEGA),
    "10 MB of slashes": "/" * (10 * MEGA),
    "10 MB of marks": drawn("!@#$%^&*()_+-=[]{}|;:,.<>?", 10 * MEGA),
    "10 MB of digits": drawn("0123456789", 10 * MEGA),
    "10 MB of accents": drawn(letters(0x300, 0x36F), 5 * MEGA),
    "10 MB of Han": drawn(letters(0x4E00, 0x9FA6), 3_300_000),
    "10 MB of rare Han": drawn(letters(0x20000, 0x2A000), 2_500_000),
    "10 MB of emoji": drawn(letters(0x1F300, 0x1F600), 2_500_000),
    "10 MB of NUL": "\0" * (10 * MEGA),
    "10 MB of words with '": "s'" * (5 * MEGA),
}


def memory(key: str = "VmRSS") -> int:
    """Megabytes that this process has now, or has had at most since `forget`."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text("ascii").splitlines())
    return int(lines[key].split()[0]) // 1024


def forget() -> None:
    """Begin a new highest mark."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")


async def pauses(found: list[float]) -> None:
    """Note how late each tick of a millisecond is."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        found.append(time.perf_counter() - before - 0.001)


async def one(tokens: Tokens, name: str, body: Body) -> None:
    """Count one request and print what it took."""
    late: list[float] = []
    forget()
    before = memory()
    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(pauses(late))
        await asyncio.sleep(0.01)
        late.clear()
        start = time.perf_counter()
        count = await tokens.request(Operation.CHAT, body, "gpt-4o")
        took = time.perf_counter() - start
        await asyncio.sleep(0.01)
        ticking.cancel()
    kind = "exact" if count.exact else "estimate"
    grown = memory("VmHWM") - before
    print(f"{name:24} {count.tokens:>9,} {kind:8} {took:7.3f} s  {max(late) * 1000:6.1f} ms  {grown:+5} MB", flush=True)


def request(content: str) -> Body:
    """A chat request."""
    return Body(json.dumps({"messages": [{"role": "user", "content": content}]}, ensure_ascii=False).encode())


def tiny() -> Body:
    """A chat request of a third of a million messages."""
    return Body(json.dumps({"messages": [{"role": "user", "content": "a"}] * 290_000}).encode())


async def main() -> None:
    """Count everything that was asked for."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    tokens = Tokens()
    try:
        await one(tokens, "the first of all", request("Hello!"))
        for name, text in TEXTS.items():
            if wanted in name:
                await one(tokens, name, request(text) if text else tiny())
    finally:
        tokens.close()


if __name__ == "__main__":
    asyncio.run(main())
