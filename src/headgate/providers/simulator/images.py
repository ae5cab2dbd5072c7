"""Pictures as jobs: what is drawn, what it consumes, and how it is spelled, whole or as a stream.

Tokens: a picture of medium quality takes one for each 32 by 32 pixels, one of low quality a quarter of that, a high one
four times as many, `xhigh` and `max` eight and sixteen times; each partial picture takes 100 more. A picture to be
edited counts one token for each 32 by 32 pixels, at most 8,192; 1,024 where
its size is not known.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from hashlib import blake2b
from math import ceil
from typing import Any

import msgspec

from headgate.core.usage import TokenUsage
from headgate.providers.simulator.job import Job, Told
from headgate.providers.simulator.png import draw, size_of
from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.read_images import Wish, read_edit, read_generation
from headgate.providers.simulator.script import Script, Step
from headgate.providers.simulator.words import count
from headgate.providers.simulator.write_chat import Identity

_BLOCK = 32
_UNKNOWN = 1024
_MOST_SEEN = 8192
"""Tokens of a picture to be edited, whatever size it says that it has."""
_PARTIAL = 100
_FACTORS = {
    "low": Fraction(1, 4),
    "medium": Fraction(1),
    "high": Fraction(4),
    "xhigh": Fraction(8),
    "max": Fraction(16),
}


def generation_job(body: bytes, _kind: str, seed: int) -> Job:
    """The answer to a request for new pictures.

    Raises:
        Problem: 400 or 404, in the API's words.
    """
    return _job(read_generation(body), seed, "image_generation")


def edit_job(body: bytes, content_type: str, seed: int) -> Job:
    """The answer to a request for edited pictures.

    Raises:
        Problem: 400, 404, 413 or 415, in the API's words.
    """
    return _job(read_edit(body, content_type), seed, "image_edit")


def _job(wish: Wish, seed: int, name: str) -> Job:
    digest = blake2b(f"{seed} {wish.model.name} {wish.prompt}".encode("utf-8", "surrogatepass"))
    for source in wish.sources:
        digest.update(source or b"?")
    seen = sum(_tokens_of(source) for source in wish.sources)
    drawn = ceil(_blocks(wish.width, wish.height) * _FACTORS[wish.quality])
    output = drawn * wish.n + _PARTIAL * wish.partial
    usage = TokenUsage(
        prompt_tokens=count(wish.prompt) + seen,
        prompt_image_tokens=seen,
        completion_tokens=output,
        completion_image_tokens=output,
    )
    picture = partial(_draw, digest.digest(), wish)
    return Job(
        model=wish.model.name,
        usage=usage,
        report=_usage,
        whole=lambda identity, told: _whole(wish, picture, identity, told),
        stream=(lambda identity, told, _: _stream(wish, picture, identity, told, name)) if wish.stream else None,
    )


_Picture = Callable[..., str]


def _draw(digest: bytes, wish: Wish, index: int, share: float = 1.0) -> str:
    """A picture, in base64."""
    own = blake2b(digest + bytes((index,)), digest_size=32).digest()
    return b64encode(draw(own, wish.width, wish.height, transparent=wish.transparent, share=share)).decode()


def _blocks(width: int, height: int) -> int:
    return ceil(width / _BLOCK) * ceil(height / _BLOCK)


def _tokens_of(source: bytes | memoryview | None) -> int:
    size = None if source is None else size_of(source)
    return _UNKNOWN if size is None else min(_blocks(*size), _MOST_SEEN)


def _usage(usage: TokenUsage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "text_tokens": usage.prompt_tokens - usage.prompt_image_tokens,
            "image_tokens": usage.prompt_image_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": usage.completion_image_tokens},
        "total_tokens": usage.total_tokens,
    }


def _facts(wish: Wish) -> dict[str, Any]:
    return {
        "background": "transparent" if wish.transparent else "opaque",
        "output_format": "png",
        "quality": wish.quality,
        "size": f"{wish.width}x{wish.height}",
    }


def _named(wish: Wish) -> dict[str, Any]:
    return {} if wish.safety_identifier is None else {"safety_identifier": wish.safety_identifier}


def _whole(wish: Wish, picture: _Picture, identity: Identity, told: Told) -> bytes:
    data = [{"b64_json": picture(index)} for index in range(wish.n)]
    answer = {"created": identity.created, "data": data, **_facts(wish), **_named(wish)}
    if told is not None:
        answer["usage"] = told
    return msgspec.json.encode(answer)


def _stream(wish: Wish, picture: _Picture, identity: Identity, told: Told, name: str) -> Script:
    """The events. There is no `[DONE]`: the last one says that it ended."""

    def event(kind: str, share: float, **others: Any) -> bytes:
        facts = {
            "type": f"{name}.{kind}",
            "b64_json": picture(0, share),
            "created_at": identity.created,
            **_facts(wish),
            **others,
        }
        return b"event: %s\ndata: %s\n\n" % (facts["type"].encode(), msgspec.json.encode(facts))

    def body() -> Iterator[Step]:
        for index in range(wish.partial):
            share = (index + 1) / (wish.partial + 1)
            yield Step(event("partial_image", share, partial_image_index=index), _PARTIAL, visible=True)
        last = _named(wish)
        if told is not None:
            # Events do not say of what kind the output was.
            last["usage"] = {field: value for field, value in told.items() if field != "output_tokens_details"}
        drawn = ceil(_blocks(wish.width, wish.height) * _FACTORS[wish.quality])
        yield Step(event("completed", 1.0, **last), drawn, visible=True)

    return Script(b"", body(), wish.partial + 1, stream_error)


def stream_error(code: str | None, type: str | None) -> bytes:  # noqa: A002  the API's word
    """An error as the last event of a stream."""
    problem = Problem(500, "Simulated fault in the stream.", type=type or "server_error", code=code or "server_error")
    return b"event: error\ndata: " + msgspec.json.encode({"type": "error", "error": problem.fields()}) + b"\n\n"
