"""What a body must call itself."""

import pytest

from headgate.core.errors import MediaTypeError
from headgate.gate.bodies import media_type, spooled

FORM = "multipart/form-data; boundary=x"
JSON = "application/json"


@pytest.mark.parametrize(
    ("takes", "content_type", "empty", "expected"),
    [
        ("json", JSON, False, False),
        ("json", "Application/JSON ; charset=utf-8", False, False),
        ("json", "application/vnd.x+json", False, False),
        ("form", FORM, False, True),
        ("form", "Multipart/Form-Data;boundary=x", False, True),
        ("json or form", FORM, False, True),
        ("json or form", JSON, False, False),
        ("maybe json", None, True, False),
        ("maybe json", "text/plain", True, False),
        ("maybe json", JSON, False, False),
        ("anything", None, True, True),
        ("anything", "audio/x-wav", False, True),
    ],
)
def test_forms_are_spooled_and_json_is_read(takes, content_type, empty, expected):
    """By what the address takes, and what the body calls itself."""
    assert spooled(takes, content_type, None, empty=empty) is expected
    assert spooled(takes, content_type, " Identity", empty=empty) is expected


@pytest.mark.parametrize(
    ("takes", "content_type", "encoding", "told"),
    [
        ("json", None, None, "no `Content-Type`"),
        ("json", "text/plain", None, "'text/plain', not JSON"),
        ("json", FORM, None, "not JSON"),
        ("json", "application/json, text/plain", None, "not JSON"),
        ("json", "application/x, a+json", None, "not JSON"),
        ("json", "x" * 100, None, r"x\.\.\.', not JSON"),
        ("maybe json", "text/plain", None, "not JSON"),
        ("json or form", "text/plain", None, "not JSON"),
        ("form", JSON, None, "'application/json', not a form"),
        ("form", None, None, "'nothing', not a form"),
        ("json", JSON, "gzip", "encoded as 'gzip'"),
        ("form", FORM, "gzip, identity", "encoded as 'gzip, identity'"),
        ("anything", None, "br", "encoded as 'br'"),
    ],
)
def test_what_calls_itself_otherwise_is_refused(takes, content_type, encoding, told):
    """With its own words, cut where they are long."""
    with pytest.raises(MediaTypeError, match=told):
        spooled(takes, content_type, encoding, empty=False)


def test_the_name_of_a_content_type():
    """Lower-case, without parameters."""
    assert media_type(" Text/HTML ;a=b") == "text/html"
    assert media_type("") == ""
