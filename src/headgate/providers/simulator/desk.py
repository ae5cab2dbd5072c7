"""Where decided answers are served: limits and faults may object, the log and the bill are written, bytes leave.

Treats every operation alike; refuses to know what was asked and how it is spelled. Everything it decides follows from
the seed, the jobs and their order; only `created` and the limits look at the clock.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import blake2b

import msgspec

from headgate.core.clock import Clock
from headgate.core.usage import TokenUsage
from headgate.providers.simulator.answer import Answer
from headgate.providers.simulator.arrivals import Arrival, Arrivals
from headgate.providers.simulator.bill import Bill, BillLine
from headgate.providers.simulator.dice import Dice
from headgate.providers.simulator.faults import Faults, asked_for
from headgate.providers.simulator.job import Job
from headgate.providers.simulator.limits import Allowance
from headgate.providers.simulator.memory import PromptMemory
from headgate.providers.simulator.problem import Problem, scripted
from headgate.providers.simulator.reported import reported
from headgate.providers.simulator.script import Piece, streamed, whole, whole_pause
from headgate.providers.simulator.settings import Fault, Latency, Limits
from headgate.providers.simulator.visit import Visit
from headgate.providers.simulator.write_chat import Identity

_EVENTS = "text/event-stream; charset=utf-8"
_SUBSETS = ("reasoning_tokens", "completion_image_tokens", "completion_audio_tokens")


class Desk:
    """Serves answers.

    Attributes:
        bill: what was charged.
        arrivals: what arrived for an answer, refused or not.
    """

    def __init__(
        self,
        clock: Clock,
        seed: int,
        *,
        latency: Latency,
        limits: Limits,
        faults: Sequence[Fault],
        arrivals: Arrivals,
    ) -> None:
        self.bill = Bill()
        self.arrivals = arrivals
        self._clock = clock
        self._seed = seed
        self._latency = latency
        self._limits = limits
        self._faults = Faults(faults, seed)
        self._memory = PromptMemory()
        self._allowances: dict[str, Allowance] = {}
        self._calls = 0

    def serve(self, visit: Visit, job: Job) -> Answer:
        """Answer.

        Raises:
            Problem: a limit or a fault objects.
        """
        visit.model, visit.stream = job.model, job.stream is not None
        scripted_by_caller = visit.request.headers.get("x-simulate-fault")
        fault = None if scripted_by_caller is None else asked_for(scripted_by_caller)
        # The answer is decided before the limits: they count its tokens.
        allowance = self._allowance(job.model)
        limits = self._admit(visit, job, allowance)
        # Only calls that are understood and admitted count: a health check between them changes nothing.
        self._calls += 1
        visit.call = self._calls
        if fault is None:
            fault = self._faults.meet(job.model, visit.call)
        visit.fault = fault
        if fault is not None:
            try:
                job = _before(job, fault)
            except Problem:
                allowance.leave(self._clock.monotonic())
                raise
        return self._send(visit, job, limits, allowance)

    def allow(self, limits: Limits) -> None:
        """Change what may be done from now on.

        Raises:
            ValueError: the limits have another group.
        """
        if limits.group != self._limits.group:
            message = f"The group was {self._limits.group!r} from the beginning, and cannot become {limits.group!r}."
            raise ValueError(message)
        self._limits = limits
        for allowance in self._allowances.values():
            allowance.change(limits, self._clock.monotonic())

    def refuse(self, visit: Visit, problem: Problem, *, asked: bool) -> Answer:
        """Answer with an error; where an answer of a model was asked for it is logged, and shows the limits."""
        headers = problem.headers
        if asked:
            self._note(visit, problem.status)
            if visit.model is not None:
                headers = {**self._allowance(visit.model).headers(self._clock.monotonic()), **headers}
        return self.plain(visit, problem.status, problem.body(), headers)

    def plain(self, visit: Visit, status: int, body: bytes, extra: Mapping[str, str] | None = None) -> Answer:
        """Answer with a body that no model had to generate; it costs nothing."""
        headers = {**_headers(visit, "application/json", 0.0), **(extra or {})}
        return Answer(
            self._clock, status=status, headers=headers, pieces=iter((Piece(0.0, body),)), length=len(body), direct=True
        )

    def hand_out(self, visit: Visit, kind: str, pieces: Iterator[Piece], *, length: int | None = None) -> Answer:
        """Answer with what was kept, of a content type; it costs nothing."""
        return Answer(self._clock, status=200, headers=_headers(visit, kind, 0.0), pieces=pieces, length=length)

    def at_once(self, visit: Visit, job: Job, *, tier: str) -> tuple[TokenUsage, bytes]:
        """Serve a job whole, whatever the limits and faults are, and charge for it at a tier: the row of a batch."""
        usage = self.consumed(job)
        identity = self.identity(visit, job.model)
        told = job.report(usage)
        body = job.whole(identity, told)
        self.bill.lines.append(msgspec.structs.replace(_line(visit, job, usage), tier=tier))
        if job.keep is not None:
            job.keep(identity, told)
        return usage, body

    def identity(self, visit: Visit, model: str) -> Identity:
        """What names the answer to a visit."""
        return Identity(visit.key, int(self._clock.time()), _fingerprint(model))

    def consumed(self, job: Job) -> TokenUsage:
        """What a job's answer consumes, now that the prompt cache has read its prompt."""
        if not job.prompt:
            return job.usage
        cached, written = self._memory.read(job.model, job.prompt)
        if not job.writes_cache:
            written = 0
        return msgspec.structs.replace(job.usage, cached_tokens=cached, cache_write_tokens=written)

    def _send(self, visit: Visit, job: Job, limits: Mapping[str, str], allowance: Allowance) -> Answer:
        fault = visit.fault
        reset = fault is not None and fault.kind == "reset"
        usage = job.usage if reset else self.consumed(job)
        identity = self.identity(visit, job.model)
        told = reported(job.report(usage), fault, visit.call)
        filtered = fault is not None and _filters(fault) and job.filtered is not None
        line = _line(visit, job, usage)
        if job.promise is not None and not reset:
            charge = partial(self.bill.lines.append, line)
            promised = job.promise(identity, told, charge, None if filtered else fault)
            return self._promise(visit, promised, limits, allowance)
        dice = Dice(b"latency %d %d" % (self._seed, visit.call))
        length: int | None = None
        generated: int | None = None
        pieces: Iterator[Piece]
        if job.stream is not None:
            script = job.stream(identity, told, fault is None or fault.kind != "no_done")
            pieces = streamed(script, self._latency, dice, None if filtered else fault)
            pause = fault.delay if fault is not None and fault.kind == "silence" else 0.0
            kind = _EVENTS
        else:
            body = job.whole(identity, told)
            if fault is not None and fault.kind == "malformed":
                body = body[: len(body) // 2]
            pieces, length = whole(body, fault), len(body)
            pause = whole_pause(self._latency, usage.completion_tokens - usage.reasoning_tokens, dice, fault)
            generated = usage.completion_tokens
            kind = job.content_type
        keep = None if job.keep is None else partial(job.keep, identity, told)
        self._note(visit, 0 if reset else 200)
        return Answer(
            self._clock,
            status=200,
            headers={**_headers(visit, kind, pause), **limits},
            pieces=pieces,
            length=length,
            pause=0.0 if reset else pause,
            generated=generated,
            reset=reset,
            direct=fault is None and job.stream is None,
            on_end=partial(self._ended, line, keep, allowance),
        )

    def _promise(
        self, visit: Visit, promised: bytes | Iterator[Piece], limits: Mapping[str, str], allowance: Allowance
    ) -> Answer:
        """Answer for a job that is done later; the same faults may befall this answer."""
        fault = visit.fault
        length = None
        if isinstance(promised, bytes):
            kind = "application/json"
            promised = promised[: len(promised) // 2] if fault is not None and fault.kind == "malformed" else promised
            pieces, length = whole(promised, fault), len(promised)
        else:
            kind = _EVENTS
            pieces = promised
        pause = fault.delay if fault is not None and fault.kind == "silence" else 0.0
        self._note(visit, 200)
        return Answer(
            self._clock,
            status=200,
            headers={**_headers(visit, kind, pause), **limits},
            pieces=pieces,
            length=length,
            pause=pause,
            on_end=lambda _: allowance.leave(self._clock.monotonic()),
        )

    def _ended(
        self, line: BillLine, keep: Callable[[], None] | None, allowance: Allowance, generated: int | None
    ) -> None:
        """Charge for what was generated, keep it, and give the place back."""
        allowance.leave(self._clock.monotonic())
        if generated is None:
            return
        usage = line.usage
        if generated < usage.completion_tokens:
            subsets = {name: min(getattr(usage, name), generated) for name in _SUBSETS}
            usage = msgspec.structs.replace(usage, completion_tokens=generated, **subsets)
            line = msgspec.structs.replace(line, usage=usage, complete=False)
        self.bill.lines.append(line)
        if keep is not None and line.complete:
            keep()

    def _admit(self, visit: Visit, job: Job, allowance: Allowance) -> dict[str, str]:
        taken = (job.usage.prompt_tokens, job.usage.completion_tokens)
        try:
            headers = allowance.admit(job.model, *taken, self._clock.monotonic())
        except Problem as problem:
            visit.limited = problem.limited
            raise
        visit.taken = taken
        return headers

    def _allowance(self, model: str) -> Allowance:
        name = model if self._limits.group is None else ""
        found = self._allowances.get(name)
        if found is None:
            found = self._allowances[name] = Allowance(self._limits, self._clock.monotonic())
        return found

    def _note(self, visit: Visit, status: int) -> None:
        allowance = None if visit.model is None else self._allowance(visit.model)
        arrival = Arrival(
            time=self._clock.time(),
            path=visit.request.path,
            request_id=visit.request_id,
            client_request_id=visit.client_request_id,
            model=visit.model,
            stream=visit.stream,
            status=status,
            fault=None if visit.fault is None else visit.fault.kind,
            prompt_tokens=visit.taken[0],
            completion_tokens=visit.taken[1],
            limited=visit.limited,
            busy=0 if allowance is None else allowance.busy,
            held=0.0 if allowance is None else allowance.held(self._clock.monotonic()),
        )
        self.arrivals.add(arrival)


def _before(job: Job, fault: Fault) -> Job:
    """What a fault changes before there is anything to send."""
    if _filters(fault) and job.filtered is not None:
        return job.filtered(fault.after_tokens)
    if fault.kind in ("missing_item", "unfit") and job.spoilt is not None:
        return job.spoilt(fault.kind)
    if fault.kind == "status" or (fault.kind == "error_event" and job.stream is None and job.promise is None):
        raise scripted(fault.status, code=fault.code, type=fault.type, retry_after=fault.retry_after)
    return job


def _line(visit: Visit, job: Job, usage: TokenUsage) -> BillLine:
    return BillLine(
        request_id=visit.request_id,
        client_request_id=visit.client_request_id,
        model=job.model,
        tier=job.tier,
        usage=usage,
        complete=True,
        long_ttl=job.long_ttl,
        seconds=job.seconds,
        characters=job.characters,
    )


def _headers(visit: Visit, kind: str, pause: float) -> dict[str, str]:
    return {
        "content-type": kind,
        "server": "simulator",
        "set-cookie": f"__sim={visit.key[:16]}; path=/; HttpOnly; Secure",
        "x-request-id": visit.request_id,
        "openai-organization": "org-simulator",
        "openai-processing-ms": str(round(pause * 1000)),
        "openai-version": "2020-10-01",
    }


def _filters(fault: Fault) -> bool:
    return fault.kind == "error_event" and fault.code == "content_filter"


def _fingerprint(model: str) -> str:
    return "fp_" + blake2b(model.encode(), digest_size=5).hexdigest()
