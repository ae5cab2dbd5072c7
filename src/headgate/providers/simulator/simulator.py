"""The simulated provider: takes a request, decides the answer, charges for it. Knows nothing of sockets.

It models the OpenAI API (Chat Completions, Responses, Models) as far as its callers can tell; `transport.py` and
`app.py` are its two faces. Everything it decides follows from its seed, the requests and their order; only `created`
and the limits look at the clock.

Addresses, below `/v1` or any path that ends with it: `POST /chat/completions`, `POST /responses`, `GET /models`,
`GET /models/{id}`. Outside `/v1`, for tests and their tools: `GET /__bill`, `GET /__log`, `DELETE /__log`.

A request may ask for its own fault with the header `x-simulate-fault`, one fault as JSON:
`{"kind": "cut", "after_tokens": 3}`. No real provider knows that header.
"""

import hmac
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path

import msgspec

from headgate.core.clock import Clock
from headgate.providers.simulator.answer import Answer
from headgate.providers.simulator.arrivals import Arrival, Arrivals
from headgate.providers.simulator.bill import Bill, BillLine
from headgate.providers.simulator.dice import Dice
from headgate.providers.simulator.faults import Faults, asked_for
from headgate.providers.simulator.limits import Allowance
from headgate.providers.simulator.memory import PromptMemory
from headgate.providers.simulator.plan import Plan, plan
from headgate.providers.simulator.problem import Problem, scripted
from headgate.providers.simulator.question import Question
from headgate.providers.simulator.read_chat import read_chat
from headgate.providers.simulator.read_responses import read_responses
from headgate.providers.simulator.reported import chat_usage, reported, responses_usage
from headgate.providers.simulator.script import Piece, streamed, whole, whole_pause
from headgate.providers.simulator.settings import Fault, Latency, Limits
from headgate.providers.simulator.tell import tell_bill, tell_log, tell_models
from headgate.providers.simulator.write_chat import Identity, stream_chat, whole_chat
from headgate.providers.simulator.write_responses import stream_responses, whole_responses

_AT_ONCE = Latency()
_NO_LIMITS = Limits()
_ANSWERS = ("/chat/completions", "/responses")


class Request(msgspec.Struct, frozen=True):
    """A request as it came. Header names are lower-case; the path has no query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


class Simulator:
    """A provider that needs no account.

    Attributes:
        bill: what it charged.
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
            api_key: if given, the only key that it takes; else anything goes.
            log_path: a file to which each arrival is added as a line of JSON before it is answered.
        """
        self.bill = Bill()
        self.last: Request | None = None
        self._arrivals = Arrivals(log_path)
        self._clock = clock
        self._seed = seed
        self._latency = latency
        self._limits = limits
        self._limited = limits != _NO_LIMITS
        self._faults = Faults(faults, seed)
        self._key = None if api_key is None else f"Bearer {api_key}".encode()
        self._memory = PromptMemory()
        self._allowances: dict[str, Allowance] = {}
        self._count = 0
        self._calls = 0

    @property
    def log(self) -> Sequence[Arrival]:
        """What arrived for an answer."""
        return self._arrivals.seen

    def take(self, request: Request) -> Answer:
        """Take a request that is here completely. Never raises; every refusal is an answer."""
        self.last = request
        if request.path.startswith("/__"):
            return self._tell(request)
        self._count += 1
        visit = _Visit(request, self._count, self._seed)
        path = request.path.partition("/v1")[2]
        try:
            self._check_key(request)
            return self._answer(visit, path) if path in _ANSWERS else self._models(visit, path)
        except Problem as problem:
            headers = problem.headers
            if path in _ANSWERS:
                self._note(visit, problem.status)
                if visit.model is not None and self._limited:
                    now = self._clock.monotonic()
                    headers = {**self._allowance(visit.model).headers(now), **headers}
            return self._plain(visit, problem.status, problem.body(), headers)

    def _check_key(self, request: Request) -> None:
        given = request.headers.get("authorization", "").encode()
        if self._key is not None and not hmac.compare_digest(given, self._key):
            message = "Incorrect API key provided."
            raise Problem(401, message, code="invalid_api_key")

    def _answer(self, visit: "_Visit", path: str) -> Answer:
        request = visit.request
        if request.method != "POST":
            message = f"Not allowed to {request.method} on {request.path}."
            raise Problem(405, message, code="method_not_supported")
        question = read_chat(request.body) if path == "/chat/completions" else read_responses(request.body)
        visit.model, visit.stream = question.model.name, question.stream
        scripted_by_caller = request.headers.get("x-simulate-fault")
        fault = None if scripted_by_caller is None else asked_for(scripted_by_caller)
        # The answer is decided before the limits: they count its tokens.
        decided = plan(question, self._seed)
        limits = self._admit(question.model.name, decided)
        # Only calls that are understood and admitted count: a health check between them changes nothing.
        self._calls += 1
        visit.call = self._calls
        if fault is None:
            fault = self._faults.meet(question.model.name, visit.call)
        visit.fault = fault
        if fault is not None:
            try:
                decided = self._before(question, decided, fault)
            except Problem:
                self._leave(question.model.name)
                raise
        return self._serve(visit, path, question, decided, limits)

    def _before(self, question: Question, decided: Plan, fault: Fault) -> Plan:
        """What a fault changes before there is anything to send."""
        if fault.kind == "status":
            raise scripted(fault.status, code=fault.code, type=fault.type, retry_after=fault.retry_after)
        if _filters(fault):
            return plan(question, self._seed, filtered_after=fault.after_tokens)
        if fault.kind == "error_event" and not question.stream:
            raise scripted(fault.status, code=fault.code, type=fault.type, retry_after=fault.retry_after)
        return decided

    def _serve(
        self, visit: "_Visit", path: str, question: Question, decided: Plan, limits: Mapping[str, str]
    ) -> Answer:
        fault = visit.fault
        reset = fault is not None and fault.kind == "reset"
        cached, written = (0, 0) if reset else self._memory.read(question.model.name, question.prompt)
        usage = decided.usage(cached, written if question.model.writes_cache else 0)
        identity = Identity(visit.key, int(self._clock.time()), _fingerprint(question.model.name))
        is_chat = path == "/chat/completions"
        told = reported(chat_usage(usage) if is_chat else responses_usage(usage), fault, visit.call)
        filtered = fault is not None and _filters(fault)
        dice = Dice(b"latency %d %d" % (self._seed, visit.call))
        length: int | None = None
        generated: int | None = None
        pieces: Iterator[Piece]
        if question.stream:
            done = fault is None or fault.kind != "no_done"
            script = (
                stream_chat(question, decided, identity, told, done=done)
                if is_chat
                else stream_responses(question, decided, identity, told)
            )
            pieces = streamed(script, self._latency, dice, None if filtered else fault)
            pause = fault.delay if fault is not None and fault.kind == "silence" else 0.0
            kind = "text/event-stream; charset=utf-8"
        else:
            body = (whole_chat if is_chat else whole_responses)(question, decided, identity, told)
            if fault is not None and fault.kind == "malformed":
                body = body[: len(body) // 2]
            pieces, length = whole(body, fault), len(body)
            pause = whole_pause(self._latency, decided.output - usage.reasoning_tokens, dice, fault)
            generated = decided.output
            kind = "application/json"
        line = BillLine(
            request_id=visit.request_id,
            client_request_id=visit.client_request_id,
            model=question.model.name,
            tier=question.tier,
            usage=usage,
            complete=True,
            long_ttl=question.long_ttl,
        )
        self._note(visit, 0 if reset else 200)
        return Answer(
            self._clock,
            status=200,
            headers={**self._headers(visit, kind, pause), **limits},
            pieces=pieces,
            length=length,
            pause=0.0 if reset else pause,
            generated=generated,
            reset=reset,
            direct=fault is None and not question.stream,
            on_end=partial(self._ended, line),
        )

    def _ended(self, line: BillLine, generated: int | None) -> None:
        """Charge for what was generated, and give the place back."""
        self._leave(line.model)
        if generated is None:
            return
        if generated < line.usage.completion_tokens:
            reasoning = min(line.usage.reasoning_tokens, generated)
            usage = msgspec.structs.replace(line.usage, completion_tokens=generated, reasoning_tokens=reasoning)
            line = msgspec.structs.replace(line, usage=usage, complete=False)
        self.bill.lines.append(line)

    def _admit(self, model: str, decided: Plan) -> dict[str, str]:
        if not self._limited:
            return {}
        now = self._clock.monotonic()
        return self._allowance(model).admit(model, decided.prompt_tokens, decided.output, now)

    def _leave(self, model: str) -> None:
        if self._limited:
            self._allowance(model).leave()

    def _allowance(self, model: str) -> Allowance:
        name = model if self._limits.group is None else ""
        found = self._allowances.get(name)
        if found is None:
            found = self._allowances[name] = Allowance(self._limits, self._clock.monotonic())
        return found

    def _models(self, visit: "_Visit", path: str) -> Answer:
        request = visit.request
        if path != "/models" and not path.startswith("/models/"):
            raise Problem(404, f"Invalid URL ({request.method} {request.path})")
        if request.method != "GET":
            message = f"Not allowed to {request.method} on {request.path}."
            raise Problem(405, message, code="method_not_supported")
        name = path.removeprefix("/models").removeprefix("/") or None
        return self._plain(visit, 200, tell_models(name))

    def _tell(self, request: Request) -> Answer:
        """What only a simulator can tell."""
        visit = _Visit(request, 0, self._seed)
        match request.method, request.path:
            case "GET", "/__bill":
                return self._plain(visit, 200, tell_bill(self.bill))
            case "GET", "/__log":
                return self._plain(visit, 200, tell_log(self._arrivals.seen))
            case "DELETE", "/__log":
                self._arrivals.seen.clear()
                return self._plain(visit, 200, tell_log(()))
        problem = Problem(404, f"Invalid URL ({request.method} {request.path})")
        return self._plain(visit, 404, problem.body())

    def _note(self, visit: "_Visit", status: int) -> None:
        arrival = Arrival(
            time=self._clock.time(),
            path=visit.request.path,
            request_id=visit.request_id,
            client_request_id=visit.client_request_id,
            model=visit.model,
            stream=visit.stream,
            status=status,
            fault=None if visit.fault is None else visit.fault.kind,
        )
        self._arrivals.add(arrival)

    def _plain(self, visit: "_Visit", status: int, body: bytes, extra: Mapping[str, str] | None = None) -> Answer:
        headers = {**self._headers(visit, "application/json", 0.0), **(extra or {})}
        return Answer(
            self._clock, status=status, headers=headers, pieces=iter((Piece(0.0, body),)), length=len(body), direct=True
        )

    def _headers(self, visit: "_Visit", kind: str, pause: float) -> dict[str, str]:
        return {
            "content-type": kind,
            "server": "simulator",
            "set-cookie": f"__sim={visit.key[:16]}; path=/; HttpOnly; Secure",
            "x-request-id": visit.request_id,
            "openai-organization": "org-simulator",
            "openai-processing-ms": str(round(pause * 1000)),
            "openai-version": "2020-10-01",
        }


class _Visit:
    """One request while it is looked at, and what is known of it so far."""

    __slots__ = ("call", "client_request_id", "fault", "key", "model", "request", "request_id", "stream")

    def __init__(self, request: Request, number: int, seed: int) -> None:
        self.request = request
        self.call = 0
        self.key = blake2b(b"%d %d" % (seed, number), digest_size=24).hexdigest()
        self.request_id = "req_" + self.key[:32]
        self.client_request_id = request.headers.get("x-client-request-id")
        self.model: str | None = None
        self.stream = False
        self.fault: Fault | None = None


def _filters(fault: Fault) -> bool:
    return fault.kind == "error_event" and fault.code == "content_filter"


def _fingerprint(model: str) -> str:
    return "fp_" + blake2b(model.encode(), digest_size=5).hexdigest()
