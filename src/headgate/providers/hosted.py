"""A provider that speaks a known dialect over a transport: OpenAI, everything compatible with it, the simulator.

Decides how a call becomes a request, when its answer counts as begun, and how long each part may take. Refuses to know
how bytes travel (`transport.py`), what they mean (`dialects/`), and what is done about a failure (policies).
"""

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from headgate.core.body import Body
from headgate.core.call import RESPONSES, Call, Operation, Timeouts
from headgate.core.clock import Clock
from headgate.core.errors import (
    Answer,
    APIError,
    GarbledError,
    HeadgateError,
    ProviderError,
    StoppingError,
    UnreachableError,
)
from headgate.core.reply import Event, Reply
from headgate.core.secret import Secret
from headgate.core.upload import Upload
from headgate.dialects.openai_fields import UNREADABLE
from headgate.dialects.registry import DIALECTS
from headgate.providers.provider import Health
from headgate.providers.reading import MAX_ANSWER, Pieces, Stream, read_whole
from headgate.providers.transport import Headers, Incoming, Outgoing, Transport

SHOWN = ("openai-processing-ms", "openai-version", "retry-after", "retry-after-ms")
"""The provider's headers that a caller may see. Cookies, server names and our account's limits are not among them."""
MAX_ERROR = 1024 * 1024
"""Bytes of an error answer that are read; of a longer one only the status and the headers count."""
MAX_LIST = 16 * 1024 * 1024
"""Bytes that a list of models may have."""
TOLD = ("content-type", "content-disposition")
"""What is said of bytes that pass unread."""
WHOLE = frozenset((Operation.TRANSCRIPTIONS, Operation.TRANSLATIONS))
"""Operations that may be answered whole though a stream was asked for."""
HEALTH_SECONDS = 5.0
"""How long a health check waits."""
HOP = "x-headgate-hop"
"""Names the gates that a call has passed, so that each notices a call that comes back."""
CLIENT_REQUEST_ID = "x-client-request-id"
"""Names the attempt, so that a provider's support can find it."""

# Shorter ones are no credentials, and stand in many a text by chance.
_SHORTEST_SECRET = 8


class Hosted:
    """The provider.

    Args:
        name: its name in the configuration.
        transport: carries the requests; closed with the provider.
        clock: for deadlines.
        base_url: address up to and including `/v1`.
        api_key: sent as a bearer token; nothing is sent where it is empty.
        headers: by lower-case name, sent with every call; they win over the bearer token and over a caller's own.
        responses: it has the Responses API.
        timeouts: how long one attempt may take; the call's own win.
        simulated: its answers are made up.
        hop: the name of this gate.
    """

    def __init__(
        self,
        name: str,
        transport: Transport,
        *,
        clock: Clock,
        base_url: str,
        api_key: Secret,
        headers: Mapping[str, Secret],
        responses: bool,
        timeouts: Timeouts,
        simulated: bool,
        hop: str,
    ) -> None:
        self.name = name
        self.simulated = simulated
        self._transport = transport
        self._clock = clock
        self._base = base_url.rstrip("/")
        self._urls = {operation: self._base + dialect.path for operation, dialect in DIALECTS.items()}
        self._operations = frozenset(DIALECTS) if responses else frozenset(DIALECTS) - RESPONSES
        self._timeouts = timeouts
        self._hop = hop
        self._closed = False
        bearer = {"authorization": f"Bearer {api_key.reveal()}"} if api_key else {}
        own = {key: value.reveal() for key, value in headers.items() if value and key not in {HOP, CLIENT_REQUEST_ID}}
        get = {"user-agent": "headgate", "accept-encoding": "identity", **bearer, **own}
        self._get = tuple(get.items())
        self._other = tuple({**get, HOP: hop}.items())
        self._post = (("content-type", Body.content_type), *self._other)
        words = [value.split()[-1].encode() for value in (*bearer.values(), *own.values()) if value.strip()]
        self._secrets = [word for word in words if len(word) >= _SHORTEST_SECRET]

    def speaks(self, operation: Operation) -> bool:
        """Whether it has the operation at all."""
        return operation in self._operations

    async def __call__(self, call: Call) -> Reply:
        """Answer a call; see `providers.provider.Provider`."""
        self._must_be_open()
        dialect = DIALECTS[call.operation]
        attempt = call.attempt
        body = dialect.prepare(call.body, model=attempt.model or None, stream=call.stream)
        headers: Headers = ((CLIENT_REQUEST_ID, f"{call.id}-{attempt.number}"),)
        limits = call.timeouts or self._timeouts
        now = self._clock.monotonic()
        end = now + limits.total if call.deadline is None else min(call.deadline, now + limits.total)
        # A whole answer has no first token to wait for.
        first = min(end, now + limits.first_token) if call.stream else end
        incoming = await self._transport.send(
            self._outgoing(call, body, headers), connect=limits.connect, deadline=first, written=attempt
        )
        try:
            attempt.status = incoming.status
            attempt.headers = incoming.headers
            attempt.upstream_request_id = incoming.headers.get("x-request-id")
            if not 200 <= incoming.status < 300:
                refusal = await self._refusal(incoming, min(end, self._clock.monotonic() + limits.silence))
                error = dialect.read_error(refusal)
                if isinstance(error, APIError):
                    error.simulated = self.simulated
                raise error
            if _compressed(incoming):
                raise GarbledError(f"{self.name} compressed its answer, though it was asked not to.")
            if call.opaque:
                pieces = Pieces(incoming, self._clock, limits.silence, end)
                return self._reply(call, incoming, [await pieces.__anext__()], pieces)
            kind = incoming.headers.get("content-type", "")
            # A model that cannot stream subtitles says all at once, whatever was asked for.
            if call.stream and not (call.operation in WHOLE and kind.lower().startswith(Body.content_type)):
                if not kind.lower().startswith("text/event-stream"):
                    raise GarbledError(f"{self.name} was asked for a stream and sent {kind[:80] or 'nothing'!r}.")
                stream = Stream(
                    incoming, dialect.read_stream(usage_wanted=call.usage_wanted), self._clock, limits.silence, end
                )
                held = await stream.begin(first)
                return self._reply(call, incoming, held, stream)
            event = dialect.read_answer(await read_whole(incoming, end, MAX_ANSWER))
        except BaseException:
            await incoming.close()
            raise
        await incoming.close()
        return self._reply(call, incoming, [event], None)

    def _reply(self, call: Call, incoming: Incoming, held: Sequence[Event], rest: AsyncIterator[Event] | None) -> Reply:
        shown = (*SHOWN, *TOLD) if call.opaque else SHOWN
        headers = {name: incoming.headers[name] for name in shown if name in incoming.headers}
        if call.opaque:
            headers.setdefault("content-type", "application/octet-stream")
        reply = Reply(
            held,
            rest,
            close=None if rest is None else incoming.close,
            pour=rest.pour if isinstance(rest, Stream) else None,
            stream=rest is not None,
            status=incoming.status,
            headers=headers,
            target=call.target,
        )
        reply.simulated = self.simulated
        return reply

    def _outgoing(self, call: Call, body: Body | Upload, headers: Headers) -> Outgoing:
        """What leaves: posted to the operation's own path, or to the address that the call has."""
        method, url, common = "POST", self._urls[call.operation], self._post
        if call.address is not None:
            method, url = call.address.method, self._base + call.address.path
            if call.address.query:
                url += "?" + call.address.query
            if not body.size:
                common = self._other
        upload = None
        if isinstance(body, Upload):
            upload, common = body, self._other
            if body.content_type:
                headers = (("content-type", body.content_type), *headers)
        if call.headers:
            common, headers = (), self._with_callers(call.headers, (*common, *headers))
        return Outgoing(method, url, headers, body.raw if isinstance(body, Body) else b"", common, upload)

    def _with_callers(self, callers: Mapping[str, str], ours: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Ours and the caller's, each name once: ours win, and our hop stands behind those that came with the call."""
        headers = {**callers, **dict(ours)}
        if HOP in callers:
            headers[HOP] = f"{callers[HOP]}, {self._hop}"
        return list(headers.items())

    async def _refusal(self, incoming: Incoming, deadline: float) -> Answer:
        """An error answer. Its status speaks, whatever becomes of its body; our credentials in it do not."""
        try:
            body = await read_whole(incoming, deadline, MAX_ERROR)
        except ProviderError:
            body = b""
        if _compressed(incoming):
            body = b""
        for secret in self._secrets:
            body = body.replace(secret, b"***")
        return Answer(incoming.status, incoming.headers, body)

    async def health(self) -> Health:
        """Ask for the list of models; never raises."""
        start = self._clock.monotonic()
        try:
            try:
                status, _ = await self._fetch("/models")
            except UnreachableError:
                # A kept connection may have been closed by the other end in this moment. A new one says how it is.
                status, _ = await self._fetch("/models")
        except HeadgateError as error:
            garbled = isinstance(error, GarbledError)
            return Health(state="failing" if garbled else "unreachable", error=error.message)
        latency = round((self._clock.monotonic() - start) * 1000, 2)
        if 200 <= status < 300:
            return Health(state="ok", latency_ms=latency)
        return Health(state="failing", latency_ms=latency, error=f"answered {status}")

    async def models(self) -> Sequence[str]:
        """The names that its `GET /models` lists.

        Raises:
            ProviderError: it did not say.
        """
        status, body = await self._fetch("/models")
        try:
            names = [str(entry["id"]) for entry in msgspec.json.decode(body)["data"]]
        except (*UNREADABLE, KeyError, TypeError):
            raise GarbledError(f"{self.name} answered {status} without a list of models.") from None
        return names

    async def _fetch(self, path: str) -> tuple[int, bytes]:
        self._must_be_open()
        deadline = self._clock.monotonic() + HEALTH_SECONDS
        incoming = await self._transport.send(
            Outgoing("GET", self._base + path, self._get),
            connect=self._timeouts.connect,
            deadline=deadline,
            written=_Nobody(),
        )
        try:
            return incoming.status, await read_whole(incoming, deadline, MAX_LIST)
        finally:
            await incoming.close()

    async def close(self) -> None:
        """Close every connection, and open no more."""
        self._closed = True
        await self._transport.close()

    def _must_be_open(self) -> None:
        # A call that waits for its next attempt must not find the way open again.
        if self._closed:
            raise StoppingError(f"The connections to {self.name} are closed.")


class _Nobody:
    """For requests that nobody books."""

    sent = False


def _compressed(incoming: Incoming) -> bool:
    return incoming.headers.get("content-encoding", "identity").lower() != "identity"
