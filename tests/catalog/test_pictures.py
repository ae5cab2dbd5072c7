"""Covers catalog/pictures.py: sizes from the heads of files, and what they cost."""

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.catalog.families import Pictures, family
from headgate.catalog.pictures import size_of, tokens_of

SEGMENT = struct.pack(">BBH", 0xFF, 0xE1, 40_002) + b"\xff\xc0" * 20_000  # a preview that looks like a frame
FRAME = struct.pack(">BBHBHHB", 0xFF, 0xC2, 17, 8, 1080, 1920, 3)
FILES = {
    "png": b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 1920, 1080),
    "gif": b"GIF89a" + struct.pack("<HH", 1920, 1080),
    "jpeg": b"\xff\xd8" + SEGMENT + b"\xff\xff\xdb\x00\x04ab" + FRAME + b"\x00" * 20,
    "webp, lossy": b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 1920, 1080 | 0x4000),
    "webp, lossless": b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + struct.pack("<I", 1919 | 1079 << 14) + b"\0" * 8,
    "webp, extended": b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0\x7f\x07\x00\x37\x04\x00",
}


def address(raw: bytes, kind: str = "png") -> str:
    """A picture in an address."""
    return f"data:image/{kind};base64,{base64.b64encode(raw).decode()}"


@pytest.mark.parametrize("kind", FILES)
def test_sizes_are_read_from_heads(kind):
    """Each format tells its size, whatever the address calls it."""
    assert size_of(address(FILES[kind])) == (1920, 1080)


@pytest.mark.parametrize("kind", FILES)
def test_cut_files_have_no_size(kind):
    """A file that ends before its size is not guessed at, wherever it ends."""
    need = {"gif": 10, "png": 24}.get(kind, len(FILES[kind]))
    raw = FILES[kind][: need if kind != "jpeg" else FILES[kind].index(FRAME) + 9]
    lengths = range(len(raw) - 3) if kind != "jpeg" else range(0, len(raw) - 3, 997)
    assert {size_of(address(raw[:length])) for length in lengths} == {None}


@pytest.mark.parametrize(
    "text",
    [
        "", "https://example.com/a.png", "data:image/png,xyz", "data:text/plain;base64,R0lGODlhgAIABA==",
        "data:image/png;base64,", "data:image/png;base64,\u00e9\u00e9\u00e9\u00e9", "data:image/png;base64,=====",
        address(b"\xff\xd8" + b"\xff\xd9" + FRAME), address(b"\xff\xd8\xff\xe0\x00\x00" * 50_000),
        address(b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 0, 5)),
        address(b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 2**31, 2**31)),
    ],
)  # fmt: skip
def test_what_tells_no_size(text):
    """Addresses elsewhere, broken files and sizes that cannot be give None."""
    assert size_of(text) is None


@given(st.binary(max_size=60), st.sampled_from([b"", *(raw[:16] for raw in FILES.values()), b"\xff\xd8\xff"]))
def test_any_bytes_give_a_size_or_none(tail, head):
    """Nothing that anybody sends raises."""
    found = size_of(address(head + tail))
    assert found is None or all(0 < side <= 65536 for side in found)


TILES = Pictures(base=85, tile=170)


@pytest.mark.parametrize(
    ("model", "size", "detail", "tokens"),
    [
        ("gpt-4o", (1024, 1024), "high", 765),
        ("gpt-4o", (2048, 4096), "high", 1105),
        ("gpt-4o", (4096, 8192), "low", 85),
        ("gpt-4o", (512, 512), "auto", 255),
        ("gpt-4o", (1, 1), None, 255),
        ("gpt-4o", (1600, 1200), "high", 765),  # to 1024 by 768, and not a pixel more
        ("gpt-4o", (3000, 3000), "high", 765),
        ("gpt-4o", (65536, 1), "high", 765),  # to 2048 by 1
        ("gpt-4o-mini", (1024, 1024), "high", 25501),
        ("gpt-5", (1024, 1024), "high", 630),
        ("gpt-4.1-mini", (1024, 1024), "high", 1659),  # 1024 patches
        ("gpt-4.1-mini", (1800, 2400), "high", 2353),  # 33 by 44 = 1452 patches
        ("gpt-6-luna", (1024, 1024), "auto", 1229),
        ("gpt-6-luna", (4000, 3000), "auto", 14100),
        ("gpt-6-luna", (4000, 3000), "low", 231),  # 512 by 384: 192 patches
        ("gpt-6-luna", (65536, 65536), "original", 14258),
    ],
)
def test_costs(model, size, detail, tokens):
    """The documented examples, and the edges of the rules."""
    assert tokens_of(size, detail, family(model).pictures) == tokens


@given(st.integers(1, 65536), st.integers(1, 65536), st.sampled_from(["low", "high", "auto", None, 7]))
def test_costs_are_bounded(width, height, detail):
    """No size costs more than the largest picture that is taken."""
    assert 85 <= tokens_of((width, height), detail, TILES) <= 85 + 170 * 8
    six = family("gpt-6-luna").pictures
    assert 1 <= tokens_of((width, height), detail, six) <= (2940 if detail == "high" else 14400)
