"""Moderations: reads the request as strictly as the API documents, and writes its answer. Nothing is charged for it."""

from collections.abc import Sequence
from typing import Any

import msgspec

from headgate.core.usage import TokenUsage
from headgate.providers.simulator.job import Job, Told
from headgate.providers.simulator.judgement import SEEN, WORDS, judge
from headgate.providers.simulator.problem import Problem, invalid, missing, mistyped
from headgate.providers.simulator.question import decode, known_model
from headgate.providers.simulator.words import count
from headgate.providers.simulator.write_chat import Identity

_USUAL = "omni-moderation-latest"
_PICTURE = 85
"""Tokens that a picture is counted as, against the limits."""


class _Request(msgspec.Struct):
    input: str | list[Any]
    model: str | None = None


class _Input(msgspec.Struct):
    """What gets one verdict: a text, pictures, or both."""

    text: str | None
    pictures: tuple[str, ...] = ()


_DECODER = msgspec.json.Decoder(_Request)


def moderations_job(body: bytes, _kind: str = "", _seed: int = 0) -> Job:
    """What is answered to a request's body. No seed changes it.

    Raises:
        Problem: 400 or 404, in the API's words.
    """
    asked = decode(_DECODER, body)
    model = known_model(asked.model or _USUAL, "moderations")
    inputs = _inputs(asked.input)
    tokens = sum(count(one.text or "") + _PICTURE * len(one.pictures) for one in inputs)

    def whole(identity: Identity, _: Told) -> bytes:
        results = [_result(one) for one in inputs]
        return msgspec.json.encode({"id": "modr-" + identity.key[:32], "model": model.name, "results": results})

    usage = TokenUsage(prompt_tokens=tokens)
    return Job(model=model.name, usage=usage, report=lambda _: None, whole=whole)


def _result(one: _Input) -> dict[str, Any]:
    scores = judge(one.text, one.pictures)
    categories = scores.flagged()
    told = ["text"] if one.text is not None else []
    shown = ["image"] if one.pictures else []
    return {
        "flagged": any(categories.values()),
        "categories": categories,
        "category_scores": scores,
        "category_applied_input_types": {name: told + shown if name in SEEN else told for name in WORDS},
    }


def _inputs(asked: str | list[Any]) -> list[_Input]:
    if isinstance(asked, str):
        return [_Input(asked)]
    if not asked:
        message = "Invalid 'input': empty array. Expected an array with minimum length 1, but got an empty array."
        raise Problem(400, message, code="empty_array", param="input")
    if isinstance(asked[0], dict):
        return [_together(asked)]
    for at, text in enumerate(asked):
        if not isinstance(text, str):
            raise mistyped(f"input[{at}]", "expected a string, or objects only")
    return [_Input(text) for text in asked]


def _together(parts: Sequence[object]) -> _Input:
    """Texts and pictures that get one verdict."""
    texts: list[str] = []
    pictures: list[str] = []
    for at, part in enumerate(parts):
        param = f"input[{at}]"
        if not isinstance(part, dict):
            raise mistyped(param, "expected an object, like the first one")
        match part.get("type"):
            case "text":
                texts.append(_string(part, "text", param))
            case "image_url":
                inner = part.get("image_url")
                if not isinstance(inner, dict):
                    raise missing(f"{param}.image_url")
                pictures.append(_string(inner, "url", f"{param}.image_url"))
            case None:
                raise missing(f"{param}.type")
            case other:
                raise invalid(f"{param}.type", other, ["text", "image_url"])
    return _Input("\n".join(texts) if texts else None, tuple(pictures))


def _string(fields: dict[str, Any], name: str, param: str) -> str:
    value = fields.get(name)
    if value is None:
        raise missing(f"{param}.{name}")
    if not isinstance(value, str):
        raise mistyped(f"{param}.{name}", "expected a string")
    return value
