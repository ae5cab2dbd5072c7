"""About how many tokens a request has: said at once, without a vocabulary, for whoever cannot wait for a count.

Decides it from the bytes of what the model reads, four to a token, and what stands around them; the JSON itself, with
its names and braces, is not read by anybody. Refuses to be exact: `tokens.py` is, and takes longer.
"""

from itertools import chain
from math import ceil

import msgspec

from headgate.catalog.asked import READERS, read
from headgate.catalog.families import family
from headgate.catalog.forecast import TOKENS_PER_BYTE, TOKENS_PER_BYTE_INLINE
from headgate.core.body import Body
from headgate.core.call import Operation
from headgate.core.upload import Upload

BYTES_PER_TOKEN = 4
LARGE = 1_000_000
"""Bytes of a body beyond which nobody looks into it: that would hold up everybody else for milliseconds."""


def rough(operation: Operation, body: Body | Upload, model: str) -> int:
    """About how many tokens a request has.

    Args:
        operation: what is asked for.
        body: the request.
        model: which is to answer.

    Example:
        >>> rough(Operation.CHAT, Body(b'{"messages": [{"role": "user", "content": "How are you?"}]}'), "gpt-4o")
        10
    """
    if isinstance(body, Body) and operation in READERS and body.size <= LARGE:
        try:
            asked = read(operation, body.view, family(model))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
        else:
            texts = chain(asked.texts, asked.tool_texts, asked.other_texts)
            said = sum(len(text.encode(errors="surrogatepass")) for text in texts)
            return asked.tokens + asked.tool_tokens + asked.other_tokens - (-said // BYTES_PER_TOKEN)
    inline = isinstance(body, Body) and b";base64," in body.raw
    return ceil(body.size * (TOKENS_PER_BYTE_INLINE if inline else TOKENS_PER_BYTE))
