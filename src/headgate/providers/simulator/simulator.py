"""The simulated provider: takes a request, decides the answer, charges for it. Knows nothing of sockets.

It models the OpenAI API as far as its callers can tell; `transport.py` and `app.py` are its two faces. Everything it
decides follows from its seed, the requests and their order; only `created`, the limits and what takes its time look at
the clock.

Addresses, below `/v1` or any path that ends with it: those of `operations.py` and `archive.py`, `GET /models`,
`GET /models/{id}`. Outside `/v1`, for tests and their tools: `GET /__bill`, `GET /__log`, `DELETE /__log`,
`POST /__limits`.

A request may ask for its own fault with the header `x-simulate-fault`, one fault as JSON:
`{"kind": "cut", "after_tokens": 3}`. No real provider knows that header.
"""

import hmac
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec

from headgate.core.clock import Clock
from headgate.providers.simulator.addresses import Addresses, Handler, Place, place_for
from headgate.providers.simulator.answer import Answer
from headgate.providers.simulator.archive import Archive
from headgate.providers.simulator.arrivals import Arrival, Arrivals
from headgate.providers.simulator.bill import Bill
from headgate.providers.simulator.desk import Desk
from headgate.providers.simulator.operations import Operation
from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.settings import Batch, Fault, Latency, Limits
from headgate.providers.simulator.tell import read_limits, tell_bill, tell_log, tell_models
from headgate.providers.simulator.visit import Request, Visit

_AT_ONCE = Latency()
_NO_LIMITS = Limits()
_BATCH = Batch()
_NO_QUALITY: Mapping[str, float] = MappingProxyType({})


class Simulator:
    """A provider that needs no account.

    Attributes:
        log: what arrived for an answer, oldest first, refused or not.
        last: the last request, whatever it was for; None before the first.

    Example:
        >>> from headgate.testing import VirtualClock, virtual_time
        >>> async def ask():
        ...     simulator = Simulator(clock=VirtualClock(), seed=7)
        ...     body = b'{"model": "fake", "messages": [{"role": "user", "content": "Hello"}]}'
        ...     answer = simulator.take(Request("POST", "/v1/chat/completions", {}, body))
        ...     await answer.head()
        ...     return answer.status, simulator.bill.usd()
        >>> virtual_time(ask())
        (200, Decimal('0'))
    """

    def __init__(
        self,
        *,
        clock: Clock,
        seed: int = 0,
        latency: Latency = _AT_ONCE,
        limits: Limits = _NO_LIMITS,
        faults: Sequence[Fault] = (),
        batch: Batch = _BATCH,
        background: float = 1.0,
        quality: Mapping[str, float] = _NO_QUALITY,
        api_key: str | None = None,
        log_path: str | Path | None = None,
    ) -> None:
        """Make a simulator.

        Args:
            clock: tells the time; latencies, limits and delays pass on it.
            seed: equal seeds answer equal questions equally.
            latency: how slow it is.
            limits: what it allows, per model.
            faults: what goes wrong; the first fault that a call meets happens.
            batch: how long the life of a batch is, and which of its rows fail.
            background: seconds that an answer in the background takes.
            quality: share of sums (`What is 17 + 25?`) that a model gets right, by its name; others do not know any.
            api_key: if given, the only key that it takes; else anything goes.
            log_path: a file to which each arrival is added as a line of JSON before it is answered.
        """
        self.last: Request | None = None
        self.clock = self._clock = clock
        self._seed = seed
        self._key = None if api_key is None else f"Bearer {api_key}".encode()
        self._count = 0
        self._desk = Desk(clock, seed, latency=latency, limits=limits, faults=faults, arrivals=Arrivals(log_path))
        self._archive = Archive(clock, seed, desk=self._desk, life=batch, background=background, quality=quality)
        self._addresses = Addresses(
            {
                **{
                    ("POST", path): Place(self._asked(make), asks=True)
                    for path, make in self._archive.operations.items()
                },
                **self._archive.lines(),
                ("GET", "/models"): Place(self._models),
                ("GET", "/models/{id}"): Place(self._models),
            }
        )

    @property
    def bill(self) -> Bill:
        """What was charged by now; batches and answers in the background are, when they are done."""
        self._archive.settle()
        return self._desk.bill

    @property
    def log(self) -> Sequence[Arrival]:
        """What arrived for an answer."""
        return self._desk.arrivals.seen

    def allow(self, limits: Limits) -> None:
        """Change what the account may do from now on; calls that were admitted go on.

        What is left of an allowance stays, as far as the new one can hold it; a limit that is new begins full.

        Raises:
            ValueError: the limits have another group; it is decided once, when the simulator is made.
        """
        self._desk.allow(limits)

    def take(self, request: Request) -> Answer:
        """Take a request that is here completely. Never raises; every refusal is an answer."""
        self.last = request
        if request.path.startswith("/__"):
            return self._tell(request)
        self._count += 1
        visit = Visit(request, self._count, self._seed)
        found = self._addresses.find(visit.path)
        try:
            self._check_key(request)
            place = place_for(found, request.method, request.path)
            return place.handler(visit, found.ids if found else ())
        except Problem as problem:
            return self._desk.refuse(visit, problem, asked=found is not None and found.asks)

    def _check_key(self, request: Request) -> None:
        given = request.headers.get("authorization", "").encode()
        if self._key is not None and not hmac.compare_digest(given, self._key):
            message = "Incorrect API key provided."
            raise Problem(401, message, code="invalid_api_key")

    def _asked(self, make: Operation) -> Handler:
        """Answers whoever asks for an operation."""

        def handle(visit: Visit, _ids: tuple[str, ...]) -> Answer:
            request = visit.request
            return self._desk.serve(visit, make(request.body, request.headers.get("content-type", ""), self._seed))

        return handle

    def _models(self, visit: Visit, ids: tuple[str, ...]) -> Answer:
        return self._desk.plain(visit, 200, tell_models(ids[0] if ids else None))

    def _tell(self, request: Request) -> Answer:
        """What only a simulator can tell."""
        visit = Visit(request, 0, self._seed)
        match request.method, request.path:
            case "GET", "/__bill":
                return self._desk.plain(visit, 200, tell_bill(self.bill))
            case "GET", "/__log":
                return self._desk.plain(visit, 200, tell_log(self.log))
            case "DELETE", "/__log":
                self._desk.arrivals.seen.clear()
                return self._desk.plain(visit, 200, tell_log(()))
            case "POST", "/__limits":
                return self._limit(visit)
        problem = Problem(404, f"Invalid URL ({request.method} {request.path})")
        return self._desk.plain(visit, 404, problem.body())

    def _limit(self, visit: Visit) -> Answer:
        try:
            limits = read_limits(visit.request.body)
            self.allow(limits)
        except ValueError as error:
            problem = Problem(400, str(error), code="invalid_limits", param="group")
        except Problem as found:
            problem = found
        else:
            return self._desk.plain(visit, 200, msgspec.json.encode(limits))
        return self._desk.plain(visit, problem.status, problem.body())
