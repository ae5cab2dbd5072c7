"""What a call may say beside its question."""

import pytest

from headgate.client.options import Options, Wishes, check, for_the_gate
from headgate.core.errors import BadRequestError
from headgate.core.wish import Wish


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
    assert for_the_gate({}) == {"tags": {}, "timeout": None, "priority": 5, "idempotency_key": None, "cache": None}
    kept = {"tags": {"team": "a"}, "timeout": 3.0, "priority": 0, "idempotency_key": "k", "cache": None}
    assert for_the_gate({**kept, "user": "u"}) == kept


@pytest.mark.parametrize(
    ("given", "wish"),
    [
        ({"cache": True}, Wish(on=True)),
        ({"cache": False}, Wish(on=False)),
        ({"cache": "refresh, ttl=1h"}, Wish(on=True, refresh=True, ttl=3600.0)),
        ({"cache_key": "creative:cars"}, Wish(on=True, key="creative:cars")),
        ({"cache_key": "k", "cache": "ttl=60"}, Wish(on=True, ttl=60.0, key="k")),
        ({"cache_key": "k", "cache": False}, Wish(on=False, key="k")),
    ],
)
def test_what_is_wanted_of_the_cache(given, wish):
    """As in the header, or by truth; a key of one's own switches it on."""
    assert for_the_gate(given)["cache"] == wish


@pytest.mark.parametrize("given", [{"cache": 5}, {"cache": "never"}, {"cache_key": ""}, {"cache_key": 5}])
def test_what_cannot_be_wanted_of_the_cache(given):
    """Is refused with its value."""
    with pytest.raises(BadRequestError, match="cache"):
        for_the_gate(given)


def test_each_part_of_a_question_has_an_answer_of_its_own():
    """Or the second portion of texts would get the vectors of the first."""
    found = [for_the_gate({"cache_key": "k"}, part)["cache"].key for part in range(2)]
    assert found == ["k", "k#1"]


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
