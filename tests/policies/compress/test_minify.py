"""JSON in a text gets shorter and stays the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.policies.compress.minify import minified, whole

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(
    value=JSON,
    indent=st.sampled_from([1, 2, 4, "\t"]),
    ascii_only=st.booleans(),
    before=st.sampled_from(["", "Data:\n", "Data: "]),
)
def test_values_are_equal_and_words_stay(value, indent, ascii_only, before):
    """Whatever it says, however it is written; what stands around it stays."""
    pretty = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    short = minified(f"{before}{pretty}\nEnd.")
    assert short.startswith(before)
    assert short.endswith("\nEnd.")
    inside = short.removeprefix(before).removesuffix("\nEnd.")
    assert json.loads(inside) == value
    assert inside == (json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":")) if "\n" in pretty else pretty)
    assert minified(short) == short


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ('{\n "a": 1.00,\n "a": 1e5\n}', '{"a":1.00,"a":1e5}'),
        ('[\r\n  "\\u00e9  x"\r\n]\r\nb', '["\\u00e9  x"]\r\nb'),
        ('<json>{\n "a": 1\n}</json>\n', '<json>{"a":1}</json>\n'),
        ("Input (1): [\n 1\n]\n", "Input (1): [1]\n"),
        ('{\n "a": [\n  1\n ]\n} and\n[\n 2\n]', '{\n "a": [\n  1\n ]\n} and\n[2]'),
    ],
)
def test_spelling_stays(text, short):
    """Numbers, escapes, doubles, order; tags around it."""
    assert minified(text) == short


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "b": 2}',
        "{\n a: 1\n}",
        "{\n 'a': 1\n}",
        '{\n "a": 1,\n}',
        '{\n "a": NaN\n}',
        '{\n "a": 1\n\n}',
        '  {\n  "a": 1\n  }',
        'const x = {\n "a": 1\n};',
        '{\n "a": 1\n};',
        '{\n "a": "b\nc"\n}',
        '{\n "a": 1',
        "[\n" * 200_000 + "]" * 200_000,
    ],
)
def test_what_is_no_pretty_json_stays(text):
    """One line, other notations, code, blank lines, what breaks off, what is too deep."""
    assert minified(text) == text


def test_a_whole_text():
    """Or none."""
    assert whole(' {\n "a": [1, 2] }\n') == '{"a":[1,2]}'
    assert whole("{}\n{}") is None
    assert whole("x") is None
