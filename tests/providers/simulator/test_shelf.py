"""Files: kept, listed, thrown away, and gone when their time is over."""

import asyncio
import mmap

import pytest
from openai.types import FileObject

from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.shelf import LARGEST, Shelf, check_new, lifetime
from headgate.testing import EPOCH, VirtualClock, virtual_time

DAY = 86_400


def on_shelf(story, seed=0):
    """Run a story with a shelf."""

    async def tell():
        return await story(Shelf(VirtualClock(), seed))

    return virtual_time(tell())


def test_a_file():
    """Its object is valid for the SDK; its bytes are those that were put in, in order."""

    async def story(shelf):
        body = b"x" * 300_000
        file = shelf.put("user_data", "a.txt", (memoryview(body)[1:], b"end"))
        found = shelf.find(file.id)
        told = FileObject.model_validate(found.tell(), strict=True)
        assert b"".join(found.chunks()) == body[1:] + b"end"
        assert max(map(len, found.chunks())) < 300_000
        return told

    told = on_shelf(story)
    assert (told.bytes, told.filename, told.purpose, told.created_at) == (300_002, "a.txt", "user_data", int(EPOCH))
    assert told.expires_at is None
    assert told.id.startswith("file-")


def test_names_follow_from_the_seed():
    """And from how many there were."""

    async def story(shelf):
        return [shelf.put("evals", "x", (b"",)).id for _ in range(2)]

    assert on_shelf(story) == on_shelf(story) != on_shelf(story, seed=1)
    assert len(set(on_shelf(story))) == 2


def test_time_takes_files_away():
    """A batch's input after 30 days, others when they were told to."""

    async def story(shelf):
        batch, brief = shelf.put("batch", "a.jsonl", (b"{}",)), shelf.put("vision", "b", (b"",), seconds=3600)
        for_good = shelf.put("vision", "c", (b"",))
        assert batch.expires_at == int(EPOCH) + 30 * DAY
        await asyncio.sleep(3600)
        with pytest.raises(Problem):
            shelf.find(brief.id)
        await asyncio.sleep(29 * DAY)
        shelf.find(batch.id)
        await asyncio.sleep(DAY)
        return [row["id"] for row in shelf.listed({})["data"]] == [for_good.id]

    assert on_shelf(story)


def test_unknown_and_thrown_away():
    """404 in the API's words."""

    async def story(shelf):
        file = shelf.put("vision", "b", (b"",))
        gone = shelf.remove(file.id)
        with pytest.raises(Problem) as caught:
            shelf.remove(file.id)
        return gone == {"id": file.id, "object": "file", "deleted": True}, caught.value, file.id

    went, problem, name = on_shelf(story)
    assert went
    assert problem.status == 404
    assert problem.fields() == {
        "message": f"No such File object: {name}", "type": "invalid_request_error", "param": "id", "code": None,
    }  # fmt: skip


def test_lists():
    """Of one purpose or all; up to 10,000 at a time."""

    async def story(shelf):
        for purpose in ("vision", "evals", "vision"):
            shelf.put(purpose, "x", (b"",))
        one = [row["purpose"] for row in shelf.listed({"purpose": "vision", "limit": "10000"})["data"]]
        return one, len(shelf.listed({})["data"])

    assert on_shelf(story) == (["vision", "vision"], 3)


@pytest.mark.parametrize(
    ("purpose", "filename", "content", "status"),
    [
        ("fun", "x", b"", 400),
        ("batch_output", "x", b"", 400),
        ("vision", "x", memoryview(mmap.mmap(-1, LARGEST + 1)), 413),
        ("batch", "x.txt", b"{}", 400),
        ("batch", "x.jsonl", b"", 400),
        ("batch", "x.jsonl", b"{bad\n{}", 400),
    ],
    ids=["no purpose", "not for callers", "too large", "no lines", "empty", "no JSON"],
)
def test_what_may_not_be_uploaded(purpose, filename, content, status):
    """Other purposes, too large files, batch inputs that are not JSON lines."""
    with pytest.raises(Problem) as caught:
        check_new(purpose, filename, content)
    assert caught.value.status == status


def test_what_may_be_uploaded():
    """The largest file, and a batch whose first line is JSON, whatever follows."""
    check_new("vision", "x", memoryview(mmap.mmap(-1, LARGEST)))
    check_new("batch", "x.jsonl", b'{"a": 1}\n{bad')
    check_new("batch", "x.jsonl", memoryview(b'{"a": 1}'))


@pytest.mark.parametrize(
    ("policy", "code", "param"),
    [
        (3, "invalid_type", "p"),
        ({}, "missing_required_parameter", "p.anchor"),
        ({"anchor": "created_at"}, "missing_required_parameter", "p.seconds"),
        ({"anchor": "now", "seconds": 3600}, "invalid_value", "p.anchor"),
        ({"anchor": "created_at", "seconds": True}, "invalid_type", "p.seconds"),
        ({"anchor": "created_at", "seconds": "soon"}, "invalid_type", "p.seconds"),
        ({"anchor": "created_at", "seconds": 3599}, "integer_below_min_value", "p.seconds"),
        ({"anchor": "created_at", "seconds": 2_592_001}, "integer_above_max_value", "p.seconds"),
    ],
    ids=str,
)
def test_lifetimes_that_are_none(policy, code, param):
    """Each names its field."""
    with pytest.raises(Problem) as caught:
        lifetime(policy, "p")
    assert (caught.value.code, caught.value.param) == (code, param)


def test_lifetimes():
    """From an hour to 30 days, as a number or as a form's text."""
    assert lifetime(None, "p") is None
    assert lifetime({"anchor": "created_at", "seconds": 3600}, "p") == 3600
    assert lifetime({"anchor": "created_at", "seconds": "2592000"}, "p") == 2_592_000
