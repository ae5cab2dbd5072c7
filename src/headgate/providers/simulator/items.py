"""The input items of a Responses request as the API lists them: each with an id and a status, texts as parts."""

from collections.abc import Sequence
from typing import Any

_PREFIX = {
    "message": "msg_",
    "reasoning": "rs_",
    "function_call": "fc_",
    "function_call_output": "fc_",
    "custom_tool_call": "ctc_",
    "custom_tool_call_output": "ctc_",
}


def as_listed(given: str | Sequence[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """The items of an input that was understood.

    Args:
        given: a text is a message of the user.
        key: names the request; part of each new id.

    Example:
        >>> as_listed("Hi", "1")[0]["content"]
        [{'type': 'input_text', 'text': 'Hi'}]
    """
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    return [_listed(item, f"{key}{at:04x}") for at, item in enumerate(items)]


def _listed(item: dict[str, Any], key: str) -> dict[str, Any]:
    kind = item.get("type", "message")
    if kind == "item_reference":
        return item
    shown = {"type": kind, "status": "completed", **item}
    if not shown.get("id"):
        shown["id"] = _PREFIX.get(kind, kind + "_") + key
    if kind == "message" and isinstance(item["content"], str):
        text = item["content"]
        shown["content"] = (
            [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
            if item["role"] == "assistant"
            else [{"type": "input_text", "text": text}]
        )
    return shown
