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
    assert for_the_gate({}) == {"tags": {}, "timeout": None, "priority": 5, "idempotency_key": None}
    kept = {"tags": {"team": "a"}, "timeout": 3.0, "priority": 0, "idempotency_key": "k"}
    assert for_the_gate({**kept, "user": "u"}) == kept


def test_each_part_of_a_question_has_a_name_of_its_own():
    """Or the second one would be another request under the first one's name."""
    assert [for_the_gate({"idempotency_key": "k"}, part)["idempotency_key"] for part in range(3)] == ["k", "k#1", "k#2"]


@pytest.mark.parametrize("key", ["", "k" * 256, "caf\u00e9", "a\nb", 7])
def test_a_name_that_is_none(key):
    """As in a header."""
    with pytest.raises(BadRequestError) as caught:
        for_the_gate({"idempotency_key": key})
    assert "idempotency" in caught.value.param


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
