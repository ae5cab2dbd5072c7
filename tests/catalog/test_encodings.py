"""Covers catalog/encodings.py: equal to tiktoken, whatever the text; and nothing is downloaded."""

import base64
import hashlib
import socket
import zlib
from importlib.resources import files
from random import Random  # noqa: TID251  a corpus with a fixed seed
from string import ascii_letters, digits, punctuation

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.catalog import encodings as module
from headgate.catalog.encodings import _PATTERNS, LONGEST, SLICE, Encodings, blocks
from tools.vocabularies import expected

NAMES = ("cl100k_base", "o200k_base")
WHITE = " \t\r\n\v\f\u00a0\u1680\u2003\u2028\u3000\x1c\x85"
SCRIPTS = (
    ascii_letters, digits, punctuation, WHITE, "'sStTreRvmlLdD\u2019\u017f\u212a",
    "".join(map(chr, range(0x00A1, 0x0250))),  # Latin with accents
    "".join(map(chr, range(0x0300, 0x0370))),  # accents by themselves
    "".join(map(chr, range(0x0386, 0x0400))),  # Greek
    "".join(map(chr, range(0x0400, 0x0500))),  # Cyrillic
    "".join(map(chr, range(0x0591, 0x05F0))),  # Hebrew with points
    "".join(map(chr, range(0x0600, 0x0700))),  # Arabic, its digits and marks
    "".join(map(chr, range(0x0900, 0x0980))),  # Devanagari
    "".join(map(chr, range(0x0E01, 0x0E5C))),  # Thai
    "".join(map(chr, range(0x10A0, 0x1100))),  # Georgian
    "".join(map(chr, range(0x3001, 0x3100))),  # kana and their punctuation
    "".join(map(chr, range(0x4E00, 0x5200))),  # Han
    "".join(map(chr, range(0xAC00, 0xAE00))),  # Hangul
    "".join(map(chr, range(0xFF01, 0xFF60))),  # fullwidth
    "".join(map(chr, range(0x1F300, 0x1F650))) + "\u200d\ufe0f",  # emoji and what joins them
    "".join(map(chr, range(0x20000, 0x20100))),  # rare Han
    "".join(map(chr, range(32))) + "\x7f\u200b\u2060\ufeff\ufffd\ue000\U000e0001\U0010fffd",  # controls, and nobody's
    "²³½Ⅷ①٣३๓",
)  # fmt: skip
PHRASES = (
    "The harbour opens slowly. It's what they've said; we'll see, they'd say.\n",
    "def f(x: int) -> str:\n    return f'{x!r}'  # nothing\n\n\n",
    '{"a": [1, 2.5e-3, null, true], "ключ": "Wert", "b64": "aGVsbG8gd29ybGQhISEh/+8="}',
    "SELECT * FROM t WHERE a >= 10 AND b <> 'x';\r\n",
    "<|endoftext|><|im_start|>user<|fim_prefix|>",
    "https://example.com/a/b?c=d&e=%20#f //// /**/ \n/// -----BEGIN-----\n",
    "東京は日本の首都です。人口は約1400万人。",
    "한국어 텍스트와 English를 섞어 씁니다. 12,345원",
    "مرحبا بالعالم، كيف حالك؟ ١٢٣",
    "नमस्ते दुनिया, आप कैसे हैं?",
    "👩‍🚀🧑🏽‍💻🇨🇭 ok 👍🏿!!!",
    "CamelCaseHTTPServer_snake_case__dunder__ kebab-case 3.14159265358979 0xDEADBEEF",
)
COMMON = settings(max_examples=150, deadline=None)


def corpus(size: int = 2000) -> list[str]:
    """Varied texts, always the same: every script by itself, scripts and phrases mixed, long runs of one character."""
    draw = Random(20261120)  # noqa: S311  a corpus
    found = dict.fromkeys(PHRASES)
    while len(found) < size:
        parts = []
        for _ in range(draw.randint(1, 12)):
            script = draw.choice(SCRIPTS)
            form = draw.random()
            if form < 0.25:
                parts.append(draw.choice(PHRASES)[: draw.randint(1, 90)])
            elif form < 0.4:
                parts.append(draw.choice(script) * draw.randint(1, 70))
            else:
                parts.append("".join(draw.choices(script, k=draw.randint(1, 25))))
            parts.append(draw.choice(("", "", " ", "\n", "  ", "\t")))
        found["".join(parts)] = None
    return list(found)


def published(name: str) -> bytes:
    """Our vocabulary in the form in which OpenAI published it."""
    raw = zlib.decompress((files("headgate.catalog") / "vocabularies" / f"{name}.z").read_bytes())
    lines, at = [], 0
    while at < len(raw):
        token = raw[at + 1 : at + 1 + raw[at]]
        lines.append(base64.b64encode(token) + b" %d\n" % len(lines))
        at += 1 + raw[at]
    return b"".join(lines)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """The real tiktoken, which finds our vocabularies where it would have kept what it downloads; no network."""
    cache = tmp_path_factory.mktemp("tiktoken")
    for name in NAMES:
        address = expected(name).address
        (cache / hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()).write_bytes(published(name))
    with pytest.MonkeyPatch.context() as patch:
        no_network(patch)
        patch.setenv("TIKTOKEN_CACHE_DIR", str(cache))
        return {name: tiktoken.get_encoding(name) for name in NAMES}


@pytest.fixture(scope="module")
def ours():
    """Our vocabularies."""
    return Encodings()


def no_network(patch):
    """Let nobody open a connection or look up a name."""

    def never(*_):
        pytest.fail("somebody went to the network")

    patch.setattr(socket.socket, "connect", never)
    patch.setattr(socket, "getaddrinfo", never)


def summed(ours, name, text):
    """The count of a text by its blocks, and whether it is exact."""
    parts = list(blocks(text))
    assert "".join(part.text for part in parts) == text
    return sum(ours.count(name, part.text) for part in parts), all(part.seamless for part in parts)


@pytest.mark.parametrize("name", NAMES)
def test_the_vocabulary_is_the_published_one(name):
    """What the package carries is, byte for byte, what tiktoken would demand of a download."""
    assert hashlib.sha256(published(name)).hexdigest() == expected(name).sha256


@pytest.mark.parametrize("name", NAMES)
def test_the_pattern_is_tiktokens(name, theirs):
    """Text is split as tiktoken splits it."""
    assert theirs[name]._pat_str == _PATTERNS[name]


@pytest.mark.parametrize("name", NAMES)
def test_counts_equal_tiktoken_on_two_thousand_texts(name, theirs, ours, monkeypatch):
    """Every text of the corpus has as many tokens as tiktoken says; nothing is downloaded for it."""
    no_network(monkeypatch)
    texts = corpus()
    assert len(texts) == 2000
    wrong = [text for text in texts if ours.count(name, text) != len(theirs[name].encode(text, disallowed_special=()))]
    assert wrong == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("block", [1, 2, 7, 40])
def test_seams_change_nothing(name, block, theirs, ours, monkeypatch):
    """Cut at every seam, at every second, …: the sum over the blocks stays what tiktoken says of the whole."""
    monkeypatch.setattr(module, "BLOCK", block)
    texts = corpus()
    wrong = [text for text in texts if summed(ours, name, text) != (len(theirs[name].encode_ordinary(text)), True)]
    assert wrong == []
    assert sum(len(list(blocks(text))) for text in texts) > 2 * len(texts)


ANY = st.one_of(
    st.text(max_size=200),
    st.lists(st.sampled_from([*"aZß9 '.,/!\n\r\t\u0301\u3000の中۳½🙂", "'s", "'LL", "\r\n", "  "]), max_size=60).map(
        "".join
    ),
)


@COMMON
@given(ANY, st.integers(1, 9), st.sampled_from(NAMES))
def test_seams_change_nothing_in_any_text(theirs, ours, text, block, name):
    """The same for whatever hypothesis comes up with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        assert summed(ours, name, text) == (len(theirs[name].encode_ordinary(text)), True)


@COMMON
@given(st.text(st.characters(exclude_categories=()), max_size=100), st.sampled_from(NAMES))
def test_no_token_is_shorter_than_a_byte(ours, text, name):
    """UTF-8 bytes are an upper bound, halves of surrogate pairs included (each is read as one of three bytes)."""
    assert ours.count(name, text) <= len(text.encode("utf-8", "surrogatepass"))


def test_special_tokens_are_plain_text(ours):
    """A caller who writes a control token of the model gets it counted as the words that it is."""
    assert ours.count("o200k_base", "<|endoftext|>") == 7


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("text", "exact"),
    [
        (" " * 1_500_000, False),
        ("\n" * 1_500_000, False),
        ("\t \u3000" * 400_000, False),
        ("a" * 1_000_000, False),
        ("中" * 500_000, False),
        ("!" * 1_000_000, False),
        ("🙂" * 300_000, False),
        ("\0" * 1_000_000, False),
        ("7" * 1_000_000, False),
        ("\u0301" * 300_000, False),
        ("a" * LONGEST, True),
        ("\n" * LONGEST, True),
        ("a1" * 500_000, True),
        ("ab!cd? " * 200_000, True),
    ],
    ids=lambda value: f"{value[:3]!a} * {len(value)}" if isinstance(value, str) else "exact" if value else "estimate",
)
def test_hostile_texts_are_bounded(name, ours, text, exact):
    """No block is longer than tiktoken can stand; what had to be cut anywhere is marked."""
    assert max(len(part.text) for part in blocks(text)) <= LONGEST
    tokens, seamless = summed(ours, name, text)
    assert seamless is exact
    assert 0 < tokens <= len(text.encode())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("alphabet", ["abcdefghijklmnop", "!?#%", " \t", "中文字東京", "🙂🌍🚆"])
def test_an_estimate_is_close(name, alphabet, theirs, ours):
    """A stretch too long to be handed over whole, but not for tiktoken: the slices differ by a token or two each."""
    text = "".join(Random(5).choices(alphabet, k=3 * LONGEST))  # noqa: S311  a corpus
    tokens, seamless = summed(ours, name, text)
    assert not seamless
    assert abs(tokens - len(theirs[name].encode_ordinary(text))) <= 2 * (len(text) // SLICE)


def test_a_vocabulary_is_read_once_and_only_when_needed(monkeypatch):
    """Nothing is read before the first count, and the second one finds it there."""
    read = []
    original = module._load
    monkeypatch.setattr(module, "_load", lambda name: read.append(name) or original(name))
    encodings = Encodings()
    assert not encodings.ready("cl100k_base")
    assert [encodings.count("cl100k_base", "tiktoken is great!") for _ in range(2)] == [6, 6]
    assert encodings.ready("cl100k_base")
    assert not encodings.ready("o200k_base")
    assert read == ["cl100k_base"]


def test_an_unknown_vocabulary_is_an_error():
    """A name that is no vocabulary's is nobody's fault but ours."""
    with pytest.raises(KeyError, match="p50k"):
        Encodings().load("p50k_base")
