"""What the simulated provider charges: its own price table and its own arithmetic.

The table is written by hand in exact rationals and shares nothing with the house's catalog, so that agreement between
this bill and the ledger proves something. What is charged:

- an answer with an error status: nothing;
- a whole answer: everything, once it was generated, whether or not its reader was still there; nothing if the reader
  left before;
- a stream: its prompt and the tokens generated until it ended, was cut, or its reader left.
"""

from decimal import Decimal, localcontext
from fractions import Fraction

import msgspec

from headgate.core.usage import TokenUsage

_LONG = 272_000
"""Input tokens beyond which a request of some models costs more as a whole."""

_HALF = Fraction(1, 2)


class Price(msgspec.Struct, frozen=True):
    """What a model costs, in USD per million tokens.

    Attributes:
        input, cached, output: rates of fresh input, cached input, and output.
        write: rate of input that is written to the cache; the same as `input` where writing is free.
        long: the surcharge for requests above 272,000 input tokens applies.
        fast: factor of the tier `priority`.
        image, audio: rates of input tokens that stand for pictures and for sound; None: that of fresh input.
        hour: rate of an hour of sound, in USD.
        characters: rate of a million characters, in USD.
    """

    input: Fraction
    cached: Fraction
    output: Fraction
    write: Fraction
    long: bool = False
    fast: Fraction = Fraction(2)
    image: Fraction | None = None
    audio: Fraction | None = None
    hour: Fraction = Fraction(0)
    characters: Fraction = Fraction(0)


def _price(
    input: str,  # noqa: A002  the word of the price list
    cached: str,
    output: str,
    *,
    write: bool = False,
    long: bool = False,
    fast: str = "2",
    **others: str,
) -> Price:
    """One line of the price list; `write`: writing to the cache costs 1.25 of the input rate."""
    rate = Fraction(input)
    return Price(
        rate,
        Fraction(cached),
        Fraction(output),
        rate * Fraction(5, 4) if write else rate,
        long,
        Fraction(fast),
        **{name: Fraction(value) for name, value in others.items()},
    )


PRICES: dict[str, Price] = {
    "gpt-6.2-astra": _price("8", "0.40", "40", write=True, long=True),
    "gpt-6.2-sol": _price("2", "0.10", "10", write=True, long=True),
    "gpt-6-astra": _price("10", "1", "50", write=True, long=True),
    "gpt-6.1-sol": _price("2", "0.10", "10", write=True, long=True),
    "gpt-6.1-terra": _price("1", "0.05", "5", write=True, long=True),
    "gpt-6-sol": _price("2", "0.20", "10", write=True, long=True),
    "gpt-6-luna": _price("0.10", "0.01", "0.50", write=True, long=True),
    "gpt-5.6-sol": _price("4", "0.40", "20", write=True, long=True),
    "gpt-5.6-terra": _price("2", "0.20", "12", write=True, long=True),
    "gpt-5.6-luna": _price("0.20", "0.02", "1.20", write=True, long=True),
    "gpt-5.5": _price("5", "0.50", "30", long=True, fast="2.5"),
    "gpt-5.4": _price("2.5", "0.25", "15", long=True),
    "gpt-5.4-mini": _price("0.75", "0.075", "4.5"),
    "gpt-5.4-nano": _price("0.20", "0.02", "1.25"),
    "gpt-5.2": _price("1.75", "0.175", "14"),
    "gpt-5.1": _price("1.25", "0.125", "10"),
    "gpt-5": _price("1.25", "0.125", "10"),
    "gpt-5-mini": _price("0.25", "0.025", "2", fast="1.8"),
    "gpt-5-nano": _price("0.05", "0.005", "0.40"),
    "o3": _price("2", "0.50", "8", fast="1.75"),
    "gpt-4.1": _price("2", "0.50", "8", fast="1.75"),
    "gpt-4.1-mini": _price("0.40", "0.10", "1.6", fast="1.75"),
    "gpt-4o": _price("2.5", "1.25", "10", fast="1.7"),
    "gpt-4o-mini": _price("0.15", "0.075", "0.60", fast="5/3"),
    "gpt-3.5-turbo-instruct": _price("1.5", "1.5", "2"),
    "text-embedding-3-small": _price("0.02", "0.02", "0"),
    "text-embedding-3-large": _price("0.13", "0.13", "0"),
    "text-embedding-ada-002": _price("0.10", "0.10", "0"),
    "omni-moderation-latest": _price("0", "0", "0"),
    "omni-moderation-2024-09-26": _price("0", "0", "0"),
    "gpt-image-2": _price("5", "1.25", "30", image="8"),
    "gpt-image-2.5-sunburst": _price("5", "1.25", "30", image="8"),
    "gpt-image-2.5-flare": _price("5", "1.25", "30", image="8"),
    "gpt-image-1.5": _price("5", "1.25", "32", image="8"),
    "gpt-image-1-mini": _price("2", "0.20", "8", image="2.5"),
    "chatgpt-image-latest": _price("5", "1.25", "32", image="8"),
    "gpt-4o-mini-tts": _price("0.60", "0.60", "12"),
    "tts-1": _price("0", "0", "0", characters="15"),
    "tts-1-hd": _price("0", "0", "0", characters="30"),
    "gpt-transcribe": _price("0", "0", "0", hour="0.27"),
    "gpt-4o-transcribe": _price("2.5", "2.5", "10", audio="6"),
    "gpt-4o-mini-transcribe": _price("1.25", "1.25", "5", audio="3"),
    "whisper-1": _price("0", "0", "0", hour="0.36"),
    "fake": _price("0", "0", "0"),
}
"""USD per million tokens, as published in November 2026. All output of a model that draws or speaks is drawn or spoken:
it has one rate."""


def amount(
    model: str,
    usage: TokenUsage,
    *,
    tier: str = "default",
    long_ttl: bool = False,
    seconds: int = 0,
    characters: int = 0,
) -> Fraction:
    """What one answer costs, in USD, exactly.

    Args:
        model: a name of the price table.
        usage: what was served; cached, cache-write, image and audio tokens are part of the prompt's.
        tier: the service tier used: `default`, `flex`, `batch`, `priority`.
        long_ttl: the cache was written for 12 hours (2.5 of the input rate).
        seconds: how much sound was heard.
        characters: how much text was spoken.

    Raises:
        KeyError: the model has no price.

    Example:
        >>> amount("gpt-6-luna", TokenUsage(prompt_tokens=1000, completion_tokens=100))
        Fraction(3, 20000)
    """
    price = PRICES[model]
    write = price.input * Fraction(5, 2) if long_ttl and price.write != price.input else price.write
    seen, heard = usage.prompt_image_tokens, usage.prompt_audio_tokens
    fresh = usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens - seen - heard
    into = fresh * price.input + usage.cached_tokens * price.cached + usage.cache_write_tokens * write
    into += seen * (price.input if price.image is None else price.image)
    into += heard * (price.input if price.audio is None else price.audio)
    out = usage.completion_tokens * price.output
    if price.long and usage.prompt_tokens > _LONG:
        into *= 2
        out *= Fraction(3, 2)
    if tier in ("flex", "batch"):
        factor = _HALF
    elif tier == "priority":
        factor = price.fast
    else:
        factor = Fraction(1)
    return (into + out + characters * price.characters) * factor / 1_000_000 + seconds * price.hour * factor / 3600


class BillLine(msgspec.Struct, frozen=True, kw_only=True):
    """One answer that was charged.

    Attributes:
        request_id: ours, as in the answer's `x-request-id`.
        client_request_id: the caller's `x-client-request-id`, if it sent one.
        model, tier: what served it.
        usage: what was served.
        complete: the answer was generated to its end.
        long_ttl: its cache entries were written for 12 hours.
        seconds, characters: how much sound was heard and how much text was spoken, where that is charged.
    """

    request_id: str
    client_request_id: str | None
    model: str
    tier: str
    usage: TokenUsage
    complete: bool
    long_ttl: bool = False
    seconds: int = 0
    characters: int = 0

    @property
    def amount(self) -> Fraction:
        """USD, exactly."""
        return amount(
            self.model,
            self.usage,
            tier=self.tier,
            long_ttl=self.long_ttl,
            seconds=self.seconds,
            characters=self.characters,
        )


class Bill:
    """All that was charged, oldest first.

    Attributes:
        lines: one per served request.
    """

    def __init__(self) -> None:
        self.lines: list[BillLine] = []
        self._summed = 0
        self._total = Fraction(0)

    @property
    def total(self) -> Fraction:
        """USD, exactly."""
        # Sums what is new since it was last asked: a line costs nothing until somebody wants to know.
        while self._summed < len(self.lines):
            self._total += self.lines[self._summed].amount
            self._summed += 1
        return self._total

    def usd(self) -> Decimal:
        """USD as a decimal number, exactly: every rate of the table is a finite decimal, also by the second."""
        return decimal(self.total)


def decimal(value: Fraction) -> Decimal:
    """A fraction as a decimal number.

    Example:
        >>> decimal(Fraction(3, 20000))
        Decimal('0.00015')
    """
    with localcontext(prec=80):
        return Decimal(value.numerator) / Decimal(value.denominator)
