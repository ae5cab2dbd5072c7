"""The rules that both dialects share."""

import msgspec
import pytest

from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.question import (
    IMAGE,
    Tool,
    check_schema,
    choose,
    decode,
    is_long_ttl,
    known_model,
    named_part,
    text_of,
    tier_of,
    tool_of,
)
from headgate.providers.simulator.words import count


class Facts(msgspec.Struct):
    """Something to decode."""

    model: str
    items: list[dict[str, int]] = []


DECODER = msgspec.json.Decoder(Facts)


def problem(what, *args, **more):
    """What a check says."""
    with pytest.raises(Problem) as caught:
        what(*args, **more)
    return caught.value


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", None, None),
        (b"{", None, None),
        (b'{"model": "\xff"}', None, None),
        (b'{"model": "m", "x": ' + b"[" * 100_000, None, None),
        (b"[]", "invalid_type", "body"),
        (b"{}", "missing_required_parameter", "model"),
        (b'{"model": 3}', "invalid_type", "model"),
        (b'{"model": "m", "items": [{"a": "b"}]}', "invalid_type", "items[0][...]"),
    ],
)
def test_bad_bodies(body, code, param):
    """Each is a 400 that names the field, where there is one."""
    found = problem(decode, DECODER, body)
    assert (found.status, found.code, found.param) == (400, code, param)


def test_models():
    """A model that is not there is a 404."""
    assert known_model("gpt-4o").name == "gpt-4o"
    found = problem(known_model, "gpt-3.5-turbo")
    assert (found.status, found.code) == (404, "model_not_found")


def test_small_rules():
    """Tiers, the life of cache entries, schemas."""
    assert [tier_of(name) for name in (None, "auto", "flex", "fast", "priority", "ultrafast")] == [
        "default", "default", "flex", "priority", "priority", "default",
    ]  # fmt: skip
    assert problem(tier_of, "golden").code == "invalid_value"
    assert [is_long_ttl(options) for options in (None, {}, {"ttl": "5m"}, {"ttl": "12h"})] == [
        False,
        False,
        False,
        True,
    ]
    assert problem(check_schema, "p", "n", [], strict=False).code == "invalid_type"
    assert problem(check_schema, "p", "n", {"type": "object"}, strict=True).code == "invalid_json_schema"
    check_schema("p", "n", {"type": "object"}, strict=False)


def test_texts_of_parts():
    """Text parts are joined, an image is 85 tokens, a part without a type or text is refused."""
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "refusal", "refusal": "b"}, {"type": "x"}]
    assert text_of(parts, "p") == f"a{IMAGE}b<x>"
    assert count(IMAGE) == 85
    assert text_of(None, "p") == ""
    assert text_of("plain", "p") == "plain"
    assert problem(text_of, [{"text": "a"}], "p").param == "p[0].type"
    assert problem(text_of, [{"type": "text"}], "p").param == "p[0].text"


def test_tools():
    """Functions have schemas, custom tools have none, hosted tools are passed over."""
    function = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    assert tool_of(function, named_part(function), "p") == Tool("f", {"type": "object"})
    bare = tool_of({"type": "function", "name": "g"}, {"name": "g"}, "p")
    assert bare == Tool("g", {"type": "object", "properties": {}})
    custom = tool_of({"type": "custom"}, {"name": "c"}, "p")
    assert custom is not None
    assert custom.custom
    assert tool_of({"type": "web_search"}, {}, "p") is None
    assert problem(tool_of, {}, {}, "p").param == "p.type"
    assert problem(tool_of, {"type": ["function"]}, {}, "p").param == "p.type"
    assert problem(tool_of, {"type": "function"}, None, "p").param == "p.function"
    assert problem(tool_of, {"type": "function"}, {"name": 3}, "p").param == "p.name"
    assert problem(tool_of, {"type": "function"}, {"name": "f", "parameters": 3}, "p").code == "invalid_type"
    loose = {"name": "f", "parameters": {"type": "object"}, "strict": True}
    assert problem(tool_of, {"type": "function"}, loose, "p").code == "invalid_json_schema"


def test_choices():
    """Every form of tool_choice, in both dialects' spelling."""
    f, g = Tool("f", {}), Tool("g", {})
    both = (f, g)
    assert choose((), None) == ((), "none")
    assert choose(both, None) == (both, "auto")
    assert choose(both, "none") == (both, "none")
    assert choose(both, "required") == (both, "required")
    assert choose(both, {"type": "function", "function": {"name": "g"}}) == ((g,), "required")
    assert choose(both, {"type": "function", "name": "g"}) == ((g,), "required")
    assert choose(both, {"type": "web_search"}) == (both, "auto")
    named = {"type": "function", "name": "g"}
    assert choose(both, {"type": "allowed_tools", "mode": "required", "tools": [named]}) == ((g,), "required")
    nested = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named, 3]}}
    assert choose(both, nested) == ((g,), "auto")
    assert problem(choose, both, "any").code == "invalid_value"
    assert problem(choose, both, 3).code == "invalid_type"
    assert problem(choose, (), "required").param == "tool_choice"
    assert problem(choose, both, {"type": "function", "name": "h"}).param == "tool_choice"
    assert problem(choose, both, {"type": "allowed_tools", "tools": 3}).code == "missing_required_parameter"
