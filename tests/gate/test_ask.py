"""The headers with which a caller asks for more than an answer."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.errors import BadRequestError
from headgate.core.wish import Wish
from headgate.gate import ask


def test_tags_are_pairs_in_order():
    """Tags are read in order; spaces around names and values do not belong to them."""
    assert ask.tags("team=a, feature = b c ,x-1_y=z=z") == {"team": "a", "feature": "b c", "x-1_y": "z=z"}


@pytest.mark.parametrize("value", ["", "   "])
def test_an_empty_header_is_no_tags(value):
    """A header without content asks for nothing."""
    assert ask.tags(value) == {}


@pytest.mark.parametrize(
    "value",
    [
        "team",
        "team=",
        "=a",
        "Team=a",
        "te am=a",
        "a=1,a=2",
        "a=1,",
        ",",
        "a=" + "x" * 257,
        "a" * 65 + "=1",
        "a=\x00",
        "a=b\x7f",
        ",".join(f"t{n}=1" for n in range(21)),
    ],
)
def test_a_wrong_tag_is_refused_by_name(value):
    """The error names the header, what was sent and the cure, and stays short."""
    with pytest.raises(BadRequestError) as caught:
        ask.tags(value)
    assert caught.value.param == "x-headgate-tags"
    assert "x-headgate-tags" in caught.value.message
    assert caught.value.hint
    assert len(caught.value.message) < 300


def test_the_limits_themselves_are_allowed():
    """Twenty tags, names of 64 and values of 256 characters pass."""
    assert len(ask.tags(",".join(f"t{n}=1" for n in range(20)))) == 20
    assert ask.tags("a" * 64 + "=" + "x" * 256) == {"a" * 64: "x" * 256}


@pytest.mark.parametrize(
    ("value", "seconds"), [("30s", 30.0), ("250ms", 0.25), ("2m", 120.0), ("1.5", 1.5), ("7d", 604800.0)]
)
def test_a_deadline_is_a_duration(value, seconds):
    """A number of seconds, or a number with a unit."""
    assert ask.deadline(value) == seconds


@pytest.mark.parametrize("value", ["", "0", "0s", "-1", "soon", "nan", "inf", "1e3", "8d", "9" * 400, "1 2"])
def test_a_wrong_deadline_is_refused(value):
    """Nothing, less than nothing, more than a week and words are refused with the cure."""
    with pytest.raises(BadRequestError, match="x-headgate-deadline") as caught:
        ask.deadline(value)
    assert "30s" in caught.value.hint


def test_a_priority_is_one_digit():
    """0 to 9, and nothing else."""
    assert [ask.priority(str(n)) for n in range(10)] == list(range(10))
    for value in ("", "10", "-1", "high", "5.0", "\u0665"):
        with pytest.raises(BadRequestError, match="x-headgate-priority"):
            ask.priority(value)


def test_an_idempotency_key_is_short_printable_ascii():
    """And is taken as it is, quotes included."""
    for value in ("k", '"8e03978e-40d5-43e8-bc93-6894a57f9324"', "a b", "~" * 255):
        assert ask.idempotency_key(value) == value
    for value in ("", "~" * 256, "caf\u00e9", "a\tb", "a\n"):
        with pytest.raises(BadRequestError, match="idempotency-key"):
            ask.idempotency_key(value)


@given(st.text())
def test_any_text_is_read_or_refused(value):
    """Whatever is sent, the answer is a value or a BadRequestError."""
    for read in (ask.tags, ask.deadline, ask.priority, ask.idempotency_key):
        with contextlib.suppress(BadRequestError):
            read(value)


def test_credentials_do_not_travel():
    """The headers that go upstream are few, and no key or cookie is among them."""
    assert not ask.TRAVELS & {"authorization", "api-key", "x-api-key", "cookie", "proxy-authorization", "host"}
    assert all(name == name.lower() for name in ask.TRAVELS)


def test_only_named_headers_travel():
    """Of all that a caller sends, only the listed headers go up, and never a line break with them."""
    assert ask.travelling({"openai-beta": "a=v2", "authorization": "Bearer hg-1", "cookie": "c=1"}) == {
        "openai-beta": "a=v2"
    }
    assert ask.travelling({}) == {}
    for value in ("a\r\nx-evil: 1", "caf\u00e9"):
        with pytest.raises(BadRequestError, match="openai-beta"):
            ask.travelling({"openai-beta": value})


@pytest.mark.parametrize(
    ("value", "wish"),
    [
        ("on", Wish(on=True)),
        (" OFF ", Wish(on=False)),
        ("refresh", Wish(on=True, refresh=True)),
        ("ttl=600", Wish(on=True, ttl=600.0)),
        ("ttl=1h", Wish(on=True, ttl=3600.0)),
        ("ttl=0.5, refresh", Wish(on=True, refresh=True, ttl=0.5)),
    ],
)
def test_what_is_wanted_of_the_cache(value, wish):
    """On, off, a new answer, or one that is not too old."""
    assert ask.cache(value) == wish


@pytest.mark.parametrize(
    "value",
    ["", "yes", "on,off", "off,refresh", "refresh,refresh", "ttl", "ttl=", "ttl=0", "ttl=-1", "ttl=nan", "ttl=1e9",
     "ttl=1,ttl=2", "on,ttl=5", "no-store"],
)  # fmt: skip
def test_what_cannot_be_wanted_of_the_cache(value):
    """Anything else is refused, and named."""
    with pytest.raises(BadRequestError, match="x-headgate-cache") as caught:
        ask.cache(value)
    assert caught.value.param == "x-headgate-cache"
