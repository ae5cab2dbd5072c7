"""What is read out of genai-prices, held against the data itself."""

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest
from genai_prices.types import ModelPrice, Tier, TieredPrices

from headgate.catalog.published import Published, _steps
from headgate.catalog.rates import Figures

MINUTE = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()) // 60


@pytest.fixture(scope="module")
def published():
    """The lists, read once."""
    return Published()


def test_a_model_with_a_surcharge(published):
    """Both steps, the widest first, with every rate that the list has."""
    wide, plain = published.figures("openai", "gpt-6-luna", minute=MINUTE, tier=None)
    assert plain == Figures(
        0, input=Decimal("0.1"), cached=Decimal("0.01"), write=Decimal("0.125"), output=Decimal("0.5")
    )
    assert (wide.above, wide.input, wide.output) == (272_000, Decimal("0.2"), Decimal("0.75"))
    assert published.table == f"genai-prices {genai_prices.__version__}"


def test_a_step_at_which_only_some_prices_change():
    """Each price has steps of its own; what has none keeps its price beyond the others' steps."""
    wide, middle, plain = _steps(
        ModelPrice(
            input_mtok=TieredPrices(base=Decimal(1), tiers=[Tier(start=100, price=Decimal(2))]),
            output_mtok=TieredPrices(base=Decimal(5), tiers=[Tier(start=50, price=Decimal(6))]),
        )
    )
    assert (wide.above, wide.input, wide.output) == (100, Decimal(2), Decimal(6))
    assert (middle.above, middle.input, middle.output) == (50, Decimal(1), Decimal(6))
    assert (plain.above, plain.input, plain.output, plain.cached) == (0, Decimal(1), Decimal(5), None)


@pytest.mark.parametrize("tier", ["", "default", "standard", "auto"])
def test_the_ordinary_tier_has_many_names(published, tier):
    """They all mean no tier at all."""
    assert published.figures("openai", "gpt-5.4", minute=MINUTE, tier=tier) == published.figures(
        "openai", "gpt-5.4", minute=MINUTE, tier=None
    )


def test_what_the_lists_do_not_have(published):
    """No such list, no such model, no such tier: None, and no exception."""
    assert published.figures("nobody", "gpt-5.4", minute=MINUTE, tier=None) is None
    assert published.figures("openai", "house-llama", minute=MINUTE, tier=None) is None
    assert published.figures("openai", "gpt-5.4", minute=MINUTE, tier="scale") is None


@pytest.mark.parametrize(
    ("address", "home"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://example-resource.openai.azure.com/openai/v1", "azure"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("http://127.0.0.1:4010/v1", None),
        ("https://proxy.example.com/v1", None),
    ],
)
def test_whose_list_holds_at_an_address(published, address, home):
    """The lists say themselves which addresses are theirs."""
    assert published.at(address) == home


def test_nothing_is_imported_before_it_is_needed():
    """The price data take a second to import: importing the module, or making the object, must not do it."""
    code = "import sys, headgate.catalog.published as p; p.Published(); sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
