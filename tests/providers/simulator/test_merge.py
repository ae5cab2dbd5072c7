"""Two schemas at once."""

from headgate.providers.simulator.merge import merge


def test_bounds_narrow():
    """The narrower bound of both holds."""
    one = {"minimum": 1, "maximum": 9, "minLength": 2, "maxItems": 5}
    other = {"minimum": 3, "maximum": 12, "minLength": 1, "maxItems": 4}
    assert merge(one, other) == {"minimum": 3, "maximum": 9, "minLength": 2, "maxItems": 4}


def test_types_meet():
    """What both allow is left; nothing left is False; an integer is a number."""
    assert merge({"type": ["string", "null"]}, {"type": "string"}) == {"type": ["string"]}
    assert merge({"type": "integer"}, {"type": ["number", "string"]}) == {"type": ["integer"]}
    assert merge({"type": "string"}, {"type": "integer"}) is False


def test_true_and_false():
    """True adds nothing, False leaves nothing."""
    assert merge(True, {"type": "null"}) == {"type": "null"}
    assert merge({"type": "null"}, True) == {"type": "null"}
    assert merge({}, False) is False


def test_lists_join_and_enums_meet():
    """Required names add up; values that both list are left; multiples have a common multiple."""
    assert merge({"required": ["a"]}, {"required": ["b", "a"]}) == {"required": ["a", "b"]}
    assert merge({"enum": [1, 2, 3]}, {"enum": [3, 2]}) == {"enum": [2, 3]}
    assert merge({"multipleOf": 4}, {"multipleOf": 6}) == {"multipleOf": 12}
    assert merge({"multipleOf": 0.2}, {"multipleOf": 0.3}) == {"multipleOf": 0.6}
    assert merge({"prefixItems": [{"minimum": 1}]}, {"prefixItems": [{"minimum": 2}, {}]}) == {
        "prefixItems": [{"minimum": 2}, {}]
    }


def test_properties_of_one_are_additional_to_the_other():
    """A property that the other forbids is False; one that both know is both."""
    closed = {"properties": {"a": {"type": "string"}}, "additionalProperties": False}
    merged = merge(closed, {"properties": {"a": {"minLength": 2}, "b": {}}})
    assert merged["properties"] == {"a": {"type": "string", "minLength": 2}, "b": False}


def test_a_second_choice_is_kept_aside():
    """Two lists of branches cannot be one: the second is asked for in allOf."""
    assert merge({"anyOf": [1]}, {"anyOf": [2]}) == {"anyOf": [1], "allOf": [{"anyOf": [2]}]}
