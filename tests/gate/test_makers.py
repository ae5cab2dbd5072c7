"""Whose models and whose prices."""

import pytest

from headgate.catalog.prices import ELSEWHERE, OWN, Prices
from headgate.gate.config import Config
from headgate.gate.config_providers import Provider
from headgate.gate.makers import makers, price_list

PRICES = Prices()


@pytest.mark.parametrize(
    ("settings", "made", "prices"),
    [
        ({"type": "openai"}, True, "openai"),
        ({"type": "openai", "base_url": "https://api.openai.com/v1"}, True, "openai"),
        ({"type": "openai", "base_url": "https://eu.api.openai.com/v1"}, True, "openai"),
        ({"type": "simulator"}, True, "openai"),
        ({"type": "openai", "base_url": "https://x.openai.azure.com/openai/v1"}, False, "azure"),
        ({"type": "openai", "base_url": "https://openrouter.ai/api/v1"}, False, "openrouter"),
        ({"type": "openai", "base_url": "http://127.0.0.1:11434/v1"}, False, ELSEWHERE),
        ({"type": "local"}, False, OWN),
    ],
)
def test_type_and_address_tell(settings, made, prices):
    """Dates hold at the maker's own address and at the simulator; prices where a list claims the address."""
    provider = Provider(**settings)
    assert makers(Config(providers={"p": provider})) == ({"p": "openai"} if made else {})
    assert price_list(provider, PRICES) == prices
