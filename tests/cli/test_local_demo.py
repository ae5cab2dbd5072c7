"""`headgate local demo`: what counts as an answer. `tests/e2e/test_local.py` has the whole of it."""

import asyncio
import io
import json
import sys
from pathlib import Path

import pytest

from headgate.cli import local_demo
from headgate.core.errors import HeadgateError
from headgate.gate.load import load
from headgate.providers.local.model import SMOLLM2

ROW = {"basis": "reported", "prompt_tokens": 3, "completion_tokens": 4}


@pytest.fixture
def doors(monkeypatch, tmp_path):
    """Stand-ins for the doors: four that answered, and what `ask` says; `usage` shows rows."""
    said = {"ask": "Paris.", "rows": [ROW] * 4}

    async def two(_config):
        return [True]

    async def command(*words, config):
        assert config.exists()
        if "--json" in words:
            return "\n".join(map(json.dumps, said["rows"]))
        return said["ask"] if words[0] == "ask" else "the rows"

    monkeypatch.setattr(local_demo, "installed", lambda *_: (tmp_path / SMOLLM2.file, False))
    monkeypatch.setattr(local_demo, "check", lambda *_: None)
    monkeypatch.setattr(local_demo, "_python", two)
    monkeypatch.setattr(local_demo, "_http", two)
    monkeypatch.setattr(local_demo, "_command", command)
    return said


@pytest.mark.usefixtures("doors")
def test_all_doors_answered_and_all_calls_are_booked(headgate):
    """Done: 0, with the rows of the books and a sum."""
    done = headgate("local", "demo")
    assert done.code == 0
    assert "command line, streamed    Paris." in done.out
    assert "the rows" in done.out
    assert "4 of 4 calls answered; 4 booked with the model's own token counts." in done.out


@pytest.mark.parametrize(
    "fault",
    [{"ask": " \n"}, {"rows": [ROW] * 3}, {"rows": [ROW] * 3 + [{**ROW, "basis": "counted"}]}],
)
def test_a_door_without_an_answer_or_a_call_without_its_tokens_is_a_failure(headgate, doors, fault):
    """Exit code 1: no words, a row too few, or tokens that we had to count."""
    doors.update(fault)
    assert headgate("local", "demo").code == 1


def test_a_door_that_fails_does_not_keep_the_others_from_being_tried(capsys):
    """The reason is shown in its line."""

    async def broken():
        message = "no way"
        raise HeadgateError(message)

    async def fine():
        return " Paris. "

    assert not asyncio.run(local_demo._door("one", broken()))
    assert asyncio.run(local_demo._door("two", fine()))
    assert [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()] == [
        ["one", "FAILED: no way"],
        ["two", "Paris."],
    ]


def test_the_simulator_is_no_real_model(headgate, monkeypatch):
    """Where the environment asks for it, the demo refuses rather than shows made-up answers."""
    monkeypatch.setenv("HEADGATE_SIMULATE", "1")
    done = headgate("local", "demo")
    assert (done.code, done.out) == (2, "")
    assert "HEADGATE_SIMULATE is set" in done.said


def test_without_the_sdk_it_says_what_to_install(headgate, monkeypatch):
    """The SDK is an extra."""
    monkeypatch.setitem(sys.modules, "openai", None)
    done = headgate("local", "demo")
    assert done.code == 2
    assert "headgate[demo,local]" in done.said


def test_the_python_door(capsys):
    """Whole and streamed, through a gate in this process."""
    settings = {"store": "memory://", "providers": {"p": {"type": "simulator", "model": "gpt-6-luna"}}}
    config = load(None, environment={}, settings=settings).config
    assert asyncio.run(local_demo._python(config)) == [True, True]
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["Python,", "whole"],
        ["Python,", "streamed"],
    ]


WHOLE = b'{"choices": [{"message": {"content": "Paris."}}]}'
STREAM = (
    b'data: {"choices": [{"delta": {"role": "assistant"}}]}\n\ndata: {"choices": [{"delta": {"content": "Pa"}}]}\n\n'
)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({}, WHOLE),
        ({"stream": True}, STREAM + b'data: {"choices": [{"delta": {"content": "ris."}}]}\n\ndata: [DONE]\n\n'),
    ],
)
def test_plain_http(monkeypatch, asked, answer):
    """A body that is posted, and an answer that is read without any SDK."""
    seen = []

    def opened(request, timeout):
        seen.append((request.full_url, json.loads(request.data), timeout))
        return io.BytesIO(answer)

    monkeypatch.setattr(local_demo.urllib.request, "urlopen", opened)
    assert local_demo._plain("http://here/v1", asked) == "Paris."
    assert seen == [("http://here/v1/chat/completions", asked, local_demo.SECONDS)]


def test_a_plain_stream_that_was_cut_is_no_answer(monkeypatch):
    """Without `[DONE]` something is missing."""
    monkeypatch.setattr(local_demo.urllib.request, "urlopen", lambda *_, **__: io.BytesIO(STREAM))
    with pytest.raises(HeadgateError, match="The stream ended with"):
        local_demo._plain("http://here/v1", {"stream": True})


def test_a_command_that_fails_is_an_error(tmp_path):
    """With what it had to say."""
    with pytest.raises(HeadgateError, match="nowhere"):
        asyncio.run(local_demo._command("usage", config=Path(tmp_path / "nowhere.yaml")))
