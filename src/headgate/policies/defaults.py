"""Defaults: the parameters that a provider's configuration adds to requests that lack them.

Decides what counts as lacking: a parameter that the caller sends stays as it is, an explicit null too. Refuses to know
what a model takes: it stands before fit, so that what a model does not take does not come back by a default.
"""

from collections.abc import Awaitable, Mapping
from typing import Any

import msgspec

from headgate.core.body import Body
from headgate.core.call import Call, Operation
from headgate.core.policy import Handler
from headgate.core.reply import Reply

DEFAULTED = frozenset((Operation.CHAT, Operation.RESPONSES, Operation.COMPLETIONS))
"""Operations whose parameters a provider's `defaults` are."""

# Names only: a value that is no business of ours (a number too large for us) stays as it is.
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Defaults:
    """The policy, one per target whose provider has defaults.

    Args:
        defaults: values by the parameter's name.
    """

    def __init__(self, defaults: Mapping[str, Any]) -> None:
        self._defaults = {name: msgspec.json.encode(value) for name, value in defaults.items()}

    def __call__(self, call: Call, next: Handler) -> Awaitable[Reply]:  # noqa: A002  the field's word
        """Pass a call on with what it lacks.

        Raises:
            BadRequestError: the request is nested so deeply that its fields cannot be told apart.
        """
        body = call.body
        if call.operation in DEFAULTED and isinstance(body, Body):
            given = _FIELDS.decode(body.raw)
            lacking: dict[str, bytes | None] = {
                name: value for name, value in self._defaults.items() if name not in given
            }
            if lacking:
                call = msgspec.structs.replace(call, body=body.edited(lacking))
        return next(call)
