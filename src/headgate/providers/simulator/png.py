"""Pictures: real PNG files that are small, whatever their size, and the size of pictures that others made.

A picture is a grid of 8 by 8 fields in four colours, mirrored, drawn from a digest: equal digests give equal files. It
is stored with two bits per pixel, so that a megapixel takes about a kilobyte.
"""

import struct
import zlib

_GRID = 8
_FIELDS = 4
"""Fields of a row that are drawn; the others mirror them."""
_START = b"\x89PNG\r\n\x1a\n"


def draw(digest: bytes, width: int, height: int, *, transparent: bool = False, share: float = 1.0) -> bytes:
    """A PNG file.

    Args:
        digest: at least 24 bytes; decides colours and fields.
        width: pixels; a multiple of 16.
        height: pixels.
        transparent: the first of the colours is not there at all.
        share: how much of it is drawn, from the top; the rest has the first colour.

    Example:
        >>> size_of(draw(bytes(range(32)), 64, 48))
        (64, 48)
    """
    palette = b"".join(bytes(64 + byte // 2 for byte in digest[at * 3 : at * 3 + 3]) for at in range(4))
    rows = []
    across = width // 4 // _GRID
    left = width // 4 - across * _GRID
    for row in range(_GRID):
        drawn = row < _GRID * share
        colours = [digest[12 + row] >> (2 * field) & 3 if drawn else 0 for field in range(_FIELDS)]
        line = b"".join(bytes((colour * 0b01010101,)) * across for colour in (*colours, *reversed(colours)))
        # What the grid leaves over at its right goes on in the last colour.
        line += line[-1:] * left if line else bytes(left)
        top, bottom = row * height // _GRID, (row + 1) * height // _GRID
        rows.append((b"\0" + line) * (bottom - top))
    head = struct.pack(">IIBBBBB", width, height, 2, 3, 0, 0, 0)
    chunks = [_chunk(b"IHDR", head), _chunk(b"PLTE", palette)]
    if transparent:
        chunks.append(_chunk(b"tRNS", b"\0"))
    chunks += [_chunk(b"IDAT", zlib.compress(b"".join(rows), 6)), _chunk(b"IEND", b"")]
    return _START + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def kind_of(picture: bytes | memoryview) -> str | None:
    """What kind of picture it is: `png`, `jpeg`, `webp`; None: no picture that we know."""
    start = bytes(picture[:16])
    if start.startswith(_START):
        return "png"
    if start.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    return "webp" if start.startswith(b"RIFF") and start[8:12] == b"WEBP" else None


def size_of(picture: bytes | memoryview) -> tuple[int, int] | None:
    """Width and height of a PNG file; None for everything else."""
    start = bytes(picture[:24])
    if not start.startswith(_START) or start[12:16] != b"IHDR" or len(start) < 24:
        return None
    width, height = struct.unpack(">II", start[16:24])
    return width, height
