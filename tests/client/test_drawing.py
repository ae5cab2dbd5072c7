"""Pictures that a model draws, on the simulator."""

import asyncio
import json
from base64 import b64encode
from decimal import Decimal

import pytest

from headgate.client.asynchronous import AsyncHeadgate
from headgate.client.drawing import form, read
from headgate.client.synchronous import Headgate
from headgate.core.errors import BadRequestError, GarbledError
from headgate.core.upload import whole
from headgate.core.usage import TokenUsage
from headgate.stores.protocols import Query

PNG = b"\x89PNG\r\n\x1a\n"
FACTS = {
    "model": "m", "provider": "p", "usage": TokenUsage(), "cost_usd": Decimal(0), "cached": False,
    "request_id": "req_1", "attempts": 1, "latency_ms": 5.0, "simulated": False,
}  # fmt: skip


def _raw(*images, **more):
    data = [{"b64_json": b64encode(image).decode()} for image in images]
    return json.dumps({"created": 1, "data": data, **more}).encode()


def _simulator(gate):
    return gate._gate.simulators["sim"]


def _story(practice, tell):
    async def story():
        async with AsyncHeadgate(practice()) as gate:
            await tell(gate)

    asyncio.run(story())


# ── answers and requests ─────────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_picture_is():
    """By its bytes, else as the provider says."""
    assert read(_raw(PNG, output_format="webp"), FACTS).media_type == "image/png"
    assert read(_raw(b"?", output_format="svg"), FACTS).media_type == "image/svg"
    assert read(_raw(b"?"), FACTS).media_type == "image/png"


@pytest.mark.parametrize(
    "raw", [_raw(), b'{"data": [{"url": "https://x"}]}', b'{"data": [{"b64_json": "!"}]}', b'{"data": null}', b"x"]
)
def test_an_answer_without_a_picture_is_none(raw):
    """No empty file, and no address instead of a picture."""
    with pytest.raises(GarbledError):
        read(raw, FACTS)


def test_pictures_are_saved(tmp_path):
    """One under its name, several under numbers; what was there is overwritten."""
    (tmp_path / "fox.png").write_bytes(b"old, and longer than the new one")
    assert read(_raw(b"one"), FACTS).save(tmp_path / "fox.png") == [tmp_path / "fox.png"]
    assert (tmp_path / "fox.png").read_bytes() == b"one"
    files = read(_raw(b"one", b"two"), FACTS).save(str(tmp_path / "a.b.png"))
    assert [file.name for file in files] == ["a.b-1.png", "a.b-2.png"]
    assert [file.read_bytes() for file in files] == [b"one", b"two"]
    with pytest.raises(FileNotFoundError):
        read(_raw(b"one"), FACTS).save(tmp_path / "no" / "fox.png")


def test_a_form_as_it_leaves(tmp_path):
    """Fields as text; each picture as a file with a name of ours and its real type."""
    file = tmp_path / 'evil"\r\nname.gif'
    file.write_bytes(b"\xff\xd8\xff")
    made = asyncio.run(form({"prompt": "é\r\n--x", "n": 2}, [PNG, file], "x-1"))
    assert made.content_type == "multipart/form-data; boundary=x-1"
    assert whole(made) == (
        b'--x-1\r\ncontent-disposition: form-data; name="prompt"\r\n\r\n' + "é\r\n--x".encode() + b"\r\n"
        b'--x-1\r\ncontent-disposition: form-data; name="n"\r\n\r\n2\r\n'
        b'--x-1\r\ncontent-disposition: form-data; name="image[]"; filename="1.png"\r\ncontent-type: image/png\r\n\r\n'
        + PNG
        + b'\r\n--x-1\r\ncontent-disposition: form-data; name="image[]"; filename="2.jpeg"\r\n'
        b"content-type: image/jpeg\r\n\r\n\xff\xd8\xff\r\n--x-1--\r\n"
    )
    (only,) = [part for part in asyncio.run(form({}, [PNG], "x")).parts if part.is_file]
    assert only.name == "image"


# ── AsyncHeadgate.image ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_picture_is_drawn(practice):
    """Its bytes, what it cost, and its row on the books."""

    async def tell(gate):
        drawn = await gate.image("A red fox", size="64x64", quality="low", n=2, user="u-1", tags={"team": "a"})
        assert [image[:8] for image in drawn.images] == [PNG, PNG]
        assert (drawn.media_type, drawn.size, drawn.model) == ("image/png", "64x64", "gpt-image-2")
        assert drawn.cost_usd == _simulator(gate).bill.usd() > 0
        sent = json.loads(_simulator(gate).last.body)
        assert sent == {
            "model": "gpt-image-2", "prompt": "A red fox", "n": 2, "size": "64x64", "quality": "low", "user": "u-1",
        }  # fmt: skip
        await gate.usage()
        (row,) = [row async for row in gate._gate.rows(Query())]
        assert (row.operation, row.user, row.completion_tokens) == ("images", "u-1", drawn.usage.completion_tokens)

    _story(practice, tell)


def test_a_picture_is_changed(practice, tmp_path):
    """From bytes or from a file, one or several: they go as a form."""

    async def tell(gate):
        drawn = (await gate.image("A red fox", size="64x64")).images[0]
        file = tmp_path / "fox.png"
        file.write_bytes(drawn)
        for edit in (drawn, file, [drawn, file]):
            changed = await gate.image("Make it blue", size="64x64", edit=edit)
            assert changed.images[0][:8] == PNG
            assert changed.images[0] != drawn
            assert changed.usage.prompt_image_tokens > 0
            sent = _simulator(gate).last
            assert sent.path == "/v1/images/edits"
            assert sent.headers["content-type"].startswith("multipart/form-data; boundary=")
            assert drawn in sent.body
        with pytest.raises(BadRequestError, match="is a string"):
            await gate.image("Make it blue", edit="https://x.example/a.png")
        assert (await gate.usage()).cost_usd == _simulator(gate).bill.usd()

    _story(practice, tell)


def test_the_same_for_callers_who_wait(practice):
    """`Headgate.image`."""
    with Headgate(practice()) as gate:
        assert gate.image("A fox", size="64x64").images[0][:8] == PNG
        with pytest.raises(BadRequestError, match="no option 'sise'"):
            gate.image("A fox", sise="64x64")
