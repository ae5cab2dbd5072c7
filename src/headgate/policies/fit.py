"""Fit: a request goes to a model with the parameters that this model takes.

Decides what becomes of the others: they are left out or made to fit (`drop`), the call is refused before anything
leaves (`refuse`), or the model says so itself (`pass`; then nothing is even looked at). Refuses to know how parameters
are spelled and what a fitting request looks like (`dialects/openai_fit.py`), and which models there are (the catalog).

Nothing is dropped or refused for a model of which nothing is known, nor for a fact that nobody knows.
"""

from collections.abc import Awaitable, Callable

import msgspec

from headgate.catalog.models import Model
from headgate.core.body import Body
from headgate.core.call import Call, Operation, Unsupported
from headgate.core.errors import BadRequestError
from headgate.core.policy import Handler
from headgate.core.reply import Reply
from headgate.dialects.openai_fit import FITTED, Misfit, Takes, fit


class Fit:
    """The policy.

    Args:
        find: what is known of a model, by its name.
        on_unsupported: what becomes of parameters that do not fit; None: what the call's door has as its default.
    """

    def __init__(self, find: Callable[[str], Model | None], on_unsupported: Unsupported | None = None) -> None:
        self._find = find
        self._on_unsupported = on_unsupported

    def __call__(self, call: Call, next: Handler) -> Awaitable[Reply]:  # noqa: A002  the field's word
        """Pass a call on as it fits.

        Raises:
            BadRequestError: it does not fit, and is to be refused; or it is ambiguous.
        """
        mode = self._on_unsupported or call.unsupported
        if mode == "pass" or call.operation not in FITTED or not isinstance(call.body, Body):
            return next(call)
        target = call.target
        assert target is not None, "fit stands below route"
        model = self._find(target.model or call.model)
        if model is None:
            return next(call)
        body, misfits = fit(call.operation, call.body, _takes(model, call.operation))
        if mode == "refuse":
            refused = [misfit for misfit in misfits if not misfit.idle]
            if refused:
                raise _refusal(refused)
        elif misfits:
            names = tuple(dict.fromkeys(misfit.name for misfit in misfits))
            call = msgspec.structs.replace(call, body=body, dropped=names)
        return next(call)


def _takes(model: Model, operation: Operation) -> Takes:
    """What a model takes by an API, as far as the catalog knows it."""
    chat = operation is Operation.CHAT
    efforts: tuple[str, ...] | None = model.efforts
    if not efforts and model.can("reasoning") is not False:
        # Nobody said that it does not reason.
        efforts = None
    elif chat and model.chat_efforts is not None:
        efforts = model.chat_efforts
    return Takes(
        model=model.id,
        efforts=efforts,
        effort=model.default_effort,
        sampling=model.sampling,
        logprobs=model.logprobs,
        tools=model.chat_tools if chat else "yes",
        stop=model.stop > 0,
        n=model.n,
        max_output=model.max_output,
        refuses=model.refuses,
    )


def _refusal(misfits: list[Misfit]) -> BadRequestError:
    first = misfits[0]
    return BadRequestError(
        " ".join(misfit.why for misfit in misfits),
        code="unsupported_value" if first.value else "unsupported_parameter",
        param=first.name,
        hint="Leave it out or change it, or let the gateway do so: `policies.on_unsupported: drop`.",
    )
