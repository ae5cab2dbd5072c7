"""Pictures that a model draws, as a Python caller asks for them and gets them.

Decides how a request for new or edited pictures is written, and what is made of the answer; refuses to know how it is
answered.
"""

import os
from base64 import b64decode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from headgate.client.picture import Picture, media_type
from headgate.client.picture import read as read_picture
from headgate.client.response import Answered
from headgate.core.errors import GarbledError
from headgate.core.upload import Form, Part
from headgate.dialects.openai_fields import decode

MODEL = "gpt-image-2"


class ImageResponse(Answered, frozen=True, kw_only=True):
    """Pictures, and what is known of every answer (`Answered`).

    Attributes:
        images: the bytes of each picture.
        media_type: what they are: `image/png`, `image/jpeg`, `image/webp`.
        size: how large, such as `1024x1024`; None where the provider does not tell.
    """

    images: list[bytes]
    media_type: str
    size: str | None

    def save(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write the pictures to files.

        Args:
            path: where to; what is there is overwritten. Several pictures are numbered: `fox-1.png`, `fox-2.png`.

        Returns:
            The files.

        Raises:
            OSError: they cannot be written.
        """
        path = Path(path)
        several = len(self.images) > 1
        files = [path.with_stem(f"{path.stem}-{n}") if several else path for n in range(1, len(self.images) + 1)]
        for file, image in zip(files, self.images, strict=True):
            file.write_bytes(image)
        return files


class _Image(msgspec.Struct):
    b64_json: str


class _Answer(msgspec.Struct):
    data: list[_Image]
    output_format: str | None = None
    size: str | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


async def form(fields: Mapping[str, object], pictures: Sequence[Picture], boundary: str) -> Form:
    """A request for edited pictures.

    Args:
        fields: its texts and numbers.
        pictures: those to be edited.
        boundary: of the form, unguessable.

    Raises:
        BadRequestError: one of them is an address, a file that cannot be read, or no picture.
    """
    parts = [Part(name, _head(name), str(value).encode()) for name, value in fields.items()]
    name = "image" if len(pictures) == 1 else "image[]"
    for number, picture in enumerate(pictures, 1):
        kind, data = await read_picture(picture)
        more = f'; filename="{number}.{kind.removeprefix("image/")}"\r\ncontent-type: {kind}'
        parts.append(Part(name, _head(name, more), data, is_file=True))
    return Form(parts, boundary)


def read(raw: bytes, facts: dict[str, Any]) -> ImageResponse:
    """The answer to a request.

    Raises:
        GarbledError: it cannot be read, or has no picture.
    """
    answer = decode(_ANSWER, raw, "The provider's answer")
    try:
        images = [b64decode(image.b64_json, validate=True) for image in answer.data]
    except ValueError:
        raise GarbledError("A picture of the provider is not base64.") from None
    if not images:
        raise GarbledError("The provider's answer has no picture.")
    kind = media_type(images[0]) or f"image/{answer.output_format or 'png'}"
    return ImageResponse(images=images, media_type=kind, size=answer.size, **facts)


def _head(name: str, more: str = "") -> bytes:
    return f'content-disposition: form-data; name="{name}"{more}\r\n'.encode()
