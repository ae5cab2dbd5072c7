"""A request that was understood and whose answer is decided: the one thing that the desk serves, whatever was asked.

Refuses to know limits, faults, time and money. Each operation has a module that makes a job of a request's body.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from headgate.core.usage import TokenUsage
from headgate.providers.simulator.script import Piece, Script
from headgate.providers.simulator.settings import Fault, FaultKind
from headgate.providers.simulator.write_chat import Identity

Told = dict[str, Any] | None
"""The usage that an answer reports; None: it reports none."""

Promise = Callable[[Identity, Told, Callable[[], None], Fault | None], bytes | Iterator[Piece]]
"""Given the names and the usage of an answer, how to charge for it and what befalls it: a body or a stream."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A decided answer.

    Attributes:
        model: who serves it.
        usage: what the whole answer consumes, before the prompt cache is looked at.
        report: the usage in the operation's words.
        whole: writes the body of a whole answer.
        stream: writes a streamed answer, with `[DONE]` or without; None: a whole answer was asked for.
        content_type: of a whole answer.
        tier: the service tier that serves it.
        prompt: what the prompt cache remembers; empty: nothing.
        writes_cache: what is new to the prompt cache is counted.
        long_ttl: cache entries are kept for 12 hours.
        filtered: the same, ended by the content filter after so many tokens; None: the filter does not look at it.
        spoilt: the same, with an answer that does not fit its schema in this way; None: it was asked for no schema.
        seconds, characters: how much sound is heard and how much text is spoken, where that is charged.
        keep: told once the answer was generated to its end.
        promise: gives what is answered while the job is done in the background; see `Promise`.
    """

    model: str
    usage: TokenUsage
    report: Callable[[TokenUsage], Told]
    whole: Callable[[Identity, Told], bytes]
    stream: Callable[[Identity, Told, bool], Script] | None = None
    content_type: str = "application/json"
    tier: str = "default"
    prompt: str = ""
    writes_cache: bool = False
    long_ttl: bool = False
    filtered: "Callable[[int], Job] | None" = None
    spoilt: "Callable[[FaultKind], Job] | None" = None
    seconds: int = 0
    characters: int = 0
    keep: Callable[[Identity, Told], None] | None = None
    promise: Promise | None = None
