"""Lists, a page at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.providers.simulator.paging import asked, page, true_or_false, whole_number
from headgate.providers.simulator.problem import Problem

FIVE = [{"id": name} for name in "abcde"]


def ids(wish):
    """The ids of a page."""
    return "".join(row["id"] for row in page(FIVE, wish)["data"])


def test_a_query_is_read():
    """With escapes, empty values, and the last of two."""
    assert asked("a=1&b=&a=2&after=file%2D1") == {"a": "2", "b": "", "after": "file-1"}
    assert asked("") == {}


def test_pages():
    """Newest first unless asked otherwise; the cursor is the last id seen."""
    assert ids({}) == "edcba"
    assert ids({"order": "asc"}) == "abcde"
    assert ids({"limit": "2"}) == "ed"
    assert ids({"limit": "2", "after": "d"}) == "cb"
    assert ids({"after": "a"}) == ""
    shown = page(FIVE, {"limit": "2", "order": "asc", "after": "a"})
    assert (shown["object"], shown["first_id"], shown["last_id"], shown["has_more"]) == ("list", "b", "c", True)
    empty = page([], {})
    assert (empty["data"], empty["first_id"], empty["last_id"], empty["has_more"]) == ([], None, None, False)


@given(st.integers(1, 7), st.sampled_from(["asc", "desc"]))
def test_walking_the_pages_meets_everything_once(limit, order):
    """However large the pages are."""
    seen, wish = [], {"limit": str(limit), "order": order}
    while True:
        shown = page(FIVE, wish)
        seen += [row["id"] for row in shown["data"]]
        if not shown["has_more"]:
            break
        wish["after"] = shown["last_id"]
    assert "".join(seen) == ("abcde" if order == "asc" else "edcba")


@pytest.mark.parametrize(
    ("wish", "code", "param"),
    [
        ({"limit": "0"}, "integer_below_min_value", "limit"),
        ({"limit": "-3"}, "integer_below_min_value", "limit"),
        ({"limit": "101"}, "integer_above_max_value", "limit"),
        ({"limit": "many"}, "invalid_type", "limit"),
        ({"limit": "9" * 5000}, "invalid_type", "limit"),
        ({"limit": ""}, "invalid_type", "limit"),
        ({"order": "up"}, "invalid_value", "order"),
        ({"after": "z"}, "invalid_value", "after"),
    ],
    ids=str,
)
def test_refusals(wish, code, param):
    """Each names its field."""
    with pytest.raises(Problem) as caught:
        page(FIVE, wish)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, param)


def test_fields():
    """Numbers and truth values; what is not there is the usual."""
    assert (whole_number({"n": "-1"}, "n"), whole_number({}, "n")) == (-1, None)
    assert true_or_false({"b": "true"}, "b", usual=False)
    assert not true_or_false({"b": "false"}, "b", usual=True)
    assert true_or_false({}, "b", usual=True)
    with pytest.raises(Problem, match="'b'"):
        true_or_false({"b": "1"}, "b", usual=True)
