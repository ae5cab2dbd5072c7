"""What is known of models: the shipped facts, the user's, and the names that lead to them."""

import subprocess
import sys
import timeit
from datetime import date, timedelta

import pytest

from headgate.catalog.models import CAPABILITIES, MOST, Catalog, Own
from headgate.core.call import Operation
from headgate.providers.simulator.models import MODELS

TODAY = date(2026, 11, 20)
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


@pytest.fixture(scope="module")
def catalog():
    """The shipped facts."""
    return Catalog()


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("o3-mini-2025-01-31", "o3-mini"),
        ("ft:gpt-4.1-mini:acme::x", "gpt-4.1-mini"),
        ("openai/gpt-6-luna", "gpt-6-luna"),
        ("gpt-5.6", "gpt-5.6-sol"),
        ("azure/gpt-35-turbo", "gpt-3.5-turbo"),
        ("models/gemini-4-argon", "gemini-4-argon"),
        # A snapshot of which other things are true is a model of its own.
        ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
    ],
)
def test_names_find_their_base(catalog, name, id_):
    """Dated, tuned and prefixed names lead to the model that they mean."""
    assert catalog.find(name).id == id_


@pytest.mark.parametrize("name", ["", "gpt-6-lunar", "someone/gpt-6-luna", "llama", "x" * 5000, "gpt-6-luna\n", "ft:"])
def test_of_others_nothing_is_known(catalog, name):
    """And nothing is guessed."""
    assert catalog.find(name) is None


def test_an_azure_deployment_is_what_the_user_says_it_is():
    """The user's name, the base's facts, and what the user knows better; the shipped model stays as it is."""
    catalog = Catalog({"prod-chat": Own(base="gpt-4.1-mini", max_output=1000), "gpt-4o": Own(context=9)})
    found = catalog.find("prod-chat")
    assert (found.id, found.base, found.max_output, found.context) == ("prod-chat", "gpt-4.1-mini", 1000, 1_047_576)
    assert found.retires == date(2027, 1, 14)
    assert catalog.find("azure/prod-chat") == found
    assert catalog.find("gpt-4.1-mini").max_output == 32_768
    assert (catalog.find("gpt-4o-2024-08-06").context, catalog.find("gpt-4o").max_output) == (9, 16_384)
    assert [model.id for model in catalog.all()[:2]] == ["prod-chat", "gpt-4o"]
    assert len(catalog.all()) == len(Catalog().all()) + 1


def test_a_model_of_the_users_own():
    """Known by nobody else: what is not said is not known, and is no reason to refuse anything."""
    catalog = Catalog({"house-llama": Own(context=32_768, capabilities=frozenset({"tools"}))})
    found = catalog.find("house-llama")
    assert (found.base, found.maker, found.context, found.max_output) == (None, "", 32_768, None)
    assert (found.can("tools"), found.can("vision"), found.takes("chat")) == (True, False, None)
    assert not found.retired(date(2999, 1, 1))
    assert not found.reasons


def test_the_rules_of_a_reasoning_model(catalog):
    """What OpenAI's documentation says of it, in our words."""
    luna, astra, five = catalog.find("gpt-6-luna"), catalog.find("gpt-6-astra"), catalog.find("gpt-5.1")
    assert luna.efforts == ("none", "low", "medium", "high", "xhigh", "max")
    assert (luna.default_effort, luna.sampling, luna.chat_tools, luna.stop) == (
        "medium", "without_reasoning", "without_reasoning", 0,
    )  # fmt: skip
    assert (astra.efforts[0], astra.sampling, astra.chat_tools) == ("low", "never", "no")
    assert (five.default_effort, five.sampling) == ("none", "without_reasoning")
    assert catalog.find("gpt-5.6-sol").chat_efforts[-1] == "xhigh"
    assert "max_tokens" in luna.refuses
    assert "prompt_cache_options" in five.refuses
    assert "prompt_cache_options" not in luna.refuses
    assert catalog.find("gpt-4.1").sampling == "always"
    assert catalog.find("gpt-5.5-pro").takes("chat") is False
    assert catalog.find("gpt-5.5-pro").takes("responses") is True


@pytest.mark.parametrize(
    ("name", "context", "max_output"),
    [
        ("gpt-6-luna", 1_050_000, 128_000),
        ("gpt-5.5", 1_050_000, 128_000),
        ("gpt-5.4-mini", 400_000, 128_000),
        ("gpt-5-pro", 400_000, 272_000),
        ("gpt-4.1", 1_047_576, 32_768),
        ("o3", 200_000, 100_000),
        ("gpt-4o", 128_000, 16_384),
        ("claude-opus-5-5", 1_000_000, 128_000),
        ("text-embedding-3-small", 8192, None),
    ],
)
def test_limits(catalog, name, context, max_output):
    """The context holds input and output, whichever way the sources count."""
    found = catalog.find(name)
    assert (found.context, found.max_output) == (context, max_output)


def test_every_shipped_fact_is_sound(catalog):
    """Successors and aliases lead to models, words are words, limits fit, and nobody is both gone and a successor."""
    facts = catalog.facts
    assert facts.date == TODAY
    assert len(facts.models) > 150
    known = {operation.value for operation in Operation}
    for name, model in facts.models.items():
        assert name == model.id
        assert model.maker in {"openai", "anthropic", "google"}
        assert (model.capabilities or frozenset()) <= CAPABILITIES
        assert (model.operations or frozenset()) <= known
        assert list(model.efforts) == [effort for effort in EFFORTS if effort in model.efforts]
        assert set(model.chat_efforts or ()) <= set(model.efforts)
        assert model.default_effort is None or model.default_effort in model.efforts
        assert model.reasons == bool(model.efforts)
        assert model.default_max_output is None or 0 < model.default_max_output <= model.max_output
        assert (model.max_input or 0) <= (model.context or 0)
        assert model.source
        if model.successor is not None:
            assert model.retires is not None
            assert not facts.models[model.successor].retired(model.retires)
    assert all(name in facts.models for name in facts.aliases.values())
    assert set(facts.sources) >= {letter for model in facts.models.values() for letter in model.source.split(", ")}
    assert all(line.source and line.tiers["standard"] for line in facts.prices.values())


@pytest.mark.parametrize(
    ("name", "successor"),
    [
        ("gpt-4", "gpt-6-sol"),
        ("gpt-3.5-turbo", "gpt-6-luna"),
        ("o3-mini", "gpt-5.6-terra"),
        ("gpt-4-vision-preview", "gpt-6-sol"),
        ("dall-e-3", "gpt-image-2"),
    ],
)
def test_what_is_gone_names_its_successor(catalog, name, successor):
    """Names of older guides, gone today, each with a model that lives."""
    found = catalog.find(name)
    assert found.retired(TODAY)
    assert found.successor == successor
    assert not catalog.find(successor).retired(TODAY)


def test_a_model_is_gone_on_its_day_and_not_before(catalog):
    """The date is the first day without an answer."""
    five = catalog.find("gpt-5-2025-08-07")
    assert five.retires == date(2026, 12, 11)
    assert not five.retired(five.retires - timedelta(days=1))
    assert five.retired(five.retires)


def test_the_simulator_says_the_same(catalog):
    """Its own list was written by hand; efforts, defaults, tools and dates agree with the catalog's."""
    for name, theirs in MODELS.items():
        ours = catalog.find(name)
        if theirs.serves != "talk":
            continue
        assert ours.efforts == theirs.efforts, name
        assert (ours.default_effort or "none") == theirs.default, name
        tools = {"yes": "yes", "unless reasoning": "without_reasoning", "no": "no"}[theirs.chat_tools]
        assert ours.chat_tools == tools, name
        assert ("max" in (ours.chat_efforts or ours.efforts)) == ("max" in theirs.efforts and theirs.chat_max), name
        assert (None if ours.retires is None else ours.retires.isoformat()) == theirs.shutdown, name


def test_hostile_names_cannot_fill_the_memory():
    """Thousands of made-up names: what is remembered stays bounded, and long ones are not remembered at all."""
    catalog = Catalog()
    for number in range(3 * MOST):
        assert catalog.find(f"made-up-{number}") is None
        assert catalog.find(f"{number}" + "x" * 100_000 if number < 10 else "y") is None
    assert len(catalog._known) <= MOST
    assert max(map(len, catalog._known)) < 300
    assert catalog.find("gpt-6-luna").id == "gpt-6-luna"


def test_a_known_name_is_found_within_a_microsecond(catalog):
    """The hot path looks into a dictionary. The bound is generous, as the machine may be busy."""
    catalog.find("gpt-6-luna")
    best = min(timeit.repeat(lambda: catalog.find("gpt-6-luna"), number=5000, repeat=5)) / 5000
    assert best < 3e-6


def test_nothing_is_read_before_it_is_needed():
    """Importing headgate imports nothing of it, and making a catalog reads no facts."""
    code = (
        "import sys, headgate; assert 'headgate.catalog.models' not in sys.modules\n"
        "from headgate.catalog.models import Catalog; assert Catalog()._facts is None"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
