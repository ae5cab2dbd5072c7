"""One line of the books before it is written."""

from headgate.core.attempt import Attempt, Settled


def test_an_attempt_begins_open():
    """Nothing is known of it yet, and nothing was sent."""
    attempt = Attempt(1, "p", "m")
    assert (attempt.number, attempt.provider, attempt.model, attempt.sent) == (1, "p", "m", False)
    assert attempt.headers == {}
    rest = set(Attempt.__slots__) - {"number", "provider", "model", "sent", "headers"}
    assert {getattr(attempt, name) for name in rest} == {None, ()}


def test_an_attempt_shows_how_it_stands():
    """For whoever looks at it in a debugger."""
    attempt = Attempt(2, "p", "m")
    assert repr(attempt) == "<Attempt 2 p/m open>"
    attempt.settled = Settled.BILLED
    assert repr(attempt) == "<Attempt 2 p/m billed>"
