"""Compress: where a route asks for it, a prompt is sent with fewer tokens and says the same.

Decides which texts are shortened, and counts what that saves, with the vocabulary of the target; a text that would not
get fewer tokens stays as it is. Refuses to know what is shortened in a text (`shorten.py`) and where texts stand
(`dialects/openai_words.py`). No other byte of the request changes.
"""

import asyncio
from collections.abc import Callable

import msgspec

from headgate.catalog.tokens import Tokens
from headgate.core.body import Body
from headgate.core.call import Call
from headgate.core.policy import Handler
from headgate.core.reply import Reply
from headgate.dialects.openai_texts import Text, changed
from headgate.dialects.openai_words import WORDED, words
from headgate.policies.compress.shorten import How, Shortener

AT_ONCE = 8_000
"""Bytes of a body that are shortened without a thread: a millisecond or two of any text."""


class Compress:
    """The policy, one per target.

    Args:
        how: what is done for calls that ask for a name; None for nothing.
        tokens: counts.
    """

    def __init__(self, how: Callable[[str], How | None], tokens: Tokens) -> None:
        self._how = how
        self._tokens = tokens

    async def __call__(self, call: Call, next: Handler) -> Reply:  # noqa: A002  the field's word
        """Pass a call on with fewer tokens."""
        body, how = call.body, self._how(call.model)
        if how is None or call.operation not in WORDED or not isinstance(body, Body):
            return await next(call)
        if body.size <= AT_ONCE:
            found = _shortened(call, body, how)
        else:
            found = await asyncio.to_thread(_shortened, call, body, how)
        if found:
            assert call.target is not None, "compress stands below route"
            call = await self._saving(call, body, found, call.target.model or call.model)
        return await next(call)

    async def _saving(self, call: Call, body: Body, found: dict[Text, str], model: str) -> Call:
        changes: dict[Text, bytes] = {}
        saved = 0
        for text, short in found.items():
            before = await self._tokens.text(text.value.decode(), model)
            after = await self._tokens.text(short, model)
            if after.tokens < before.tokens:
                saved += before.tokens - after.tokens
                changes[text] = short.encode()
        if not changes:
            return call
        return msgspec.structs.replace(call, body=Body(changed(body.raw, changes)), saved_tokens=saved)


def _shortened(call: Call, body: Body, how: How) -> dict[Text, str]:
    """The texts that get shorter, and what they become."""
    found: dict[Text, str] = {}
    together = Shortener(how)
    for word in words(call.operation, body):
        if word.tool and not how.tools:
            continue
        text = word.text.value.decode()
        # Prompts that stand beside each other do not know of each other; and a model that sees itself refer to what
        # was said would go on to do so.
        short = (Shortener(how) if word.apart else together).text(text, refer=not word.own)
        if len(short) < len(text):
            found[word.text] = short
    return found
