"""Embeddings: reads the request as strictly as the API documents, and writes its answer."""

import sys
from array import array
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import msgspec

from headgate.core.usage import TokenUsage
from headgate.providers.simulator.job import Job, Told
from headgate.providers.simulator.problem import Problem, invalid, mistyped, too_large, too_small, unsupported
from headgate.providers.simulator.question import decode, known_model
from headgate.providers.simulator.vectors import vector
from headgate.providers.simulator.words import count
from headgate.providers.simulator.write_chat import Identity

_SIZES = {"text-embedding-3-large": 3072}
_SIZE = 1536
_FIXED = ("text-embedding-ada-002",)
"""Models that take no `dimensions`."""
_MOST_INPUTS = 2048
_MOST_TOKENS = 8192
_MOST_IN_ALL = 300_000
_VOCABULARY = 100_277

Input = str | list[int]


class _Request(msgspec.Struct):
    model: str
    input: str | list[Any]
    encoding_format: str | None = None
    dimensions: int | None = None
    user: str | None = None


_DECODER = msgspec.json.Decoder(_Request)


def embeddings_job(body: bytes, _kind: str = "", _seed: int = 0) -> Job:
    """What is answered to a request's body. No seed changes it.

    Raises:
        Problem: 400 or 404, in the API's words.
    """
    asked = decode(_DECODER, body)
    model = known_model(asked.model, "embeddings")
    inputs = _inputs(asked.input)
    size = _SIZES.get(model.name, _SIZE)
    dimensions = _dimensions(asked.dimensions, model.name, size)
    as_text = asked.encoding_format or "float"
    if as_text not in ("float", "base64"):
        raise invalid("encoding_format", as_text, ["float", "base64"])
    tokens = _count(inputs)

    def whole(_: Identity, told: Told) -> bytes:
        data = [
            {"object": "embedding", "index": at, "embedding": _write(vector(said, size, dimensions), as_text)}
            for at, said in enumerate(inputs)
        ]
        answer: dict[str, Any] = {"object": "list", "data": data, "model": model.name}
        if told is not None:
            answer["usage"] = told
        return msgspec.json.encode(answer)

    return Job(
        model=model.name,
        usage=TokenUsage(prompt_tokens=tokens),
        report=lambda usage: {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.total_tokens},
        whole=whole,
    )


def _write(numbers: Sequence[float], as_text: str) -> str | list[float]:
    """The numbers as the API has them: with the precision of four bytes, in the order of little-endian machines."""
    packed = array("f", numbers)
    if as_text == "float":
        return packed.tolist()
    if sys.byteorder == "big":
        packed.byteswap()
    return b64encode(packed.tobytes()).decode()


def _inputs(asked: str | list[Any]) -> list[Input]:
    """One or several texts or arrays of tokens, as several."""
    if isinstance(asked, str):
        return [_text(asked, "input")]
    if not asked:
        message = "Invalid 'input': empty array. Expected an array with minimum length 1, but got an empty array."
        raise Problem(400, message, code="empty_array", param="input")
    _check_length(asked)
    if _is_number(asked[0]):
        return [_tokens(asked, "input")]
    if isinstance(asked[0], str):
        return [_text(said, f"input[{at}]") for at, said in enumerate(asked)]
    return [_tokens(said, f"input[{at}]") for at, said in enumerate(asked)]


def _text(said: object, param: str) -> str:
    if not isinstance(said, str):
        raise mistyped(param, "expected a string, like the first one")
    if not said:
        raise Problem(400, f"Invalid '{param}': input cannot be an empty string.", code="empty_string", param=param)
    return said


def _tokens(said: object, param: str) -> list[int]:
    if not isinstance(said, list):
        raise mistyped(param, "expected a string or an array of tokens")
    if not said:
        message = f"Invalid '{param}': empty array. Expected an array with minimum length 1, but got an empty array."
        raise Problem(400, message, code="empty_array", param=param)
    for at, token in enumerate(said):
        if not _is_number(token):
            raise mistyped(f"{param}[{at}]", "expected an integer")
        if token < 0:
            raise too_small(f"{param}[{at}]", token, 0)
        if token >= _VOCABULARY:
            raise too_large(f"{param}[{at}]", token, _VOCABULARY - 1)
    return said


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_length(asked: Sequence[object]) -> None:
    if len(asked) > _MOST_INPUTS:
        message = (
            f"Invalid 'input': array too long. Expected an array with maximum length {_MOST_INPUTS}, "
            f"but got an array with length {len(asked)} instead."
        )
        raise Problem(400, message, code="array_above_max_length", param="input")


def _dimensions(asked: int | None, model: str, size: int) -> int:
    if asked is None:
        return size
    if model in _FIXED:
        raise unsupported("dimensions")
    if asked < 1:
        raise too_small("dimensions", asked, 1)
    if asked > size:
        raise too_large("dimensions", asked, size)
    return asked


def _count(inputs: Sequence[Input]) -> int:
    """Tokens of all inputs."""
    in_all = 0
    for at, said in enumerate(inputs):
        tokens = count(said) if isinstance(said, str) else len(said)
        if tokens > _MOST_TOKENS:
            message = (
                f"Invalid 'input[{at}]': this model's maximum context length is {_MOST_TOKENS} tokens, "
                f"but the input has {tokens}."
            )
            raise Problem(400, message, code="context_length_exceeded", param="input")
        in_all += tokens
    if in_all > _MOST_IN_ALL:
        message = f"Requested {in_all} tokens, max {_MOST_IN_ALL} tokens per request"
        kind = "max_tokens_per_request"
        raise Problem(400, message, type=kind, code=kind, param="input")
    return in_all
