"""Whether a value fits a JSON schema, and where it does not."""

import socket

import pytest

from headgate.core.errors import BadRequestError
from headgate.dialects.json_schema import check

CITY = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
    },
    "required": ["name", "tags"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "problems"),
    [
        ({"name": "Lyon", "tags": ["a"]}, []),
        (
            {"name": "L", "tags": ["a", "secret"]},
            ["`name`: it must satisfy minLength: 2", '`tags.1`: it must satisfy enum: ["a","b"]'],
        ),
        ({}, ["it lacks 'name', 'tags'"]),
        ({"name": "Lyon", "tags": [], "secret": 1}, ["it has properties that the schema does not name"]),
        ([], ['it must satisfy type: "object"']),
    ],
    ids=str,
)
def test_problems_name_the_place_and_the_rule(value, problems):
    """And never the value."""
    assert check(CITY)(value) == problems


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date", ["2024-02-29"], ["2023-02-29", "2024-2-9", "20240229"]),
        ("time", ["12:00:00Z", "12:00:60.123456789+01:00"], ["12:00:00", "25:00:00Z", "12:00Z"]),
        ("date-time", ["2024-02-29T12:00:00.5z"], ["2024-02-29", "2024-02-30T12:00:00Z", "2024-02-29T12:00:00"]),
        ("duration", ["P1DT2H", "P3W"], ["P", "1D", "PT"]),
        ("email", ["a@b.c"], ["a", "a b@c"]),
        ("hostname", ["a.example"], ["-a", "a" * 64, ""]),
        ("ipv4", ["192.0.2.1"], ["192.0.2.256", "1.2.3"]),
        ("ipv6", ["2001:db8::1"], ["2001:db8::g"]),
        ("uuid", ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567"]),
        ("unheard-of", ["anything"], []),
    ],
)
def test_formats(name, good, bad):
    """Those that strict structured outputs know are checked; what is no text has no format."""
    fits = check({"format": name})
    assert all(fits(text) == [] for text in (*good, 3, None))
    assert all(fits(text) != [] for text in bad)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "foo"}, "`type`"),
        ({"properties": {"a": {"pattern": "("}}}, "`properties.a.pattern`"),
        ({"required": "a"}, "`required`"),
        ({"items": {"$ref": "#/$defs/none"}}, "leads to nothing"),
        ({"$ref": "file:///etc/passwd"}, "leads to nothing"),
        ({"items": {"$id": "http://example.com", "$ref": "#"}}, "not supported"),
        ({"$ref": "#/enum/0", "enum": [3]}, "leads to nothing"),
    ],
    ids=str,
)
def test_what_is_no_schema(schema, said):
    """It is refused by its place."""
    with pytest.raises(BadRequestError, match=said.replace("$", r"\$")) as caught:
        check(schema)
    assert caught.value.code == "invalid_schema"


def test_nothing_is_fetched(monkeypatch):
    """A reference cannot make us look somewhere."""

    def refuse(*_, **__):
        raise AssertionError

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(BadRequestError):
        check({"$ref": "http://127.0.0.1:1/schema"})
    assert check({"$schema": "http://127.0.0.1:1/x", "$id": "http://127.0.0.1:1/y", "type": "null"})(None) == []


def test_references_within_are_followed():
    """Into definitions, lists and the whole; values that look like references are values."""
    tree = {"properties": {"next": {"$ref": "#"}, "n": {"$ref": "#/$defs/a~1b"}}, "$defs": {"a/b": {"minimum": 3}}}
    assert check(tree)({"next": {"next": {"n": 2}}}) == ["`next.next.n`: it must satisfy minimum: 3"]
    assert check({"const": {"$ref": "nowhere"}})({"$ref": "nowhere"}) == []
    assert check({"prefixItems": [{"type": "null"}, {"$ref": "#/prefixItems/0"}]})([None, 1]) != []


def test_endless_nesting_is_a_problem():
    """Of the schema, or of the value; no recursion error."""
    deep = {}
    for _ in range(5000):
        deep = {"items": deep}
    with pytest.raises(BadRequestError, match="deeply"):
        check(deep)
    value = []
    for _ in range(5000):
        value = [value]
    assert check({"items": {"$ref": "#"}})(value) == ["it is nested too deeply"]
