"""Scorers: what counts as right."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.apps.evals.dataset import Bad
from headgate.apps.evals.scorers import KINDS, Tolerance, make, number_in
from headgate.core.errors import BadRequestError


def score(kind, expected, answer, **options):
    """The score of an answer."""
    return make(kind, expected="want", **options).judge(1, {"want": expected})(answer)


@pytest.mark.parametrize(
    ("kind", "expected", "answer", "points"),
    [
        ("exact", "Paris", " Paris\n", 1),
        ("exact", "Paris", "paris", 0),
        ("exact", "Paris", "Paris.", 0),
        ("exact", 42, "42", 1),
        ("exact", True, "true", 1),
        ("exact", ["Paris", "Lutetia"], "Lutetia", 1),
        ("exact", ["Paris", "Lutetia"], "Rome", 0),
        ("contains", "Paris", "It is Paris.", 1),
        ("contains", "Paris", "It is Rome.", 0),
        ("regex", r"^\d{4}$", "1984", 1),
        ("regex", r"^\d{4}$", "in 1984", 0),
        ("numeric", 42, "17 + 25 = 42", 1),
        ("numeric", "1,200", "It is 1200.0 in all.", 1),
        ("numeric", 42, "forty-two", 0),
        ("numeric", 42, "42 or 43", 0),
        ("numeric", -3, "\N{MINUS SIGN}3", 1),
        ("numeric", 5, "1e9999", 0),
        ("json", {"a": 1, "b": "x"}, '{"a": 1.0, "b": "x", "c": 2}', 1),
        ("json", {"a": 1, "b": "x"}, '{"a": 1}', 0.5),
        ("json", {"a": 1}, '{"a": true}', 0),
        ("json", {"a": [1, {"b": None}]}, 'Here it is:\n```json\n{"a": [1, {"b": null}]}\n```\nDone.', 1),
        ("json", '{"a": 1}', '{"a": 1}', 1),
        ("json", {"a": 1}, "[1]", 0),
        ("json", {"a": 1}, "no JSON", 0),
        ("json", [1, 2], "[1, 2]", 1),
        ("json", {}, "{}", 1),
    ],
)
def test_what_is_right(kind, expected, answer, points):
    """Each kind by itself."""
    assert score(kind, expected, answer) == points


def test_options():
    """Capitals, and how far a number may be off: by a sum, or by a share."""
    assert score("exact", "Paris", "PARIS", ignore_case=True) == 1
    assert score("contains", "STRASSE", "Die Straße", ignore_case=True) == 1
    assert score("regex", "^p", "Paris", ignore_case=True) == 1
    assert score("json", {"a": "X"}, '{"a": "x"}', ignore_case=True) == 1
    half, percent = Tolerance(absolute=0.5), Tolerance(relative=0.01)
    assert [score("numeric", 100, text, tolerance=half) for text in ("100.5", "100.6")] == [1, 0]
    assert [score("numeric", 100, text, tolerance=percent) for text in ("101", "101.1")] == [1, 0]


@pytest.mark.parametrize(
    ("kind", "row", "told"),
    [
        ("exact", {}, "Line 7 has no `want`"),
        ("exact", {"want": None}, "Line 7 has no `want`"),
        ("exact", {"want": []}, "empty list"),
        ("contains", {"want": " "}, "would stand in every answer"),
        ("regex", {"want": "("}, "no regular expression"),
        ("regex", {"want": 1}, "not a text"),
        ("json", {"want": "{"}, "no JSON"),
        ("numeric", {"want": "many"}, "no number"),
        ("numeric", {"want": "1e999"}, "no number"),
    ],
)
def test_rows_that_nobody_can_judge_are_told_beforehand(kind, row, told):
    """By the line, with what is wrong."""
    with pytest.raises(Bad, match=told):
        make(kind, expected="want").judge(7, row)


@given(st.text(), st.text(min_size=1).filter(str.strip))
def test_no_answer_makes_a_scorer_fail(answer, expected):
    """Scores are 0 to 1 whatever is said; the expected words themselves are always right."""
    for kind, wanted in [
        ("exact", expected), ("contains", expected), ("regex", ".*"), ("json", {"a": 1}), ("numeric", 7)
    ]:  # fmt: skip
        assert 0 <= score(kind, wanted, answer) <= 1
    assert score("exact", expected, expected) == 1
    assert score("contains", expected, answer + expected + answer) == 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_json_is_equal_to_itself(value):
    """However nested."""
    assert score("json", {"a": value}, json.dumps({"a": value})) == 1


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["{}", "It is {}.", "a {}, so", "${} in all"]))
def test_numbers_are_found_as_they_are_written(number, words):
    """In digits, with an exponent, or with thousands marked."""
    assert number_in(words.format(repr(number))) == number
    if abs(number) < 1e15:
        assert number_in(words.format(f"{number:,.2f}")) == float(f"{number:.2f}")


def test_numbers_among_words():
    """The last one counts; what is part of a word is none."""
    cases = {
        "gpt4": None,
        "v1.2.3": None,
        "10-5": 5,
        "1,2,3": 3,
        "42kg": 42,
        "it is -7.5!": -7.5,
        "": None,
        "9" * 400: math.inf,
    }
    assert {text: number_in(text) for text in cases} == cases


def test_a_long_answer_is_read_once():
    """Digits and fences without end take time in proportion to their number."""
    from time import process_time

    begun = process_time()
    for text in ("1,111" * 200_000, "1," * 500_000, "```\n" * 200_000, "-" * 1_000_000, "1e" * 500_000):
        score("numeric", 1, text)
        score("json", {"a": 1}, text)
    assert process_time() - begun < 3


def test_a_function_of_the_user_s(tmp_path, monkeypatch):
    """It gets the row and the answer; what it raises, or gives beyond 0 to 1, is a failed row."""
    (tmp_path / "mine_evals.py").write_text(
        "def good(row, answer):\n    return len(answer) / row['most']\n"
        "def text(row, answer):\n    return 'good'\n"
        "def nan(row, answer):\n    return float('nan')\n"
        "def surrogate(row, answer):\n    raise ValueError('\\ud800')\n"
        "async def later(row, answer):\n    return 1.0\n"
        "number = 3\n"
    )
    monkeypatch.setattr("sys.path", list(__import__("sys").path))

    def own(name):
        return make(f"python:mine_evals.{name}", expected="x", folder=str(tmp_path)).judge(3, {"most": 4})

    assert own("good")("ab") == 0.5
    for name, answer, told in [
        ("good", "abcde", "gave 1.25 for line 3"), ("text", "", "gave str for line 3"), ("nan", "", "gave nan"),
        ("surrogate", "", "ValueError: \\?"),
    ]:  # fmt: skip
        with pytest.raises(Bad, match=told) as caught:
            own(name)(answer)
        caught.value.message.encode()
    for name, told in [("later", "asynchronous"), ("number", "no function"), ("none", "AttributeError")]:
        with pytest.raises(BadRequestError, match=told):
            own(name)
    with pytest.raises(BadRequestError, match="ModuleNotFoundError"):
        make("python:no_such_module.f", expected="x")
    with pytest.raises(BadRequestError, match="names no module"):
        make("python:f", expected="x")


def test_wrong_use():
    """An unknown scorer, and options that have no effect."""
    with pytest.raises(BadRequestError, match="no scorer 'bleu'"):
        make("bleu", expected="x")
    with pytest.raises(BadRequestError, match="tolerance has no effect"):
        make("exact", expected="x", tolerance=Tolerance())
    with pytest.raises(BadRequestError, match="case has no effect"):
        make("numeric", expected="x", ignore_case=True)
    assert [make(kind, expected="x").told["name"] for kind in KINDS] == list(KINDS)
