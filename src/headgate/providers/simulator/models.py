"""Which models the simulated account has, and what each of them takes.

Decides names, what they can be asked for, reasoning efforts, how long their answers may be, and the dates of
retirement; prices are in `bill.py`. Written by hand, and not from the catalog: that both agree proves something. A
model's retirement is shown and not enforced: what works today in a test should work tomorrow.
"""

from typing import Literal

import msgspec

Serves = Literal["talk", "completions", "embeddings", "moderations", "images", "speech", "transcriptions", "everything"]
"""What a model can be asked for. `talk` is Chat Completions and Responses."""

_LOW_HIGH = ("low", "medium", "high")
_LOW_XHIGH = (*_LOW_HIGH, "xhigh")
_LOW_MAX = (*_LOW_XHIGH, "max")

REASONING = {"none": 0, "minimal": 8, "low": 16, "medium": 32, "high": 64, "xhigh": 128, "max": 256}
"""Reasoning tokens that an effort costs at least; a call spends up to a quarter more."""


class Model(msgspec.Struct, frozen=True):
    """One model.

    Attributes:
        name: as callers ask for it.
        efforts: reasoning efforts that it takes; empty for a model that does not reason.
        default: the effort of a call that names none.
        chat_tools: `yes`: calls tools in Chat Completions; `unless reasoning`: only where the effort, asked for or by
            default, is none; `no`: only in Responses.
        chat_max: takes the effort `max` in Chat Completions, too.
        writes_cache: prompts written to the cache are counted (and cost more), and it takes `prompt_cache_options`.
        longest: output tokens that may be asked for; None: any number.
        shutdown: day of retirement, `YYYY-MM-DD`.
        serves: what it can be asked for.
    """

    name: str
    efforts: tuple[str, ...] = ()
    default: str = "none"
    chat_tools: str = "yes"
    chat_max: bool = True
    writes_cache: bool = False
    longest: int | None = 128_000
    shutdown: str | None = None
    serves: Serves = "talk"


_SOME = "unless reasoning"

MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model("gpt-6.2-astra", _LOW_MAX, "medium", "no", writes_cache=True),
        Model("gpt-6.2-sol", _LOW_MAX, "medium", "no", writes_cache=True),
        Model("gpt-6-astra", _LOW_MAX, "medium", "no", writes_cache=True),
        Model("gpt-6.1-sol", _LOW_MAX, "medium", "no", chat_max=False, writes_cache=True),
        Model("gpt-6.1-terra", ("none", *_LOW_MAX), "medium", _SOME, writes_cache=True),
        Model("gpt-6-sol", ("none", *_LOW_MAX), "medium", _SOME, writes_cache=True),
        Model("gpt-6-luna", ("none", *_LOW_MAX), "medium", _SOME, writes_cache=True),
        Model("gpt-5.6-sol", ("none", *_LOW_MAX), "medium", _SOME, chat_max=False, writes_cache=True),
        Model("gpt-5.6-terra", ("none", *_LOW_MAX), "medium", _SOME, chat_max=False, writes_cache=True),
        Model("gpt-5.6-luna", ("none", *_LOW_MAX), "medium", _SOME, chat_max=False, writes_cache=True),
        Model("gpt-5.5", ("none", *_LOW_XHIGH), "medium", _SOME),
        Model("gpt-5.4", ("none", *_LOW_XHIGH), "none", _SOME),
        Model("gpt-5.4-mini", ("none", *_LOW_XHIGH), "none", _SOME),
        Model("gpt-5.4-nano", ("none", *_LOW_XHIGH), "none", _SOME, shutdown="2027-04-01"),
        Model("gpt-5.2", ("none", *_LOW_XHIGH), "none"),
        Model("gpt-5.1", ("none", *_LOW_HIGH), "none", shutdown="2027-04-01"),
        Model("gpt-5", ("minimal", *_LOW_HIGH), "medium", shutdown="2026-12-11"),
        Model("gpt-5-mini", ("minimal", *_LOW_HIGH), "medium", shutdown="2026-12-11"),
        Model("gpt-5-nano", ("minimal", *_LOW_HIGH), "medium", shutdown="2026-12-11"),
        Model("o3", _LOW_HIGH, "medium", longest=100_000, shutdown="2026-12-11"),
        Model("gpt-4.1", longest=32_768, shutdown="2027-01-14"),
        Model("gpt-4.1-mini", longest=32_768, shutdown="2027-01-14"),
        Model("gpt-4o", longest=16_384, shutdown="2027-01-14"),
        Model("gpt-4o-mini", longest=16_384, shutdown="2027-01-14"),
        Model("gpt-3.5-turbo-instruct", longest=4_096, serves="completions"),
        Model("text-embedding-3-small", serves="embeddings"),
        Model("text-embedding-3-large", serves="embeddings"),
        Model("text-embedding-ada-002", serves="embeddings"),
        Model("omni-moderation-latest", serves="moderations"),
        Model("omni-moderation-2024-09-26", serves="moderations"),
        Model("gpt-image-2", serves="images"),
        Model("gpt-image-2.5-sunburst", serves="images"),
        Model("gpt-image-2.5-flare", serves="images"),
        Model("gpt-image-1.5", serves="images", shutdown="2026-12-01"),
        Model("gpt-image-1-mini", serves="images", shutdown="2026-12-01"),
        Model("chatgpt-image-latest", serves="images", shutdown="2026-12-01"),
        Model("gpt-4o-mini-tts", serves="speech", shutdown="2027-01-06"),
        Model("tts-1", serves="speech", shutdown="2027-01-06"),
        Model("tts-1-hd", serves="speech", shutdown="2027-01-06"),
        Model("gpt-transcribe", serves="transcriptions"),
        Model("gpt-4o-transcribe", serves="transcriptions", shutdown="2027-02-26"),
        Model("gpt-4o-mini-transcribe", serves="transcriptions", shutdown="2027-02-26"),
        Model("whisper-1", serves="transcriptions", shutdown="2027-02-26"),
        Model("fake", longest=None, writes_cache=True, serves="everything"),
    )
}
"""By name. `fake` costs nothing and takes everything."""
