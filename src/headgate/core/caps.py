"""The bounds that a request sets to its own answer: output tokens of each choice, and how many choices.

Decides under which names they may stand; refuses to know what they are compared with. What is not a number that makes
sense bounds nothing: the provider will say so. A request is read once, however many ask.
"""

from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from headgate.core.body import Body, ObjectReader

MOST_CHOICES = 128
"""As many as the API takes."""


class Caps(NamedTuple):
    """What a request allows.

    Attributes:
        output: tokens of each choice; None if it sets no bound.
        choices: how many there will be.
    """

    output: int | None
    choices: int


class Fields(msgspec.Struct, frozen=True, gc=False):
    """The fields, whatever stands there. A cap that is not there, in any spelling, is `UNSET`.

    A door reads them together with its own fields: see `known`.
    """

    max_completion_tokens: Any = UNSET
    max_output_tokens: Any = UNSET
    max_tokens: Any = UNSET
    n: Any = None
    best_of: Any = None
    service_tier: Any = None
    prompt_cache_options: Any = None


_FIELDS = ObjectReader(Fields)


def fields(body: Body) -> Fields:
    """What a request says of its answer's size and price.

    Raises:
        BadRequestError: it is no JSON object (the doors let none such through), or spells one of the fields twice or
            in another case.
    """
    return body.once(_read)


def known(raw: bytes, found: Fields | None) -> Body:
    """A body whose fields a door has read already, if it has: they are not read again."""
    body = Body(raw)
    if found is not None:
        body.found[_read] = found
    return body


def caps(body: Body) -> Caps:
    """The bounds of a request, in whichever dialect.

    Raises:
        BadRequestError: as `fields` does.

    Example:
        >>> caps(Body(b'{"max_tokens": 50, "n": 2}'))
        Caps(output=50, choices=2)
        >>> caps(Body(b'{"max_tokens": "many"}'))
        Caps(output=None, choices=1)
    """
    return body.once(bounds)


def _read(body: Body) -> Fields:
    return _FIELDS.read(body.raw)


def bounds(body: Body) -> Caps:
    """The same, found out anew; `Body.found` has it by this function."""
    found = fields(body)
    choices = found.n if type(found.n) is int and 0 < found.n <= MOST_CHOICES else 1
    for cap in (found.max_completion_tokens, found.max_output_tokens, found.max_tokens):
        if type(cap) is int and cap > 0:
            return Caps(cap, choices)
    return Caps(None, choices)
