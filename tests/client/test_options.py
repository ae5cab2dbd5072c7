"""What a call may say beside its question."""

import pytest

from headgate.client.options import Options, Wishes, check, for_the_gate
from headgate.core.errors import BadRequestError


def test_any_call_may_say_the_same():
    """What `Wishes` names, `Options` names too."""
    check(dict.fromkeys(Wishes.__annotations__), Wishes)
    check(dict.fromkeys(Wishes.__annotations__), Options)
    check({}, Wishes)


def test_an_unknown_option_is_named():
    """With those that there are."""
    with pytest.raises(BadRequestError, match="no option 'modle'") as caught:
        check({"tags": {}, "modle": "m"}, Options)
    assert caught.value.param == "modle"
    assert "max_tokens" in caught.value.hint
    with pytest.raises(BadRequestError, match="no option 'system'"):
        check({"system": "Be brief."}, Wishes)


def test_what_the_gate_keeps():
    """Tags, time and priority; five where nobody says anything."""
    assert for_the_gate({}) == {"tags": {}, "timeout": None, "priority": 5}
    given = {"tags": {"team": "a"}, "timeout": 3.0, "priority": 0, "user": "u"}
    assert for_the_gate(given) == {"tags": {"team": "a"}, "timeout": 3.0, "priority": 0}


@pytest.mark.parametrize("priority", [-1, 10, 2.5, "high"])
def test_a_priority_that_is_none(priority):
    """Is refused with its value."""
    with pytest.raises(BadRequestError, match="`priority` is") as caught:
        for_the_gate({"priority": priority})
    assert caught.value.param == "priority"


def test_a_tag_that_is_none():
    """As in a header."""
    with pytest.raises(BadRequestError):
        for_the_gate({"tags": {"Team": "a"}})
