"""Forms, taken apart."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.providers.simulator.forms import file_of, nested, read_form, texts_of
from headgate.providers.simulator.problem import Problem

TYPE = "multipart/form-data; boundary=x-y"


def form(*parts):
    """A body; a part is a name and bytes, or a name, a file's name and bytes."""
    body = b""
    for name, *filename, content in parts:
        more = f'; filename="{filename[0]}"' if filename else ""
        body += f'--x-y\r\nContent-Disposition: form-data; name="{name}"{more}\r\n'.encode()
        body += b"Content-Type: x/y\r\n\r\n" + content + b"\r\n"
    return body + b"--x-y--\r\n"


def test_fields():
    """Texts and files, in order; a file's bytes are a view of the body."""
    body = form(("purpose", b"batch"), ("file", "ä.jsonl", b"\r\n{}\r\n--x"), ("empty", b""))
    fields = read_form(body, TYPE)
    assert [field.name for field in fields] == ["purpose", "file", "empty"]
    assert texts_of(fields) == {"purpose": "batch", "empty": ""}
    file = file_of(fields, "file")
    assert (file.filename, bytes(file.content)) == ("ä.jsonl", b"\r\n{}\r\n--x")
    assert file.content.obj is body


@given(st.lists(st.binary(max_size=30), max_size=4))
def test_any_content(contents):
    """Comes out as it went in, whatever it holds."""
    contents = [content for content in contents if b"--x-y" not in content]
    fields = read_form(form(*[("f", "n", content) for content in contents]), TYPE)
    assert [bytes(field.content) for field in fields] == contents


@given(st.binary(max_size=80))
def test_anything(body):
    """Never more than a refusal."""
    with suppress(Problem):
        read_form(b"--x-y\r\n" + body, TYPE)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"", "", 415),
        (form(), "multipart/form-data", 415),
        (b"", TYPE, 400),
        (form(("a", b"b"))[:-6], TYPE, 400),
        (b"--x-y\r\n\r\nb\r\n--x-y--\r\n", TYPE, 400),
        (b"--z\r\n", TYPE, 400),
        (form(("a", b"b")), "multipart/form-data; boundary=" + "x" * 500, 400),
    ],
    ids=str,
)
def test_what_is_no_form(body, kind, status):
    """Another type, no boundary, no end, no names."""
    with pytest.raises(Problem) as caught:
        read_form(body, kind)
    assert caught.value.status == status


def test_a_field_of_the_wrong_kind():
    """A text where a file is asked for, nothing at all, a text that is none."""
    fields = read_form(form(("a", b"b"), ("c", b"\xff")), TYPE)
    for name, code in (("a", "invalid_type"), ("b", "missing_required_parameter")):
        with pytest.raises(Problem) as caught:
            file_of(fields, name)
        assert (caught.value.code, caught.value.param) == (code, name)
    with pytest.raises(Problem, match="'c'"):
        texts_of(fields)


def test_nested_fields():
    """Objects in a form, as the SDK writes them."""
    texts = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600", "expires_after": "x"}
    assert nested(texts, "expires_after") == {"anchor": "created_at", "seconds": "3600"}
    assert nested(texts, "expires") is None
