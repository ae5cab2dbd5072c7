"""Shared fields: usage that may lie, output that is measured, a model renamed to the byte."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.body import Body
from headgate.core.errors import GarbledError
from headgate.core.usage import TokenUsage
from headgate.dialects.openai_fields import (
    ABSENT,
    chat_usage,
    decode,
    image_usage,
    measure,
    responses_usage,
    with_model,
    words,
)


class Thing(msgspec.Struct):
    """Something to decode."""

    text: str = ""


THING = msgspec.json.Decoder(Thing)


def told(usage: object) -> msgspec.Raw:
    """A usage object as it stands in an answer."""
    return msgspec.Raw(json.dumps(usage).encode())


def test_usage_of_both_dialects():
    """Totals and their parts are read under the names of either dialect."""
    full = TokenUsage(prompt_tokens=9, completion_tokens=7, cached_tokens=4, cache_write_tokens=2, reasoning_tokens=5)
    parts = {"cached_tokens": 4, "cache_write_tokens": 2, "audio_tokens": None}
    chat = {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16, "prompt_tokens_details": parts}
    responses = {"input_tokens": 9, "output_tokens": 7, "input_tokens_details": parts}
    assert chat_usage(told(chat | {"completion_tokens_details": {"reasoning_tokens": 5}})) == full
    assert responses_usage(told(responses | {"output_tokens_details": {"reasoning_tokens": 5}})) == full
    assert chat_usage(told({"prompt_tokens": 1, "completion_tokens": 0})) == TokenUsage(prompt_tokens=1)
    assert chat_usage(told({"prompt_tokens": 1, "completion_tokens": 0, "prompt_tokens_details": None})) is not None


@pytest.mark.parametrize(
    ("details", "pictures"),
    [
        ({}, 9),
        ({"output_tokens_details": None}, 9),
        ({"output_tokens_details": {}}, 9),
        ({"output_tokens_details": {"text_tokens": None}}, 9),
        ({"output_tokens_details": {"image_tokens": 8, "text_tokens": 1}}, 8),
        ({"output_tokens_details": {"text_tokens": 9}}, 0),
        ({"output_tokens_details": {"image_tokens": 0, "text_tokens": 9}}, 0),
        ({"output_tokens_details": {"image_tokens": 10}}, 0),
    ],
)
def test_what_comes_out_of_a_picture_is_a_picture(details, pictures):
    """Unless the provider says otherwise in figures: pictures and words have different prices."""
    usage = image_usage(told({"input_tokens": 5, "output_tokens": 9} | details))
    assert usage == TokenUsage(prompt_tokens=5, completion_tokens=9, completion_image_tokens=pictures)


def test_sound_is_counted_under_both_spellings():
    """Transcriptions spell their details without the plural."""
    for name in ("input_tokens_details", "input_token_details"):
        usage = responses_usage(told({"input_tokens": 5, "output_tokens": 2, name: {"audio_tokens": 4}}))
        assert usage == TokenUsage(prompt_tokens=5, completion_tokens=2, prompt_audio_tokens=4)
    chat = {"prompt_tokens": 5, "completion_tokens": 4, "completion_tokens_details": {"audio_tokens": 3}}
    assert chat_usage(told(chat)) == TokenUsage(prompt_tokens=5, completion_tokens=4, completion_audio_tokens=3)
    chat["completion_tokens_details"] = {"audio_tokens": 5}
    assert chat_usage(told(chat)) == TokenUsage(prompt_tokens=5, completion_tokens=4)


@pytest.mark.parametrize("lie", ["12", -1, 1.5, None, True, 10**9 + 1, 1e30, [3], {}])
def test_usage_that_lies_is_ignored(lie):
    """A count that is no plausible whole number makes the usage worthless, and nothing worse."""
    assert chat_usage(told({"prompt_tokens": lie, "completion_tokens": 1})) is None
    assert chat_usage(told({"prompt_tokens": 1, "completion_tokens": lie})) is None
    assert responses_usage(told({"input_tokens": 1, "output_tokens": lie})) is None


@pytest.mark.parametrize("nothing", [None, {}, [], 5, "usage", {"prompt_tokens": 4}])
def test_no_usage(nothing):
    """What is no usage object gives no usage."""
    assert chat_usage(told(nothing)) is None
    assert responses_usage(told(nothing)) is None
    assert chat_usage(ABSENT) is None
    assert responses_usage(ABSENT) is None


def test_parts_larger_than_their_whole_are_not_believed():
    """Cached tokens beyond the prompt, or reasoning beyond the output, would make a price negative."""
    usage = chat_usage(
        told(
            {
                "prompt_tokens": 5,
                "completion_tokens": 3,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 4},
            }
        )
    )
    assert usage == TokenUsage(prompt_tokens=5, completion_tokens=3)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"nonsense", "it is not JSON in UTF-8"),
        (b'{"text":"\xff"}', "it is not JSON in UTF-8"),
        (b'{"a field that nobody reads":"\xff"}', "it is not JSON in UTF-8"),
        (b'{"other":' + b"[" * 100_000, "it is not JSON in UTF-8"),
        (b'{"text":"\\ud83', "it is not JSON in UTF-8"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"text":5}', "Expected `str`, got `int` - at `$.text`"),
    ],
)
def test_unreadable(raw, reason):
    """Whatever the bytes are, the error is ours, and quotes none of them."""
    with pytest.raises(GarbledError) as caught:
        decode(THING, raw, "The thing")
    assert caught.value.message == f"The thing cannot be read: {reason}."


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (r"\ud83d\ude00", "😀"),
        (r"a\ud83d", "a\ufffd"),
        (r"\ude00b", "\ufffdb"),
        (r"\\ud83d \ud83d", "\\ud83d \ufffd"),
        (r"\\\ud83d\ud83d\ude00", "\\\ufffd😀"),
        (r"\uD83D\uD83D", "\ufffd\ufffd"),
    ],
)
def test_half_an_emoji(escaped, text):
    """A lone surrogate is read as U+FFFD; pairs and escaped backslashes stay what they are."""
    assert decode(THING, f'{{"text":"{escaped}"}}'.encode(), "The thing").text == text


def test_measure_counts_bytes():
    """Text counts its UTF-8 bytes, nothing counts nothing, and anything else its JSON."""
    assert [measure(value) for value in ("abc", "né", "😀", "", None, ["a"], 12)] == [3, 3, 4, 0, 0, 5, 2]


def test_words():
    """Only visible text counts as words, in either form of a content field."""
    parts = [{"type": "text", "text": "a"}, {"type": "thinking"}, {"text": 5}, "x", {"type": "text", "text": "b"}]
    assert [words(content) for content in ("hi", parts, None, 5)] == ["hi", "ab", "", ""]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"model":"a","n":1}', '{"model":"b","n":1}'),
        ('{ "n" : 1.0, "model" :\n "a" }', '{ "n" : 1.0, "model" :\n "b" }'),
        ('{"tools":[{"model":"a"}],"model":"a"}', '{"tools":[{"model":"a"}],"model":"b"}'),
        ('{"user":"\\"model","model":"a"}', '{"user":"\\"model","model":"b"}'),
        ('{"mod\\u0065l":"a","tools":[{"model":"a"}]}', '{"mod\\u0065l":"b","tools":[{"model":"a"}]}'),
        ('{"model":"\\u0061"}', '{"model":"b"}'),
        ('{"model":"\\/"}', '{"model":"b"}'),
        ('{"model":"é","x":"\\n"}', '{"model":"b","x":"\\n"}'),
    ],
)
def test_renaming(before, after):
    """Only the bytes of the model's name change, wherever and however it is spelled."""
    current = json.loads(before)["model"]
    assert with_model(Body(before.encode()), current, "b").raw.decode() == after


def test_renaming_to_the_same_or_from_nothing():
    """The same name leaves the very same body; an absent or null name is filled in."""
    body = Body(b'{"model": "a"}')
    assert with_model(body, "a", "a") is body
    assert with_model(Body(b'{"seed":1}'), None, "b").raw == b'{"model":"b","seed":1}'
    assert with_model(Body(b'{"model":null}'), None, "b").raw == b'{"model":"b"}'
    assert with_model(body, "a", 'q"\\é').raw == '{"model": "q\\"\\\\é"}'.encode()


KEYS = st.sampled_from(["a", "model ", "Model", 'x"model', "models", "é"]) | st.text(max_size=5)
VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=8) | st.just("model"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.just("model"), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(KEYS, VALUES, max_size=4), st.text(max_size=6), st.text(max_size=6), st.booleans(), st.booleans()
)
def test_renaming_touches_nothing_else(fields, old, new, first, ascii_only):
    """Whatever stands around it, the outcome is the same object with another model."""
    request = {"model": old, **fields} if first else {**fields, "model": old}
    raw = json.dumps(request, ensure_ascii=ascii_only).encode(errors="replace")
    renamed = with_model(Body(raw), old, new).raw
    assert json.loads(renamed) == json.loads(raw) | {"model": new}
    assert list(json.loads(renamed)) == list(json.loads(raw))
