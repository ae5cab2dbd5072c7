"""`headgate ask --image`: a picture instead of words.

Decides where it is written, and sees before anything is spent that it can be.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from headgate.cli.telling import facts, tell
from headgate.cli.voice import put
from headgate.client.asynchronous import AsyncHeadgate
from headgate.client.drawing import MODEL
from headgate.client.picture import Picture
from headgate.core.errors import BadRequestError, HeadgateError

STDOUT = "-"
_FORMATS = {"": None, ".png": None, ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
"""What is asked for, by the file's ending; PNG is what models draw anyway."""


async def draw(
    gate: AsyncHeadgate, prompt: str, file: str, *, model: str | None, edit: Sequence[Picture], json: bool
) -> None:
    """Have a picture drawn, and write it.

    Args:
        gate: asks.
        prompt: what it shall show.
        file: where it goes; `-` for stdout.
        model: whom to ask; None for the usual one.
        edit: pictures to be changed; empty for a new one.
        json: tell about it on stdout, in JSON.

    Raises:
        BadRequestError: it could not be written there.
        HeadgateError: it was not drawn, or could not be written after all.
    """
    suffix = "" if file == STDOUT else Path(file).suffix.lower()
    if suffix not in _FORMATS:
        raise BadRequestError(f"Nobody draws pictures of the kind {suffix!r}.", hint="Write .png, .jpg or .webp.")
    if file == STDOUT and (json or sys.stdout.isatty()):
        what = "`--json`" if json else "a terminal"
        raise BadRequestError(f"A picture and {what} do not go together.", hint="Name a file, or pipe it somewhere.")
    with _kept_free(file):
        async with gate:
            drawn = await gate.image(
                prompt, model=model or MODEL, output_format=_FORMATS[suffix], edit=list(edit) or None
            )
        _write(file, drawn.images[0])
    size = len(drawn.images[0])
    if json:
        told = {"file": file, "media_type": drawn.media_type, "size": drawn.size, "bytes": size, **facts(drawn)}
        put(msgspec.json.encode(told).decode())
        return
    tell(drawn, *([drawn.size] if drawn.size else []), f"{size:,} bytes of {drawn.media_type}")


@contextmanager
def _kept_free(file: str) -> Iterator[None]:
    """See that a file can be written; where nothing was written, none is left."""
    path = Path(file)
    if file == STDOUT:
        yield
        return
    existed = path.exists()
    try:
        path.open("ab").close()
    except OSError as error:
        raise BadRequestError(f"'{file}' cannot be written: {error.strerror or error}.") from None
    try:
        yield
    except BaseException:
        if not existed:
            path.unlink(missing_ok=True)
        raise


def _write(file: str, data: bytes) -> None:
    if file == STDOUT:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        Path(file).write_bytes(data)
    except OSError as error:
        raise HeadgateError(
            f"The picture was drawn, but '{file}' cannot be written: {error.strerror or error}."
        ) from None
