"""Covers catalog/abilities.py: what a target is known not to be able to do."""

import pytest

from headgate.catalog.abilities import Abilities, larger
from headgate.catalog.models import CAPABILITIES, Catalog, Model, Own
from headgate.core.call import Operation

OWN = {"mine": Own(base="gpt-4.1-mini"), "house": Own(capabilities=frozenset(("tools",))), "mute": Own(context=9)}
ABILITIES = Abilities(Catalog(OWN | {"idle": Own(capabilities=frozenset())}), ("openai",))


def test_a_name_says_something_at_its_maker_or_where_the_user_says_so():
    """Elsewhere a server calls its models what it likes."""
    assert ABILITIES.known("openai", "gpt-4o").id == "gpt-4o"
    assert ABILITIES.known("vllm", "gpt-4o") is None
    assert ABILITIES.known("vllm", "mine").base == "gpt-4.1-mini"
    assert ABILITIES.known("openai", "who-knows") is None


def test_what_nobody_knows_is_no_lack():
    """No facts, or none of that kind."""
    assert ABILITIES.lacks(None, Operation.CHAT) == frozenset()
    assert ABILITIES.lacks(ABILITIES.known("vllm", "mute"), Operation.CHAT) == frozenset()


def test_what_is_not_in_the_list_is_lacking():
    """But streaming, which nobody thinks of who lists what a model can; an empty list says that it can do nothing."""
    house, idle = ABILITIES.known("vllm", "house"), ABILITIES.known("vllm", "idle")
    assert ABILITIES.lacks(house, Operation.CHAT) == CAPABILITIES - {"tools", "streaming"}
    assert ABILITIES.lacks(idle, Operation.CHAT) == CAPABILITIES
    assert "streaming" in ABILITIES.lacks(ABILITIES.known("openai", "gpt-5-pro"), Operation.RESPONSES)


def test_tools_are_lacking_where_the_api_has_them_not():
    """By Chat Completions, not by Responses."""
    astra = ABILITIES.known("openai", "gpt-6-astra")
    assert "tools" in ABILITIES.lacks(astra, Operation.CHAT)
    assert "tools" not in ABILITIES.lacks(astra, Operation.RESPONSES)


SMALL, LARGE, STRANGER = Model(id="small", context=8000), Model(id="large", context=9000), Model(id="stranger")
SQUEEZED = Model(id="squeezed", context=10_000, max_input=8500)


@pytest.mark.parametrize(
    ("model", "name", "than", "than_name", "may"),
    [
        (LARGE, "large", SMALL, "small", True),
        (SMALL, "small", LARGE, "large", False),
        (SQUEEZED, "s", LARGE, "large", False),
        (SQUEEZED, "s", SMALL, "small", True),
        (Model(id="twin", context=8000), "twin", SMALL, "small", False),
        (Model(id="cut", context=100, max_input=900_000), "cut", SMALL, "small", False),
        (STRANGER, "stranger", LARGE, "large", True),
        (LARGE, "large", STRANGER, "stranger", True),
        (STRANGER, "a", STRANGER, "b", False),
        (None, "a", None, "b", True),
        (None, "a", None, "a", False),
        (LARGE, "large", None, "a", True),
    ],
)
def test_larger_is_whatever_is_not_known_to_be_no_larger(model, name, than, than_name, may):
    """The same model is not, whatever it is called."""
    assert larger(model, name, than, than_name) is may
