"""From answers to scores: each answer of a run beside what was expected of it.

Decides what an answer's words are, what becomes of a row that failed, and which rows are worth a look. Refuses to know
how answers came about. Only figures stay in memory; the words are in `rows.jsonl`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from headgate.apps.evals.dataset import Bad, Example
from headgate.apps.evals.report import Judged, Variant
from headgate.apps.evals.scorers import Judge
from headgate.core.errors import HeadgateError
from headgate.core.money import from_usd
from headgate.dialects.openai_fields import UNREADABLE
from headgate.jobs.row import Trouble

WORST = 20
"""Rows that are shown side by side."""


class Asked(msgspec.Struct, frozen=True):
    """A row that is evaluated.

    Attributes:
        place: in the dataset, from 0.
        example: the row.
        judge: judges answers about it; None where it is bad.
        bad: why nobody was asked about it.
    """

    place: int
    example: Example
    judge: Judge | None
    bad: Bad | None


class Judgement(msgspec.Struct, frozen=True):
    """All figures.

    Attributes:
        columns: for each variant, what it made of each row that can be asked, in their order.
        lines: the lines of those rows in the dataset.
    """

    columns: Sequence[Sequence[Judged | None]]
    lines: Sequence[int]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `rows.jsonl`: a shape that scripts rely on.

    Attributes:
        line: of the dataset.
        variant, model, prompt: who was asked, and how.
        row: the dataset's row; null where the line is none.
        answer: its words; None where there is none.
        finish_reason: why it ended, as the provider says.
        score: None where the row failed.
        error: why; `code` and `message`.
        cost_usd, latency_ms, prompt_tokens, completion_tokens, attempts, cached: of the answer.
    """

    line: int
    variant: str
    model: str
    prompt: str
    row: msgspec.Raw
    answer: str | None = None
    finish_reason: str | None = None
    score: float | None = None
    error: Trouble | None = None
    cost_usd: str | None = "0"
    latency_ms: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    attempts: int = 0
    cached: bool = False


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice]


class _Error(msgspec.Struct):
    error: dict[str, Any]


class _Response(msgspec.Struct):
    body: msgspec.Raw


class _Facts(msgspec.Struct):
    row: int
    cost_usd: str | None = None
    attempts: int = 0
    cached: bool = False
    latency_ms: float | None = None
    error_class: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Outcome(msgspec.Struct):
    headgate: _Facts
    response: _Response | None = None
    error: Trouble | None = None


_START = b'{"id":"batch_req_'
_OUTCOME = msgspec.json.Decoder(_Outcome)
_ANSWER = msgspec.json.Decoder(_Answer)
_ERROR = msgspec.json.Decoder(_Error)
_LINE = msgspec.json.Decoder(Line)
_encode = msgspec.json.Encoder().encode


def judge(answers: Path, rows: Path, asked: Sequence[Asked], variants: Sequence[Variant]) -> Judgement:
    """Judge every answer, and write down what came of it.

    Args:
        answers: of the run, in the order of their numbers.
        rows: where the lines go.
        asked: the rows of the evaluation.
        variants: who was asked.

    Raises:
        HeadgateError: a file cannot be read or written.
    """
    good = {one.place: at for at, one in enumerate(one for one in asked if one.bad is None)}
    ready = [one for one in asked if one.bad is None]
    columns: list[list[Judged | None]] = [[None] * len(ready) for _ in variants]
    with answers.open("rb") as file, writing(rows) as out:
        for one in asked:
            if one.bad is not None:
                for variant in variants:
                    out.write(_encode(_failed(one.example, variant, one.bad)) + b"\n")
        for raw in file:
            outcome = _read(raw)
            place, which = divmod(outcome.headgate.row - 1, len(variants))
            at = good.get(place)
            if at is None:
                continue  # of an earlier run, with a larger sample
            line = _judged(ready[at], variants[which], outcome)
            columns[which][at] = _figures(line)
            out.write(_encode(line) + b"\n")
    return Judgement(columns, [one.example.line for one in ready])


def _read(raw: bytes) -> _Outcome:
    try:
        return _OUTCOME.decode(raw)
    except UNREADABLE:
        # An answer that just about fits into a decoder may not, with a line around it. The number stands in front.
        number = int(raw[len(_START) : raw.index(b'"', len(_START))])
        trouble = Trouble(code="garbled", message="The answer cannot be read.")
        return _Outcome(_Facts(row=number, error_class="GarbledError"), error=trouble)


def _judged(asked: Asked, variant: Variant, outcome: _Outcome) -> Line:
    facts = outcome.headgate
    words, finish, score, error = None, None, None, outcome.error
    if outcome.response is not None and facts.error_class is None:
        try:
            words, finish = said(outcome.response.body)
            assert asked.judge is not None, "only rows with a judge are asked"
            score = asked.judge(words)
        except Bad as bad:
            error = Trouble(code=bad.code, message=bad.message)
    elif outcome.response is not None:
        error = _refusal(facts.error_class or "", outcome.response.body)
    return Line(
        line=asked.example.line,
        variant=variant.name,
        model=variant.model,
        prompt=variant.prompt,
        row=msgspec.Raw(asked.example.raw),
        answer=words,
        finish_reason=finish,
        score=score,
        error=error,
        cost_usd=facts.cost_usd,
        latency_ms=facts.latency_ms,
        prompt_tokens=facts.prompt_tokens,
        completion_tokens=facts.completion_tokens,
        attempts=facts.attempts,
        cached=facts.cached,
    )


def said(body: bytes | msgspec.Raw) -> tuple[str, str | None]:
    """The words of an answer, and why it ended. A refusal is words.

    Raises:
        Bad: it is no answer.
    """
    try:
        choice = _ANSWER.decode(body).choices[0]
    except (*UNREADABLE, IndexError):
        raise Bad("no_answer", "The answer has no words where answers have them.") from None
    return choice.message.content or choice.message.refusal or "", choice.finish_reason


def worst(rows: Path, judgement: Judgement) -> list[list[Line]]:
    """The rows that went worst, each with the lines of all variants: the lowest scores first.

    Rows of equal scores stand in their order; rows that all got right are left out.
    """

    def total(at: int) -> float:
        scores = [column[at] for column in judgement.columns]
        known = [one.score for one in scores if one is not None and one.score is not None]
        return sum(known) / len(scores) if known else 2.0

    order = sorted(range(len(judgement.lines)), key=total)[:WORST]
    chosen = {judgement.lines[at]: place for place, at in enumerate(order) if total(at) < 1}
    found: list[list[Line]] = [[] for _ in range(len(order))]
    with rows.open("rb") as file:
        for raw in file:
            line = _LINE.decode(raw)
            if line.line in chosen:
                found[chosen[line.line]].append(line)
    return [lines for lines in found if lines]


def _failed(example: Example, variant: Variant, bad: Bad) -> Line:
    return Line(
        line=example.line,
        variant=variant.name,
        model=variant.model,
        prompt=variant.prompt,
        row=msgspec.Raw(example.raw or b"null"),
        error=Trouble(code=bad.code, message=bad.message),
    )


def _figures(line: Line) -> Judged:
    return Judged(
        score=line.score,
        cost=None if line.cost_usd is None else from_usd(line.cost_usd),
        latency_ms=line.latency_ms,
        prompt_tokens=line.prompt_tokens,
        completion_tokens=line.completion_tokens,
        cached=line.cached,
    )


def _refusal(name: str, body: bytes | msgspec.Raw) -> Trouble:
    try:
        told: Mapping[str, Any] = _ERROR.decode(body).error
    except UNREADABLE:
        told = {}
    return Trouble(code=str(told.get("code") or name), message=str(told.get("message") or name)[:1000])


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of what was there in one step, when it is whole.

    Raises:
        HeadgateError: it cannot be written.
    """
    made = path.with_name(path.name + ".new")
    try:
        with made.open("wb") as file:
            yield file
        made.replace(path)
    except OSError as error:
        message = f"`{path}` cannot be written: {error.strerror}."
        hint = "The answers are safe: the same command again writes it without asking anybody."
        raise HeadgateError(message, code="output_error", hint=hint) from None
