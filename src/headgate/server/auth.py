"""Who calls: where in a request a key stands, and whether it opens this door.

Decides whether a request may come in and on whose behalf; refuses to know what it wants and which keys are valid (the
gate's keyring does). A wrong key and an unknown one look the same, and cost the same.
"""

import hashlib
import hmac
from collections.abc import Mapping

from headgate.core.call import ANONYMOUS, Caller
from headgate.core.errors import InvalidKeyError, NotAllowedError
from headgate.core.secret import Secret
from headgate.gate.coherence import auth
from headgate.gate.config import Config
from headgate.gate.keyring import Keyring

Head = Mapping[bytes, bytes]
"""The headers of a request that the server reads; repeated ones are joined by commas."""

KEY_HEADERS = (b"authorization", b"api-key", b"x-api-key")
"""Where a key may stand: as the SDKs of OpenAI, Azure and Anthropic send it. The first one present counts."""


class Keys:
    """Holders of a key may call.

    Args:
        keyring: knows whose key is whose.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def caller(self, head: Head) -> Caller:
        """Whose key stands in the headers.

        Raises:
            InvalidKeyError: there is none, it is malformed or unknown, or it has expired.
        """
        return self._keyring.caller(_presented(head))


class Anyone:
    """No keys: whoever reaches the server may call."""

    def caller(self, _head: Head) -> Caller:
        """Nobody in particular."""
        return ANONYMOUS


def door(config: Config, keyring: Keyring) -> Keys | Anyone:
    """Who may call: `server.auth`, by default anyone on loopback and holders of keys elsewhere."""
    return Anyone() if auth(config) == "none" else Keys(keyring)


def check_admin(key: Secret, head: Head) -> None:
    """Let the holder of the admin key pass, and nobody else. It stands where other keys do.

    Args:
        key: the admin key; empty where none is configured.
        head: the headers of the request.

    Raises:
        NotAllowedError: there is no admin key.
        InvalidKeyError: none was sent, or another one.
    """
    if not key:
        hint = "Set `server.admin_key`, such as `${HEADGATE_ADMIN_KEY}`, and start the gateway again."
        raise NotAllowedError("The admin routes are closed: no admin key is configured.", hint=hint)
    hint = "Send `Authorization: Bearer …` with the value of `server.admin_key`."
    try:
        value = _presented(head)
    except InvalidKeyError as error:
        raise InvalidKeyError(error.message, hint=hint) from None
    # Of equal length, whatever was sent.
    sent, right = hashlib.sha256(value).digest(), hashlib.sha256(key.reveal().encode()).digest()
    if not hmac.compare_digest(sent, right):
        raise InvalidKeyError("This is not the admin key.", hint=hint)


def _presented(head: Head) -> bytes:
    for name in KEY_HEADERS:
        value = head.get(name)
        if value is None:
            continue
        words = value.split()
        if name == b"authorization":
            if len(words) != 2 or words[0].lower() != b"bearer":
                raise InvalidKeyError("The header `Authorization` does not hold one bearer token.")
            del words[0]
        if len(words) != 1:
            raise InvalidKeyError(f"The header `{name.decode()}` does not hold one key.")
        return words[0]
    raise InvalidKeyError("This gateway needs a key, and the request has none.")
