"""What is known of models: what each can do, what it takes, how much fits, until when it lives.

Decides which facts there are and which of them hold for a name; refuses to know what a model costs (`prices.py`), how
text is counted (`tokens.py`) and what is done about any of it (policies). The facts are a dated file in the package,
written by `make catalog`, and the user's own, which win. Nothing is read before the first question.

A fact that nobody knows is None or empty, and is never a reason to refuse anything: who asks must not take "unknown"
for "no". `Catalog.find` gives None for a model of which nothing is known at all.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from importlib.resources import files
from typing import Literal

import msgspec

from headgate.catalog.names import LONGEST, spellings
from headgate.catalog.rates import PriceList

MOST = 1000
"""Names that are remembered."""

Kind = Literal[
    "chat", "completion", "embedding", "moderation", "image", "speech", "transcription", "realtime", "video", "search"
]
"""What a model is for. `chat` is whatever talks, by whichever API."""
Sampling = Literal["always", "without_reasoning", "never"]
"""When a model takes `temperature` and `top_p`: always; only where the effort, asked for or by default, is `none`."""
ChatTools = Literal["yes", "without_reasoning", "no"]
"""Whether a model calls tools in Chat Completions: yes; only where the effort is `none`; only in Responses."""


class Model(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of one model. Parameters are named as Chat Completions names them.

    Attributes:
        id: the name that all others lead to, such as `gpt-6-luna`.
        maker: who makes it, and so whose retirement dates these are: `openai`, `anthropic`, `google`, or "" for one
            that only the user's configuration knows.
        kind: what it is for.
        context: tokens of input and output together.
        max_input: tokens of input, where that is less than the context leaves.
        max_output: tokens of the longest answer, reasoning included.
        default_max_output: tokens to hold for an answer of a call that names no bound.
        dimensions: numbers in an embedding.
        capabilities: what it can do, of `CAPABILITIES`; None where nobody knows.
        operations: what it can be asked for, as `core.call.Operation` spells it; None where nobody knows.
        efforts: reasoning efforts that it takes, in ascending order; empty for a model that does not reason.
        chat_efforts: those that it takes in Chat Completions, where they are fewer.
        default_effort: the effort of a call that names none.
        sampling: when it takes `temperature` and `top_p`.
        logprobs: when it takes `logprobs` and `top_logprobs`.
        chat_tools: whether it calls tools in Chat Completions.
        stop: most stop sequences that it takes; 0: it refuses `stop`.
        n: most answers to one question.
        refuses: further parameters that it answers with 400.
        encoding: the vocabulary of its tokens, as tiktoken calls it; None where it was not published.
        retires: the first day on which it does not answer any more (UTC).
        successor: the model that its maker names in its place.
        note: what else one should know, in one sentence.
        source: letters of `Facts.sources` that these facts come from.
        base: for a model of the user's own: the shipped one that it is like.
    """

    id: str
    maker: str = ""
    kind: Kind = "chat"
    context: int | None = None
    max_input: int | None = None
    max_output: int | None = None
    default_max_output: int | None = None
    dimensions: int | None = None
    capabilities: frozenset[str] | None = None
    operations: frozenset[str] | None = None
    efforts: tuple[str, ...] = ()
    chat_efforts: tuple[str, ...] | None = None
    default_effort: str | None = None
    sampling: Sampling = "always"
    logprobs: Sampling = "always"
    chat_tools: ChatTools = "yes"
    stop: int = 4
    n: int = 128
    refuses: frozenset[str] = frozenset()
    encoding: str | None = None
    retires: date | None = None
    successor: str | None = None
    note: str = ""
    source: str = ""
    base: str | None = None

    @property
    def reasons(self) -> bool:
        """Whether it thinks before it answers, at least when asked to."""
        return bool(self.efforts)

    def can(self, capability: str) -> bool | None:
        """Whether it has a capability; None where nobody knows."""
        return None if self.capabilities is None else capability in self.capabilities

    def takes(self, operation: str) -> bool | None:
        """Whether it can be asked for an operation; None where nobody knows."""
        return None if self.operations is None else operation in self.operations

    def retired(self, day: date) -> bool:
        """Whether it does not answer any more on a day (UTC)."""
        return self.retires is not None and day >= self.retires


CAPABILITIES = frozenset(
    (
        "audio_in", "audio_out", "cache", "computer_use", "documents", "json_schema", "parallel_tools", "prefill",
        "reasoning", "streaming", "tools", "vision", "web_search",
    )
)  # fmt: skip
"""`cache`: it charges repeated prompts at a lower rate. `prefill`: it goes on from the beginning of an answer."""


class Facts(msgspec.Struct, frozen=True):
    """The data file.

    Attributes:
        date: of the newest fact in it.
        sources: by letter or name, what it is and which version.
        models: by id.
        aliases: other names that exactly mean one of them.
        prices: of models that the published lists do not have, or have wrong.
    """

    date: date
    sources: Mapping[str, str]
    models: Mapping[str, Model]
    aliases: Mapping[str, str] = {}
    prices: Mapping[str, PriceList] = {}


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """What the user's configuration says of a model. What it does not say is as it is known, or as it is of `base`.

    Attributes:
        base: a known model that it is like.
        input, cached, output: USD per million tokens. One of them makes the whole price the user's: what is left out
            is not known then, but for cached input, which costs as input does.
        context, max_output, capabilities: as in `Model`.
    """

    base: str | None = None
    input: Decimal | None = None
    cached: Decimal | None = None
    output: Decimal | None = None
    context: int | None = None
    max_output: int | None = None
    capabilities: frozenset[str] | None = None


NOTHING: Mapping[str, Own] = {}


class Catalog:
    """All that is known.

    Args:
        own: the user's facts, by the name that a target or a caller uses.

    Attributes:
        own: the same.

    Example:
        >>> catalog = Catalog({"my-deployment": Own(base="gpt-4.1-mini")})
        >>> catalog.find("openai/gpt-6-luna").id, catalog.find("my-deployment").max_output, catalog.find("llama")
        ('gpt-6-luna', 32768, None)
    """

    def __init__(self, own: Mapping[str, Own] = NOTHING) -> None:
        self.own = own
        self._facts: Facts | None = None
        self._known: dict[str, Model | None] = {}

    @property
    def facts(self) -> Facts:
        """The shipped facts, without the user's."""
        return self._facts or self.load()

    def load(self) -> Facts:
        """Read the shipped facts. May be called from a thread before the first question."""
        if self._facts is None:
            self._facts = read()
        return self._facts

    def find(self, name: str) -> Model | None:
        """What is known of the model with that name, or of the one that it is dated, tuned or prefixed from.

        The first question about a name takes some microseconds, all others are one look into a dictionary.
        """
        try:
            return self._known[name]
        except KeyError:
            pass
        found = self._look(name)
        # Names come from outside. Many unknown ones empty the memory rather than grow it; long ones are not kept.
        if len(name) <= LONGEST:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[name] = found
        return found

    def all(self) -> Sequence[Model]:
        """Every model that is known, the user's own first, without those that have only another name."""
        shipped = self.facts.models
        mine = [model for name in self.own if (model := self.find(name)) is not None]
        taken = {model.id for model in mine}
        return [*mine, *(model for name, model in shipped.items() if name not in taken)]

    def shipped(self, name: str) -> Model | None:
        """The same without what the user says."""
        facts = self.facts
        names = (facts.aliases.get(spelling, spelling) for spelling in spellings(name))
        return next((facts.models[known] for known in names if known in facts.models), None)

    def _look(self, name: str) -> Model | None:
        for spelling in spellings(name):
            if spelling in self.own:
                return self._mine(spelling)
        return self.shipped(name)

    def _mine(self, name: str) -> Model:
        own = self.own[name]
        base = self.shipped(own.base or name)
        said = {"context": own.context, "max_output": own.max_output, "capabilities": own.capabilities}
        given = {field: value for field, value in said.items() if value is not None}
        return msgspec.structs.replace(base or Model(id=name), id=name, base=base.id if base else None, **given)


def read() -> Facts:
    """Read the data file of the package."""
    raw = (files("headgate.catalog") / "data" / "models.json").read_bytes()
    return msgspec.json.decode(raw, type=Facts)
