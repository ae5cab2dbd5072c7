"""What providers charge: tokens in, picodollars out.

Decides which rates a model has and what tokens cost at them; refuses to know who used the tokens. The rates come from
the data that `genai-prices` ships (imported at `load`, never updated over the network) and are turned into integers
once per model and minute, because prices may change by date and by hour. A price that is not known is None, never 0.

The figures cover tokens and flat fees per request; what providers charge for hosted tools is not among the tokens.
"""

import logging
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from headgate.core.money import MILLION, from_usd
from headgate.core.usage import TokenUsage

if TYPE_CHECKING:
    # The price data take about a second to import: at run time only `load` does that.
    from genai_prices.types import ModelInfo, ModelPrice, Provider

STANDARD = frozenset({None, "", "default", "standard", "auto"})
"""Names of the ordinary tier. `auto` is what a provider says that has not chosen yet."""
OWN = "own"
"""The price list of models that run on our own machines: nobody charges for their tokens."""
MOST = 1000
"""Models whose rates, and unknown names whose warnings, are remembered."""
LONGEST = 256
"""Characters that the name of a model and its tier may have together."""
_log = logging.getLogger("headgate.catalog")


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


class Prices:
    """The price table.

    Example:
        >>> prices = Prices()
        >>> prices.cost("gpt-6-luna", TokenUsage(prompt_tokens=1000), at=1_800_000_000)[0]
        100000000
    """

    def __init__(self) -> None:
        self._providers: dict[str, Provider] | None = None
        self._all: list[Provider] = []
        self._table = ""
        # By provider, model and tier: the minute of which the rates are, and the rates, widest first.
        self._known: dict[tuple[str, str, str | None], tuple[int, tuple[Rates, ...]]] = {}
        self._warned: set[tuple[str, str, str | None]] = set()

    def load(self) -> None:
        """Import the price data. Takes about a second; may be called from a thread before the first `cost`."""
        import genai_prices  # noqa: PLC0415  not at import of headgate
        from genai_prices.data import providers  # noqa: PLC0415

        self._table = f"genai-prices {genai_prices.__version__}"
        self._all = providers
        self._providers = {provider.id: provider for provider in providers}

    def cost(
        self, model: str, usage: TokenUsage, *, at: float, provider: str = "openai", tier: str | None = None
    ) -> tuple[int | None, str | None]:
        """What tokens cost, in picodollars, and which price table says so; (None, None) where no price is known.

        Args:
            model: the model's name, dated or not.
            usage: the tokens.
            at: when, in seconds since 1970 UTC.
            provider: whose price list, by its id in `genai-prices`; or `OWN`.
            tier: the service tier that served, as the answer names it; None for the standard one.
        """
        if provider == OWN:
            return 0, OWN
        key = (provider, model, tier)
        minute = int(at) // 60
        found = self._known.get(key)
        if found is None or found[0] != minute:
            # Names come from outside. Endless ones are unknown, and many of them empty the table rather than grow it:
            # models that are in use are back at once.
            if len(model) + len(tier or "") > LONGEST:
                key = (provider, model[:LONGEST], "…")
            found = (minute, self._rates(key, minute))
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[key] = found
        for rates in found[1]:
            if usage.prompt_tokens > rates.above or not rates.above:
                cost = rates.cost(usage)
                if cost is None:
                    self._warn(key)
                return cost, None if cost is None else self._table
        return None, None

    def _rates(self, key: tuple[str, str, str | None], minute: int) -> tuple[Rates, ...]:
        if self._providers is None:
            self.load()
        assert self._providers is not None
        name, model, tier = key
        provider = self._providers.get(name)
        # Asked of the provider directly: the library's own lookup remembers every name for ever.
        info = provider.find_model(model, all_providers=self._all) if provider else None
        prices = None if info is None else _prices(info, datetime.fromtimestamp(minute * 60, UTC), tier)
        if prices is None:
            self._warn(key)
            return ()
        return _compile(prices)

    def _warn(self, key: tuple[str, str, str | None]) -> None:
        if key in self._warned or len(self._warned) >= MOST:
            return
        self._warned.add(key)
        provider, model, tier = key
        _log.warning(
            "No price is known for model %r of %r (tier %r): its cost is booked as unknown.",
            model,
            provider,
            tier,
        )


def _prices(info: "ModelInfo", when: datetime, tier: str | None) -> "ModelPrice | None":
    """The prices of a model at a time in a tier; None if the tier is not in the price list."""
    if tier in STANDARD:
        return info.get_prices(when)
    assert tier is not None
    wanted = {"processing": "batch"} if tier == "batch" else {"service_tier": tier}
    if not any(
        variant.when == wanted and (variant.constraint is None or variant.constraint.active(when))
        for variant in info.price_variants or ()
    ):
        return None
    return info.get_prices(when, wanted)


def _compile(prices: "ModelPrice") -> tuple[Rates, ...]:
    """Integer rates, the widest requests first; the last one is for every request."""
    from genai_prices.types import TieredPrices  # noqa: PLC0415  not at import of headgate

    def rate(name: str, above: int) -> int | None:
        price: Decimal | TieredPrices | None = getattr(prices, name)
        if isinstance(price, TieredPrices):
            # The dearest step that the request is beyond holds for the whole of it.
            steps = [tier.price for tier in price.tiers if tier.start <= above]
            price = steps[-1] if above and steps else price.base
        return None if price is None else from_usd(price)

    names = ("input_mtok", "cache_read_mtok", "cache_write_mtok", "output_mtok", "output_reasoning_mtok")
    kinds = ("input_image_mtok", "input_audio_mtok", "output_image_mtok", "output_audio_mtok")
    tiered = [
        price for price in (getattr(prices, name) for name in (*names, *kinds)) if isinstance(price, TieredPrices)
    ]
    starts = sorted({tier.start for price in tiered for tier in price.tiers} | {0}, reverse=True)
    found: list[Rates] = []
    for above in starts:
        inputs, cached, write, output, reasoning = (rate(name, above) for name in names)
        plain = (inputs, inputs, output, output)
        image_in, audio_in, image_out, audio_out = (
            own if (own := rate(kind, above)) is not None else instead
            for kind, instead in zip(kinds, plain, strict=True)
        )
        fee = rate("requests_kcount", above)
        found.append(
            Rates(
                above=above,
                input=inputs,
                cached=inputs if cached is None else cached,
                write=inputs if write is None else write,
                output=output,
                reasoning=output if reasoning is None else reasoning,
                image_in=image_in,
                audio_in=audio_in,
                image_out=image_out,
                audio_out=audio_out,
                # Per thousand requests, as the others are per million tokens.
                fee=0 if fee is None else fee * (MILLION // 1000),
            )
        )
    return tuple(found)
