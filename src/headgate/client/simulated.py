"""An `httpx2` client whose requests a simulator answers, in this process and without a gate.

For whoever wants to see what a client does on its own: `headgate bench` gives it to the OpenAI SDK. Decides how the
simulator's answers look to a client that thinks there is a network; refuses to know the gate. Streams arrive whole.
"""

from math import inf

import httpx2

from headgate.core.errors import TimeoutError, UnreachableError  # noqa: A004  the house's words
from headgate.providers.simulator import Request, Simulator


def simulated_client(simulator: Simulator) -> httpx2.AsyncClient:
    """A client whose requests a simulator answers. Nothing of it leaves the process.

    Example:
        >>> from headgate.testing import VirtualClock, virtual_time
        >>> async def ask():
        ...     async with simulated_client(Simulator(clock=VirtualClock())) as client:
        ...         return (await client.get("http://simulator/v1/models/gpt-5")).json()["owned_by"]
        >>> virtual_time(ask())
        'simulator'
    """
    return httpx2.AsyncClient(transport=_Transport(simulator), trust_env=False)


class _Transport(httpx2.AsyncBaseTransport):
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        address = request.url
        answer = self._simulator.take(
            Request(request.method, address.path, headers, await request.aread(), address.query.decode())
        )
        read = request.extensions.get("timeout", {}).get("read")
        clock = self._simulator.clock
        try:
            await answer.head(inf if read is None else clock.monotonic() + read)
            pieces = []
            while piece := await answer.receive(inf if read is None else clock.monotonic() + read):
                pieces.append(piece)
        except TimeoutError as error:
            raise httpx2.ReadTimeout(error.message) from error
        except UnreachableError as error:
            raise httpx2.ReadError(error.message) from error
        finally:
            answer.close()
        return httpx2.Response(answer.status, headers=dict(answer.headers), content=b"".join(pieces))
