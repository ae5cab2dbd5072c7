"""Covers catalog/fit.py: the bound is never below the count, and the refusal is right and says why."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.catalog.asked import read
from headgate.catalog.encodings import Encodings
from headgate.catalog.families import family
from headgate.catalog.fit import bound, fits
from headgate.catalog.tokens import Count
from headgate.core.call import Operation
from headgate.core.errors import CallerError, Onward, TooLongError

VOCABULARIES = Encodings()


def counted(operation: Operation, raw: bytes, model: str) -> int:
    """The count of a request, before any correction."""
    kind = family(model)
    asked = read(operation, json.loads(raw), kind)
    texts = asked.texts + asked.tool_texts + asked.other_texts
    said = sum(VOCABULARIES.count(kind.encoding, text) for text in texts)
    return said + asked.tokens + asked.tool_tokens + asked.other_tokens


WORD = st.text(max_size=12) | st.sampled_from(["", "a", "the", "\u0301", "🙂", "\x00", "é", "\ud800"])
CHOICE = WORD | st.integers(0, 9) | st.none() | st.booleans()
SCHEMA = st.recursive(
    st.fixed_dictionaries({}, optional={"type": st.just("string"), "description": WORD, "enum": st.lists(CHOICE)}),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", ["object", "null"]]),
            "properties": st.dictionaries(WORD, inner, max_size=4),
            "items": inner,
            "anyOf": st.lists(inner, max_size=2),
            "$defs": st.dictionaries(WORD, inner, max_size=2),
        },
    ),
    max_leaves=8,
)
FUNCTION = st.fixed_dictionaries({}, optional={"name": WORD, "description": WORD, "parameters": SCHEMA})
TOOLS = st.lists(
    st.fixed_dictionaries({"function": FUNCTION}, optional={"type": st.just("function")})
    | FUNCTION.map(lambda function: {"type": "function"} | function)
    | st.fixed_dictionaries({"type": st.just("custom")}, optional={"name": WORD, "custom": FUNCTION}),
    max_size=4,
)
PARTS = WORD | st.lists(
    st.fixed_dictionaries({"type": st.sampled_from(["text", "input_text", "refusal", "file", "image_url"])},
                          optional={"text": WORD, "refusal": WORD}) | st.just({}), max_size=3,
)  # fmt: skip
CALLS = st.lists(st.fixed_dictionaries({"function": FUNCTION}, optional={"id": WORD}), max_size=2)
MESSAGE = st.fixed_dictionaries(
    {}, optional={"role": WORD, "content": PARTS, "name": WORD, "tool_calls": CALLS, "refusal": WORD}
)
ITEM = MESSAGE | st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "function_call", "function_call_output", "reasoning", "item_reference"])},
    optional={"name": WORD, "arguments": WORD, "output": PARTS, "role": WORD, "content": PARTS},
)
REQUESTS = {
    Operation.CHAT: st.fixed_dictionaries(
        {"messages": st.lists(MESSAGE, max_size=5)},
        optional={"tools": TOOLS, "functions": st.lists(FUNCTION, max_size=2),
                  "response_format": st.fixed_dictionaries({"json_schema": st.fixed_dictionaries({"schema": SCHEMA})})},
    ),
    Operation.RESPONSES: st.fixed_dictionaries(
        {"input": WORD | st.lists(ITEM, max_size=5)},
        optional={"instructions": WORD, "tools": TOOLS, "previous_response_id": WORD,
                  "text": st.fixed_dictionaries({"format": st.fixed_dictionaries({"schema": SCHEMA})})},
    ),
    Operation.EMBEDDINGS: st.fixed_dictionaries(
        {"input": WORD | st.lists(WORD | st.integers(0, 9) | st.lists(st.integers(0, 9), max_size=3), max_size=5)}
    ),
    Operation.COMPLETIONS: st.fixed_dictionaries({"prompt": WORD | st.lists(WORD, max_size=5)}),
}  # fmt: skip


@settings(deadline=None, max_examples=600)
@given(st.data(), st.sampled_from(sorted(REQUESTS)), st.sampled_from(["gpt-4o", "gpt-4"]), st.booleans())
def test_the_bound_is_never_below_the_count(data, operation, model, plain):
    """Whatever is asked, in the shortest JSON that says it: the bytes bound the tokens, or there is no bound.

    Lists are repeated, so that the braces of the request do not hide a single entry that is undercounted.
    """
    times = data.draw(st.sampled_from([1, 40]))
    drawn = data.draw(REQUESTS[operation])
    request = {name: value * times if isinstance(value, list) else value for name, value in drawn.items()}
    raw = json.dumps(request, ensure_ascii=plain, separators=(",", ":")).encode("utf-8", "surrogatepass")
    try:
        raw.decode()
    except UnicodeDecodeError:
        raw = json.dumps(request, separators=(",", ":")).encode()
    most = bound(operation, raw)
    assert most is None or counted(operation, raw, model) <= most


RARE = [chr(0x20000 + at) for at in range(500)]  # four bytes and four tokens each


def function(parameters: object) -> dict:
    """A tool with these parameters."""
    return {"function": {"parameters": parameters}}


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4"])
@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        (Operation.CHAT, {"messages": [{}] * 1000}),
        (Operation.CHAT, {"messages": [{"name": name} for name in RARE]}),
        (Operation.CHAT, {"messages": [{"role": name, "content": name} for name in RARE]}),
        (Operation.CHAT, {"messages": [], "tools": [{"function": {"name": name}} for name in RARE]}),
        (Operation.CHAT, {"messages": [], "tools": [function({"properties": {name: {} for name in RARE}})]}),
        (Operation.CHAT, {"messages": [], "tools": [function({"enum": RARE})]}),
        (Operation.CHAT, {"messages": [], "tools": [function({"enum": [""] * 1000})]}),
        (Operation.CHAT, {"messages": [], "tools": [function({"enum": [1] * 1000})]}),
        (Operation.CHAT, {"messages": [], "tools": [function({"anyOf": [1, *RARE, dict.fromkeys(RARE, 2)]})]}),
        (Operation.CHAT, {"messages": [], "tools": [{"type": "custom", "custom": dict.fromkeys(RARE, 1)}]}),
        (Operation.CHAT, {"messages": [{"tool_calls": [{"function": {"name": name}} for name in RARE]}]}),
        (Operation.RESPONSES, {"input": [{"role": name, "content": name} for name in RARE]}),
        (Operation.RESPONSES, {"input": "", "tools": [{"type": "function"}] * 500}),
        (Operation.RESPONSES, {"input": "", "text": {"format": {"schema": {name: [1, ""] for name in RARE}}}}),
        (Operation.EMBEDDINGS, {"input": [[1] * 1000, *RARE]}),
        (Operation.EMBEDDINGS, {"input": [1] * 1000}),
        (Operation.COMPLETIONS, {"prompt": RARE, "suffix": "".join(RARE)}),
    ],
)
def test_the_bound_holds_where_it_is_tight(operation, request_, model):
    """As many tokens as can be had for each byte of JSON: everything without a name, and names that no token knows."""
    raw = json.dumps(request_, ensure_ascii=False, separators=(",", ":")).encode()
    most = bound(operation, raw)
    assert most is not None
    assert most / 9 < counted(operation, raw, model) <= most


@pytest.mark.parametrize(
    ("operation", "raw", "expected"),
    [
        (Operation.CHAT, b'{"messages":[{"role":"user","content":"Hi"}]}', 45),
        (Operation.CHAT, b'{"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]}', 70),
        (Operation.RESPONSES, b'{"input":"Hi","store":false}', 28),
        (Operation.EMBEDDINGS, b'{"input":["a","b"]}', 19),
        (Operation.CHAT, b'{"tools":[{"type":"function","function":{"parameters":{"type":"object"}}}]}', 75),
        (Operation.CHAT, b'{"messages":[{"content":[{"type":"image_url","image_url":{"url":"x"}}]}]}', None),
        (Operation.CHAT, b'{"messages":[{"content":[{"type" : "file"}]}]}', None),
        (Operation.CHAT, b'{"messages":[{"content":[{"typ\\u0065":"file"}]}]}', None),
        (Operation.CHAT, b'{"messages":[{"content":"\\u003cb\\u003e \\u00e9"}]}', 49),
        (Operation.RESPONSES, b'{"previous\\u005Fresponse_id":"resp_1"}', None),
        (Operation.CHAT, b'{"messages":[{"role":"assistant","audio":{"id":"x"}}]}', None),
        (Operation.CHAT, b'{"messages":[],"web_search_options":{}}', None),
        (Operation.RESPONSES, b'{"input":"Hi","tools":[{"type":"web_search"}]}', None),
        (Operation.RESPONSES, b'{"input":"Hi","tools":[{"type":"something_new"}]}', None),
        (Operation.RESPONSES, b'{"input":"Hi","previous_response_id":"resp_1"}', None),
        (Operation.RESPONSES, b'{"input":"Hi","conversation":"conv_1"}', None),
        (Operation.RESPONSES, b'{"prompt":{"id":"pmpt_1"}}', None),
        (Operation.RESPONSES, b'{"input":[{"id":"msg_1"}]}', None),
        (Operation.IMAGES, b'{"prompt":"a horse"}', None),
        (Operation.EMBEDDINGS, b'{"a":[' + b'{"type":1},' * 9_000 + b"0]}", 99_009),
        (Operation.EMBEDDINGS, b'{"a":[' + b'{"type":1},' * 10_000 + b"0]}", None),
    ],
    ids=lambda value: value[:60] if isinstance(value, bytes) else None,
)
def test_what_bytes_bound(operation, raw, expected):
    """Words are bounded by their bytes; pictures, files, hosted tools and what was said earlier are not."""
    assert bound(operation, raw) == expected


def exact(tokens: int) -> Count:
    """A count of which nothing is estimated."""
    return Count(tokens=tokens, words=tokens)


@pytest.mark.parametrize(
    ("count", "cap", "context", "max_output"),
    [
        (exact(900), 100, 1000, None),
        (exact(999), None, 1000, None),
        (exact(900), 50_000, 1000, 100),  # the cap is lowered to what the model can say
        (exact(10**9), 10**9, None, None),  # nobody knows how much fits
        (Count(tokens=1050, words=1050, guesses=("framing",)), None, 1000, None),  # perhaps
        (Count(tokens=9000, words=500, other=8500, guesses=("files",)), 100, 1000, None),  # nobody knows
    ],
)
def test_what_fits_or_may_fit_passes(count, cap, context, max_output):
    """Nothing is refused that the model might take."""
    fits(count, cap, context, max_output)


@pytest.mark.parametrize(
    ("count", "cap", "context", "message"),
    [
        (exact(900), 101, 1000, "at most 1000 tokens, and the request comes to 1001: 900 of input, and 101 that the"),
        (exact(1000), None, 1000, "at most 1000 tokens, and the request comes to 1001: 1000 of input, and 1 that the"),
        (
            Count(tokens=1100, words=1000, tools=100, guesses=("tools",)),
            20,
            1000,
            "at most 1000 tokens, and the request comes to about 1120: about 1100 of input, and 20 that the",
        ),
    ],
)
def test_what_cannot_fit_is_refused_with_both_numbers(count, cap, context, message):
    """A 400 of the caller's, as the provider would give it, before anything was sent."""
    with pytest.raises(TooLongError, match=message) as caught:
        fits(count, cap, context)
    error = caught.value
    assert isinstance(error, CallerError)
    assert (error.http_status, error.code, error.onward) == (400, "context_length_exceeded", Onward.LARGER)
    assert error.hint.startswith("Shorten the input")
