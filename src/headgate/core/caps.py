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


def known(raw: bytes, found: Fields | None, *, plain: bool = False) -> Body:
    """A body whose fields a door has read already, if it has: they are not read again.

    Args:
        raw: its bytes.
        found: the fields.
        plain: the door has seen that there is nothing in it but text; see `is_plain`.
    """
    body = Body(raw)
    if found is not None:
        body.found[_read] = found
    if plain:
        body.found[is_plain] = True
    return body


def read_before(body: Body) -> Fields | None:
    """What a door has read, its own fields included; None where it has not."""
    found: Fields | None = body.found.get(_read)
    return found


def is_plain(body: Body) -> bool:
    """Whether a door has seen that nothing in it stands for more than its own bytes: no typed part, no reference."""
    return is_plain in body.found


def with_cap(body: Body, name: str, cap: int) -> Body:
    """The same body with an output cap that is `UNSET` in it. What is known of the rest stays known.

    Example:
        >>> with_cap(Body(b'{"n": 2}'), "max_tokens", 9).raw
        b'{"max_tokens":9,"n": 2}'
    """
    capped = body.with_new_field(name, b"%d" % cap)
    capped.found[_read] = msgspec.structs.replace(fields(body), **{name: cap})
    if is_plain in body.found:
        capped.found[is_plain] = True
    return capped


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
