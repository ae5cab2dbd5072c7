"""Who may call."""

import hashlib
from datetime import UTC, date, datetime

import pytest

from headgate.core.call import ANONYMOUS
from headgate.core.errors import InvalidKeyError
from headgate.gate.config import Config, Key
from headgate.server.auth import Anyone, Keys, door


class At:
    """A clock that stands still."""

    def __init__(self, moment: str = "2027-01-01T00:00:00") -> None:
        self.now = datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()

    def time(self) -> float:
        """The moment."""
        return self.now


def _key(value: str, **facts) -> Key:
    return Key(sha256=hashlib.sha256(value.encode()).hexdigest(), **{"name": "web", **facts})


def _keys(clock=None, **facts) -> Keys:
    return Keys([_key("hg-one", **facts), _key("hg-two", name="other")], clock or At())


def test_a_key_makes_its_caller():
    """The caller has the key's name, project, models and tags, and is made once."""
    keys = _keys(project="p", models=["a", "b"], tags={"team": "x"})
    caller = keys.caller({b"authorization": b"Bearer hg-one"})
    assert caller.key == "web"
    assert caller.project == "p"
    assert caller.models == frozenset({"a", "b"})
    assert caller.tags == {"team": "x"}
    assert keys.caller({b"authorization": b"Bearer hg-one"}) is caller
    assert keys.caller({b"authorization": b"Bearer hg-two"}).key == "other"


@pytest.mark.parametrize(
    "head",
    [
        {b"authorization": b"bearer hg-one"},
        {b"authorization": b"BEARER   hg-one "},
        {b"api-key": b"hg-one"},
        {b"x-api-key": b" hg-one "},
        {b"authorization": b"Bearer hg-one", b"api-key": b"nonsense"},
    ],
)
def test_a_key_may_stand_where_sdks_put_it(head):
    """As a bearer token, whatever the case of the scheme, or in `api-key` or `x-api-key`."""
    assert _keys().caller(head).key == "web"


@pytest.mark.parametrize(
    "head",
    [
        {},
        {b"authorization": b""},
        {b"authorization": b"Bearer"},
        {b"authorization": b"Bearer "},
        {b"authorization": b"Bearer hg-none"},
        {b"authorization": b"Bearer hg-one x"},
        {b"authorization": b"Bearer hg-one,Bearer hg-one"},
        {b"authorization": b"Basic hg-one"},
        {b"authorization": b"hg-one"},
        {b"authorization": b"Bearer HG-ONE"},
        {b"authorization": b"Bearer \xff\xfe"},
        {b"authorization": b"Basic eDp5", b"api-key": b"hg-one"},
        {b"api-key": b""},
        {b"api-key": b"hg-one hg-one"},
        {b"api-key": b"hg-one,hg-one"},
    ],
)
def test_anything_else_is_refused(head):
    """No key, a malformed one, an unknown one and two at once are all 401."""
    with pytest.raises(InvalidKeyError) as caught:
        _keys().caller(head)
    assert caught.value.http_status == 401
    assert "hg-one" not in str(caught.value)


def test_a_hash_is_no_key():
    """Whoever reads the configuration cannot call with what it holds."""
    digest = hashlib.sha256(b"hg-one").hexdigest()
    for value in (digest.encode(), bytes.fromhex(digest)):
        with pytest.raises(InvalidKeyError):
            _keys().caller({b"authorization": b"Bearer " + value})


def test_a_key_works_through_its_last_day():
    """`expires` is the last day on which it works, by UTC; then it is refused, and told why."""
    last = date(2027, 1, 15)
    head = {b"api-key": b"hg-one"}
    assert _keys(At("2027-01-15T23:59:59"), expires=last).caller(head).key == "web"
    with pytest.raises(InvalidKeyError, match="expired"):
        _keys(At("2027-01-16T00:00:00"), expires=last).caller(head)


@pytest.mark.parametrize(
    ("host", "auth", "open_to_all"),
    [
        ("127.0.0.1", None, True),
        ("::1", None, True),
        ("localhost", None, True),
        ("0.0.0.0", None, False),  # noqa: S104  the address in question
        ("example.com", None, False),
        ("127.0.0.1", "keys", False),
        ("0.0.0.0", "none", True),  # noqa: S104  ditto
    ],
)
def test_only_loopback_is_open_by_default(host, auth, open_to_all):
    """Without `server.auth`, anybody may call on loopback and holders of keys elsewhere."""
    config = Config.model_validate({"server": {"host": host, **({"auth": auth} if auth else {})}})
    assert isinstance(door(config, At()), Anyone if open_to_all else Keys)


def test_anyone_is_nobody_in_particular():
    """Where no key is needed, one that is sent changes nothing."""
    assert Anyone().caller({b"authorization": b"Bearer whatever"}) is ANONYMOUS
