"""Which questions can be asked again in the middle of their answer, and how to ask a model to go on from there.

Decides from the request alone, in one place, whether its answer is nothing but words that another target may repeat:
no tools, no schema, no reasoning asked for, one answer, nothing that a provider keeps. Refuses to know what was said
and who is asked.
"""

from typing import Any

import msgspec

from headgate.core.body import Body
from headgate.core.call import Operation
from headgate.dialects.openai_fields import ABSENT, UNREADABLE

_NO_TOOLS = (b"", b"null", b"[]")
_TEXT = (None, {"type": "text"})


class _Asked(msgspec.Struct, gc=False):
    """All that may make an answer more than words. Leaves are of any type: who decides on them is the provider."""

    tools: msgspec.Raw = ABSENT
    functions: msgspec.Raw = ABSENT
    web_search_options: Any = None
    response_format: Any = None
    text: Any = None
    reasoning_effort: Any = None
    reasoning: Any = None
    n: Any = None
    best_of: Any = None
    prompt: Any = None
    audio: Any = None
    modalities: Any = None
    logprobs: Any = None
    top_logprobs: Any = None
    include: Any = None
    store: Any = None
    background: Any = None
    previous_response_id: Any = None
    conversation: Any = None


class _Message(msgspec.Struct, gc=False):
    role: Any = None


class _Chat(msgspec.Struct, gc=False):
    messages: msgspec.Raw = ABSENT


_ASKED = msgspec.json.Decoder(_Asked)
_CHAT = msgspec.json.Decoder(_Chat)
_MESSAGES = msgspec.json.Decoder(list[_Message])


def repeatable(operation: Operation, body: Body) -> bool:
    """Whether the answer is one text and nothing else, so that another target may be asked to repeat it.

    Responses have to say `store: false`: else the provider keeps the answer, and calls that chain to it would find
    the half of it.

    Example:
        >>> repeatable(Operation.CHAT, Body(b'{"messages": [], "n": 1}'))
        True
        >>> repeatable(Operation.RESPONSES, Body(b'{"input": "Hi"}'))
        False
    """
    try:
        asked = _ASKED.decode(body.raw)
    except UNREADABLE:
        return False
    if operation is Operation.RESPONSES:
        # There, `prompt` is a template that the provider keeps.
        alone = asked.store is False and asked.prompt is None
    else:
        alone = not asked.store and (asked.prompt is None or isinstance(asked.prompt, str))
    return (
        alone
        and bytes(asked.tools) in _NO_TOOLS
        and bytes(asked.functions) in _NO_TOOLS
        and asked.web_search_options is None
        and asked.response_format in _TEXT
        and (asked.text is None or (isinstance(asked.text, dict) and asked.text.get("format") in _TEXT))
        and asked.reasoning_effort in (None, "none")
        and asked.reasoning in (None, {}, {"effort": "none"})
        and asked.n in (None, 1)
        and asked.best_of in (None, 1)
        and asked.audio is None
        and asked.modalities in (None, ["text"])
        # In the older completions it is a number, of which 0 asks for one as well.
        and (asked.logprobs is None or asked.logprobs is False)
        and not asked.top_logprobs
        and not asked.include
        and not asked.background
        and asked.previous_response_id is None
        and asked.conversation is None
    )


def begun(operation: Operation, body: Body, text: str) -> Body | None:
    """The same question with the beginning of its answer, for a model that goes on from there.

    Args:
        operation: only chat has a place for it.
        body: the question.
        text: the beginning; no space at its end, which some servers refuse.

    Returns:
        None where that has no meaning: the question ends with the beginning of an answer already, or nothing is said.

    Example:
        >>> begun(Operation.CHAT, Body(b'{"messages": [{"role": "user", "content": "Hi"}]}'), "Hel").raw
        b'{"messages": [{"role": "user", "content": "Hi"},{"role":"assistant","content":"Hel"}]}'
    """
    if operation is not Operation.CHAT or not text:
        return None
    try:
        messages = bytes(_CHAT.decode(body.raw).messages)
        roles = [message.role for message in _MESSAGES.decode(messages)]
    except UNREADABLE:
        return None
    if not roles or roles[-1] == "assistant":
        return None
    answer = msgspec.json.encode({"role": "assistant", "content": text})
    return body.with_field("messages", messages[: messages.rindex(b"]")] + b"," + answer + b"]")
