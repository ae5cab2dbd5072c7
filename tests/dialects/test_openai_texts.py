"""Every string of a JSON text, and the bytes around them."""

import json

from hypothesis import given
from hypothesis import strategies as st

from headgate.dialects.openai_texts import changed, texts, without_logprobs

JSON = st.recursive(
    st.none() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab"\\é', max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def strings(value):
    """Every string, in the order of the text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from strings(inner)


@given(value=JSON, ascii_only=st.booleans())
def test_every_string_is_found(value, ascii_only):
    """However it is escaped."""
    raw = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert [text.value.decode() for text in texts(raw)] == list(strings(value))


def test_only_the_changed_text_changes():
    """Spaces, numbers and twins stay."""
    raw = b'{ "a" : "x", "a": "x\\u0041", "n": 1.0 }'
    found = {text: b'"' for text in texts(raw) if text.value == b"xA"}
    assert changed(raw, found) == b'{ "a" : "x", "a": "\\"", "n": 1.0 }'


def test_pictures_are_no_texts():
    """Only where bytes may stand, and only if they look like bytes."""
    data = "data:image/png;base64," + "QUJD" * 100
    raw = json.dumps({"url": data, "b64_json": "QUJD" * 100, "content": "QUJD" * 100, "data": "a b " * 100}).encode()
    assert [text.value[:4] for text in texts(raw) if text.spoken or b" " in text.value] == [b"QUJD", b"a b "]


def test_half_a_character_is_none():
    """A lone surrogate is replaced, and nothing breaks."""
    assert texts(b'["a\\ud800b"]')[0].value.decode() == "a\ufffdb"


def test_tokens_do_not_repeat_what_was_masked():
    """Wherever they stand."""
    assert without_logprobs({"c": [{"logprobs": [1]}, {"logprobs": {"a": 1}}]}) == {
        "c": [{"logprobs": []}, {"logprobs": None}]
    }  # fmt: skip
