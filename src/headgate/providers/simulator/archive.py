"""The addresses of what the simulated account keeps: answers, files, uploads, batches.

Decides how a request is read for them and how they are shown; what becomes of them is decided where they are kept
(`storeroom.py`, `shelf.py`, `uploads.py`, `batches.py`).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from headgate.core.clock import Clock
from headgate.providers.simulator.addresses import Place
from headgate.providers.simulator.answer import Answer
from headgate.providers.simulator.batch_input import read_batch
from headgate.providers.simulator.batches import Answered, Batches
from headgate.providers.simulator.counting import counting_job
from headgate.providers.simulator.desk import Desk
from headgate.providers.simulator.forms import file_of, nested, read_form, texts_of
from headgate.providers.simulator.job import Job
from headgate.providers.simulator.models import MODELS
from headgate.providers.simulator.operations import OPERATIONS, Operation
from headgate.providers.simulator.paging import asked, true_or_false, whole_number
from headgate.providers.simulator.problem import Problem, missing
from headgate.providers.simulator.question import Question
from headgate.providers.simulator.read_chat import read_chat
from headgate.providers.simulator.read_responses import read_responses
from headgate.providers.simulator.script import Piece
from headgate.providers.simulator.settings import Batch
from headgate.providers.simulator.shelf import Shelf, check_new, lifetime
from headgate.providers.simulator.storeroom import Storeroom
from headgate.providers.simulator.talk import chat_job, responses_job
from headgate.providers.simulator.uploads import Uploads
from headgate.providers.simulator.visit import Request, Visit

_JSON = "application/json"
_NONE: Mapping[str, float] = MappingProxyType({})


class Archive:
    """All that is kept, and the addresses where it is.

    Attributes:
        operations: what a model can be asked for, by path; answers of Responses are kept and continued here.
    """

    def __init__(
        self,
        clock: Clock,
        seed: int,
        *,
        desk: Desk,
        life: Batch,
        background: float,
        quality: Mapping[str, float] = _NONE,
    ) -> None:
        """Make an empty archive.

        Args:
            clock: tells the time.
            seed: equal seeds give equal names.
            desk: sends answers, and charges for the rows of batches.
            life: how long the life of a batch is.
            background: seconds that an answer in the background takes.
            quality: share of the sums that a model gets right, by the model's name.
        """
        self._seed = seed
        self._quality = quality
        self._desk = desk
        self._rows = 0
        self._storeroom = Storeroom(clock, background)
        self._shelf = Shelf(clock, seed)
        self._uploads = Uploads(clock, seed, self._shelf)
        self.operations: Mapping[str, Operation] = {
            **OPERATIONS,
            "/chat/completions": self._chat,
            "/responses": self._responses,
            "/responses/input_tokens": self._counted,
        }
        self._batches = Batches(
            clock=clock,
            seed=seed,
            life=life,
            shelf=self._shelf,
            answer=self._row,
            known=MODELS.__contains__,
            weigh=self._weigh,
        )

    def lines(self) -> dict[tuple[str, str], Place]:
        """The lines of the table of addresses."""
        room, shelf, uploads, batches = self._storeroom, self._shelf, self._uploads, self._batches
        shown = self._shown
        return {
            ("GET", "/responses/{id}"): Place(self._look),
            ("DELETE", "/responses/{id}"): shown(lambda _, name: room.remove(name)),
            ("POST", "/responses/{id}/cancel"): Place(lambda visit, ids: self._plain(visit, room.cancel(ids[0]))),
            ("GET", "/responses/{id}/input_items"): shown(lambda visit, name: room.input_items(name, _wish(visit))),
            ("POST", "/files"): shown(lambda visit, _: self._upload(visit)),
            ("GET", "/files"): shown(lambda visit, _: shelf.listed(_wish(visit))),
            ("GET", "/files/{id}"): shown(lambda _, name: shelf.find(name).tell()),
            ("DELETE", "/files/{id}"): shown(lambda _, name: shelf.remove(name)),
            ("GET", "/files/{id}/content"): Place(self._content),
            ("POST", "/uploads"): shown(lambda visit, _: uploads.begin(visit.request.body)),
            ("POST", "/uploads/{id}/parts"): shown(self._part),
            ("POST", "/uploads/{id}/complete"): shown(lambda visit, name: uploads.complete(name, visit.request.body)),
            ("POST", "/uploads/{id}/cancel"): shown(lambda _, name: uploads.cancel(name)),
            ("POST", "/batches"): shown(lambda visit, _: batches.begin(read_batch(visit.request.body))),
            ("GET", "/batches"): shown(lambda visit, _: batches.listed(_wish(visit))),
            ("GET", "/batches/{id}"): shown(lambda _, name: batches.tell(name)),
            ("POST", "/batches/{id}/cancel"): shown(lambda _, name: batches.cancel(name)),
        }

    def settle(self) -> None:
        """Let everything happen that has happened by now, and charge for it."""
        self._storeroom.settle()
        self._batches.settle()

    def _shown(self, act: Callable[[Visit, str], dict[str, Any]]) -> Place:
        """Shows the object that an act gives for the id of the path, if it has one."""

        def handle(visit: Visit, ids: tuple[str, ...]) -> Answer:
            return self._plain(visit, msgspec.json.encode(act(visit, ids[0] if ids else "")))

        return Place(handle)

    def _plain(self, visit: Visit, body: bytes) -> Answer:
        return self._desk.plain(visit, 200, body)

    def _chat(self, body: bytes, kind: str, seed: int) -> Job:  # noqa: ARG002  JSON is all it takes
        return chat_job(self._skilled(read_chat(body)), seed)

    def _responses(self, body: bytes, kind: str, seed: int) -> Job:  # noqa: ARG002  ditto
        question = self._skilled(read_responses(body, self._storeroom.recall))
        return responses_job(question, seed, store=self._storeroom)

    def _skilled(self, question: Question) -> Question:
        skill = self._quality.get(question.model.name)
        return question if skill is None else msgspec.structs.replace(question, skill=skill)

    def _counted(self, body: bytes, kind: str, seed: int) -> Job:  # noqa: ARG002  neither changes it
        return counting_job(read_responses(body, self._storeroom.recall))

    def _look(self, visit: Visit, ids: tuple[str, ...]) -> Answer:
        wish = _wish(visit)
        kept = self._storeroom.find(ids[0])
        obfuscate = true_or_false(wish, "include_obfuscation", usual=kept.question.obfuscate)
        after = whole_number(wish, "starting_after")
        if true_or_false(wish, "stream", usual=False):
            events = self._storeroom.events(kept, after=-1 if after is None else after, obfuscate=obfuscate)
            return self._desk.hand_out(visit, "text/event-stream; charset=utf-8", events)
        if after is not None:
            message = "The 'starting_after' parameter is only allowed when 'stream' is true."
            raise Problem(400, message, param="starting_after")
        return self._plain(visit, self._storeroom.tell(kept))

    def _upload(self, visit: Visit) -> dict[str, Any]:
        fields = read_form(visit.request.body, visit.request.headers.get("content-type", ""))
        texts = texts_of(fields)
        file = file_of(fields, "file")
        if "purpose" not in texts:
            raise missing("purpose")
        purpose, name = texts["purpose"], file.filename or "upload"
        check_new(purpose, name, file.content)
        seconds = lifetime(nested(texts, "expires_after"), "expires_after")
        return self._shelf.put(purpose, name, (file.content,), seconds=seconds).tell()

    def _part(self, visit: Visit, name: str) -> dict[str, Any]:
        fields = read_form(visit.request.body, visit.request.headers.get("content-type", ""))
        return self._uploads.add(name, file_of(fields, "data").content)

    def _content(self, visit: Visit, ids: tuple[str, ...]) -> Answer:
        file = self._shelf.find(ids[0])
        pieces = (Piece(0.0, chunk) for chunk in file.chunks())
        return self._desk.hand_out(visit, "application/octet-stream", pieces, length=file.size)

    def _weigh(self, endpoint: str, body: bytes) -> int:
        """How many tokens of input a row of a batch has; one that cannot be answered has none."""
        try:
            path = Visit(Request("POST", endpoint, {}, body), 0, self._seed).path
            return self.operations[path](body, _JSON, self._seed).usage.prompt_tokens
        except Problem:
            return 0

    def _row(self, endpoint: str, body: bytes, refusal: Problem | None) -> Answered:
        """Answer a row of a batch: without limits and scripted faults, at the batch's price."""
        self._rows += 1
        # Rows are numbered below the requests, so that no two get the same name.
        visit = Visit(Request("POST", endpoint, {"content-type": _JSON}, body), -self._rows, self._seed)
        try:
            if refusal is not None:
                raise refusal
            job = self.operations[visit.path](body, _JSON, self._seed)
            if job.promise is not None:
                raise Problem(400, "Background responses are not supported in the Batch API.", param="background")
        except Problem as problem:
            return Answered(problem.status, visit.request_id, problem.body())
        usage, said = self._desk.at_once(visit, job, tier="batch")
        return Answered(200, visit.request_id, said, usage)


def _wish(visit: Visit) -> Mapping[str, str]:
    return asked(visit.request.query)
