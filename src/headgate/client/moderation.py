"""Moderations, as a Python caller gets them. Decides their form; refuses to know how the request is answered."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from headgate.client.response import Answered
from headgate.core.errors import BadRequestError, GarbledError
from headgate.dialects.openai_fields import decode

Part = Mapping[str, Any]
"""A part of one input: `{"type": "text", "text": …}`, `{"type": "image_url", "image_url": {"url": …}}`."""
Input: TypeAlias = str | Sequence[str] | Sequence[Part]


class Moderation(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one input. Categories have the provider's names (`violence/graphic`).

    Attributes:
        flagged: some category applies.
        categories: which of them apply.
        scores: how much each applies, from 0 to 1.
        applied_input_types: for each, what was looked at: `text`, `image`.
    """

    flagged: bool
    categories: Mapping[str, bool]
    scores: Mapping[str, float]
    applied_input_types: Mapping[str, Sequence[str]]


class ModerationResponse(Answered, frozen=True, kw_only=True):
    """The verdicts on some inputs, and what is known of every answer (`Answered`).

    Attributes:
        results: one for each input, in their order.
    """

    results: list[Moderation]

    @property
    def flagged(self) -> bool:
        """Whether any input was flagged."""
        return any(result.flagged for result in self.results)


class _Result(msgspec.Struct):
    flagged: bool
    categories: dict[str, bool | None]
    category_scores: dict[str, float | None]
    category_applied_input_types: dict[str, list[str]] = {}


class _Answer(msgspec.Struct):
    results: list[_Result]


_ANSWER = msgspec.json.Decoder(_Answer)


def number_of(input: Input) -> int:  # noqa: A002  OpenAI's word
    """How many verdicts there will be: one for each text, or one for all parts together.

    Raises:
        BadRequestError: there is nothing to judge.
    """
    if not input:
        raise BadRequestError("There is nothing to judge.", code="missing_field", param="input")
    return len(input) if not isinstance(input, str) and all(isinstance(one, str) for one in input) else 1


def read(raw: bytes, facts: dict[str, Any], *, number: int) -> ModerationResponse:
    """The answer to a request.

    Args:
        raw: it.
        facts: what is known of every answer.
        number: of verdicts that were asked for.

    Raises:
        GarbledError: it cannot be read, or has another number of verdicts.
    """
    found = decode(_ANSWER, raw, "The provider's moderation").results
    if len(found) != number:
        raise GarbledError(f"The provider sent {len(found)} verdicts on {number} inputs.")
    results = [
        Moderation(
            flagged=result.flagged,
            # Older models know some categories by name only.
            categories={name: value for name, value in result.categories.items() if value is not None},
            scores={name: value for name, value in result.category_scores.items() if value is not None},
            applied_input_types=result.category_applied_input_types,
        )
        for result in found
    ]
    return ModerationResponse(results=results, **facts)
