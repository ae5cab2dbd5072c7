"""Chat Completions and Responses as jobs."""

import json

import msgspec
import pytest

from headgate.providers.simulator.models import MODELS
from headgate.providers.simulator.question import Question
from headgate.providers.simulator.talk import chat_job, responses_job
from headgate.providers.simulator.write_chat import Identity

NAME = Identity("k" * 48, 1_800_000_000, "fp_1")
ASKED = Question(model=MODELS["gpt-6-luna"], prompt="<user>Hello\n", last="Hello", effort="low", tier="flex")


@pytest.mark.parametrize("make", [chat_job, responses_job])
def test_facts(make):
    """What the desk has to know, taken from the question and its plan."""
    job = make(ASKED, 0)
    assert (job.model, job.tier, job.prompt, job.stream) == ("gpt-6-luna", "flex", ASKED.prompt, None)
    assert (job.writes_cache, job.long_ttl, job.seconds, job.characters) == (True, False, 0, 0)
    assert (job.usage.prompt_tokens, job.usage.reasoning_tokens > 0) == (3, True)
    assert make(msgspec.structs.replace(ASKED, stream=True), 0).stream is not None


def test_the_same_words_in_both():
    """And as many tokens."""
    chat, responses = chat_job(ASKED, 0), responses_job(ASKED, 0)
    assert chat.usage == responses.usage
    said = json.loads(chat.whole(NAME, None))["choices"][0]["message"]["content"]
    assert json.loads(responses.whole(NAME, None))["output"][1]["content"][0]["text"] == said


@pytest.mark.parametrize("make", [chat_job, responses_job])
def test_the_content_filter(make):
    """The same question, ended early."""
    job = make(ASKED, 0).filtered(2)
    assert job.usage.completion_tokens - job.usage.reasoning_tokens == 2
    assert b"content_filter" in job.whole(NAME, None)
