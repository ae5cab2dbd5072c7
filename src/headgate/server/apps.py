"""The apps at the gateway's door: who asks, by which key, and what the headers say.

Decides that apps are behind the gateway's keys like everything else, and that refusals are told in their shape. Refuses
to know what an app does.
"""

from fastapi import APIRouter, Request

from headgate.apps.failures import to_callers
from headgate.apps.generate import Asking, router
from headgate.core.errors import HeadgateError
from headgate.gate.gate import Gate
from headgate.server.auth import Anyone, Keys
from headgate.server.intake import asked, read_head


def routes(gate: Gate, keys: Anyone | Keys) -> APIRouter:
    """The routes of a gate's apps."""
    model = gate.config.apps.generate.model

    async def who(request: Request) -> Asking:
        head = read_head(request.scope)
        try:
            return Asking(gate=gate, gateway=True, model=model, caller=keys.caller(head), wishes=asked(head))
        except HeadgateError as error:
            raise to_callers(error) from error

    return router(who)
