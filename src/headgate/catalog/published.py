"""The price lists that `genai-prices` ships, read and never updated over the network.

Decides what these lists say of a name at a minute; refuses to know which list is asked and what is done where none
has an answer. The data take about a second to import, which happens in `load` and nowhere else.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from headgate.catalog.rates import Figures

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

STANDARD = frozenset({None, "", "default", "standard", "auto"})
"""Names of the ordinary tier. `auto` is what a provider says that has not chosen yet."""

_MAIN = {
    "input": "input_mtok",
    "cached": "cache_read_mtok",
    "write": "cache_write_mtok",
    "output": "output_mtok",
    "reasoning": "output_reasoning_mtok",
    "image_in": "input_image_mtok",
    "audio_in": "input_audio_mtok",
    "image_out": "output_image_mtok",
    "audio_out": "output_audio_mtok",
    "fee": "requests_kcount",
}
"""Our figures by their names in the library."""


class Published:
    """The lists, by the ids that `genai-prices` gives to providers (`openai`, `azure`, `anthropic`, `google`, …).

    Attributes:
        table: name and version, as rows of the ledger have it.
    """

    def __init__(self) -> None:
        self.table = ""
        self._all: list[Provider] = []
        self._lists: dict[str, Provider] = {}

    def load(self) -> None:
        """Import the data, unless that has been done. May be called from a thread before the first question."""
        if self._all:
            return
        import genai_prices  # noqa: PLC0415  not at import of headgate
        from genai_prices.data import providers  # noqa: PLC0415

        self.table = f"genai-prices {genai_prices.__version__}"
        self._lists = {provider.id: provider for provider in providers}
        self._all = providers

    def figures(self, provider: str, model: str, *, minute: int, tier: str | None) -> tuple[Figures, ...] | None:
        """What a model costs, the widest requests first; None if the list has no such model, or not in that tier.

        Args:
            provider: whose list.
            model: the name to look for; the lists know most dated names.
            minute: when, in minutes since 1970 UTC: prices may change by date and by hour.
            tier: the service tier; None for the ordinary one.
        """
        self.load()
        home = self._lists.get(provider)
        # Asked of the provider directly: the library's own lookup remembers every name for ever.
        info = home.find_model(model, all_providers=self._all) if home else None
        prices = None if info is None else _in_tier(info, datetime.fromtimestamp(minute * 60, UTC), tier)
        return None if prices is None else _steps(prices)

    def at(self, address: str) -> str | None:
        """Whose list holds at an address, such as `https://x.openai.azure.com/openai/v1`; None where nobody says so."""
        self.load()
        return next((name for name, home in self._lists.items() if re.match(home.api_pattern, address)), None)


def _in_tier(info: "ModelInfo", when: datetime, tier: str | None) -> "ModelPrice | None":
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


def _steps(prices: "ModelPrice") -> tuple[Figures, ...]:
    """The figures of each step at which a price changes, the widest first."""
    from genai_prices.types import TieredPrices  # noqa: PLC0415  not at import of headgate

    found: dict[str, Decimal | TieredPrices] = {
        ours: price for ours, theirs in _MAIN.items() if (price := getattr(prices, theirs)) is not None
    }
    starts = {tier.start for price in found.values() if isinstance(price, TieredPrices) for tier in price.tiers}

    def figure(price: Decimal | TieredPrices, above: int) -> Decimal:
        if not isinstance(price, TieredPrices):
            return price
        # The dearest step that the request is beyond holds for the whole of it.
        steps = [tier.price for tier in price.tiers if tier.start <= above]
        return steps[-1] if above and steps else price.base

    return tuple(
        Figures(above, **{name: figure(price, above) for name, price in found.items()})
        for above in sorted(starts | {0}, reverse=True)
    )
