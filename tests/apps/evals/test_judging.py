"""From answers to lines and figures."""

import json

import msgspec
import pytest

from headgate.apps.evals.dataset import Bad, Example
from headgate.apps.evals.judging import WORST, Asked, judge, said, worst, writing
from headgate.apps.evals.report import Variant
from headgate.core.errors import HeadgateError
from headgate.jobs.row import Lane, Outcome, Trouble

VARIANTS = [Variant(name=name, model=name, prompt="p", template="{q}") for name in ("a", "b")]


def chat(words):
    """An answer."""
    return json.dumps({"choices": [{"message": {"content": words}, "finish_reason": "stop"}]}).encode()


def rows(number):
    """Rows whose judge takes the words for the score."""
    return [Asked(at, Example(at + 1, b'{"q":%d}' % at), float, None) for at in range(number)]


def judged(tmp_path, asked, outcomes):
    """Judge these."""
    answers = tmp_path / "answers.jsonl"
    answers.write_bytes(b"".join(outcome if isinstance(outcome, bytes) else outcome.line() for outcome in outcomes))
    return judge(answers, tmp_path / "rows.jsonl", asked, VARIANTS)


def outcome(number, words="1", **facts):
    """What became of a row."""
    body = {"status": 200, "body": chat(words)} if words is not None else {}
    return Outcome(id=f"r{number}", number=number, lane=Lane.REALTIME, **{**body, "cost": 7_000_000, **facts})


def test_answers_go_to_their_rows_and_variants(tmp_path):
    """By their number; one that is missing stays unanswered, one of another sample is passed over."""
    found = judged(tmp_path, rows(2), [outcome(1), outcome(3, "0.5"), outcome(4, "0", latency_ms=5.0), outcome(9)])
    (a, b) = found.columns
    assert [one and one.score for one in a] == [1.0, 0.5]
    assert [one and one.score for one in b] == [None, 0.0]
    assert (b[0], b[1].latency_ms, b[1].cost) == (None, 5.0, 7_000_000)


def test_failures_have_a_reason_and_no_score(tmp_path):
    """The provider's words, our own, and an answer that is none."""
    refused = b'{"error": {"code": "odd", "message": "No."}}'
    outcomes = [
        outcome(1, None, status=400, body=refused, error_class="APIError"),
        outcome(2, None, error=Trouble(code="timeout", message="Too late."), error_class="TimeoutError"),
        outcome(3, None, status=200, body=b'{"choices": []}'),
        outcome(4, None, status=500, body=b"{}", error_class="APIError"),
    ]
    found = judged(tmp_path, rows(2), outcomes)
    assert all(one.score is None for column in found.columns for one in column)
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_bytes().splitlines()]
    assert [(line["error"]["code"], line["error"]["message"]) for line in lines] == [
        ("odd", "No."),
        ("timeout", "Too late."),
        ("no_answer", "The answer has no words where answers have them."),
        ("APIError", "APIError"),
    ]


def test_an_answer_that_cannot_be_read_fails_its_row_alone(tmp_path):
    """Nested so deeply that no decoder takes the line."""
    deep = b"[" * 500_000 + b"]" * 500_000
    line = (
        b'{"id":"batch_req_1","custom_id":"x","response":{"status_code":200,"request_id":null,"body":' + deep + b"}}\n"
    )
    found = judged(tmp_path, rows(1), [line, outcome(2)])
    assert (found.columns[0][0].score, found.columns[1][0].score) == (None, 1.0)


def test_the_words_of_an_answer():
    """Content, a refusal, or nothing at all."""
    assert said(chat("Hi")) == ("Hi", "stop")
    assert said(chat(None)) == ("", "stop")
    assert said(b'{"choices": [{"message": {"refusal": "No."}}]}') == ("No.", None)
    with pytest.raises(Bad):
        said(b"[]")


def test_the_worst_rows_come_first_with_all_their_answers(tmp_path):
    """Failed ones are worth nothing; what everybody got right is not shown, and no more than `WORST`."""
    words = ["1", "1", "0.5", "1", "0", "0.5"]
    outcomes = [outcome(at + 1, text) for at, text in enumerate(words)]
    failed = outcome(8, None, error=Trouble(code="x", message="x"), error_class="X")
    found = judged(tmp_path, rows(4), [*outcomes, outcome(7, "0.2"), failed])
    shown = worst(tmp_path / "rows.jsonl", found)
    assert [[(line.line, line.variant) for line in lines] for lines in shown] == [
        [(4, "a"), (4, "b")], [(3, "a"), (3, "b")], [(2, "a"), (2, "b")]
    ]  # fmt: skip
    many = judged(tmp_path, rows(50), [outcome(at, "0") for at in range(1, 101)])
    assert len(worst(tmp_path / "rows.jsonl", many)) == WORST


def test_bad_rows_are_written_for_every_variant(tmp_path):
    """Nobody was asked; a line that is no row is null."""
    bad = Asked(0, Example(1), None, Bad("invalid_json", "Line 1 is not a JSON object."))
    found = judged(tmp_path, [bad, *[msgspec.structs.replace(rows(2)[1], place=1)]], [outcome(3), outcome(4)])
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_bytes().splitlines()]
    assert [(line["line"], line["variant"], line["row"]) for line in lines[:2]] == [(1, "a", None), (1, "b", None)]
    assert [len(column) for column in found.columns] == [1, 1]


def test_a_file_is_whole_or_not_there(tmp_path):
    """Who fails while writing leaves what was there before; a folder that is gone is told."""
    path = tmp_path / "x"
    path.write_text("before")

    def fail():
        with writing(path) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "before"
    with pytest.raises(HeadgateError, match="cannot be written"), writing(tmp_path / "none" / "x"):
        pass
