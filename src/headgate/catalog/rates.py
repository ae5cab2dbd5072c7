"""What tokens cost at given rates: figures as they are published, and integers to multiply with.

Decides how rates become a sum; refuses to know which model has which rates (`prices.py`) and who used the tokens. A
rate that is not known is None, never 0, and tokens without a rate have no cost.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from headgate.core.money import MILLION, from_usd
from headgate.core.usage import TokenUsage


class Figures(msgspec.Struct, frozen=True, omit_defaults=True):
    """Prices as they are published, USD per million tokens, for requests with more than `above` input tokens.

    Attributes:
        above: input tokens that a request must exceed for these to hold, for the whole of it.
        input, cached, write, output: fresh input, input read from the provider's cache and written to it, output.
        reasoning: output that was thought and not said.
        image_in, audio_in, image_out, audio_out: tokens that stand for pictures and for sound.
        fee: USD per thousand requests.
    """

    above: int = 0
    input: Decimal | None = None
    cached: Decimal | None = None
    write: Decimal | None = None
    output: Decimal | None = None
    reasoning: Decimal | None = None
    image_in: Decimal | None = None
    audio_in: Decimal | None = None
    image_out: Decimal | None = None
    audio_out: Decimal | None = None
    fee: Decimal | None = None


class PriceList(msgspec.Struct, frozen=True):
    """What one model costs.

    Attributes:
        source: who says so.
        tiers: by service tier; `standard` is the ordinary one. Each with its widest step first, as `ladder` wants it.
    """

    source: str
    tiers: Mapping[str, tuple[Figures, ...]]


class Rates(NamedTuple):
    """Picodollars per million tokens, for requests with more than `above` input tokens; None where there is no price.

    `fee` is a millionth of a picodollar per request.
    """

    above: int
    input: int | None
    cached: int | None
    write: int | None
    output: int | None
    reasoning: int | None
    fee: int
    image_in: int | None = None
    audio_in: int | None = None
    image_out: int | None = None
    audio_out: int | None = None

    def cost(self, usage: TokenUsage) -> int | None:
        """What the tokens cost, rounded half up once; None if some of them have no price.

        Cached and written tokens, those of pictures and of sound replace plain tokens at their own rates, as do
        reasoning tokens. A provider that reports more of these than of their totals is charged for all that it
        reported.
        """
        # Spelled out, and a missing rate (None) left to the multiplication: this runs once per attempt.
        total = self.fee
        cached, write, reasoning = usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens
        seen, heard = usage.prompt_image_tokens, usage.prompt_audio_tokens
        drawn, voiced = usage.completion_image_tokens, usage.completion_audio_tokens
        plain = usage.prompt_tokens - cached - write - seen - heard
        spoken = usage.completion_tokens - reasoning - drawn - voiced
        try:
            if plain > 0:
                total += plain * self.input  # type: ignore[operator]
            if cached:
                total += cached * self.cached  # type: ignore[operator]
            if write:
                total += write * self.write  # type: ignore[operator]
            if spoken > 0:
                total += spoken * self.output  # type: ignore[operator]
            if reasoning:
                total += reasoning * self.reasoning  # type: ignore[operator]
            if seen or heard or drawn or voiced:
                pairs = (
                    (seen, self.image_in),
                    (heard, self.audio_in),
                    (drawn, self.image_out),
                    (voiced, self.audio_out),
                )
                for tokens, rate in pairs:
                    if tokens:
                        total += tokens * rate  # type: ignore[operator]
        except TypeError:
            return None
        return (total + MILLION // 2) // MILLION

    def worst(self, prompt: int, completion: int, *, kept_long: bool = False) -> int | None:
        """What so many tokens of text cost at most, rounded up; None if some of them have no price."""
        total = self.fee
        if prompt:
            if self.input is None or self.cached is None or self.write is None:
                return None
            total += prompt * max(self.input, self.cached, 2 * self.write if kept_long else self.write)
        if completion:
            if self.output is None or self.reasoning is None:
                return None
            total += completion * max(self.output, self.reasoning)
        return -(-total // MILLION)


Ladder = tuple[Rates, ...]
"""The rates of one model, those for the longest requests first; the last ones are for every request."""


def ladder(steps: Sequence[Figures]) -> Ladder:
    """Published figures as integers.

    What has no price of its own costs what it replaces: cached and written input, pictures and sound cost as fresh
    input does, reasoning, pictures and sound as output.

    Example:
        >>> ladder([Figures(input=Decimal("0.10"), output=Decimal("0.50"))])[0].cached
        100000000000
    """
    return tuple(_rates(step) for step in steps)


def _rates(step: Figures) -> Rates:
    def rate(figure: Decimal | None, instead: int | None = None) -> int | None:
        return instead if figure is None else from_usd(figure)

    into, out = rate(step.input), rate(step.output)
    fee = rate(step.fee)
    return Rates(
        above=step.above,
        input=into,
        cached=rate(step.cached, into),
        write=rate(step.write, into),
        output=out,
        reasoning=rate(step.reasoning, out),
        image_in=rate(step.image_in, into),
        audio_in=rate(step.audio_in, into),
        image_out=rate(step.image_out, out),
        audio_out=rate(step.audio_out, out),
        # Per thousand requests, as the others are per million tokens.
        fee=0 if fee is None else fee * (MILLION // 1000),
    )


def cost(steps: Ladder, usage: TokenUsage, *, kept_long: bool = False) -> int | None:
    """What the tokens cost at the step that the request is on; None if some of them have no price.

    Where writing to the cache costs something, writing for `kept_long` costs twice as much.
    """
    for rates in steps:
        if usage.prompt_tokens > rates.above or not rates.above:
            if kept_long and rates.write is not None and rates.write != rates.input:
                return rates._replace(write=2 * rates.write).cost(usage)
            return rates.cost(usage)
    return None
