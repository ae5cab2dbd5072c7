"""`headgate cache purge`."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from headgate.core.call import Operation
from headgate.gate.gate import Gate
from headgate.gate.load import load
from tests.cli.conftest import SETTINGS


@pytest.fixture
def kept(books, headgate):  # noqa: ARG001  a fixture cannot use `usefixtures`
    """Two answers that are kept in the file beside the books."""
    Path("headgate.yaml").write_bytes(msgspec.json.encode(SETTINGS | {"policies": {"cache": {"enabled": True}}}))
    config = load(Path("headgate.yaml"), environment={}).config

    async def story():
        async with await Gate.open(config) as gate:
            for number in range(2):
                body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": f"{number}: 3 words."}]}
                call = gate.call(Operation.CHAT, json.dumps(body).encode(), tags={"n": str(number)})
                async with await gate(call) as reply:
                    await reply.read()

    asyncio.run(story())
    return headgate


def test_answers_are_forgotten(kept):
    """Those with a tag, of a model, or all; as a person reads it, and as a script does."""
    assert kept("cache", "purge", "--tag", "n=0").said == "1 answer forgotten.\n"
    assert json.loads(kept("cache", "purge", "--model", "gpt-6-luna", "--json").out) == {"forgotten": 1}
    assert kept("cache", "purge", "--all").said == "0 answers forgotten.\n"


def test_wrong_use_is_told(kept):
    """Nothing named, too much named, no tag: nothing is forgotten."""
    for words in ([], ["--all", "--model", "m"], ["--tag", "n"], ["--tag", "n=0", "--model", "m"]):
        done = kept("cache", "purge", *words)
        assert done.code != 0, words
        assert "error:" in done.said
    assert kept("cache", "purge", "--all").said == "2 answers forgotten.\n"


def test_where_nothing_is_kept_nothing_is_made(headgate):
    """To ask is no reason to make files."""
    Path("headgate.yaml").write_bytes(msgspec.json.encode(SETTINGS))
    assert headgate("cache", "purge", "--all").said == "0 answers forgotten.\n"
    assert list(Path.cwd().glob("*-answers*")) == []


def test_what_only_a_gateway_has_it_must_be_asked_for(headgate):
    """A store in memory is in the memory of another process."""
    Path("headgate.yaml").write_bytes(msgspec.json.encode(SETTINGS | {"store": "memory://"}))
    done = headgate("cache", "purge", "--all")
    assert done.code == 2
    assert "DELETE /admin/cache" in done.said
