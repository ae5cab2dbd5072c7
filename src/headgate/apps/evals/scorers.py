"""Scorers: how good an answer is, from 0 to 1, beside what was expected.

Decides what each kind of scorer takes for right, and which rows it cannot judge; such a row is told before anything is
asked about it. Refuses to know who has answered. Answers were written by strangers: none of them makes a scorer fail.

Where what is expected is a list, any of its entries will do (but for `json`, which expects a list then).
"""

import inspect
import math
import re
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final, Protocol

import msgspec

from headgate.apps.evals.dataset import Bad
from headgate.core.errors import BadRequestError
from headgate.dialects.openai_fields import UNREADABLE

KINDS: Final = ("exact", "contains", "regex", "json", "numeric")
PYTHON: Final = "python:"
_FENCE = "```"
# Each run of digits is read once, whatever follows it.
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d[\d,]*+(?:\.\d++)?|\.\d++)(?:[eE][-+]?\d{1,4})?")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})++(?!,)")
_EXACT = 1e-9
"""By how much two numbers that are written differently may differ, as a share."""

Judge = Callable[[str], float]
"""The score of an answer."""
Function = Callable[[dict[str, Any], str], float]
"""A scorer of the user's own: the row and the answer in, the score out."""


class Scorer(Protocol):
    """Makes a judge for each row."""

    field: str | None
    """Of the row: holds what is expected; None where that is not known."""
    binary: bool
    """Scores are 0 and 1, and nothing between them."""
    told: Mapping[str, Any]
    """Its name and its options, as the report has them."""

    def judge(self, line: int, row: Mapping[str, Any]) -> Judge:
        """Who judges the answers about a row.

        Raises:
            Bad: nobody can.
        """
        ...


class Tolerance(msgspec.Struct, frozen=True):
    """How far a number may be from the expected one: the greater of both.

    Attributes:
        absolute: in its own unit.
        relative: as a share of the expected one.
    """

    absolute: float = 0.0
    relative: float = _EXACT


class Expecting:
    """Compares with a field of the row.

    Args:
        kind: one of `KINDS`.
        field: holds what is expected.
        ignore_case: capitals do not matter.
        tolerance: of `numeric`.
    """

    def __init__(self, kind: str, field: str, *, ignore_case: bool = False, tolerance: Tolerance | None = None) -> None:
        self.field: str | None = field
        self.binary = kind != "json"
        self._kind = kind
        self._ignore_case = ignore_case
        self._tolerance = tolerance or Tolerance()
        near = {"tolerance": msgspec.structs.asdict(self._tolerance)} if kind == "numeric" else {}
        self.told: Mapping[str, Any] = {"name": kind, "expected": field, "ignore_case": ignore_case, **near}
        self._make: Callable[[Any], Judge] = {
            "exact": self._exact,
            "contains": self._contains,
            "regex": self._regex,
            "json": self._json,
            "numeric": self._numeric,
        }[kind]

    def judge(self, line: int, row: Mapping[str, Any]) -> Judge:
        """See `Scorer`."""
        expected = row.get(self.field or "")
        if expected is None:
            raise Bad("missing_field", f"Line {line} has no `{self.field}`, which holds what is expected.")
        if self._kind == "json" or not isinstance(expected, list):
            return self._made(line, expected)
        if not expected:
            raise Bad(
                "invalid_expected", f"The `{self.field}` of line {line} is an empty list: nothing would be right."
            )
        judges = [self._made(line, one) for one in expected]
        return lambda answer: max(judge(answer) for judge in judges)

    def _made(self, line: int, expected: Any) -> Judge:
        try:
            return self._make(expected)
        except ValueError as error:
            message = f"The `{self.field}` of line {line} is no {_WANTED[self._kind]}: {error}."
            raise Bad("invalid_expected", message) from None

    def _folded(self, text: str) -> str:
        return text.casefold() if self._ignore_case else text

    def _exact(self, expected: Any) -> Judge:
        wanted = self._folded(_word(expected).strip())
        return lambda answer: float(self._folded(answer.strip()) == wanted)

    def _contains(self, expected: Any) -> Judge:
        wanted = self._folded(_word(expected).strip())
        if not wanted:
            raise ValueError("it is empty, and would stand in every answer")
        return lambda answer: float(wanted in self._folded(answer))

    def _regex(self, expected: Any) -> Judge:
        if not isinstance(expected, str):
            raise ValueError("it is not a text")  # noqa: TRY004  of the row's making, not the program's
        try:
            pattern = re.compile(expected, re.IGNORECASE if self._ignore_case else 0)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(str(error)) from None
        return lambda answer: float(pattern.search(answer) is not None)

    def _json(self, expected: Any) -> Judge:
        if isinstance(expected, str):
            # A field of a CSV file is always a text.
            try:
                expected = msgspec.json.decode(expected)
            except UNREADABLE as error:
                raise ValueError(str(error)) from None
        fold = self._folded

        def judge(answer: str) -> float:
            try:
                found = msgspec.json.decode(_json_in(answer))
            except UNREADABLE:
                return 0.0
            if not isinstance(expected, dict):
                return float(_same(expected, found, fold))
            if not isinstance(found, dict):
                return 0.0
            right = sum(name in found and _same(value, found[name], fold) for name, value in expected.items())
            return right / len(expected) if expected else 1.0

        return judge

    def _numeric(self, expected: Any) -> Judge:
        right = number_in(_word(expected))
        if right is None or not math.isfinite(right):
            raise ValueError("there is none in it")
        most = max(self._tolerance.absolute, self._tolerance.relative * abs(right))

        def judge(answer: str) -> float:
            found = number_in(answer)
            return float(found is not None and abs(found - right) <= most)

        return judge


class Own:
    """A function of the user's.

    Args:
        name: as it was asked for.
        function: takes the row and the answer, and gives the score.
    """

    binary = False

    def __init__(self, name: str, function: Function) -> None:
        self.field: str | None = None
        self.told: Mapping[str, Any] = {"name": name}
        self._name = name
        self._function = function

    def judge(self, line: int, row: Mapping[str, Any]) -> Judge:
        """See `Scorer`. What the judge raises is a `Bad`."""

        def judge(answer: str) -> float:
            try:
                score = self._function(dict(row), answer)
            except Exception as error:  # noqa: BLE001  whatever a stranger's function raises, the others go on
                what = _told(error)
                raise Bad("scorer_failed", f"The scorer `{self._name}` has failed at line {line}: {what}") from None
            if not isinstance(score, int | float) or not 0 <= score <= 1:
                shown = type(score).__name__ if not isinstance(score, int | float) else str(score)
                raise Bad("scorer_failed", f"The scorer `{self._name}` gave {shown} for line {line}, not 0 to 1.")
            return float(score)

        return judge


def make(
    name: str,
    *,
    expected: str,
    ignore_case: bool = False,
    tolerance: Tolerance | None = None,
    folder: str | None = None,
) -> Scorer:
    """A scorer by its name.

    Args:
        name: one of `KINDS`, or `python:module.function`.
        expected: the field that holds what is expected.
        ignore_case: capitals do not matter.
        tolerance: of `numeric`.
        folder: modules are looked for there, too.

    Raises:
        BadRequestError: there is no such scorer, or an option does not fit it.
    """
    if tolerance is not None and name != "numeric":
        raise BadRequestError(f"A tolerance has no effect on the scorer {name!r}.", hint="It belongs to `numeric`.")
    if ignore_case and (name == "numeric" or name.startswith(PYTHON)):
        raise BadRequestError(f"Ignoring case has no effect on the scorer {name!r}.", hint="Leave it out.")
    if name.startswith(PYTHON):
        return Own(name, _function(name.removeprefix(PYTHON), folder))
    if name not in KINDS:
        hint = f"There are {', '.join(KINDS)}, and `python:module.function`."
        raise BadRequestError(f"There is no scorer {name!r}.", hint=hint)
    return Expecting(name, expected, ignore_case=ignore_case, tolerance=tolerance)


def _function(path: str, folder: str | None) -> Function:
    module, _, name = path.rpartition(".")
    hint = "Write `python:module.function`; the module is looked for in the current folder, too."
    if not module:
        raise BadRequestError(f"`{PYTHON}{path}` names no module.", hint=hint)
    if folder is not None and folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        function = getattr(import_module(module), name)
    except Exception as error:  # noqa: BLE001  a module of the user's may raise anything
        what = _told(error)
        raise BadRequestError(f"The scorer `{PYTHON}{path}` cannot be loaded: {what}.", hint=hint) from None
    if not callable(function) or inspect.iscoroutinefunction(function):
        kind = "asynchronous" if callable(function) else "no function"
        raise BadRequestError(
            f"The scorer `{PYTHON}{path}` is {kind}.", hint="It is called with the row and the answer."
        )
    found: Function = function
    return found


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500].encode(errors="replace").decode()


def number_in(text: str) -> float | None:
    """The last number of a text: who thinks aloud ends with the result.

    Example:
        >>> number_in("3 boxes of 400 are 1,200."), number_in("none")
        (1200.0, None)
    """
    last = None
    for last in _NUMBER.finditer(text.replace("\N{MINUS SIGN}", "-")):  # noqa: B007  the last one is what is wanted
        pass
    if last is None:
        return None
    number = last[0].rstrip(",")
    if "," in number and not _THOUSANDS.match(number):
        number = number.rpartition(",")[2]  # a list of numbers without spaces
    return float(number.replace(",", ""))


def _word(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _json_in(answer: str) -> str:
    """The JSON of an answer, out of its fence where it has one."""
    start = answer.find(_FENCE)
    if start < 0:
        return answer
    start = answer.find("\n", start)
    end = answer.find(_FENCE, start)
    return answer[start:end] if 0 <= start < end else answer


def _same(expected: Any, found: Any, fold: Callable[[str], str]) -> bool:
    """Whether two JSON values are equal: 1 is 1.0, and is not true."""
    if isinstance(expected, str):
        return isinstance(found, str) and fold(found.strip()) == fold(expected.strip())
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and expected.keys() == found.keys()
            and all(_same(value, found[name], fold) for name, value in expected.items())
        )
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(expected) == len(found)
            and all(_same(one, other, fold) for one, other in zip(expected, found, strict=True))
        )
    return isinstance(expected, bool) == isinstance(found, bool) and bool(expected == found)


_WANTED: Final = {
    "exact": "text", "contains": "text", "regex": "regular expression", "json": "JSON", "numeric": "number",
}  # fmt: skip
