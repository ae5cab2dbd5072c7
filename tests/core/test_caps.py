"""Covers core/caps.py."""

import pytest

from headgate.core.body import Body
from headgate.core.caps import Caps, Fields, caps, fields, is_plain, known, read_before, with_cap


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        (b"", Caps(None, 1)),
        (b'"max_tokens": 7', Caps(7, 1)),
        (b'"max_output_tokens": 7', Caps(7, 1)),
        (b'"max_tokens": 7, "max_completion_tokens": 9', Caps(9, 1)),
        (b'"max_completion_tokens": null, "max_tokens": 7, "n": 3', Caps(7, 3)),
    ],
)
def test_the_bounds_of_a_request(fields, found):
    """Whichever name the dialect has for it; the newer name wins, as it does at the provider."""
    assert caps(Body(b"{%s}" % fields)) == found


@pytest.mark.parametrize("value", [b"0", b"-1", b"1.5", b"true", b'"9"', b"[9]", b"{}", b"null"])
def test_what_is_no_number_of_tokens_bounds_nothing(value):
    """The provider will say what is wrong with it."""
    assert caps(Body(b'{"max_tokens": %s, "n": %s}' % (value, value))) == Caps(None, 1)


def test_more_choices_than_there_can_be_are_not_believed():
    """A request for a million choices is refused by the provider, not planned for by us."""
    assert caps(Body(b'{"n": 128}')).choices == 128
    assert caps(Body(b'{"n": 129}')).choices == 1


def test_what_a_door_has_read_is_not_read_again():
    """The fields that came with the door's own are the body's, without another look at its bytes."""
    told = Fields(max_tokens=7, n=3)
    assert caps(known(b"never looked at", told)) == Caps(7, 3)
    assert caps(known(b'{"max_tokens": 9}', None)) == Caps(9, 1)


def test_a_cap_is_added_and_the_rest_stays_known():
    """Nothing is read again, and what is known is what would be read."""
    body = known(b'{"n":2,"max_tokens":null}', Fields(n=2, max_tokens=None), plain=True)
    capped = with_cap(body, "max_completion_tokens", 9)
    assert capped.raw == b'{"max_completion_tokens":9,"n":2,"max_tokens":null}'
    assert read_before(capped) == fields(Body(capped.raw)) == Fields(n=2, max_tokens=None, max_completion_tokens=9)
    assert is_plain(capped)
    assert not is_plain(Body(capped.raw))
    assert read_before(Body(capped.raw)) is None
