"""Pictures, taken apart again by their own rules."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.providers.simulator.png import draw, kind_of, size_of

DIGEST = bytes(range(7, 39))


def parts(picture):
    """The chunks of a PNG file, each checked."""
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    at, found = 8, {}
    while at < len(picture):
        length = int.from_bytes(picture[at : at + 4], "big")
        kind, data = picture[at + 4 : at + 8], picture[at + 8 : at + 8 + length]
        assert int.from_bytes(picture[at + 8 + length : at + 12 + length], "big") == zlib.crc32(kind + data)
        found[kind] = data
        at += 12 + length
    assert at == len(picture)
    assert next(iter(found)) == b"IHDR"
    assert list(found)[-1] == b"IEND"
    return found


def rows(picture):
    """The rows of its pixels, four to a byte."""
    found = parts(picture)
    width, height, depth, colours, *rest = struct.unpack(">IIBBBBB", found[b"IHDR"])
    assert (depth, colours, rest) == (2, 3, [0, 0, 0])
    assert len(found[b"PLTE"]) == 12
    raw = zlib.decompress(found[b"IDAT"])
    length = 1 + width // 4
    assert len(raw) == length * height
    assert all(raw[at] == 0 for at in range(0, len(raw), length))
    return [raw[at + 1 : at + length] for at in range(0, len(raw), length)]


@given(st.binary(min_size=32, max_size=32), st.integers(1, 20), st.integers(1, 20), st.booleans(), st.floats(0.0, 1.0))
def test_any_picture_is_whole(digest, across, down, transparent, share):
    """Every size that is a multiple of 16: all chunks, all rows, all pixels."""
    picture = draw(digest, across * 16, down * 16, transparent=transparent, share=share)
    assert len(rows(picture)) == down * 16
    assert size_of(picture) == (across * 16, down * 16)
    assert (b"tRNS" in parts(picture)) == transparent


def test_equal_digests_give_equal_pictures():
    """And others give others."""
    assert draw(DIGEST, 1024, 1024) == draw(DIGEST, 1024, 1024) != draw(DIGEST[::-1], 1024, 1024)


def test_it_is_small():
    """A megapixel in about a kilobyte, the largest in 25."""
    assert len(draw(DIGEST, 1024, 1024)) < 2000
    assert len(draw(DIGEST, 3840, 2160)) < 25_000


def test_a_part_of_it():
    """Drawn from the top: what is there is as in the whole."""
    half, whole = rows(draw(DIGEST, 64, 64, share=0.5)), rows(draw(DIGEST, 64, 64))
    assert half[:32] == whole[:32] != whole[32:]
    assert set(b"".join(half[32:])) == {0}


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (draw(DIGEST, 16, 16), "png"),
        (b"\xff\xd8\xff\xe0", "jpeg"),
        (b"RIFF0000WEBPVP8 ", "webp"),
        (b"RIFF0000WAVEfmt ", None),
        (b"GIF89a", None),
        (b"", None),
    ],
)
def test_kinds(start, kind):
    """By their first bytes."""
    assert kind_of(start) == kind_of(memoryview(start)) == kind


@pytest.mark.parametrize("broken", [b"", b"\x89PNG\r\n\x1a\n", draw(DIGEST, 16, 16)[:20], b"\xff\xd8\xff" + bytes(50)])
def test_sizes_that_are_not_known(broken):
    """Whatever is no PNG file, or too short, has none."""
    assert size_of(broken) is None
