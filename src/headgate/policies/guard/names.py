"""Names: what a caller calls itself and others is judged before anything of it is written down.

Decides what books and logs may say of a call: the model, the end user and the tags that it names. It stands above
whatever may refuse a call, for a refusal is written down, too; a name that is masked goes on masked. Refuses to know
what a call says otherwise, which `guard.py` judges: that is dear, and this is not.
"""

from collections.abc import Awaitable

import msgspec

from headgate.core.call import Call, Origin, Shown
from headgate.core.policy import Handler
from headgate.core.reply import Reply
from headgate.policies.guard.judge import Judge
from headgate.policies.guard.rules import Chain, Chains


class Names:
    """The policy.

    Args:
        chains: the rules; only those for input, and of these only the local ones, are asked.
    """

    def __init__(self, chains: Chains) -> None:
        self._chains = chains

    def __call__(self, call: Call, next: Handler) -> Awaitable[Reply]:  # noqa: A002  the field's word
        """Pass a call on with the names that it may have.

        Raises:
            GuardError: a rule blocks one of them.
        """
        chain = self._chains.of("input", call.model) if call.origin is Origin.CALLER else None
        if chain is None:
            return next(call)
        judge = Judge(call, next)
        # What is not judged yet is not written down, if the next one is blocked.
        call.judged.append(Shown(tags=call.caller.tags))
        (model,) = judge.names((call.model,), chain)
        call.judged.append(Shown(model=model, tags=call.caller.tags))
        shown = _shown(call, model, chain, judge)
        call.judged.append(shown)
        if (call.model, call.user, call.tags) != (shown.model, shown.user, shown.tags):
            call = msgspec.structs.replace(call, model=shown.model, user=shown.user, tags=shown.tags)
        return next(call)


def _shown(call: Call, model: str, chain: Chain, judge: Judge) -> Shown:
    # The tags of a key are not its caller's words.
    pinned = call.caller.tags
    given = {name: value for name, value in call.tags.items() if name not in pinned}
    if call.user is None and not given:
        return Shown(model=model, tags=call.tags)
    user, *tags = judge.names((call.user or "", *given, *given.values()), chain)
    masked = dict(zip(tags[: len(given)], tags[len(given) :], strict=True))
    return Shown(
        model=model,
        user=None if call.user is None else user,
        tags=call.tags if masked == given else {**masked, **pinned},
    )
