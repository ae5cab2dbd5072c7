"""The simulator in process: a Transport, so that the ordinary hosted provider runs over it.

Decides how the simulator's answers look to somebody who thinks there is a network: resets, cuts and silence become the
errors that a network would give, and a closed answer is a reader who went away.
"""

from collections.abc import Callable, Mapping

from headgate.core.clock import Clock
from headgate.core.upload import whole
from headgate.providers.simulator.answer import Answer
from headgate.providers.simulator.simulator import Simulator
from headgate.providers.simulator.visit import Request
from headgate.providers.transport import Outgoing, Written


class SimulatorTransport:
    """Carries requests to a simulator in the same process.

    The address is looked at from its path on: any base address that ends in `/v1` will do.
    """

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    async def send(
        self,
        request: Outgoing,
        *,
        connect: float,  # noqa: ARG002  connecting takes no time
        deadline: float,
        written: Written,
    ) -> "SimulatorIncoming":
        """Hand a request over and wait for the head of its answer. Cancelling it is a reader who went away.

        Raises:
            TimeoutError: no head until the deadline.
            UnreachableError: the connection was reset, as scripted.
        """
        headers = dict((*request.common, *request.headers))
        body = request.body if request.upload is None else whole(request.upload)
        path, query = _path(request.url)
        answer = self.simulator.take(Request(request.method, path, headers, body, query))
        written.sent = True
        try:
            await answer.head(deadline)
        except BaseException:
            answer.close()
            raise
        return SimulatorIncoming(answer, self.simulator.clock)

    async def close(self) -> None:
        """There is nothing to close."""


class SimulatorIncoming:
    """An answer of the simulator.

    Attributes:
        status: HTTP status.
        headers: lower-case names.
    """

    def __init__(self, answer: Answer, clock: Clock) -> None:
        self._answer = answer
        self._clock = clock
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers

    async def receive(self, deadline: float) -> bytes:
        """The next bytes; b"" at the end.

        Raises:
            TimeoutError: nothing until the deadline.
            UnreachableError: the connection was cut, as scripted.
        """
        return await self._answer.receive(deadline)

    async def pour(self, sink: Callable[[bytes], bool], silence: float, end: float) -> bool:
        """Hand the rest to `sink`; False when it wants no more for now.

        Raises:
            TimeoutError: nothing for so many seconds of silence, or not over until the end.
            UnreachableError: the connection was cut, as scripted.
        """
        while piece := await self._answer.receive(min(self._clock.monotonic() + silence, end)):
            if not sink(piece):
                return False
        return True

    async def close(self) -> None:
        """Go away, or be done. Safe to call twice."""
        self._answer.close()


def _path(url: str) -> tuple[str, str]:
    """The path and the query of an address."""
    address, _, query = url.partition("://")[2].partition("?")
    return "/" + address.partition("/")[2], query
