"""What a picture costs: its size, read from the first bytes of its file, and the rules of the model families.

Decides how large a PNG, JPEG, GIF or WebP is by looking at nothing but its head, and how many tokens that makes;
refuses to decode a picture or to fetch one. Whatever the bytes are, the answer is a size or None.
"""

import binascii
import math
import re

from headgate.catalog.families import Pictures

HEAD = 1 << 19
"""Characters of base64 that are looked at: the head of a JPEG may have a preview and colour tables before its size."""
UNKNOWN = (1024, 1024)
"""The size that a picture is taken to have, in pixels, where it cannot be told."""
LOW = (512, 512)
"""The size that a picture of low detail is made smaller to, where patches are counted."""
LARGEST = 1 << 16
"""Pixels of a side that a size is believed to have; no provider takes larger ones."""
_DATA = re.compile(r"data:image/[a-z0-9.+-]{1,40};base64,", re.IGNORECASE | re.ASCII)


def size_of(address: str) -> tuple[int, int] | None:
    """Width and height of a picture whose address holds its bytes (`data:image/png;base64,…`); None if unknown.

    Example:
        >>> size_of("data:image/gif;base64,R0lGODlhgAIABA==")
        (640, 1024)
    """
    found = _DATA.match(address)
    if found is None:
        return None
    part = address[found.end() : found.end() + HEAD]
    try:
        head = binascii.a2b_base64(part[: len(part) // 4 * 4])
    except ValueError:
        return None
    size = _size(head)
    return size if size and 0 < size[0] <= LARGEST and 0 < size[1] <= LARGEST else None


def _size(head: bytes) -> tuple[int, int] | None:
    if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR" and len(head) >= 24:
        return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
    if head[:6] in (b"GIF87a", b"GIF89a") and len(head) >= 10:
        return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP" and len(head) >= 30:
        return _webp(head)
    if head.startswith(b"\xff\xd8"):
        return _jpeg(head)
    return None


def _webp(head: bytes) -> tuple[int, int] | None:
    kind = head[12:16]
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    if kind == b"VP8L" and head[20] == 0x2F:
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    return None


def _jpeg(head: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        mark = head[at + 1]
        if mark == 0xFF:  # filling
            at += 1
        elif 0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC):  # the start of a frame
            return int.from_bytes(head[at + 7 : at + 9]), int.from_bytes(head[at + 5 : at + 7])
        elif mark in (0xD9, 0xDA):  # the end, or the picture itself: no frame has started
            return None
        elif mark == 0x01 or 0xD0 <= mark <= 0xD8:  # marks without a body
            at += 2
        else:
            at += 2 + max(2, int.from_bytes(head[at + 2 : at + 4]))
    return None


def tokens_of(size: tuple[int, int], detail: object, rule: Pictures) -> int:
    """Tokens of a picture.

    Args:
        size: width and height in pixels.
        detail: `low`, `high`, `auto`, … as the caller says it; anything else counts as `auto`.
        rule: the family's.

    Example:
        >>> tokens_of((1024, 1024), "high", Pictures(base=85, tile=170))
        765
    """
    width, height = size
    if not rule.tile:
        if detail == "low":
            width, height = _within(width, height, LOW)
        patches = _patches(width, height, rule.most if detail in ("low", "high") else rule.most_uncut)
        return -(-patches * rule.factor // 100)
    if detail == "low":
        return rule.base
    width, height = _within(width, height, (2048, 2048))
    least = min(width, height)
    if least > 768:
        width, height = round(width * 768 / least), round(height * 768 / least)
    return rule.base + rule.tile * -(-width // 512) * -(-height // 512)


def _within(width: int, height: int, most: tuple[int, int]) -> tuple[int, int]:
    shrink = min(1.0, most[0] / width, most[1] / height)
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def _patches(width: int, height: int, most: int) -> int:
    patches = -(-width // 32) * -(-height // 32)
    if patches <= most:
        return patches
    # Made smaller so that whole patches fill it: first to the area, then until one side is a multiple of a patch.
    shrink = math.sqrt(most * 1024 / (width * height))
    wide, high = width * shrink / 32, height * shrink / 32
    shrink *= min(max(1, math.floor(wide)) / wide, max(1, math.floor(high)) / high)
    # Rounded before they are rounded up, or a trace of floating point would make another row of patches.
    return min(most, math.ceil(round(width * shrink / 32, 6)) * math.ceil(round(height * shrink / 32, 6)))
