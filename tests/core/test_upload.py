"""Covers core/upload.py."""

import os
import tempfile

from headgate.core.upload import Form, Part, Stretch, Upload, size_of, whole

HEAD = b'content-disposition: form-data; name="%b"\r\n'


def text(name: str, value: bytes) -> Part:
    """A field that is text."""
    return Part(name, HEAD % name.encode(), value)


def file(name: str, data: bytes | Stretch) -> Part:
    """A field that is a file."""
    return Part(
        name, b'content-disposition: form-data; name="%b"; filename="f"\r\n' % name.encode(), data, is_file=True
    )


def test_an_upload_knows_its_size_without_reading():
    """Pieces in memory and stretches of something else are counted alike; nothing is read until it leaves."""

    def read(_size, _start):
        raise AssertionError

    upload = Upload("audio/wav", [b"abc", Stretch(read, 5, 1000), b""])
    assert upload.size == 1003
    assert [size_of(piece) for piece in upload.pieces] == [3, 1000, 0]


def test_stretches_are_read_by_position():
    """As often as they are wanted, and in any order: nothing moves."""
    with tempfile.TemporaryFile() as stored:
        stored.write(b"0123456789")
        stored.flush()

        def read(size: int, start: int) -> bytes:
            return os.pread(stored.fileno(), size, start)

        upload = Upload("a/b", [b"<", Stretch(read, 6, 3), b"|", Stretch(read, 0, 2), b">"])
        assert whole(upload) == whole(upload) == b"<678|01>"


def test_a_form_is_framed_as_the_standard_has_it():
    """Each part between boundaries, head and data apart by an empty line, and an end; the size is exact."""
    form = Form([text("model", b"m"), file("file", b"\r\n--x")], "b")
    assert form.content_type == "multipart/form-data; boundary=b"
    assert whole(form) == (
        b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n'
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n\r\n--x\r\n--b--\r\n'
    )
    assert form.size == len(whole(form))
    assert whole(Form([], "b")) == b"--b--\r\n"


def test_text_is_read_of_text_fields_only():
    """A file is never taken for a word, whatever its name; what is not UTF-8 does not break anything."""
    form = Form([file("model", b"not this"), text("model", b"m"), text("odd", b"\xff")], "b")
    assert (form.text("model"), form.text("odd"), form.text("missing")) == ("m", "\ufffd", None)
    assert Form([file("model", b"x")], "b").text("model") is None


def test_a_field_is_set_wherever_it_stands():
    """Every part of that name becomes the text, a file that claims the name included; the others stay as they are."""
    form = Form([text("a", b"1"), file("model", b"x"), text("model", b"y")], "b")
    changed = form.with_field("model", "é")
    assert [(part.name, part.data, part.is_file) for part in changed.parts] == [
        ("a", b"1", False), ("model", "é".encode(), False), ("model", "é".encode(), False)
    ]  # fmt: skip
    assert changed.parts[0] is form.parts[0]
    assert form.text("model") == "y"
    assert changed.size == len(whole(changed))


def test_a_missing_field_is_added_at_the_end():
    """With a head of its own."""
    added = Form([text("a", b"1")], "b").with_field("model", "m")
    assert added.parts[-1] == Part("model", HEAD % b"model", b"m")
    assert added.boundary == "b"
