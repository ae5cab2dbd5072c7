"""Asks a provider's moderation what it thinks of words, as a call of the gate itself.

Decides how the question is put and the answer read; refuses to know who answers. The question is on the books as the
caller's, under the call that it belongs to.
"""

from itertools import count

import msgspec

from headgate.core.body import Body
from headgate.core.call import Call, Operation, Origin
from headgate.core.errors import GuardDownError, HeadgateError
from headgate.core.policy import Handler
from headgate.core.verdict import Side, Verdict
from headgate.policies.guard.chain import Tell, refusal
from headgate.policies.guard.rules import Rule


class _Result(msgspec.Struct):
    flagged: bool
    categories: dict[str, bool | None] = {}


class _Answer(msgspec.Struct):
    results: list[_Result]


_ANSWER = msgspec.json.Decoder(_Answer)


class Moderator:
    """Asks on behalf of one call.

    Args:
        call: the caller's.
        next: who answers.
        tell: is given each verdict.
    """

    __slots__ = ("_call", "_next", "_numbers", "_tell")

    def __init__(self, call: Call, next: Handler, tell: Tell) -> None:  # noqa: A002  the field's word
        self._call = call
        self._next = next
        self._tell = tell
        self._numbers = count(1)

    async def judge(self, rules: tuple[Rule, ...], side: Side, words: bytes) -> None:
        """Ask for each of some rules.

        Raises:
            GuardError: the words are flagged, and the rule blocks them.
            GuardDownError: nobody could say, and the rule does not say that they pass then.
        """
        if not words.strip():
            return
        for rule in rules:
            try:
                found = await self._ask(rule, words.decode())
            except (HeadgateError, msgspec.MsgspecError) as error:
                why = error.message if isinstance(error, HeadgateError) else "its answer cannot be read"
                self._failed(rule, side, why, error)
                continue
            if found is not None:
                self._say(rule, side, found)

    async def _ask(self, rule: Rule, words: str) -> tuple[str, ...] | None:
        """The categories that apply; None where the words are fine."""
        call = self._call
        question = Call(
            id=f"{call.id}-{next(self._numbers)}",
            operation=Operation.MODERATIONS,
            model=rule.model,
            body=Body(msgspec.json.encode({"model": rule.model, "input": words})),
            started=call.started,
            day=call.day,
            caller=call.caller,
            user=call.shown.user,
            tags=call.shown.tags,
            deadline=call.deadline,
            priority=call.priority,
            origin=Origin.INTERNAL,
            parent=call.id,
        )
        async with await self._next(question) as reply:
            answer = _ANSWER.decode((await reply.read()).raw)
        flagged = [result for result in answer.results if result.flagged]
        if not answer.results:
            message = "it holds no result"
            raise msgspec.ValidationError(message)
        names = sorted({name for result in flagged for name, applies in result.categories.items() if applies})
        return tuple(names) if flagged else None

    def _say(self, rule: Rule, side: Side, categories: tuple[str, ...]) -> None:
        verdict = Verdict(
            approved=rule.action != "block",
            reason=f"The moderation {rule.name!r} has flagged the {side}: {', '.join(categories) or 'no category'}.",
            rule=rule.name,
            layer=rule.kind,
            side=side,
            action=rule.action,
            categories=categories,
        )
        self._tell(verdict)
        if rule.action == "block":
            raise refusal(verdict)

    def _failed(self, rule: Rule, side: Side, why: str, error: Exception) -> None:
        if not rule.open:
            message = f"The moderation {rule.name!r} could not judge the {side}, so it is blocked: {why}"
            hint = "Ask again later; or set `on_failure: open` for the rule."
            raise GuardDownError(message, hint=hint) from error
        reason = f"The moderation {rule.name!r} could not judge the {side}."
        verdict = Verdict(
            approved=True, reason=reason, rule=rule.name, layer=rule.kind, side=side, action="flag"
        )  # fmt: skip
        self._tell(verdict)
