"""A picture that a caller hands over: its bytes, a file, or an address.

Decides how it is read and what it is; refuses to know what becomes of it. A string is an address and never a file, so
that a program that passes on what strangers typed does not open files for them.
"""

import asyncio
import os
from base64 import b64encode
from pathlib import Path
from typing import TypeAlias

from headgate.core.errors import BadRequestError

Picture: TypeAlias = bytes | os.PathLike[str] | str
"""The bytes of a picture, its file as a `pathlib.Path`, or its address (`https:`, `http:`, `data:`) as a string."""

_ADDRESSES = ("https://", "http://", "data:image/")


def media_type(data: bytes) -> str | None:
    r"""What a picture is, by its first bytes; None where it is none that models take.

    Example:
        >>> media_type(b"\x89PNG\r\n\x1a\n..."), media_type(b"GIF89a..."), media_type(b"<svg>")
        ('image/png', 'image/gif', None)
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None


async def read(picture: Picture) -> tuple[str, bytes]:
    """The media type and the bytes of a picture.

    Raises:
        BadRequestError: it is an address, a file that cannot be read, or no picture.
    """
    what = "The picture"
    if isinstance(picture, str):
        raise BadRequestError(f"{picture[:80]!r} is a string, not a picture.", hint="Give bytes or a `pathlib.Path`.")
    if isinstance(picture, os.PathLike):
        what = f"The file {os.fspath(picture)!r}"
        try:
            picture = await asyncio.to_thread(Path(picture).read_bytes)
        except OSError as error:
            raise BadRequestError(f"{what} cannot be read: {error.strerror or error}.") from None
    found = media_type(picture)
    if found is None:
        raise BadRequestError(f"{what} is not a picture that models take.", hint="They take PNG, JPEG, WebP and GIF.")
    return found, picture


async def address(picture: Picture) -> str:
    """The address of a picture: its own, or one that holds all its bytes.

    Raises:
        BadRequestError: it is another string, a file that cannot be read, or no picture.
    """
    if isinstance(picture, str):
        if not picture.lower().startswith(_ADDRESSES):
            message = f"The picture {picture[:80]!r} is not an address (`https:`, `http:`, `data:image/…`)."
            raise BadRequestError(message, hint="A file is given as a `pathlib.Path`.", param="images")
        return picture
    kind, data = await read(picture)
    return f"data:{kind};base64,{b64encode(data).decode()}"
