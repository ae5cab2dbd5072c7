"""The answers of Responses that are kept: looked at again, continued, replayed, and made in the background.

Decides what becomes of an answer after it was given. Nothing runs in the background: what an answer in the making looks
like follows from the clock, and it is charged when somebody asks for the bill after it was done. An answer is kept for
30 days, and no more than 10,000 are.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from headgate.core.clock import Clock
from headgate.providers.simulator.job import Told
from headgate.providers.simulator.paging import page
from headgate.providers.simulator.plan import Plan
from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.question import Past, Question
from headgate.providers.simulator.read_responses import nothing, retold
from headgate.providers.simulator.script import Piece, Step
from headgate.providers.simulator.settings import Fault
from headgate.providers.simulator.write_chat import Identity
from headgate.providers.simulator.write_responses import (
    output_items,
    pending_responses,
    stream_responses,
    whole_responses,
)

_MOST = 10_000
_KEPT = 30 * 86_400
_QUEUED = 0.1
"""Share of its time that an answer in the background waits."""

State = Literal["queued", "in_progress", "done", "failed", "cancelled"]


class Kept(msgspec.Struct):
    """One answer.

    Attributes:
        question, decided, identity, told: what was asked and answered, and the usage that is told of it.
        began: when, in seconds since 1970.
        seconds: how long it takes in the background; 0 for an answer that was given at once.
        error: `code` and `message` with which it fails instead, in the background.
        on_done: charges for it; None where that happened, or nothing is charged.
        cancelled: when, in seconds since 1970.
    """

    question: Question
    decided: Plan
    identity: Identity
    told: Told
    began: float = 0.0
    seconds: float = 0.0
    error: dict[str, str] | None = None
    on_done: Callable[[], None] | None = None
    cancelled: float | None = None

    @property
    def id(self) -> str:
        """The answer's name."""
        return "resp_" + self.identity.key

    @property
    def ended(self) -> int:
        """When it is or will be done, in seconds since 1970."""
        return int(self.began + self.seconds)

    def state(self, now: float) -> State:
        """What it is at a moment."""
        if self.cancelled is not None:
            return "cancelled"
        gone = now - self.began
        if gone >= self.seconds:
            return "done" if self.error is None else "failed"
        return "queued" if gone < self.seconds * _QUEUED else "in_progress"

    def due(self, number: int, all_of_them: int) -> float:
        """When the event of a number happens, in seconds since 1970: the first two at once, the last one at the end."""
        if number < 2:
            return self.began
        share = (number - 2) / (all_of_them - 3)
        return self.began + self.seconds * (_QUEUED + (1 - _QUEUED) * share)


class Storeroom:
    """All answers that are kept."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        """Make an empty one, where an answer in the background takes so many seconds."""
        self._clock = clock
        self._seconds = seconds
        self._kept: dict[str, Kept] = {}
        self._running: dict[str, Kept] = {}

    def keep(self, kept: Kept) -> None:
        """Keep an answer that was given."""
        kept.began = self._clock.time()
        self._put(kept)

    def promise(self, kept: Kept, charge: Callable[[], None], fault: Fault | None) -> bytes | Iterator[Piece]:
        """Begin an answer in the background; gives its object, or its events where a stream was asked for.

        Args:
            kept: what was asked and will be answered.
            charge: charges for it.
            fault: `error_event` makes it fail; `cut` breaks the stream, and the answer goes on.
        """
        kept.began, kept.seconds = self._clock.time(), self._seconds
        kept.identity = msgspec.structs.replace(kept.identity, ended=int(kept.began + kept.seconds))
        kept.on_done = charge
        if fault is not None and fault.kind == "error_event":
            kept.error = {"code": fault.code or "server_error", "message": "Simulated fault in the background."}
        self._put(kept)
        self._running[kept.id] = kept
        if not kept.question.stream:
            return self.tell(kept)
        cut = fault.after_tokens if fault is not None and fault.kind == "cut" else None
        return self.events(kept, obfuscate=kept.question.obfuscate, cut=cut)

    def _put(self, kept: Kept) -> None:
        self._kept[kept.id] = kept
        if len(self._kept) > _MOST:
            del self._kept[next(iter(self._kept))]

    def settle(self) -> None:
        """Charge for what was done in the background by now."""
        if not self._running:
            return
        now = self._clock.time()
        for kept in tuple(self._running.values()):
            state = kept.state(now)
            if state in ("queued", "in_progress"):
                continue
            del self._running[kept.id]
            if state == "done" and kept.on_done is not None:
                kept.on_done()

    def recall(self, name: str) -> Past:
        """What was said up to and including an answer: what the next one builds on.

        Raises:
            Problem: 400; there is no such answer, or it is still in the making.
        """
        try:
            kept = self.find(name)
        except Problem:
            return nothing(name)
        if kept.state(self._clock.time()) in ("queued", "in_progress"):
            message = f"Previous response with id '{name}' is still in progress."
            raise Problem(400, message, param="previous_response_id")
        past = kept.question.past or Past()
        made = self._output(kept)
        return Past(past.heard + retold(made), (*past.items, *made))

    def find(self, name: str) -> Kept:
        """The answer of an id.

        Raises:
            Problem: 404; there is none, or no longer.
        """
        kept = self._kept.get(name)
        if kept is not None and kept.ended + _KEPT <= self._clock.time():
            del self._kept[name]
            kept = None
        if kept is None:
            raise Problem(404, f"Response with id '{name}' not found.")
        return kept

    def tell(self, kept: Kept) -> bytes:
        """An answer's object, as of now."""
        state = kept.state(self._clock.time())
        if state == "done":
            return whole_responses(kept.question, kept.decided, kept.identity, kept.told)
        return pending_responses(kept.question, kept.identity, state, kept.error if state == "failed" else None)

    def remove(self, name: str) -> dict[str, Any]:
        """Throw an answer away; one in the making is not made, and not charged.

        Raises:
            Problem: 404; there is none.
        """
        kept = self.find(name)
        self.settle()
        self._stop(kept)
        del self._kept[name]
        return {"id": name, "object": "response", "deleted": True}

    def cancel(self, name: str) -> bytes:
        """Stop an answer in the making, which is not charged then; gives its object, as of now.

        Raises:
            Problem: 404 or 400; there is none, or it was not asked for in the background.
        """
        kept = self.find(name)
        if not kept.question.background:
            raise Problem(400, "Cannot cancel a synchronous response.")
        self.settle()
        self._stop(kept)
        return self.tell(kept)

    def input_items(self, name: str, wish: Mapping[str, str]) -> dict[str, Any]:
        """A page of what an answer was made from: the conversation so far, newest first.

        Raises:
            Problem: 404 or 400; there is no such answer, or the wish cannot be read.
        """
        past = self.find(name).question.past or Past()
        return page(past.items, wish)

    def events(self, kept: Kept, *, after: int = -1, obfuscate: bool = True, cut: int | None = None) -> Iterator[Piece]:
        """The events of an answer as a stream, each when it happened or happens.

        Args:
            kept: the answer.
            after: only events with a larger number.
            obfuscate: with padding.
            cut: break the connection before so many visible tokens are said.
        """
        question = msgspec.structs.replace(kept.question, obfuscate=obfuscate)
        script = stream_responses(question, kept.decided, kept.identity, kept.told, failure=kept.error)
        steps = [Step(event + b"\n\n") for event in script.opening.split(b"\n\n")[:-1]]
        steps += script.body
        spoken = 0
        for number, step in enumerate(steps):
            if number > after:
                wait = kept.due(number, len(steps)) - self._clock.time()
                if wait > 0:
                    yield Piece(wait, b"")
                if kept.cancelled is not None:
                    return
                if step.visible and spoken == cut:
                    yield Piece(0.0, None)
                    return
                yield Piece(0.0, step.data)
            spoken += step.visible

    def _stop(self, kept: Kept) -> None:
        if self._running.pop(kept.id, None) is not None:
            kept.cancelled = self._clock.time()

    def _output(self, kept: Kept) -> list[dict[str, Any]]:
        if kept.state(self._clock.time()) != "done":
            return []
        return output_items(kept.question, kept.decided, kept.identity)
