"""The webhook: tells somebody's server of alerts.

Decides how a message is signed, how often it is tried and when it is given up; refuses to know what it is about.
Messages wait in a queue of bounded length and are sent one after the other behind the scenes: nobody waits for them.
One that was not delivered may come again, with the same id.

The header `headgate-signature` holds `t=TIME,v1=SIGNATURE`: seconds since 1970, and the HMAC-SHA256, by the secret, of
that number, a point and the body, in hexadecimal digits. So nobody else can make a message, or send an old one again.
"""

import asyncio
import base64
import hashlib
import hmac
import logging
from collections import deque
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from headgate.core.clock import Chance, Clock
from headgate.core.errors import HeadgateError
from headgate.core.secret import Secret
from headgate.gate.tasks import Start
from headgate.providers.transport import Outgoing, Transport
from headgate.stores.report import iso

SIGNATURE = "headgate-signature"
"""The header that holds time and signature."""
DELIVERY = "headgate-delivery"
"""The header that holds the message's id."""
TRIES = 6
"""How often a message is sent, the first time included."""
WAIT, LONGEST_WAIT = 1.0, 30.0
"""Seconds before the second try, doubled before each further one; jitter only lengthens them."""
CONNECT, ANSWER = 5.0, 10.0
"""Seconds that a connection and an answer may take."""
QUEUE = 256
"""Messages that may wait."""
_AGAIN = frozenset((408, 425, 429))
"""Statuses below 500 after which it is worth trying again."""
_encode = msgspec.json.Encoder().encode
_log = logging.getLogger("headgate")


def signature(secret: Secret, time: int, body: bytes) -> str:
    """The value of the header `headgate-signature`.

    Args:
        secret: that both sides know.
        time: seconds since 1970.
        body: as it is sent.
    """
    digest = hmac.new(secret.reveal().encode(), b"%d.%b" % (time, body), hashlib.sha256).hexdigest()
    return f"t={time},v1={digest}"


class _Sending:
    """Notes whether a request was written, which makes no difference here."""

    sent = False


class Webhook:
    """One address that messages are posted to.

    Args:
        address: where; user and password in it are sent as credentials.
        secret: messages are signed by it, unless it is empty.
        transport: carries them.
        clock: for the time of a signature, and for waits.
        chance: for ids and jitter.
        start: runs the sending behind the scenes, and owns it.

    Attributes:
        delivered, lost: messages that were taken by the other side, and that were given up.
    """

    def __init__(
        self, address: Secret, secret: Secret, *, transport: Transport, clock: Clock, chance: Chance, start: Start
    ) -> None:
        self._secret = secret
        self._transport = transport
        self._clock = clock
        self._chance = chance
        self._start = start
        self._queue: deque[tuple[str, bytes]] = deque()
        self._sending: asyncio.Task[None] | None = None
        self.delivered = self.lost = 0
        parts = urlsplit(address.reveal())
        authority = parts.netloc.rpartition("@")[2]
        # What may be told of an address: neither who we are there, nor a token in its path or query.
        self._shown = f"{parts.scheme}://{authority}"
        self._url = Secret(f"{self._shown}{parts.path}{f'?{parts.query}' if parts.query else ''}")
        self._common: tuple[tuple[str, str], ...] = (
            ("content-type", "application/json"),
            ("user-agent", "headgate"),
        )
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._common += (("authorization", f"Basic {base64.b64encode(user.encode()).decode()}"),)

    def tell(self, kind: str, facts: Mapping[str, Any]) -> None:
        """Have a message sent. Returns at once."""
        if len(self._queue) >= QUEUE:
            self._give_up("too many wait already")
            return
        name = self._chance.token()
        body = _encode({"id": name, "type": kind, "time": iso(self._clock.time()), **facts})
        self._queue.append((name, body))
        if self._sending is None or self._sending.done():
            self._sending = self._start(self._send_all(), "webhook")

    async def _send_all(self) -> None:
        while self._queue:
            # It leaves the queue once its fate is known: who is cancelled leaves it there.
            if await self._send(*self._queue[0]):
                self.delivered += 1
            self._queue.popleft()

    async def _send(self, name: str, body: bytes) -> bool:
        wait = WAIT
        for attempt in range(1, TRIES + 1):
            problem, again = await self._try(name, body)
            if problem is None:
                return True
            if not again or attempt == TRIES:
                self._give_up(problem)
                return False
            await self._clock.sleep(wait * (1 + self._chance.random()))
            wait = min(2 * wait, LONGEST_WAIT)
        raise AssertionError("the last try has decided")

    async def _try(self, name: str, body: bytes) -> tuple[str | None, bool]:
        """Send it once: what went wrong, if anything did, and whether it is worth trying again."""
        headers = [(DELIVERY, name)]
        if self._secret:
            headers.append((SIGNATURE, signature(self._secret, int(self._clock.time()), body)))
        request = Outgoing("POST", self._url.reveal(), headers, body, self._common)
        deadline = self._clock.monotonic() + ANSWER
        try:
            answer = await self._transport.send(request, connect=CONNECT, deadline=deadline, written=_Sending())
            # What it says is of no interest.
            await answer.close()
        except HeadgateError as error:
            return error.code, True
        if 200 <= answer.status < 300:
            return None, False
        return f"it answered {answer.status}", answer.status >= 500 or answer.status in _AGAIN

    def _give_up(self, why: str) -> None:
        self.lost += 1
        _log.error("An alert could not be told to the webhook at %s: %s.", self._shown, why)

    async def close(self, seconds: float) -> None:
        """Send what still waits, for at most so many seconds, and close all connections. Safe to call twice."""
        sending = self._sending
        try:
            async with asyncio.timeout(seconds):
                if sending is not None:
                    # It may have been cancelled already: then there is something left.
                    await asyncio.wait([sending])
                await self._send_all()
        except TimeoutError:
            if sending is not None:
                sending.cancel()
            for _ in self._queue:
                self._give_up("the gate was closed")
            self._queue.clear()
        await self._transport.close()
