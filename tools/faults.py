"""The fault table: what a fault of a provider leads to, row by row.

Decides what is promised. `tests/gate/test_fault_table.py` holds the house to it, `tools/docs.py` prints it.
"""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, NamedTuple

TOTAL, FIRST_TOKEN, SILENCE = 20.0, 3.0, 4.0
"""The provider's `timeout`, in seconds; everything else is as it comes: three attempts, `max_wait` 5 s."""
SIMULATED = "gpt-6-luna"

NOT, UNKNOWN, BILLED, COUNTED = "not billed", "unknown", "billed", "counted"
"""What the ledger says of an attempt; `counted`: billed, by our own count."""


class Then(NamedTuple):
    """What follows.

    Attributes:
        sends: how often each target was asked.
        books: what the ledger says of each attempt, oldest first.
        seconds: at least, at most.
        error: the class of the error; empty where an answer comes.
        status, type, code: what the caller is told of it.
        finish: why the answer ended, as the provider said it.
    """

    sends: tuple[int, ...]
    books: tuple[str, ...]
    seconds: tuple[float, float] = (0, 0)
    error: str = ""
    status: int = 200
    type: str = "server_error"
    code: str = ""
    finish: str = "stop"

    @property
    def broken(self) -> bool:
        """The error comes after words that were said already."""
        return self.error == "InterruptedError"


class Case(NamedTuple):
    """What follows where there is another target, and where there is none."""

    another: Then
    alone: Then


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        name: what goes wrong, in words.
        fault: what the simulator is told.
        whole, streamed: what follows; None where the fault is another row's.
        model: the model of the first target.
    """

    name: str
    fault: Mapping[str, Any]
    whole: Case | None
    streamed: Case | None
    model: str = SIMULATED


class Failed(NamedTuple):
    """An error as the caller sees it."""

    error: str
    status: int
    code: str
    type: str = "server_error"

    def then(self, sends: tuple[int, ...], books: tuple[str, ...], seconds: tuple[float, float] = (0, 0)) -> Then:
        """That is how it ends."""
        return Then(sends, books, seconds, self.error, self.status, self.type, self.code)


TIMED_OUT = Failed("TimeoutError", 504, "upstream_timeout")
UNREACHABLE = Failed("UnreachableError", 502, "upstream_unreachable")
GARBLED = Failed("GarbledError", 502, "upstream_garbled")
OURS = Failed("AuthenticationError", 500, "upstream_authentication")


def overloaded(status: int = 502, code: str = "upstream_error", type: str = "server_error") -> Failed:  # noqa: A002  OpenAI's word
    """The provider is in trouble."""
    return Failed("OverloadedError", status, code, type)


def refused(status: int, code: str, error: str = "APIError") -> Failed:
    """The provider refuses the request for what it is."""
    return Failed(error, status, code, "invalid_request_error")


def limited(code: str = "rate_limit_exceeded", error: str = "RateLimitError", type: str = "requests") -> Failed:  # noqa: A002  ditto
    """Too fast, or too much."""
    return Failed(error, 429, code, type)


BACKOFF = (0.0, 3.0)
"""Two waits with full jitter: at most 1 and 2 seconds."""


def passing(failed: Failed, books: str = NOT) -> Case:
    """Passing trouble: three attempts, then the next target."""
    return Case(
        Then((3, 1), (books,) * 3 + (BILLED,), BACKOFF),
        failed.then((3,), (books,) * 3, BACKOFF),
    )


def lasting(failed: Failed) -> Case:
    """Lasting trouble: the next target at once."""
    return Case(Then((1, 1), (NOT, BILLED)), failed.then((1,), (NOT,)))


def final(failed: Failed) -> Case:
    """Nobody else would say anything else."""
    return Case(failed.then((1, 0), (NOT,)), failed.then((1,), (NOT,)))


def slow(limit: float) -> Case:
    """The next target after one limit; alone, three times the limit and two waits."""
    return Case(
        Then((1, 1), (UNKNOWN, BILLED), (limit, limit)),
        TIMED_OUT.then((3,), (UNKNOWN,) * 3, (3 * limit, 3 * limit + 3)),
    )


def broken(limit: float = 0, code: str = "stream_interrupted") -> Case:
    """After the first word: a typed error, and what was said is counted."""
    bound = (limit, limit)
    failed = Failed("InterruptedError", 502, code)
    return Case(failed.then((1, 0), (COUNTED,), bound), failed.then((1,), (COUNTED,), bound))


def fine(seconds: float = 0, *, books: str = BILLED, finish: str = "stop") -> Case:
    """Nothing that is lost."""
    bound = (seconds, seconds)
    return Case(
        Then((1, 0), (books,), bound, finish=finish),
        Then((1,), (books,), bound, finish=finish),
    )


def again(wait: float) -> Case:
    """The same target once more, after at most a tenth more than the wait."""
    bound = (wait, wait * 1.1)
    return Case(Then((2, 0), (NOT, BILLED), bound), Then((2,), (NOT, BILLED), bound))


def both(name: str, case: Case, **fault: Any) -> Row:
    """A row that is the same, whole or streamed."""
    return Row(name, fault, case, case)


def answers(status: int, case: Case, code: str | None = None, note: str = "", **fault: Any) -> Row:
    """A row of an error status."""
    name = " ".join(word for word in (f"answers {status}", code and f"`{code}`", note) if word)
    return both(name, case, kind="status", status=status, **({"code": code} if code else {}), **fault)


def inside(kind: str, name: str, whole: Case, *, begun: Case, before: Case, **fault: Any) -> Iterable[Row]:
    """Two rows of what befalls an answer: after its first words, and before."""
    fault = {"kind": kind, **fault}
    return (
        Row(name, {**fault, "after_tokens": 5}, whole, begun),
        Row(f"{name}, before the first word", {**fault, "after_tokens": 0}, None, before),
    )


ROWS: tuple[Row, ...] = (
    *(answers(status, passing(overloaded())) for status in (500, 502, 504, 529)),
    answers(503, passing(overloaded(502, "server_is_overloaded", "service_unavailable_error"))),
    both(
        "answers 503 once",
        Case(Then((2, 0), (NOT, BILLED), (0, 1)), Then((2,), (NOT, BILLED), (0, 1))),
        kind="status", status=503, times=1,
    ),
    answers(408, passing(overloaded(408, "request_timeout", "invalid_request_error")), "request_timeout"),
    answers(409, passing(overloaded(409, "conflict", "invalid_request_error")), "conflict"),
    *(answers(status, lasting(OURS)) for status in (401, 402, 403)),
    answers(404, lasting(refused(404, "model_not_found", "ModelNotFoundError")), "model_not_found"),
    answers(404, final(refused(404, "not_found")), "not_found"),
    answers(429, again(2), note="and asks for 2 s, once", retry_after=2, times=1),
    both(
        "answers 429 and asks for 10 s, once",
        Case(Then((1, 1), (NOT, BILLED)), again(10).alone),
        kind="status", status=429, retry_after=10, times=1,
    ),
    answers(429, lasting(limited()), note="and asks for more time than a call may take", retry_after=60),
    answers(429, passing(limited()), note="and asks for no time"),
    answers(429, lasting(limited("insufficient_quota", "QuotaError", "insufficient_quota")), "insufficient_quota"),
    *(
        answers(429, lasting(limited(code, "QuotaError")), code)
        for code in ("credit_balance_exhausted", "project_spend_limit_exceeded")
    ),
    answers(400, final(refused(400, "invalid_value")), "invalid_value"),
    answers(400, final(refused(400, "content_policy_violation", "ContentFilterError")), "content_policy_violation"),
    answers(
        400,
        final(refused(400, "context_length_exceeded", "ContextLengthError")),
        "context_length_exceeded",
    ),
    Row(
        "answers 400 `context_length_exceeded`; the other target has a larger context",
        {"kind": "status", "status": 400, "code": "context_length_exceeded"},
        lasting(refused(400, "context_length_exceeded", "ContextLengthError")),
        lasting(refused(400, "context_length_exceeded", "ContextLengthError")),
        "gpt-5.4-mini",
    ),
    answers(413, final(refused(413, "too_large")), "too_large"),
    answers(422, final(refused(422, "unprocessable")), "unprocessable"),
    both("resets the connection", passing(UNREACHABLE, UNKNOWN), kind="reset"),
    Row("says nothing", {"kind": "silence"}, slow(TOTAL), slow(FIRST_TOKEN)),
    both("says nothing for 2 s", fine(2), kind="silence", delay=2),
    Row(
        "says its first word after 10 s",
        {"kind": "slow_first_token", "delay": 10},
        fine(10), slow(FIRST_TOKEN),
    ),
    *inside(
        "cut", "cuts the connection", passing(UNREACHABLE, UNKNOWN),
        begun=broken(), before=passing(UNREACHABLE, UNKNOWN),
    ),
    Row("cuts the connection after the last word", {"kind": "cut", "after_tokens": 1_000_000}, None, broken()),
    *inside("stall", "goes silent", slow(TOTAL), begun=broken(SILENCE), before=slow(FIRST_TOKEN)),
    both("goes silent for 3 s", fine(3), kind="stall", after_tokens=5, delay=3),
    *inside(
        "malformed", "sends what cannot be read", passing(GARBLED, UNKNOWN),
        begun=broken(), before=passing(GARBLED, UNKNOWN),
    ),
    *inside(
        "error_event", "fails in its answer", passing(overloaded(502, "server_error")),
        begun=broken(code="server_error"), before=passing(overloaded(502, "server_error"), UNKNOWN),
        code="server_error", type="server_error",
    ),
    Row(
        "finds in its answer that it is asked too fast",
        {"kind": "error_event", "status": 429, "code": "rate_limit_exceeded", "type": "rate_limit_error"},
        passing(limited(type="rate_limit_error")), passing(limited(type="rate_limit_error"), UNKNOWN),
    ),
    both(
        "ends its answer by its content filter", fine(finish="content_filter"),
        kind="error_event", code="content_filter", after_tokens=5,
    ),
    both("leaves out `[DONE]`", fine(), kind="no_done"),
    both("does not tell its usage", fine(books=COUNTED), kind="no_usage"),
    both("tells a usage that cannot be true", fine(books=COUNTED), kind="wrong_usage"),
)  # fmt: skip


class Next(NamedTuple):
    """Who is asked after a stream broke.

    Attributes:
        name: in words.
        provider: how the simulator is set up, beside what both are.
    """

    name: str
    provider: Mapping[str, Any] | None


NEXT = (
    Next("repeats the words said", {}),
    Next("says something else", {"seed": 1}),
    Next("fails", {"faults": [{"kind": "status", "status": 503}]}),
    Next("there is none", None),
)


class Continued(NamedTuple):
    """One line of the table of streams under `recovery: continue`; what follows, for each of `NEXT`."""

    name: str
    fault: Mapping[str, Any]
    then: tuple[Then, ...]


def goes_on(name: str, limit: float = 0, code: str = "stream_interrupted", **fault: Any) -> Continued:
    """The next target is asked; what it cannot mend ends in the first error."""
    failed = Failed("InterruptedError", 502, code)
    bound = (limit, limit)
    if fault["kind"] == "error_event":
        fault["code"] = code
    return Continued(
        name,
        fault,
        (
            Then((1, 1), (COUNTED, BILLED), bound),
            failed.then((1, 1), (COUNTED, COUNTED), bound),
            failed.then((1, 3), (COUNTED, NOT, NOT, NOT), (limit, limit + BACKOFF[1])),
            failed.then((1,), (COUNTED,), bound),
        ),
    )


def ends(name: str, code: str, **fault: Any) -> Continued:
    """What would not have been taken to another target before the first word is not taken there after it."""
    failed = Failed("InterruptedError", 502, code)
    nobody = failed.then((1, 0), (COUNTED,))
    return Continued(name, {**fault, "code": code}, (nobody, nobody, nobody, failed.then((1,), (COUNTED,))))


CONTINUED: tuple[Continued, ...] = (
    goes_on("cuts the connection", kind="cut", after_tokens=5),
    goes_on("cuts the connection after the first word", kind="cut", after_tokens=1),
    goes_on("cuts the connection after the last word", kind="cut", after_tokens=1_000_000),
    goes_on("goes silent", SILENCE, kind="stall", after_tokens=5),
    goes_on("sends what cannot be read", kind="malformed", after_tokens=5),
    goes_on("fails in its answer", code="server_error", kind="error_event", after_tokens=5),
    ends(
        "refuses in its answer, by its content policy",
        "content_policy_violation",
        kind="error_event", after_tokens=5, type="invalid_request_error",
    ),
)  # fmt: skip


def told(then: Then) -> str:
    """A cell of the printed table: what comes, how often each target is asked, how long it takes, the books."""
    least, most = then.seconds
    took = f"{least:g} s" if least == most else f"≤ {most:g} s" if not least else f"{least:g} to {most:g} s"
    # Behind the first word a status has been sent.
    failure = f"words, then `{then.code}`" if then.broken else f"{then.status} `{then.code}`"
    what = failure if then.error else "answer"
    if then.finish != "stop":
        what += f" `{then.finish}`"
    counted = [(len(list(same)), word) for word, same in groupby(then.books)]
    books = ", ".join(word if number == 1 else f"{number} {word}" for number, word in counted)
    return "; ".join((what, " + ".join(map(str, then.sends)), took if most else "at once", books))


def printed(row: Row) -> list[str]:
    """A line of the printed table."""
    whole = ["", ""] if row.whole is None else [told(then) for then in row.whole]
    streamed = ["", ""] if row.streamed is None else [told(then) for then in row.streamed]
    return [
        row.name,
        *whole,
        *("as whole" if one == other else one for one, other in zip(streamed, whole, strict=True)),
    ]


def continued(row: Continued) -> list[str]:
    """A line of the printed table of streams that go on."""
    return [row.name, *map(told, row.then)]
