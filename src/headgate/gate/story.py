"""What became of one request, in one line: for logs.

Decides what a line says and how it reads, as text and as JSON; refuses to know where lines go. It holds names, numbers
and codes, never a word of a question or an answer, and nothing that is a `Secret`. Texts that strangers choose are
clipped, and a control character in them is shown, not sent.
"""

import logging
import re
from collections.abc import Mapping

import msgspec

from headgate.core.attempt import Attempt
from headgate.core.call import NO_TAGS, Call
from headgate.core.money import show_usd
from headgate.stores.records import CallEnd

CALLS = logging.getLogger("headgate.calls")
"""Each request that was answered: INFO, and WARNING where it failed on our side or the provider's."""
# Who has set up no logging is not told of each call.
CALLS.addHandler(logging.NullHandler())
LONGEST = 256
"""Characters of a text that are told."""

# The last but one are those that turn the order of characters round: what is read then is not what was written.
_ORDERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    r"""A text that cannot begin a new line or command a terminal.

    Example:
        >>> plain("a\nb")
        'a\\x0ab'
    """
    return tame(text[:LONGEST])


def tame(text: str) -> str:
    """The same of a text of any length."""
    return _ORDERS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


class Try(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One attempt, as a log tells it; the words are the ledger's."""

    attempt: int
    provider: str
    model: str
    settled: str | None = None
    status: int | None = None
    error_type: str | None = None
    latency_ms: float | None = None
    first_token_ms: float | None = None
    cost_usd: str | None = None
    upstream_request_id: str | None = None


class Story(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One request, as a log tells it; the words are the ledger's."""

    request_id: str
    status: int | None
    error_type: str | None = None
    method: str | None = None
    path: str | None = None
    operation: str | None = None
    model: str | None = None
    stream: bool = False
    key: str | None = None
    project: str | None = None
    user: str | None = None
    tags: Mapping[str, str] = {}
    cache: str = "off"
    latency_ms: float | None = None
    first_token_ms: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: str | None = None
    attempts: tuple[Try, ...] = ()
    verdicts: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = (self.method, self.path) if self.operation is None else (self.operation, self.model)
        words = [self.request_id, str(self.status), *(word for word in what if word)]
        words += [word for word in (self.error_type, self.key and f"key={self.key}") if word]
        if self.cache != "off":
            words.append(f"cache={self.cache}")
        if self.latency_ms is not None:
            words.append(f"{self.latency_ms:.0f}ms")
        if self.cost_usd is not None:
            words.append(f"{self.prompt_tokens}+{self.completion_tokens} tokens ${self.cost_usd}")
        words += [f"guard={rule}" for rule in self.verdicts]
        return " ".join(words) + "".join(f" | {_told(one)}" for one in self.attempts)


def _told(one: Try) -> str:
    ended = one.error_type or one.status or ""
    took = "" if one.latency_ms is None else f" {one.latency_ms:.0f}ms"
    return f"{one.attempt} {one.provider}/{one.model} {one.settled} {ended}{took}"


def of_call(call: Call, end: CallEnd) -> Story:
    """The story of a caller's call that has ended."""
    trail = call.trail
    caller, shown = call.caller, call.shown
    tokens_in = tokens_out = cost = 0
    priced = False
    for attempt in trail:
        if attempt.usage is not None:
            tokens_in += attempt.usage.prompt_tokens
            tokens_out += attempt.usage.completion_tokens
        if attempt.cost is not None:
            priced = True
            cost += attempt.cost
    tries = tuple([_try(attempt) for attempt in trail])
    # By position, in the order of the fields: by name takes several times as long.
    return Story(
        call.request_id,
        end.status,
        end.error_type,
        None,
        None,
        call.operation.value,
        plain(shown.model),
        call.stream,
        caller.key,
        caller.project,
        plain(shown.user) if shown.user else None,
        {plain(name): plain(str(value)) for name, value in shown.tags.items()} if shown.tags else NO_TAGS,
        end.cache,
        end.latency_ms,
        end.first_token_ms,
        tokens_in,
        tokens_out,
        None if not priced else tries[0].cost_usd if len(tries) == 1 else show_usd(cost),
        tries,
        tuple(dict.fromkeys(f"{one.side}:{one.rule}" for one in call.verdicts)) if call.verdicts else (),
    )


def of_request(request_id: str, status: int, error_type: str | None, method: str, path: str) -> Story:
    """The story of a request that never became a call."""
    return Story(request_id=request_id, status=status, error_type=error_type, method=plain(method), path=plain(path))


def _try(attempt: Attempt) -> Try:
    upstream, cost = attempt.upstream_request_id, attempt.cost
    return Try(
        attempt.number,
        attempt.provider,
        plain(attempt.model),
        attempt.settled.value if attempt.settled is not None else None,
        attempt.status,
        plain(attempt.error_type) if attempt.error_type else None,
        attempt.latency_ms,
        attempt.first_token_ms,
        None if cost is None else show_usd(cost),
        plain(upstream) if upstream else None,
    )


def level(status: int | None) -> int:
    """Of `logging`: a warning where somebody should look."""
    return logging.WARNING if status is None or status >= 500 else logging.INFO


def tell(story: Story) -> None:
    """Give a story to whoever listens to `headgate.calls`."""
    if CALLS.isEnabledFor(level(story.status)):
        # The line of code that it comes from says nothing, and takes as long to find as all the rest.
        CALLS.handle(logging.LogRecord(CALLS.name, level(story.status), "", 0, story, None, None))


def tell_call(call: Call, end: CallEnd) -> None:
    """The same for a call that has ended; nothing is put together where nobody listens."""
    if CALLS.isEnabledFor(level(end.status)):
        tell(of_call(call, end))
