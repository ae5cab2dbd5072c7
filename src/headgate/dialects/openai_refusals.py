"""A model's words where it refuses to answer, in either OpenAI dialect, whole or streamed.

Decides where such words stand. Servers vary: what is not as expected is passed over.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from headgate.core.reply import Event
from headgate.dialects.openai_fields import UNREADABLE
from headgate.dialects.openai_said import parsed

_ANY = msgspec.json.Decoder()


def refused(answer: Any) -> str | None:
    """The refusal in a whole answer, decoded; None where there is none.

    Example:
        >>> refused({"choices": [{"message": {"refusal": "I will not."}}]})
        'I will not.'
    """
    return "".join(_whole(answer)) or None


def refused_in(event: Event) -> str:
    """The piece of a refusal in an event of a stream; "" where there is none."""
    if event.text or not event.size or b"refusal" not in event.raw:
        return ""
    try:
        told = _ANY.decode(parsed(event.raw)[1] or b"null")
    except UNREADABLE:
        return ""
    if isinstance(told, dict) and told.get("type") == "response.refusal.delta":
        return _text(told.get("delta"))
    deltas = (choice.get("delta") for choice in _each(told, "choices"))
    return "".join(_text(delta.get("refusal")) for delta in deltas if isinstance(delta, dict))


def _whole(answer: Any) -> Iterator[str]:
    for choice in _each(answer, "choices"):
        message = choice.get("message")
        if isinstance(message, dict):
            yield _text(message.get("refusal"))
    for item in _each(answer, "output"):
        for part in _each(item, "content"):
            if part.get("type") == "refusal":
                yield _text(part.get("refusal"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _each(holder: Any, name: str) -> Iterator[dict[str, Any]]:
    found = holder.get(name) if isinstance(holder, dict) else None
    return (entry for entry in (found if isinstance(found, list) else ()) if isinstance(entry, dict))
