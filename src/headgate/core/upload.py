"""A request body that is too large to hold, or is a form: pieces in memory and stretches of a file, read as they leave.

Decides what such a body consists of and how a form's field is changed; refuses to know how it was received (the gate
spools it) and how it is sent. What was received is read by position, never by a shared pointer, so that a retry, or
two of them, read the same bytes. A form is framed anew by us: between our reading of it and the provider's nothing is
left to interpretation.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Stretch(NamedTuple):
    """Bytes that lie somewhere else.

    Attributes:
        read: gives `size` bytes from an offset; may block.
        start, size: which bytes.
    """

    read: Callable[[int, int], bytes]
    start: int
    size: int


Piece = bytes | Stretch


def size_of(piece: Piece) -> int:
    """Bytes of a piece."""
    return piece.size if isinstance(piece, Stretch) else len(piece)


def whole(upload: "Upload") -> bytes:
    """All of it at once: for small ones."""
    return b"".join(
        piece.read(piece.size, piece.start) if isinstance(piece, Stretch) else piece for piece in upload.pieces
    )


class Upload:
    """Bytes of any kind.

    Attributes:
        content_type: as it is sent.
        pieces: what is sent, in order.
        size: bytes of all pieces.
    """

    def __init__(self, content_type: str, pieces: Sequence[Piece]) -> None:
        self.content_type = content_type
        self.pieces = tuple(pieces)
        self.size = sum(size_of(piece) for piece in self.pieces)


class Part(NamedTuple):
    """One field of a form.

    Attributes:
        name: the field's name.
        head: its header lines, each with its line end, as they came.
        data: its value.
        is_file: it came with a file's name.
    """

    name: str
    head: bytes
    data: Piece
    is_file: bool = False


class Form(Upload):
    r"""A form (`multipart/form-data`, RFC 7578).

    Attributes:
        parts: its fields, in order.
        boundary: separates them; drawn for this form, so that no sender can have put it into one of them.

    Example:
        >>> form = Form([Part("purpose", b'content-disposition: form-data; name="purpose"\r\n', b"batch")], "x")
        >>> form.text("purpose"), form.size
        ('batch', 69)
    """

    def __init__(self, parts: Sequence[Part], boundary: str) -> None:
        self.parts = tuple(parts)
        self.boundary = boundary
        pieces: list[Piece] = []
        for part in self.parts:
            pieces += (b"--%b\r\n%b\r\n" % (boundary.encode(), part.head), part.data, b"\r\n")
        super().__init__(f"multipart/form-data; boundary={boundary}", [*pieces, f"--{boundary}--\r\n".encode()])

    def text(self, name: str) -> str | None:
        """The value of a field that is text; None if it is not there."""
        for part in self.parts:
            if part.name == name and isinstance(part.data, bytes) and not part.is_file:
                return part.data.decode(errors="replace")
        return None

    def with_field(self, name: str, value: str) -> "Form":
        """The same form with a text field set; added at the end where it is missing."""
        new = Part(name, _HEAD % name.encode(), value.encode())
        if all(part.name != name for part in self.parts):
            return Form([*self.parts, new], self.boundary)
        return Form([new if part.name == name else part for part in self.parts], self.boundary)


_HEAD = b'content-disposition: form-data; name="%b"\r\n'
