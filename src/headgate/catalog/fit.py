"""Whether a request fits a model: a bound that costs nothing, and the refusal that names both numbers.

Decides what may be said without counting, and when a count is reason enough to refuse; refuses to count. A refusal on
an estimate would turn away what the model might have taken, so an estimate must be over the limit by more than it may
be wrong.
"""

import re

from headgate.catalog.tokens import Count
from headgate.core.call import Operation
from headgate.core.errors import TooLongError

DOUBT = 0.05
"""How far an estimate is allowed to be too high, as a part of it. Pictures, files and the like count for nothing."""

MANY = 10_000
"""Parts, items and schema types in a request whose kinds are looked at; more of them are for those who count."""

# Every kind of part and item whose tokens are all in its own bytes, and the words of JSON schema. Whatever else is
# named so may stand for more than it is long: a picture, a file, a hosted tool, something said earlier.
_PLAIN = frozenset(
    (
        b"text", b"input_text", b"output_text", b"refusal", b"message", b"function", b"custom", b"function_call",
        b"function_call_output", b"custom_tool_call", b"custom_tool_call_output", b"json_object", b"json_schema",
        b"string", b"number", b"integer", b"boolean", b"array", b"object", b"null",
    )
)  # fmt: skip
# A small letter or `_` spelled as an escape: the only way to write a name so that a plain search misses it.
_DISGUISE = re.compile(rb"\\u00(?:5f|6[1-9a-f]|7[0-9a])", re.IGNORECASE)
_TYPE = b'"type"'
_BACKSLASH = 0x5C  # as a number: one byte is found thirty times as quick as more of them


def _telling(*names: str) -> re.Pattern[bytes]:
    """Finds the kinds of parts and items (its one group), and these names of something that is not in the request.

    Most strings are passed over by their first letter: one look at the bytes is quicker than one for each name.
    """
    first = "".join({name[0] for name in names})
    return re.compile(rf'"(?=[t{first}])(?:type"(?:\s*:\s*"([^"]*)")?|(?:{"|".join(names) or "type"})")'.encode())


_KEPT = _telling("id", "previous_response_id", "conversation", "prompt")
_ELSEWHERE = {
    # A function of the older kind may be an empty object, which counts for more than its two bytes.
    Operation.CHAT: _telling("audio", "web_search_options", "functions"),
    Operation.RESPONSES: _KEPT,
    Operation.INPUT_TOKENS: _KEPT,
    Operation.EMBEDDINGS: _telling(),
    Operation.COMPLETIONS: _telling(),
}


def bound(operation: Operation, raw: bytes) -> int | None:
    """A number of tokens that a request's input cannot exceed, from its bytes alone; None where bytes bound nothing.

    No token is shorter than a byte, and what is put around a text is never longer than the JSON around it. The bound
    is for OpenAI's way of counting, before any correction.

    Args:
        operation: what is asked for.
        raw: the request's body.

    Example:
        >>> bound(Operation.CHAT, b'{"messages":[{"role":"user","content":"Hi"}]}')
        45
        >>> bound(Operation.CHAT, b'{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]}')
    """
    elsewhere = _ELSEWHERE.get(operation)
    if elsewhere is None or (_BACKSLASH in raw and _DISGUISE.search(raw)):
        return None
    for number, found in enumerate(elsewhere.finditer(raw), start=1):
        kind = found[1]
        if number == MANY or (kind not in _PLAIN if kind is not None else not found[0].startswith(_TYPE)):
            return None
    return len(raw)


def fits(count: Count, cap: int | None, context: int | None, max_output: int | None = None) -> None:
    """Refuse a request that cannot fit.

    Args:
        count: of the request's input.
        cap: output tokens that it allows; None if it names no bound, then there must be room for one.
        context: tokens that the model takes, input and output together; None if nobody knows: everything fits.
        max_output: the longest answer of the model, which bounds the cap; None if nobody knows.

    Raises:
        TooLongError: it is longer than the context, or leaves no room for the output that it allows.

    Example:
        >>> fits(Count(tokens=900, words=900), 100, 1000)
        >>> fits(Count(tokens=900, words=900), 101, 1000)
        Traceback (most recent call last):
        headgate.core.errors.TooLongError: The model takes at most 1000 tokens, and the request comes to 1001: ...
    """
    if context is None:
        return
    output = 1 if cap is None else cap if max_output is None else min(cap, max_output)
    said = count.tokens - count.other
    if (said if count.exact else said - said * DOUBT) + output <= context:
        return
    about = "" if count.exact else "about "
    message = (
        f"The model takes at most {context} tokens, and the request comes to {about}{count.tokens + output}: "
        f"{about}{count.tokens} of input, and {output} that the answer may have."
    )
    hint = "Shorten the input." if cap is None else "Shorten the input, or allow fewer output tokens."
    raise TooLongError(message, hint=hint)
