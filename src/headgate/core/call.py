"""A call: one question on its way through the gate.

Decides what every policy may know of a question; refuses to know where it came in or how it is spelled. Frozen: a
policy that wants another call passes a changed copy on.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

import msgspec

from headgate.core.attempt import Attempt
from headgate.core.body import Body
from headgate.core.limits import Allowance, Limits
from headgate.core.together import Combining, Together
from headgate.core.upload import Upload
from headgate.core.verdict import Verdict
from headgate.core.wish import Wish

NO_TAGS: Mapping[str, str] = {}


class Operation(StrEnum):
    """What is asked for. Each operation has one dialect that callers speak."""

    CHAT = "chat"
    RESPONSES = "responses"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    MODERATIONS = "moderations"
    IMAGES = "images"
    IMAGE_EDITS = "images.edits"
    SPEECH = "audio.speech"
    TRANSCRIPTIONS = "audio.transcriptions"
    TRANSLATIONS = "audio.translations"
    INPUT_TOKENS = "responses.input_tokens"
    STORED = "responses.stored"
    FILES = "files"
    UPLOADS = "uploads"
    BATCHES = "batches"
    PASSTHROUGH = "passthrough"


OBJECTS = frozenset((Operation.STORED, Operation.FILES, Operation.UPLOADS, Operation.BATCHES))
"""Operations on what a provider keeps: they ask no model, so no route leads to them but the account that keeps it."""
RESPONSES = frozenset((Operation.RESPONSES, Operation.INPUT_TOKENS, Operation.STORED))
"""Operations of the Responses API, which not every server has."""
MODELLESS = OBJECTS | {Operation.PASSTHROUGH}
FREE = OBJECTS | {Operation.MODERATIONS, Operation.INPUT_TOKENS}
"""Operations that providers do not charge for (what a batch costs is known when it has run)."""
UNMEASURED = frozenset(
    (
        Operation.IMAGES,
        Operation.IMAGE_EDITS,
        Operation.SPEECH,
        Operation.TRANSCRIPTIONS,
        Operation.TRANSLATIONS,
        Operation.PASSTHROUGH,
    )
)
"""Operations whose bytes tell nothing about tokens: an answer that does not tell its usage has no known price."""


Unsupported = Literal["pass", "drop", "refuse"]
"""What becomes of a parameter that a model does not take: the model says so itself; it is left out, or made to fit; the
call is refused before anything leaves."""


class Origin(StrEnum):
    """Who asks."""

    CALLER = "caller"
    INTERNAL = "internal"
    """The gate itself, on behalf of a caller's call; its cost belongs to `Call.parent`."""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, as far as the door could tell. Made once per key and shared by its calls.

    Attributes:
        key: the key's name, never its value.
        project: the tenant that the key belongs to.
        models: names of models that may be asked for; None for all.
        tags: tags that the key pins to each of its calls.
        passthrough: further paths of a provider that it may use as they are; a `*` at the end stands for the rest.
        limits: how much it may ask; None does not limit.
        priority: the highest priority that it may claim; a higher claim is lowered.
        budget: how much it may spend; None for as much as the budgets of the configuration allow.
        cache: answers to its calls may come from the past; None where the route says.
    """

    key: str | None = None
    project: str | None = None
    models: frozenset[str] | None = None
    tags: Mapping[str, str] = NO_TAGS
    passthrough: tuple[str, ...] = ()
    limits: Limits | None = None
    priority: int = 9
    budget: Allowance | None = None
    cache: bool | None = None

    @property
    def tenant(self) -> str | None:
        """Whose the objects are that this caller makes: see `tenant`."""
        return tenant(self.project, self.key)


def tenant(project: str | None, key: str | None) -> str | None:
    """Whose an object is: the project's, else the key's; None where nobody needs a key."""
    if project is not None:
        return "project:" + project
    return None if key is None else "key:" + key


ANONYMOUS = Caller()


class Target(msgspec.Struct, frozen=True):
    """One provider with one model: the thing that limits, breakers and learned waits belong to.

    Attributes:
        provider: the provider's name in the configuration.
        model: the model to ask it for; None passes the caller's own name on.
        weight: share among targets of the same priority.
        priority: 1 is asked first.
        retires: the first day on which the model does not answer any more (`YYYY-MM-DD`), where that day is near.
        instead_of: the retired model that this one, its successor, stands in for.
    """

    provider: str
    model: str | None = None
    weight: float = 1.0
    priority: int = 1
    retires: str | None = None
    instead_of: str | None = None


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """How long one attempt may take, in seconds.

    Attributes:
        connect: to open a connection.
        first_token: until the first substantive event of a stream.
        silence: between two events of a stream.
        total: from start to end, streamed or whole.
    """

    connect: float = 5.0
    first_token: float = 30.0
    silence: float = 30.0
    total: float = 600.0


class Address(msgspec.Struct, frozen=True):
    """Where a call goes that is not simply posted to its operation's own path.

    Attributes:
        method: `GET`, `POST`, `DELETE`, ….
        path: below a provider's `base_url`, with its leading slash; checked by the door, never a caller's own words.
        query: as it came, without the question mark.
        listing: it asks for a list of objects, of which the caller shall see its own.
    """

    method: str
    path: str
    query: str = ""
    listing: bool = False


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What books and logs may say of a call in words of its caller.

    Attributes:
        model, user, tags: as in `Call`, masked where a rule says so.
    """

    model: str = ""
    user: str | None = None
    tags: Mapping[str, str] = NO_TAGS


class Call(msgspec.Struct, frozen=True):
    """One question.

    The gate makes it by position, up to `priority`: by names, a record of so many fields takes four times as long.

    Attributes:
        id: ours, unique, the same over all attempts.
        operation: what is asked for, and so the dialect that the caller speaks.
        model: the name that the caller asked for (or the default, where it named none); "" where no model is asked.
        body: the request as it came.
        address: where it goes, if not posted to the operation's own path.
        opaque: the answer's bytes pass as they are, piece by piece, unread.
        names: ids of the provider's objects that the request names.
        account: the provider that keeps those objects: nobody else can answer. Set by own.
        started: when it came, on the monotonic clock; `day` when on the calendar (UTC, `YYYY-MM-DD`).
        stream: the caller wants a stream.
        usage_wanted: the caller wants the usage inside the stream.
        caller, user, tags: who asks, for which end user, under which tags (the key's pinned tags included).
        headers: the caller's headers that travel upstream, lower-case.
        deadline: when the answer is of no use any more, on the monotonic clock.
        timeouts: the caller's own limits for one attempt, which win over the provider's.
        priority: 0 to 9; 9 goes first.
        origin, parent: whether the gate itself asks, and on behalf of which call.
        unsupported: what becomes of parameters that the model does not take, where the configuration does not say.
        cache: what the caller wants of the cache; None: nothing of its own.
        dropped: names of parameters that were left out or changed for the target, as the caller spelled them.
        saved_tokens: tokens by which compression has shortened it for the target.
        target: which target this copy of the call is for; None above route.
        idempotency_key: the caller's name for it, under which it is made once.
        avoid: targets, as provider and model, that have failed this question already. Set by recover.
        others: how many other targets remain if this one fails.
        prepaid: whoever asks has set aside what it sets going, and books it.
        combining: it may be put together with others in this way, whatever its route says.
        together: what it was put together from. Set by combine.
        trail: the attempts made so far, oldest first, shared by all copies of the call. Only budget appends to it.
        verdicts: what the guard has said so far, shared by all copies of the call. Only guard appends to it.
        judged: the same for what may be said of the call; the last one holds. Empty where there is no guard.
        saved: picodollars that it did not cost, shared by all copies of the call. Only cache appends to it.
    """

    id: str
    operation: Operation
    model: str
    body: Body | Upload
    started: float
    day: str
    address: Address | None = None
    opaque: bool = False
    names: tuple[str, ...] = ()
    account: str | None = None
    stream: bool = False
    usage_wanted: bool = False
    caller: Caller = ANONYMOUS
    user: str | None = None
    tags: Mapping[str, str] = NO_TAGS
    headers: Mapping[str, str] = NO_TAGS
    deadline: float | None = None
    timeouts: Timeouts | None = None
    priority: int = 5
    origin: Origin = Origin.CALLER
    parent: str | None = None
    unsupported: Unsupported = "pass"
    cache: Wish | None = None
    dropped: tuple[str, ...] = ()
    saved_tokens: int = 0
    target: Target | None = None
    idempotency_key: str | None = None
    avoid: tuple[tuple[str, str], ...] = ()
    others: int = 0
    prepaid: bool = False
    combining: Combining | None = None
    together: Together | None = None
    trail: list[Attempt] = msgspec.field(default_factory=list)
    verdicts: list[Verdict] = msgspec.field(default_factory=list)
    judged: list[Shown] = msgspec.field(default_factory=list)
    saved: list[int] = msgspec.field(default_factory=list)

    @property
    def request_id(self) -> str:
        """What the caller sees as `x-request-id`."""
        return "req_" + self.id

    @property
    def shown(self) -> "Call | Shown":
        """What books and logs may say of it: where nothing is judged, what the caller said."""
        return self.judged[-1] if self.judged else self

    @property
    def attempt(self) -> Attempt:
        """The attempt that is open now; the provider notes on it what happened."""
        return self.trail[-1]
