"""A text gets shorter and says the same."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from headgate.policies.compress.shorten import How, Shortener

ALL = How(spaces=True, repeats=True, code=True, tools=True)
PRETTY = json.dumps({"a": [1, 2.5, "x  y"], "b": None}, indent=2)
LONG = "Once upon a time there was a gate through which every word had to pass. " * 8
PIECES = [
    "Words. ", "More  words", " ", "\n", "\n\n", "\n\n\n", "    x = 1\n", "\t", "- a\n", "> b\n", "```", "\n```\n",
    "\n```py\n", "\n~~~\n", "  ```\n", '"""', "`x  y`", "<pre>", "\r\n", PRETTY, f"\n{PRETTY}\n", LONG,
    f"\n\n{LONG}\n\n", '{\n"', "[\n", "]", "}", "|", "\\",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=20).map("".join)


def code(text):
    """The code of a text, as a reader of Markdown sees it."""
    tokens = MarkdownIt().parse(text)
    return [token.content for token in tokens if token.type in {"fence", "code_block"}]


def once(text, how=How()):  # noqa: B008  frozen
    """A text, shortened."""
    return Shortener(how).text(text)


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_it_is_never_longer_never_another_and_then_it_is_short(text):
    """Code stays byte by byte; JSON has the same values; and a second look finds nothing."""
    short = once(text)
    assert len(short) <= len(text)
    assert once(short) == short
    assert code(short) == code(text)
    # But for white space, every character is there.
    assert "".join(short.split()) == "".join(text.split())


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_everything_together(text):
    """All that can be asked for: never longer, and then it is short."""
    short = once(text, ALL)
    assert len(short) <= len(text)
    assert once(short, ALL) == short


def test_nothing_is_touched_that_was_not_asked_for():
    """Each switch does its own."""
    text = f"One.   Two. \n\n\n\nThree.\n\n{PRETTY}\n\n```json\n{PRETTY}\n```\n"
    off = How(whitespace=False, pretty_json=False)
    assert once(text, off) == text
    assert once(text) == text.replace(" \n\n\n\n", "\n\n").replace(
        f"\n\n{PRETTY}\n", '\n\n{"a":[1,2.5,"x  y"],"b":null}\n'
    )
    short = once(text, How(whitespace=False, pretty_json=False, code=True))
    assert short == text.replace(f"```json\n{PRETTY}", '```json\n{"a":[1,2.5,"x  y"],"b":null}')
    assert once("  ```\n  {\n  }\n  ```\n", How(code=True)) == "  ```\n  {}\n  ```\n"
    assert once("```\nx = 1\n```", How(code=True)) == "```\nx = 1\n```"


def test_a_long_paragraph_that_comes_again_is_referred_to():
    """Over the texts of a prompt; not where two begin alike, nor where it may not be."""
    long = LONG.strip()
    together = Shortener(How(repeats=True))
    assert together.text(f"Read:\n\n{long}") == f"Read:\n\n{long}"
    again = together.text(f"{long}\n\nAgain.")
    assert again == (
        '[Here a paragraph from above stands again: "Once upon a time there was a gate through which every word h…", '
        f"{len(long)} characters]\n\nAgain."
    )
    assert together.text(long, refer=False) == long
    assert together.text(long + " Not quite.") == long + " Not quite."
    assert together.text(long) == long, "two begin like that by now"
    assert once(f"{long}\n\n{long}") == f"{long}\n\n{long}"


@pytest.mark.parametrize(
    "text",
    [
        " " * 10**6,
        "a" + " " * 10**6 + "b",
        "\n" * 10**6,
        "[\n" * 300_000,
        "{\n" + '"a": 1,\n' * 100_000,
        "```\n" * 200_001,
        '"""' * 300_001,
        "`" * 10**6,
        "a:" * 500_000,
        "> - " * 250_000,
        '{\n"' * 200_000,
    ],
    ids=range(11),
)
@pytest.mark.timeout(60)
def test_hostile_texts_end(text):
    """In time that grows with the text: the square of a million would not end today."""
    assert len(once(text, ALL)) <= len(text)
