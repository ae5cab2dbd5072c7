"""Covers client/batches.py: how questions are said and answers shown in Python."""

import json

import pytest

from headgate import Headgate
from headgate.client.asynchronous import AsyncHeadgate
from headgate.core.errors import BadRequestError
from headgate.testing import virtual_time
from headgate.types import BatchJobStatus, BatchRequest


@pytest.fixture
def gate(practice, virtual):
    """A gate whose provider takes a hundred seconds for a batch, in virtual time."""
    return virtual(practice(batch={"seconds": 100}, responses=True))


def asked(gate, requests, **options):
    """What becomes of requests, by their names; and the job in the end."""

    async def story():
        async with gate:
            job = await gate.batches.submit(requests, **options)
            found = {one.custom_id: one async for one in gate.batches.results(job)}
            return found, await gate.batches.wait(job.id)

    return virtual_time(story())


def test_prompts_conversations_and_whole_requests(gate):
    """Each is answered, with its words, tokens and cost; options are for prompts and conversations."""
    found, job = asked(
        gate,
        [
            "One?",
            BatchRequest(custom_id="two", prompt="Two?"),
            BatchRequest(messages=[{"role": "user", "content": "Three?"}]),
            BatchRequest(custom_id="v", url="/v1/embeddings", body={"model": "text-embedding-3-small", "input": "x"}),
            BatchRequest(custom_id="c", body={"messages": [{"role": "user", "content": "x"}], "max_tokens": 5}),
        ],
        max_tokens=20,
        tags={"team": "a"},
    )
    assert sorted(found) == ["1", "3", "c", "two", "v"]
    assert [found[name].number for name in ("1", "two", "3", "v", "c")] == [1, 2, 3, 4, 5]
    assert {(one.succeeded, one.status, one.error) for one in found.values()} == {(True, 200, None)}
    assert all(found[name].text for name in ("1", "two", "3", "c"))
    assert [found[name].usage.completion_tokens for name in ("1", "c", "v")] == [20, 5, 0]
    assert found["v"].raw["data"][0]["object"] == "embedding"
    assert found["1"].raw["object"] == "response"
    assert (job.status, job.total) == (BatchJobStatus.COMPLETED, 5)
    assert job.cost_usd == sum(one.cost_usd for one in found.values()) > 0


def test_failures_are_told_in_words(practice, virtual):
    """Of a row that was answered with an error, of one that the provider refuses, and of one that was not asked."""
    gate = virtual(practice(batch={"seconds": 100, "failing": 1, "status": 500}))
    found, job = asked(gate, ["One?", BatchRequest(custom_id="bad", body={"model": "gpt-6-luna"})])
    assert (found["1"].succeeded, found["1"].status, found["1"].cost_usd) == (False, 500, 0)
    assert found["1"].error
    assert found["1"].raw["error"]
    assert found["bad"].error == "Messages parameter is required."
    assert (job.failed, job.status) == (2, BatchJobStatus.COMPLETED)
    late, _ = asked(virtual(practice(batch={"seconds": 100})), ["One?"], deadline=5)
    assert (late["1"].error_class, late["1"].cost_usd) == ("Unsent", 0)
    assert late["1"].error == "It was not asked: its batch would be late."


@pytest.mark.parametrize(
    ("requests", "options", "words"),
    [
        ("a prompt", {}, "`requests` is a string"),
        ([], {}, "at least one row"),
        ([BatchRequest()], {}, "exactly one of `prompt`, `messages` and `body`"),
        ([BatchRequest(prompt="a", body={})], {}, "exactly one of"),
        ([BatchRequest(custom_id="a", prompt="x"), BatchRequest(custom_id="a", prompt="y")], {}, "Two requests have"),
        ([BatchRequest(body={}, url="/v1/files")], {}, "is none that a batch can ask"),
        ([BatchRequest(body={"x": object()})], {}, "cannot be written as JSON"),
        (["a"], {"timeout": 5}, "`timeout` is not for batches"),
        (["a"], {"images": ["https://example.com/a.png"]}, "`images` is not for batches"),
        (["a"], {"what": 5}, "no option 'what'"),
        (["a"], {"deadline": -1}, "`deadline` is -1"),
    ],
)
def test_wrong_use_is_refused_by_name(gate, requests, options, words):
    """Before anything leaves."""
    with pytest.raises(BadRequestError, match=words):
        asked(gate, requests, **options)


def test_the_waiting_face_has_the_same_methods(practice):
    """A loop of its own runs them; leaving the results early leaves nothing running."""
    with Headgate(practice(batch={"seconds": 0.2})) as gate:
        job = gate.batches.submit(["One?", "Two?"], max_tokens=20)
        assert gate.batches.status(job).total == 2
        assert next(iter(gate.batches.results(job))).succeeded
        assert gate.batches.wait(job).completed == 2
        assert [one.number for one in sorted(gate.batches.results(job.id), key=lambda one: one.number)] == [1, 2]
        assert [one.id for one in gate.batches.list()] == [job.id]
        assert gate.batches.cancel(job).status is BatchJobStatus.COMPLETED


def test_both_faces_have_the_same_methods():
    """No method of the one is missing at the other."""
    from headgate.client.batches import AsyncBatches, Batches

    names = {name for name in vars(AsyncBatches) if not name.startswith("_")}
    assert names == {name for name in vars(Batches) if not name.startswith("_")} != set()


def test_rows_are_told_apart_by_whoever_reads_the_file(gate):
    """The provider's file has the number and the name of each."""

    async def story():
        async with gate:
            job = await gate.batches.submit([BatchRequest(custom_id="ünï:1", prompt="x")])
            simulator = (await gate._ready()).simulators["sim"]
            (batch,) = simulator._archive._batches._batches.values()
            content = b"".join(simulator._archive._shelf.find(batch.asked.input_file_id).chunks())
            assert json.loads(content)["custom_id"] == "1:ünï:1"
            assert [one.custom_id async for one in gate.batches.results(job)] == ["ünï:1"]

    assert isinstance(gate, AsyncHeadgate)
    virtual_time(story())
