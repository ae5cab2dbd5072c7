"""Where a key stands, and what opens the door."""

import hashlib

import pytest

from headgate.core.call import ANONYMOUS
from headgate.core.errors import InvalidKeyError, NotAllowedError
from headgate.core.secret import Secret
from headgate.gate.config import Config, Key
from headgate.gate.keyring import Keyring
from headgate.server.auth import Anyone, Keys, check_admin, door
from headgate.stores.keys import KeyBook
from headgate.stores.sqlite import SqliteLedger
from headgate.testing import VirtualClock


def _key(value: str, **facts) -> Key:
    return Key(sha256=hashlib.sha256(value.encode()).hexdigest(), **{"name": "web", **facts})


def _keyring() -> Keyring:
    keys = [_key("hg-one"), _key("hg-two", name="other")]
    return Keyring(keys, KeyBook(SqliteLedger(":memory:")), VirtualClock())


def _keys() -> Keys:
    return Keys(_keyring())


@pytest.mark.parametrize(
    "head",
    [
        {b"authorization": b"Bearer hg-one"},
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


WRONG = [
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
]


@pytest.mark.parametrize("head", WRONG)
def test_anything_else_is_refused(head):
    """No key, a malformed one, an unknown one and two at once are all 401, and say what to send."""
    with pytest.raises(InvalidKeyError) as caught:
        _keys().caller(head)
    assert caught.value.http_status == 401
    assert "hg-one" not in str(caught.value)
    assert "Authorization: Bearer hg-" in caught.value.hint


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
    assert isinstance(door(config, _keyring()), Anyone if open_to_all else Keys)


def test_anyone_is_nobody_in_particular():
    """Where no key is needed, one that is sent changes nothing."""
    assert Anyone().caller({b"authorization": b"Bearer whatever"}) is ANONYMOUS


def test_the_admin_key_opens_the_admin_routes():
    """Wherever a key may stand."""
    for head in ({b"authorization": b"Bearer hg-one"}, {b"x-api-key": b"hg-one"}):
        check_admin(Secret("hg-one"), head)


@pytest.mark.parametrize("head", WRONG)
def test_any_other_key_does_not(head):
    """401, with the name of the setting and never its value."""
    with pytest.raises(InvalidKeyError) as caught:
        check_admin(Secret("hg-one"), head)
    assert "hg-one" not in str(caught.value)
    assert "`server.admin_key`" in caught.value.hint


@pytest.mark.parametrize("head", [*WRONG, {b"authorization": b"Bearer hg-one"}])
def test_without_an_admin_key_nobody_gets_in(head):
    """403 that names the setting: not even an empty key opens."""
    with pytest.raises(NotAllowedError, match="closed") as caught:
        check_admin(Secret(""), head)
    assert caught.value.http_status == 403
    assert "`server.admin_key`" in caught.value.hint
