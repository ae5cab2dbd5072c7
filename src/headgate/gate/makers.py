"""Whose models a provider serves, and whose price list holds there.

Decides it from a provider's type and address; refuses to know prices and dates (`catalog/`).
"""

from headgate.catalog.prices import OWN, Prices
from headgate.gate.config import Config
from headgate.gate.config_providers import Provider
from headgate.gate.usable import OPENAI, is_openai

MAKER = "openai"
"""The maker whose models, dates and prices the simulator has, too."""


def makers(config: Config) -> dict[str, str]:
    """The providers that serve a maker's own models, by name, and that maker.

    Elsewhere a name says nothing about how long it is served: a server of one's own may call a model what it likes.
    """
    return {name: MAKER for name, provider in config.providers.items() if _is_makers(provider)}


def price_list(provider: Provider, prices: Prices) -> str:
    """Whose prices hold at a provider: the maker's, those of the list that claims its address, or our own machine's."""
    if provider.type == "local":
        return OWN
    return MAKER if _is_makers(provider) else prices.list_at(provider.base_url or OPENAI)


def _is_makers(provider: Provider) -> bool:
    return provider.type == "simulator" or (provider.type == "openai" and is_openai(provider.base_url or OPENAI))
