"""Covers catalog/families.py: which vocabulary, and how sure."""

import pytest
from tiktoken.model import MODEL_TO_ENCODING, encoding_name_for_model

from headgate.catalog.families import STRANGER, Pictures, family

OURS = ("cl100k_base", "o200k_base")


@pytest.mark.parametrize("model", [name for name, encoding in MODEL_TO_ENCODING.items() if encoding in OURS])
def test_vocabularies_are_those_that_tiktoken_names(model):
    """Each model that tiktoken knows with a vocabulary of ours has it here, and surely."""
    assert (family(model).encoding, family(model).sure) == (MODEL_TO_ENCODING[model], True)


@pytest.mark.parametrize(
    "model",
    [
        "o1-2024-12-17", "o3-pro", "o4-mini-2025-04-16", "gpt-5-mini", "gpt-5.1", "gpt-5.6-sol", "gpt-4.5-preview",
        "gpt-4.1-nano-2025-04-14", "chatgpt-4o-latest", "gpt-4o-mini", "gpt-4-0613", "gpt-4-32k", "gpt-3.5-turbo-16k",
        "gpt-35-turbo-16k",
    ],
)  # fmt: skip
def test_dated_and_further_models_too(model):
    """What tiktoken tells by the beginning of a name is the same here."""
    assert family(model).encoding == encoding_name_for_model(model)
    assert family(model).sure


@pytest.mark.parametrize(
    ("model", "like"),
    [
        ("openai/gpt-4o-2024-08-06", "gpt-4o"),
        ("ft:gpt-4.1-mini:acme::x", "gpt-4.1-mini"),
        ("azure/gpt-4-0613", "gpt-4"),
        ("ft:gpt-3.5-turbo-0125:acme::x", "gpt-3.5-turbo"),
    ],
)
def test_providers_dates_and_tuning_do_not_matter(model, like):
    """A name leads to the family of its base."""
    assert family(model) is family(like)
    assert family(model).sure


def test_what_nobody_published_is_a_guess():
    """GPT-6 and strangers are counted by the newest vocabulary, and it is said that this is a guess."""
    assert (family("gpt-6-luna").encoding, family("gpt-6-luna").sure) == ("o200k_base", False)
    assert (family("gpt-6.2-sol").encoding, family("gpt-6.2-sol").sure) == ("o200k_base", False)
    for model in ("claude-opus-5-5", "gemini-4-argon", "llama", "", "gpt-4omega", "gpt-60", "o10", "x" * 10_000):
        assert family(model) is STRANGER


@pytest.mark.parametrize(
    ("model", "rule"),
    [
        ("gpt-4o", Pictures(base=85, tile=170)),
        ("gpt-4.1", Pictures(base=85, tile=170)),
        ("gpt-4o-mini", Pictures(base=2833, tile=5667)),
        ("gpt-4.1-mini", Pictures(factor=162)),
        ("gpt-5", Pictures(base=70, tile=140)),
        ("gpt-5.4", Pictures(base=70, tile=140)),
        ("gpt-6-sol", Pictures(factor=120, most=2450, most_uncut=12000)),
    ],
)
def test_pictures(model, rule):
    """Each family has its rule."""
    assert family(model).pictures == rule
