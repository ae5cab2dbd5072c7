"""A question in words, as a call: from the arguments of the Python door to what travels.

Decides which API is asked; refuses to know how each spells a question (`dialects/openai_prompt.py`), and what becomes
of the call.
"""

from collections.abc import Mapping

import msgspec

from headgate.client import picture
from headgate.client.options import CHAT_ONLY, OURS, Options, check, for_the_gate
from headgate.core.call import Call, Operation
from headgate.core.errors import BadRequestError
from headgate.dialects.openai_prompt import PROMPTS
from headgate.gate.gate import Gate


async def call(gate: Gate, prompt: str | None, options: Options, more: Mapping[str, object]) -> Call:
    """The call that asks.

    Args:
        gate: is asked.
        prompt: the question; or `options` has `messages`.
        options: see `Options`.
        more: further options that no caller gives.

    Raises:
        BadRequestError: it cannot be asked.
    """
    check(options, Options)
    if (prompt is None) == (options.get("messages") is None):
        raise BadRequestError("Give either a prompt or `messages`.", code="missing_field", param="prompt")
    asked = for_the_gate(options)
    chatting = any(options.get(name) is not None for name in CHAT_ONLY)
    responds = not chatting and gate.speaks(options.get("model"), Operation.RESPONSES)
    operation = Operation.RESPONSES if responds else Operation.CHAT
    words = {name: value for name, value in options.items() if name not in OURS}
    if images := options.get("images"):
        words["images"] = [await picture.address(image) for image in images]
    body = written(PROMPTS[operation](prompt or "", {**words, **more}))
    return gate.call(operation, body, unsupported="drop", **asked)


def written(body: Mapping[str, object]) -> bytes:
    """A request's body.

    Raises:
        BadRequestError: it cannot be written as JSON.
    """
    try:
        return msgspec.json.encode(body)
    except (TypeError, ValueError) as error:
        raise BadRequestError(f"The call cannot be written as JSON: {error}.", code="invalid_json") from None
