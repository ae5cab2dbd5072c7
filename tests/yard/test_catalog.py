"""The tool that writes what is known of models, and how it compares prices."""

from datetime import date
from decimal import Decimal

import msgspec
import pytest
import yaml

from headgate.catalog.models import Facts
from tools import catalog, compare, litellm

DAY = date(2026, 11, 20)
LUNA = {
    "litellm_provider": "openai",
    "mode": "chat",
    "max_input_tokens": 922_000,
    "max_output_tokens": 128_000,
    "input_cost_per_token": Decimal("1E-7"),
    "cache_read_input_token_cost": Decimal("1E-8"),
    "cache_creation_input_token_cost": Decimal("1.25E-7"),
    "output_cost_per_token": Decimal("5E-7"),
    "input_cost_per_token_above_272k_tokens": Decimal("2E-7"),
    "cache_read_input_token_cost_above_272k_tokens": Decimal("2E-8"),
    "cache_creation_input_token_cost_above_272k_tokens": Decimal("2.5E-7"),
    "output_cost_per_token_above_272k_tokens": Decimal("7.5E-7"),
    "supported_endpoints": ["/v1/chat/completions", "/v1/batch", "/v1/responses"],
    "supports_reasoning": True,
    "supports_none_reasoning_effort": True,
    "supports_vision": True,
}
TABLE = {
    "sample_spec": {"mode": "one of: chat, embedding"},
    "gpt-6-luna": LUNA,
    "gpt-6-luna-2026-10-01": LUNA,
    "gpt-6-luna-2026-09-01": {**LUNA, "deprecation_date": "2026-11-01"},
    "high/1024-x-1024/gpt-image-1": {"litellm_provider": "openai", "mode": "image_generation"},
    "gemini/gemini-4-argon": {"litellm_provider": "gemini", "mode": "chat", "max_input_tokens": 1_048_576},
    "gemini/gemma-4-31b-it": {"litellm_provider": "gemini", "mode": "chat"},
    "groq/llama": {"litellm_provider": "groq", "mode": "chat"},
    "ft:gpt-4.1-mini-2025-04-14": {
        "litellm_provider": "openai", "mode": "chat", "input_cost_per_token": Decimal("8E-7"),
        "output_cost_per_token": Decimal("0.0000032"), "input_cost_per_token_batches": Decimal("4E-7"),
    },
}  # fmt: skip
BY_HAND = {
    "sources": {"D": "documentation", "T": "third parties", "H": "ours"},
    "date": DAY,
    "aliases": {"gpt-luna": "gpt-6-luna"},
    "rules": [
        {"models": ["gpt-6-luna"], "source": "D", "stop": 0, "refuses": ["max_tokens"], "note": "one"},
        {"models": ["gpt-6-luna"], "source": "H", "refuses": ["audio"], "note": "two", "retires": date(2027, 1, 1)},
        {"models": ["gpt-7-luna"], "source": "H", "like": "gpt-6-luna", "retires": None},
    ],
    "prices": {"gpt-7-luna": {"input": 1, "cached": 0.1, "output": 5, "like_gpt_6": True, "source": "a page"}},
}


@pytest.fixture(scope="module")
def table():
    """A small table."""
    return litellm.Table("1.2.3", dict(litellm.entries(TABLE)))


@pytest.fixture(scope="module")
def facts(table):
    """What is made of it."""
    return catalog.build(table, BY_HAND, "9.9")


def test_only_models_of_makers_are_read(table):
    """No price lines, no other servers, no toys; names are the makers' own."""
    assert [name for _, name in table.entries] == [
        "gpt-6-luna", "gpt-6-luna-2026-10-01", "gpt-6-luna-2026-09-01", "gemini-4-argon", "ft:gpt-4.1-mini-2025-04-14",
    ]  # fmt: skip


def test_traces_of_arithmetic_are_rounded_away():
    """Prices are decimals; a float's tail is not a price."""
    entry = {"a": Decimal("1.5000020000000002e-05"), "b": Decimal("1E-7"), "c": Decimal(0)}
    assert [litellm.usd_per_million(entry, key) for key in "abcd"] == [Decimal("15.00002"), Decimal("0.1"), 0, None]


def test_facts_are_put_together(facts):
    """The table's, ours on top, and what follows from both."""
    luna = facts.models["gpt-6-luna"]
    assert (luna.context, luna.max_input, luna.max_output) == (1_050_000, 922_000, 128_000)
    assert luna.efforts == ("none", "low", "medium", "high")
    assert luna.operations == {"chat", "responses", "responses.input_tokens"}
    assert luna.capabilities == {"reasoning", "vision", "streaming"}
    assert luna.refuses == {"max_tokens", "audio"}
    assert (luna.note, luna.source, luna.retires) == ("one; two", "D, H, T", date(2027, 1, 1))
    assert luna.default_max_output == catalog.HELD_REASONING
    assert facts.models["gemini-4-argon"].maker == "google"
    like = facts.models["gpt-7-luna"]
    assert (like.context, like.stop, like.retires) == (1_050_000, 0, None)
    assert facts.sources == {**BY_HAND["sources"], "litellm": "1.2.3", "genai-prices": "9.9"}


def test_a_dated_name_is_kept_only_where_it_differs(facts):
    """And then it has what holds for all dates, too."""
    assert "gpt-6-luna-2026-10-01" not in facts.models
    old = facts.models["gpt-6-luna-2026-09-01"]
    assert (old.retires, old.stop) == (date(2026, 11, 1), 0)


def test_prices_of_our_own(facts):
    """Tuned models from the table, new ones by rule."""
    tuned = facts.prices["ft:gpt-4.1-mini"]
    assert (tuned.source, tuned.tiers["standard"][0].output) == ("LiteLLM 1.2.3", Decimal("3.2"))
    assert tuned.tiers["batch"][0].input == Decimal("0.4")
    wide, plain = facts.prices["gpt-7-luna"].tiers["fast"]
    assert (plain.input, plain.cached, plain.write, plain.output) == (2, Decimal("0.2"), Decimal("2.5"), 10)
    assert (wide.above, wide.input, wide.cached, wide.write, wide.output) == (272_000, 4, Decimal("0.4"), 5, 15)


def test_the_file_is_read_as_it_was_written(facts):
    """One line a model, in the same order whenever it is written."""
    text = catalog.write(facts)
    assert msgspec.json.decode(text, type=Facts) == facts
    assert text.count("\n") == len(facts.models) + len(facts.prices) + len(facts.aliases) + 10
    assert catalog.write(msgspec.json.decode(text, type=Facts)) == text


def test_equal_prices_are_no_difference():
    """The two sources agree on gpt-6-luna; figures that only mean the same are the same."""
    minute = DAY.toordinal() * 1440 - compare._EPOCH
    assert list(compare.differences("openai", "gpt-6-luna", LUNA, minute)) == []
    drawn = {
        "input_cost_per_token": Decimal("0.000005"),
        "cache_read_input_token_cost": Decimal("0.00000125"),
        "output_cost_per_image_token": Decimal("0.00003"),
        "input_cost_per_image_token": Decimal("0.000008"),
    }
    assert list(compare.differences("openai", "gpt-image-2", drawn, minute)) == []


def test_every_difference_is_told():
    """Which model, tier, step and figure, and what each source says."""
    minute = DAY.toordinal() * 1440 - compare._EPOCH
    wrong = {**LUNA, "output_cost_per_token": Decimal("6E-7"), "input_cost_per_token_flex": Decimal("7E-8"),
             "output_cost_per_token_above_272k_tokens": None}  # fmt: skip
    found = [tuple(line)[1:] for line in compare.differences("openai", "gpt-6-luna", wrong, minute)]
    assert ("standard", "output", "0.5", "0.6") in found
    assert ("standard, above 272k", "output", "0.75", "0.6") in found
    assert ("flex", "input", "0.05", "0.07") in found
    assert not [line for line in found if line[0].startswith("batch")]


def test_the_report_names_versions_and_differences(table, facts):
    """Whoever reads it knows what was compared, when, and whose figures are used."""
    text = compare.report(table, facts)
    assert "genai-prices 9.9" in text
    assert "LiteLLM 1.2.3" in text
    assert "| `gpt-7-luna` | 1 / 5 | none | a page |" in text


def test_the_report_is_of_the_facts_that_are_shipped():
    """Both were written at the same time, from what stands in `catalog.yaml` today."""
    shipped = msgspec.json.decode(catalog.DATA.read_bytes(), type=Facts)
    by_hand = yaml.safe_load(catalog.BY_HAND.read_text("utf-8"))
    report = catalog.REPORT.read_text("utf-8")
    assert f"Prices of {shipped.date}" in report
    assert f"LiteLLM {shipped.sources['litellm']}" in report
    assert shipped.date == by_hand["date"]
    assert shipped.aliases == by_hand["aliases"]
    for name, line in by_hand["prices"].items():
        assert shipped.prices[name] == catalog.by_hand_priced(line)
    for rule in by_hand["rules"]:
        assert all(name in shipped.models for name in rule["models"])
