"""Pictures that a caller hands over."""

import asyncio
from base64 import b64decode
from pathlib import Path

import pytest

from headgate.client.picture import address, media_type, read
from headgate.core.errors import BadRequestError

PNG = b"\x89PNG\r\n\x1a\n" + b"rest"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF87a..", "image/gif"),
        (b"GIF89a..", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVE", None),
        (b"root:x:0:0", None),
        (b"", None),
    ],
)
def test_a_picture_is_known_by_its_first_bytes(data, kind):
    """Not by its name."""
    assert media_type(data) == kind


def test_bytes_and_files_are_read(tmp_path):
    """Either way the same."""
    file = tmp_path / "a.jpg"
    file.write_bytes(PNG)
    assert asyncio.run(read(PNG)) == asyncio.run(read(file)) == ("image/png", PNG)
    kind, _, data = asyncio.run(address(file)).partition(";base64,")
    assert (kind, b64decode(data)) == ("data:image/png", PNG)


@pytest.mark.parametrize("url", ["https://x.example/a.png", "HTTP://x.example/a", "data:image/png;base64,AA=="])
def test_an_address_stays_what_it_is(url):
    """The provider fetches it."""
    assert asyncio.run(address(url)) == url


@pytest.mark.parametrize("text", ["a.png", "/etc/passwd", "file:///etc/passwd", "data:text/plain,x", ""])
def test_a_string_never_opens_a_file(text, tmp_path, monkeypatch):
    """It may have been typed by a stranger."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").write_bytes(PNG)
    with pytest.raises(BadRequestError, match="not an address") as caught:
        asyncio.run(address(text))
    assert "pathlib.Path" in caught.value.hint
    with pytest.raises(BadRequestError, match="is a string"):
        asyncio.run(read(text))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    """And one that is no picture, which nobody needs to see leave."""
    with pytest.raises(BadRequestError, match=r"none\.png' cannot be read: No such file"):
        asyncio.run(read(tmp_path / "none.png"))
    secret = tmp_path / "passwd"
    secret.write_text("root:x:0:0")
    with pytest.raises(BadRequestError, match=r"passwd' is not a picture"):
        asyncio.run(address(Path(secret)))
    with pytest.raises(BadRequestError, match="The picture is not a picture that models take"):
        asyncio.run(read(b"<svg/>"))
