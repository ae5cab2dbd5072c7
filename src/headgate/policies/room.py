"""Room: a question that cannot fit into a model is refused before it leaves, with both numbers.

Decides when it is worth to count: almost never. A request whose bytes fit has fewer tokens than bytes, and passes at
the price of a comparison; only what may not fit is counted, and what is counted teaches the counter. Refuses to know
how tokens are counted (`catalog/tokens.py`) and what fits (`catalog/fit.py`).
"""

from collections.abc import Awaitable, Callable

from headgate.catalog.fit import bound, fits
from headgate.catalog.models import Model
from headgate.catalog.tokens import Count, Tokens
from headgate.core.body import Body
from headgate.core.call import Call, Operation
from headgate.core.caps import caps
from headgate.core.policy import Handler
from headgate.core.reply import Event, Reply

TALKS = frozenset((Operation.CHAT, Operation.RESPONSES, Operation.COMPLETIONS))
"""Operations whose whole request has to fit into the context. Of embeddings, each input has to."""


class Room:
    """The policy, one per target.

    Args:
        find: what is known of a model, by its name.
        tokens: counts.
    """

    def __init__(self, find: Callable[[str], Model | None], tokens: Tokens) -> None:
        self._find = find
        self._tokens = tokens

    def __call__(self, call: Call, next: Handler) -> Awaitable[Reply]:  # noqa: A002  the field's word
        """Pass a call on that fits, or may fit.

        Raises:
            TooLongError: it does not.
        """
        assert call.target is not None, "room stands below route"
        name = call.target.model or call.model
        body = call.body
        model = self._find(name)
        if model is None or model.context is None or not isinstance(body, Body) or call.operation not in TALKS:
            return next(call)
        context = model.context
        # No token is shorter than a byte, and no answer longer than the longest.
        if body.size + (context // 2 if model.max_output is None else model.max_output) <= context:
            return next(call)
        cap = caps(body).output
        most = bound(call.operation, body.raw)
        if most is not None and most <= context - min(cap or 1, model.max_output or context):
            return next(call)
        return self._counted(call, body, model, cap, next)

    async def _counted(self, call: Call, body: Body, model: Model, cap: int | None, next: Handler) -> Reply:  # noqa: A002
        assert call.target is not None, "room stands below route"
        name = call.target.model or call.model
        count = await self._tokens.request(call.operation, body, name)
        fits(count, cap, model.context, model.max_output)
        reply = await next(call)
        reply.watch(lambda event: self._learn(name, count, event))
        return reply

    def _learn(self, name: str, count: Count, event: Event) -> None:
        if event.usage is not None:
            self._tokens.learn(name, count, event.usage.prompt_tokens)
