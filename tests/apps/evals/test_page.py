"""The page: what it says, and that nobody else says anything through it."""

import json
import re
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.apps.evals.judging import Line
from headgate.apps.evals.page import page, verdict
from headgate.apps.evals.report import VERSION, Judged, Report, Variant, best, comparisons, found
from headgate.gate.ports import SystemChance
from headgate.jobs.row import Trouble

ALLOWED = frozenset(
    (
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "h4", "p", "div", "span", "code", "br",
        "figure", "figcaption", "svg", "g", "line", "text", "rect", "circle", "table", "thead", "tbody", "tr", "th",
        "td", "article", "pre",
    )
)  # fmt: skip
HOSTILE = '</pre></title><script src="//x.example/a.js">alert(1)</script><img src=x onerror=alert(2)>\x00\u202e'


def judged(score):
    """What came of a row."""
    return Judged(score=score, cost=1_000_000, latency_ms=50.0, prompt_tokens=1, completion_tokens=1, cached=False)


def report(*qualities, name="model {}", dataset="d.jsonl", template="{q}", **facts):
    """A report on variants that are right in so many of 100 rows."""
    variants = [
        Variant(name=name.format(at), model="m", prompt=name.format(at), template=template)
        for at in range(len(qualities))
    ]
    columns = [[judged(float(row < right)) for row in range(100)] for right in qualities]
    chance = SystemChance(0)
    each = [
        found(one, column, bad=0, binary=True, chance=chance) for one, column in zip(variants, columns, strict=True)
    ]
    pairs = comparisons(variants, columns, binary=True, chance=chance)
    usual = {
        "version": VERSION, "dataset": dataset, "created": 1.8e9, "seed": 0, "params": {}, "rows": 100, "bad_rows": 0,
        "scorer": {"name": "exact", "expected": "answer"}, "failed": 0, "asked": 100, "seconds": 1.0,
        "rows_per_second": 100.0, "rate_limited": 0, "ambiguous": 0, "cost_usd": "0.0001", "stopped": None,
        "level": 0.05,
    }  # fmt: skip
    return Report(**{**usual, **facts}, variants=each, comparisons=pairs, best=best(each, pairs))


def line(**facts):
    """A row of a variant."""
    usual = {"line": 3, "variant": "a", "model": "m", "prompt": "p", "row": b'{"q": "?"}', "score": 0.0, "answer": "x"}
    return Line(**{**usual, **facts})


REPORT = report(70, 95)


class Read(HTMLParser):
    """What a browser would see of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.said = set(), set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.said.append(data)


def test_what_the_page_says():
    """The verdict, the plots, the tables, the rows; and it forbids itself everything but its own style."""
    text = page(
        report(70, 95), [[line(answer="wrong"), line(variant="b", score=None, error=Trouble(code="c", message="why"))]]
    )
    read = Read(text)
    assert read.tags <= ALLOWED
    assert text.count("<svg") == 3
    said = "".join(read.said)
    for words in (
        "model 1 is better than model 0 by 25.0 points",
        "wrong",
        "why",
        "p < 0.0001",
        "100 rows, 2 variants",
    ):
        assert words in said
    policy = re.search(r'Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-")


@given(st.text() | st.just(HOSTILE))
def test_no_stranger_s_text_becomes_part_of_the_page(words):
    """Names, fields, answers, prompts and errors are text: no tag, no attribute, no control character."""
    usual = Read(page(REPORT, [[line(), line(error=Trouble(code="c", message="m"))]]))
    replaced = msgspec.structs.replace
    each = [
        replaced(one, name=f"{words} {at}", model=words, prompt=words, template=words)
        for at, one in enumerate(REPORT.variants)
    ]
    pairs = [replaced(pair, a=f"{words} 0", b=f"{words} 1", better=f"{words} 1") for pair in REPORT.comparisons]
    scorer = {"name": words, "expected": words}
    hostile = replaced(REPORT, variants=each, comparisons=pairs, dataset=words, scorer=scorer, stopped=words)
    row = json.dumps({words: words, "n": [words]}).encode()
    lines = [line(answer=words, row=row, variant=words), line(error=Trouble(code=words, message=words))]
    text = page(hostile, [lines])
    text.encode(errors="replace")
    read = Read(text)
    assert read.tags - usual.tags == set()
    assert read.attributes - usual.attributes == set()
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


def test_long_texts_are_cut():
    """A page stays a page, whatever was answered."""
    assert len(page(report(70, 95), [[line(answer="x" * 10_000_000)]])) < 40_000


@pytest.mark.parametrize(
    ("qualities", "told"),
    [
        ((70,), ["model 0: 70.0 % (60.4 % to 78.1 %)."]),
        ((70, 70), ["No difference between model 0 and model 1 was found"]),
        (
            (95, 70, 94),
            [
                "model 0 has the highest quality: 95.0 %.",
                "It is better than model 1.",
                "No difference from it that chance would not explain was found in model 2.",
            ],
        ),
    ],
)
def test_the_verdict_in_sentences(qualities, told):
    """One variant, two, and more."""
    said = verdict(report(*qualities))
    assert len(said) == len(told)
    assert all(line.startswith(start) for line, start in zip(said, told, strict=True))


def test_what_is_missing_is_told():
    """A run that was stopped, failures, bad rows; and a page without any score."""
    said = "".join(Read(page(report(70, failed=7, bad_rows=2, stopped="budget_exceeded"), [])).said)
    for words in ("stopped (budget_exceeded)", "2 rows could not be asked", "5 answers failed"):
        assert words in said
    nothing = report(70)
    empty = found(
        Variant(name="a", model="a", prompt="p", template="{q}"), [None], bad=0, binary=True, chance=SystemChance(0)
    )
    text = page(msgspec.structs.replace(nothing, variants=[empty], comparisons=[], best=[]), [])
    assert "No row has a score." in text
    assert "<svg" not in text
