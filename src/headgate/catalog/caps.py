"""The bounds that a request sets to its own answer: output tokens of each choice, and how many choices.

Decides under which names they may stand; refuses to know what they are compared with. What is not a number that makes
sense bounds nothing: the provider will say so.
"""

from typing import Any, NamedTuple

import msgspec

from headgate.core.body import Body

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


class _Fields(msgspec.Struct, gc=False):
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    max_tokens: Any = None
    n: Any = None


_FIELDS = msgspec.json.Decoder(_Fields)


def caps(body: Body) -> Caps:
    """The bounds of a request, in whichever dialect.

    Raises:
        msgspec.DecodeError: it is no JSON object; the doors let none such through.

    Example:
        >>> caps(Body(b'{"max_tokens": 50, "n": 2}'))
        Caps(output=50, choices=2)
        >>> caps(Body(b'{"max_tokens": "many"}'))
        Caps(output=None, choices=1)
    """
    fields = _FIELDS.decode(body.raw)
    choices = fields.n if type(fields.n) is int and 0 < fields.n <= MOST_CHOICES else 1
    for cap in (fields.max_completion_tokens, fields.max_output_tokens, fields.max_tokens):
        if type(cap) is int and cap > 0:
            return Caps(cap, choices)
    return Caps(None, choices)
