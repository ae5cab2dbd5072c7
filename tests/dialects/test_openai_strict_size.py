"""How large a strict schema may be."""

import pytest

from headgate.core.errors import BadRequestError
from headgate.dialects.openai_strict import strict


def obj(**properties):
    """An object's schema."""
    return {"type": "object", "properties": properties}


def chain(levels):
    """So many objects inside each other, each a definition of its own."""
    definitions = {f"L{at}": obj(x={"$ref": f"#/$defs/L{at + 1}"}) for at in range(1, levels)}
    definitions[f"L{levels}"] = obj(x={"type": "null"})
    return definitions["L1"] | {"$defs": definitions}


def nested(levels):
    """The same, written into each other."""
    found = obj(x={"type": "null"})
    for _ in range(levels - 1):
        found = obj(x=found)
    return found


NULL = {"type": "null"}


@pytest.mark.parametrize(
    ("fits", "too_large", "said"),
    [
        (nested(10), nested(11), "10 levels"),
        (chain(10), chain(11), "10 levels"),
        (obj(**{f"p{n}": NULL for n in range(5000)}), obj(**{f"p{n}": NULL for n in range(5001)}), "5,000 properties"),
        (
            obj(x={"enum": list(range(1000))}),
            obj(x={"enum": list(range(999))}, y={"enum": ["a", "b"]}),
            "1,000 values",
        ),
        (
            obj(x={"enum": [f"{n:050}" for n in range(250)]}),
            obj(x={"enum": [f"{n:060}" for n in range(251)]}),
            "251 texts of 15060",
        ),
        (obj(x={"const": "a" * 119_999}), obj(x={"const": "a" * 120_000}), "120,000 characters"),
    ],
    ids=["nested", "by reference", "properties", "choices", "long choice", "characters"],
)
def test_each_limit(fits, too_large, said):
    """Up to it all is well; beyond it nothing is sent, and the place is named."""
    strict(fits)
    with pytest.raises(BadRequestError, match=said) as caught:
        strict(too_large)
    assert caught.value.param
    assert caught.value.hint


def test_recursion_is_not_depth():
    """What refers to itself is as deep as it is written."""
    node = obj(child={"anyOf": [{"$ref": "#"}, NULL]}, other={"$ref": "#/$defs/A"})
    strict(node | {"$defs": {"A": obj(b={"$ref": "#/$defs/B"}), "B": obj(a={"type": "array", "items": {"$ref": "#"}})}})


def test_many_references_take_no_time():
    """Each definition is walked once, however many ways lead to it."""
    definitions = {f"D{n}": {"anyOf": [{"$ref": f"#/$defs/D{n + 1}"}] * 9} for n in range(30)}
    definitions["D30"] = NULL
    strict(obj(x={"$ref": "#/$defs/D0"}) | {"$defs": definitions})


def test_a_long_chain_of_definitions_is_refused():
    """No recursion error."""
    with pytest.raises(BadRequestError, match="levels"):
        strict(chain(3000))
