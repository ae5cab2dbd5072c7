"""A provider that speaks a known dialect over a transport: OpenAI, everything compatible with it, the simulator.

Decides how a call becomes a request, when its answer counts as begun, and how long each part may take. Refuses to know
how bytes travel (`transport.py`), what they mean (`dialects/`), and what is done about a failure (policies).
"""

from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Self

import msgspec

from headgate.core.body import Body
from headgate.core.call import Call, Operation, Timeouts
from headgate.core.clock import Clock
from headgate.core.errors import (
    Answer,
    APIError,
    GarbledError,
    HeadgateError,
    InterruptedError,  # noqa: A004  the house's word
    ProviderError,
    UnreachableError,
)
from headgate.core.reply import Event, Kind, Reply
from headgate.core.secret import Secret
from headgate.dialects.dialect import StreamReader
from headgate.dialects.registry import DIALECTS
from headgate.dialects.sse import Decoder, ServerEvent
from headgate.providers.provider import Health
from headgate.providers.transport import Incoming, Outgoing, Transport

SHOWN = ("openai-processing-ms", "openai-version", "retry-after", "retry-after-ms")
"""The provider's headers that a caller may see. Cookies, server names and our account's limits are not among them."""
MAX_ANSWER = 256 * 1024 * 1024
"""Bytes that a whole answer may have."""
HEALTH_SECONDS = 5.0
"""How long a health check waits."""
HOP = "x-headgate-hop"
"""Names the gate that a call has passed, so that it notices a call that comes back."""


class Hosted:
    """The provider.

    Args:
        name: its name in the configuration.
        transport: carries the requests; closed with the provider.
        clock: for deadlines.
        base_url: address up to and including `/v1`.
        api_key: sent as a bearer token; nothing is sent where it is empty.
        headers: sent with every call; they win over the bearer token.
        responses: it has the Responses API.
        timeouts: how long one attempt may take; the call's own win.
        defaults: parameters added to requests that lack them.
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
        defaults: Mapping[str, Any],
        simulated: bool,
        hop: str,
    ) -> None:
        self.name = name
        self.simulated = simulated
        self._transport = transport
        self._clock = clock
        self._base = base_url.rstrip("/")
        self._urls = {operation: self._base + dialect.path for operation, dialect in DIALECTS.items()}
        self._operations = frozenset(DIALECTS) if responses else frozenset(DIALECTS) - {Operation.RESPONSES}
        self._timeouts = timeouts
        self._defaults = {key: msgspec.json.encode(value) for key, value in defaults.items()}
        bearer = {"authorization": f"Bearer {api_key.reveal()}"} if api_key else {}
        own = {key: value.reveal() for key, value in headers.items() if value}
        self._get = tuple({"user-agent": "headgate", "accept-encoding": "identity", **bearer, **own}.items())
        self._post = (*self._get, ("content-type", "application/json"), (HOP, hop))

    def speaks(self, operation: Operation) -> bool:
        """Whether it has the operation at all."""
        return operation in self._operations

    async def __call__(self, call: Call) -> Reply:
        """Answer a call; see `providers.provider.Provider`."""
        dialect = DIALECTS[call.operation]
        attempt = call.attempt
        body = dialect.prepare(self._with_defaults(call.body), model=attempt.model, stream=call.stream)
        headers = [*self._post, ("x-client-request-id", f"{call.id}-{attempt.number}"), *call.headers.items()]
        limits = call.timeouts or self._timeouts
        now = self._clock.monotonic()
        end = now + limits.total if call.deadline is None else min(call.deadline, now + limits.total)
        # A whole answer has no first token to wait for.
        first = min(end, now + limits.first_token) if call.stream else end
        incoming = await self._transport.send(
            Outgoing("POST", self._urls[call.operation], headers, body.raw),
            connect=limits.connect,
            deadline=first,
            written=attempt,
        )
        try:
            attempt.status = incoming.status
            attempt.upstream_request_id = incoming.headers.get("x-request-id")
            if not 200 <= incoming.status < 300:
                raise dialect.read_error(Answer(incoming.status, incoming.headers, await _read(incoming, end)))
            if "content-encoding" in incoming.headers and incoming.headers["content-encoding"] != "identity":
                raise GarbledError(f"{self.name} compressed its answer, though it was asked not to.")
            if call.stream and incoming.headers.get("content-type", "").startswith("text/event-stream"):
                stream = _Stream(
                    incoming, dialect.read_stream(usage_wanted=call.usage_wanted), self._clock, limits.silence, end
                )
                held = await stream.begin(first)
                return self._reply(call, incoming, held, stream)
            if call.stream:
                raise GarbledError(f"{self.name} was asked for a stream and did not send one.")
            event = dialect.read_answer(await _read(incoming, end))
        except BaseException:
            await incoming.close()
            raise
        await incoming.close()
        return self._reply(call, incoming, [event], None)

    def _reply(self, call: Call, incoming: Incoming, held: Sequence[Event], rest: AsyncIterator[Event] | None) -> Reply:
        headers = {name: incoming.headers[name] for name in SHOWN if name in incoming.headers}
        reply = Reply(
            held,
            rest,
            close=None if rest is None else incoming.close,
            stream=rest is not None,
            status=incoming.status,
            headers=headers,
            target=call.target,
        )
        reply.simulated = self.simulated
        return reply

    def _with_defaults(self, body: Body) -> Body:
        for name, value in self._defaults.items():
            if name not in body.view:
                body = body.with_field(name, value)
        return body

    async def health(self) -> Health:
        """Ask for the list of models; never raises."""
        start = self._clock.monotonic()
        try:
            status, _ = await self._fetch("/models")
        except HeadgateError as error:
            return Health(state="unreachable", error=error.message)
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
        except (msgspec.DecodeError, KeyError, TypeError):
            raise GarbledError(f"{self.name} answered {status} without a list of models.") from None
        return names

    async def _fetch(self, path: str) -> tuple[int, bytes]:
        deadline = self._clock.monotonic() + HEALTH_SECONDS
        incoming = await self._transport.send(
            Outgoing("GET", self._base + path, self._get),
            connect=self._timeouts.connect,
            deadline=deadline,
            written=_Nobody(),
        )
        try:
            return incoming.status, await _read(incoming, deadline)
        finally:
            await incoming.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.close()


class _Nobody:
    """For requests that nobody books."""

    sent = False


class _Stream:
    """One stream: server-sent events in, events of the house out.

    An iterator and no generator: a generator that is left in the middle needs a task to be finished.
    """

    __slots__ = ("_clock", "_decoder", "_end", "_incoming", "_pending", "_reader", "_silence")

    def __init__(self, incoming: Incoming, reader: StreamReader, clock: Clock, silence: float, end: float) -> None:
        self._incoming = incoming
        self._reader = reader
        self._decoder = Decoder()
        self._clock = clock
        self._silence = silence
        self._end = end
        self._pending: deque[ServerEvent] = deque()

    async def begin(self, deadline: float) -> list[Event]:
        """The preamble and the first substantive event."""
        held: list[Event] = []
        while True:
            while self._pending:
                held.append(self._reader.read(self._pending.popleft()))
                if held[-1].kind is not Kind.PREAMBLE:
                    return held
            data = await self._incoming.receive(deadline)
            if not data:
                raise UnreachableError("The provider ended its stream before the first word.")
            self._pending.extend(self._decoder.feed(data))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next event after `begin`. Errors from here on are interruptions: words were already said."""
        try:
            while not self._pending:
                data = await self._incoming.receive(min(self._clock.monotonic() + self._silence, self._end))
                self._pending.extend(self._decoder.feed(data) if data else self._decoder.end())
                if not data and not self._pending:
                    break
            else:
                return self._reader.read(self._pending.popleft())
        except ProviderError as error:
            if self._reader.complete:
                raise StopAsyncIteration from None  # the answer was finished; what is missing are end marks
            code = error.code if isinstance(error, APIError) else None
            raise InterruptedError(f"The stream broke after its first word: {error.message}", code=code) from error
        if not self._reader.complete:
            raise InterruptedError("The provider ended its stream without saying that the answer is finished.")
        await self._incoming.close()
        raise StopAsyncIteration


async def _read(incoming: Incoming, deadline: float) -> bytes:
    body = await incoming.receive(deadline)
    if not body:
        return body
    parts = [body]
    size = len(body)
    while part := await incoming.receive(deadline):
        parts.append(part)
        size += len(part)
        if size > MAX_ANSWER:
            raise GarbledError(f"The answer is larger than {MAX_ANSWER} bytes.")
    return parts[0] if len(parts) == 1 else b"".join(parts)
