"""Files that come in parts."""

import asyncio
import json
import mmap

import pytest
from openai.types import Upload
from openai.types.uploads import UploadPart

from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.shelf import Shelf
from headgate.providers.simulator.uploads import Uploads
from headgate.testing import EPOCH, VirtualClock, virtual_time

NEW = {"filename": "a.txt", "purpose": "user_data", "bytes": 6, "mime_type": "text/plain"}


def story(tell):
    """Run a story with uploads and their shelf."""

    async def run():
        shelf = Shelf(VirtualClock(), 0)
        return await tell(Uploads(VirtualClock(), 0, shelf), shelf)

    return virtual_time(run())


def begin(uploads, **fields):
    """The name of a new upload."""
    return uploads.begin(json.dumps(NEW | fields).encode())["id"]


def refused(act, *given):
    """Status and parameter of a refusal."""
    with pytest.raises(Problem) as caught:
        act(*given)
    return caught.value.status, caught.value.param


def complete(uploads, name, *parts, **more):
    """Put parts in order."""
    return uploads.complete(name, json.dumps({"part_ids": parts, **more}).encode())


def test_a_whole_life():
    """Parts in the order asked for become a file; each object is valid for the SDK."""

    async def tell(uploads, shelf):
        begun = uploads.begin(json.dumps(NEW).encode())
        Upload.model_validate(begun, strict=True)
        assert (begun["status"], begun["expires_at"], begun["file"]) == ("pending", int(EPOCH) + 3600, None)
        parts = [uploads.add(begun["id"], data) for data in (b"def", memoryview(b"abc"))]
        assert UploadPart.model_validate(parts[0], strict=True).upload_id == begun["id"]
        done = complete(uploads, begun["id"], parts[1]["id"], parts[0]["id"], md5="E80B5017098950FC58AAD83C8C14978E")
        assert Upload.model_validate(done, strict=True).status == "completed"
        return b"".join(shelf.find(done["file"]["id"]).chunks()), done["file"]["filename"]

    assert story(tell) == (b"abcdef", "a.txt")


def test_what_cannot_be_completed():
    """Unknown or doubled parts, other bytes than announced, another checksum; then it can still be put right."""

    async def tell(uploads, _):
        name = begin(uploads)
        first, second = (uploads.add(name, data)["id"] for data in (b"abc", b"def"))
        other = uploads.add(begin(uploads), b"abc")["id"]
        found = [
            refused(complete, uploads, name, first, other),
            refused(complete, uploads, name, first, first),
            refused(complete, uploads, name, first),
            refused(lambda: complete(uploads, name, first, second, md5="0")),
        ]
        assert complete(uploads, name, first, second)["status"] == "completed"
        return found

    assert story(tell) == [(400, "part_ids"), (400, "part_ids"), (400, "part_ids"), (400, "md5")]


def test_too_much():
    """More bytes than announced, a part above 64 MB."""

    async def tell(uploads, _):
        name, large = begin(uploads), begin(uploads, bytes=10**9)
        return refused(uploads.add, name, b"1234567"), refused(
            uploads.add, large, memoryview(mmap.mmap(-1, 64 * 2**20 + 1))
        )

    assert story(tell) == ((400, "data"), (413, "data"))


def test_an_hour():
    """Then it has expired, and takes nothing any more."""

    async def tell(uploads, _):
        name = begin(uploads)
        await asyncio.sleep(3599)
        uploads.add(name, b"abc")
        await asyncio.sleep(1)
        with pytest.raises(Problem, match="its status is 'expired'"):
            uploads.add(name, b"abc")
        return refused(uploads.cancel, name), refused(complete, uploads, name)

    assert story(tell) == ((400, "id"), (400, "id"))


def test_cancelled():
    """It takes nothing any more; an unknown one is 404."""

    async def tell(uploads, _):
        name = begin(uploads)
        assert uploads.cancel(name)["status"] == "cancelled"
        return refused(uploads.add, name, b""), refused(uploads.add, "upload_1", b"")

    assert story(tell) == ((400, "id"), (404, "id"))


def test_the_file_expires_as_asked():
    """After its creation, not the upload's."""

    async def tell(uploads, shelf):
        name = begin(uploads, bytes=1, expires_after={"anchor": "created_at", "seconds": 3600})
        await asyncio.sleep(1000)
        file = complete(uploads, name, uploads.add(name, b"x")["id"])["file"]
        return shelf.find(file["id"]).expires_at

    assert story(tell) == int(EPOCH) + 4600


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"bytes": 0}, "bytes"),
        ({"bytes": 8 * 2**30 + 1}, "bytes"),
        ({"bytes": "6"}, "bytes"),
        ({"purpose": "fun"}, "purpose"),
        ({"filename": ""}, "filename"),
        ({"mime_type": None}, "mime_type"),
        ({"expires_after": 1}, "expires_after"),
    ],
    ids=str,
)
def test_refusals(fields, param):
    """Each names its field."""

    async def tell(uploads, _):
        return refused(lambda: begin(uploads, **fields))

    assert story(tell) == (400, param)
