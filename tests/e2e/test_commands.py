"""The command line as processes: exit codes, data on stdout and everything else on stderr, pipes that end early."""

import asyncio
import json
import os
import shlex
import sys
from decimal import Decimal

import openai
import pytest

pytestmark = pytest.mark.e2e

HEADGATE = f"{shlex.quote(sys.executable)} -m headgate"
ROW = {
    "call_id", "attempt", "request_id", "time", "key", "project", "provider", "model", "prompt_tokens",
    "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens", "cost_usd", "settled", "basis",
    "operation", "model_requested", "model_served", "user", "service_tier", "price_table", "error_type", "status",
    "stream", "cache", "latency_ms", "first_token_ms", "tags", "dropped",
}  # fmt: skip


def _books(folder) -> str:
    """A configuration with books on the disk, and a model that fails beside one that does not."""
    settings = {
        "store": f"sqlite:///{folder}/books.db",
        "journal": {"path": f"{folder}/journal"},
        "providers": {
            "practice": {"type": "simulator"},
            "broken": {"type": "simulator", "max_retries": 0, "faults": [{"kind": "status", "status": 503}]},
            "cutting": {"type": "simulator", "max_retries": 0, "faults": [{"kind": "cut", "after_tokens": 3}]},
        },
        "models": {
            "gpt-6-luna": {"targets": [{"provider": "practice"}]},
            "broken": {"targets": [{"provider": "broken", "model": "gpt-6-luna"}]},
            "cutting": {"targets": [{"provider": "cutting", "model": "gpt-6-luna"}]},
            "default": "gpt-6-luna",
        },
    }
    path = folder / "headgate.yaml"
    path.write_text(json.dumps(settings))
    return str(path)


def _plain(done) -> None:
    """Nothing of the inside is shown."""
    for text in (done.out, done.said):
        assert "Traceback" not in text
        assert "Exception" not in text


def test_the_demo(tmp_path, command):
    """At least 200 calls through the SDK; our ledger and the simulator's bill agree to the last digit."""
    done = asyncio.run(command(tmp_path, "demo", "--exit", "--json"))
    assert done.code == 0, done.said
    (facts,) = done.lines
    assert set(facts) == {"calls", "errors", "cost_usd", "bill_usd", "cache_hits", "seconds"}
    assert facts["calls"] >= 200
    assert facts["cost_usd"] == facts["bill_usd"]
    assert Decimal(facts["cost_usd"]) > 0
    assert 0 < facts["errors"] < 20
    assert "SIMULATED" in done.said
    assert list(tmp_path.iterdir()) == []
    _plain(done)


def test_questions_and_their_books(tmp_path, command):
    """`ask` in each of its forms, then `usage` over what they cost."""
    config = _books(tmp_path)

    async def story():
        asked = await asyncio.gather(
            command(tmp_path, "ask", "Name a city."),
            command(tmp_path, "ask", "--whole", "-", text="Name a river.\n"),
            command(tmp_path, "ask", "--json", "Name a hill.", "--max-tokens", "200"),
            command(tmp_path, "ask", "--model", "broken", "Name a lake."),
            command(tmp_path, "ask", "--model", "cutting", "Name a sea."),
        )
        sums = await command(tmp_path, "usage", "--json", "--by", "model")
        rows = await command(tmp_path, "usage", "--rows", "--json", "--config", config)
        table = await command(tmp_path, "usage")
        return asked, sums, rows, table

    (streamed, whole, as_json, failed, broken), sums, rows, table = asyncio.run(story())
    for done in (streamed, whole):
        assert done.code == 0
        assert len(done.out.strip()) > 10
        assert "[practice/gpt-6-luna, " in done.said
        assert "cost $0.0" in done.said
        assert "simulated]" in done.said
    (answer,) = as_json.lines
    assert (as_json.code, answer["provider"], answer["simulated"]) == (0, "practice", True)
    assert failed.code == 1
    assert failed.out == ""
    assert failed.said.startswith("error: ")
    # What was said before the break stands on stdout; that it is not the whole stands on stderr and in the code.
    assert broken.code == 1
    assert broken.out.strip()
    assert "error: " in broken.said
    (total,) = sums.lines
    assert (sums.code, total["calls"], total["attempts"], total["unknown_attempts"]) == (0, 5, 5, 0)
    groups = {group["model"]: group for group in total["by"]}
    assert sum(group["calls"] for group in groups.values()) == 5
    assert Decimal(total["cost_usd"]) == sum(Decimal(group["cost_usd"]) for group in groups.values()) > 0
    assert len(rows.lines) == 5
    assert all(set(row) >= ROW for row in rows.lines)
    (mine,) = (row for row in rows.lines if row["request_id"] == answer["request_id"])
    assert mine["cost_usd"] == answer["cost_usd"]
    assert sum(Decimal(row["cost_usd"]) for row in rows.lines) == Decimal(total["cost_usd"])
    assert table.code == 0
    assert "cost, USD" in table.out
    assert f" {total['cost_usd']} " in table.out
    for done in (streamed, whole, as_json, failed, broken, sums, rows, table):
        _plain(done)


def test_configuration_and_doctor(tmp_path, command):
    """What is in force goes to stdout, without a credential; a wrong file is named with its line and its cure."""
    _books(tmp_path)
    bad = tmp_path / "bad.yaml"
    bad.write_text("providers:\n  p:\n    type: simulator\n    ratee: 1\n")
    dead = {"store": "memory://", "providers": {"p": {"type": "openai", "base_url": "http://127.0.0.1:9/v1"}}}
    (tmp_path / "dead.yaml").write_text(json.dumps(dead))

    async def story():
        return await asyncio.gather(
            command(tmp_path, "config", "check"),
            command(tmp_path, "config", "show", OPENAI_API_KEY="sk-never-shown"),
            command(tmp_path, "config", "check", "--config", "bad.yaml"),
            command(tmp_path, "config", "check", "--config", "nowhere.yaml"),
            command(tmp_path, "doctor", "--json"),
            command(tmp_path, "doctor", "--simulate"),
            command(tmp_path, "doctor", "--config", "dead.yaml"),
        )

    check, show, wrong, nowhere, doctor, simulated, ill = results = asyncio.run(story())
    assert (check.code, check.out) == (0, "")
    assert "good" in check.said
    import yaml

    shown = yaml.safe_load(show.out)
    assert (show.code, shown["models"]["default"], shown["server"]["port"]) == (0, "gpt-6-luna", 4000)
    assert "sk-never-shown" not in show.out + show.said
    for done, name in ((wrong, "bad.yaml"), (nowhere, "nowhere.yaml")):
        assert (done.code, done.out) == (2, "")
        assert name in done.said
    assert "ratee" in wrong.said
    assert ":4" in wrong.said
    assert doctor.code == 0
    assert all(item["good"] for item in doctor.lines)
    assert simulated.code == 0
    assert "simulated" in simulated.out
    assert ill.code == 1
    assert "FAIL  provider p: " in ill.out
    assert "hint:" in ill.out
    for done in results:
        _plain(done)


WRONG = [
    ("nonsense",),
    ("ask",),
    ("ask", "--simulate", " "),
    ("ask", "--simulate", "--max-tokens", "0", "Hi"),
    ("serve", "--port", "65536"),
    ("serve", "--confg", "x"),
    ("serve", "--config", "nowhere.yaml"),
    ("usage", "--since", "yesterday"),
    ("usage", "--by", "colour"),
    ("simulate", "--fault", '{"kind": "explode"}'),
    ("config", "chek"),
]


def test_wrong_use(tmp_path, command):
    """2, and a word on stderr about what to do instead; nothing on stdout."""

    async def story():
        waiting = asyncio.Semaphore(4)

        async def one(arguments):
            async with waiting:
                return await command(tmp_path, *arguments)

        return await asyncio.gather(*(one(arguments) for arguments in WRONG))

    for arguments, done in zip(WRONG, asyncio.run(story()), strict=True):
        assert done.code == 2, (arguments, done)
        assert done.out == "", (arguments, done)
        assert "hint: " in done.said or "--help" in done.said, (arguments, done)
        _plain(done)


@pytest.mark.parametrize("line", ["config show", "usage --rows --json", "ask --simulate 'Write about 3000 words.'"])
def test_whoever_has_read_enough(tmp_path, command, line):
    """A reader that stops early ends the program without a word."""
    _books(tmp_path)

    async def story():
        if line.startswith("usage"):
            await command(tmp_path, "ask", "Hi")
        # The reader is gone before the first byte is written.
        shell = f"{{ sleep 0.1; {HEADGATE} {line}; echo code $? >&2; }} | true"
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            shell,
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, said = await process.communicate()
        return out, said.decode()

    out, said = asyncio.run(story())
    assert out == b""
    assert said == "code 0\n"


def test_a_simulator_to_practise_with(tmp_path, serve):
    """`headgate simulate` serves the SDK and says that it makes things up; stdout stays empty."""

    async def story():
        async with (
            serve(tmp_path, "simulate", "--seed", "3", "--log", "log.jsonl") as at,
            openai.AsyncOpenAI(base_url=f"{at.address}/v1", api_key="any", max_retries=0) as sdk,
        ):
            messages = [{"role": "user", "content": "Hello"}]
            answer = await sdk.chat.completions.create(model="gpt-6-luna", messages=messages)
            return at.banner, answer

    banner, answer = asyncio.run(story())
    assert "made up" in banner
    assert answer.choices[0].message.content
    (line,) = (tmp_path / "log.jsonl").read_text().splitlines()
    assert json.loads(line)["status"] == 200
