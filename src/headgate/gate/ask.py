"""What a caller may ask for in headers, beside the request itself: tags, a deadline, a priority, an old answer or one.

Decides how the values of `x-headgate-tags`, `-deadline`, `-priority`, `-cache` and `Idempotency-Key` are read, and
which of a caller's headers travel upstream, for every door that has headers. Refuses to know how a door holds its
headers and what policies make of the values.
"""

import re
from collections.abc import Mapping

from headgate.core.call import NO_TAGS
from headgate.core.errors import BadRequestError
from headgate.core.wish import Wish
from headgate.gate.values import seconds

TAGS = "x-headgate-tags"
DEADLINE = "x-headgate-deadline"
PRIORITY = "x-headgate-priority"
CACHE = "x-headgate-cache"
IDEMPOTENCY = "idempotency-key"

TRAVELS = frozenset({"openai-beta"})
"""The caller's headers that go upstream as they came. Everything else stays here: keys, cookies, addresses."""

MAX_TAGS = 20
MAX_TAG_VALUE = 256
MAX_IDEMPOTENCY_KEY = 255
MAX_TTL = 30 * 86400.0
"""Thirty days: nothing is kept longer."""
MAX_DEADLINE = 7 * 86400.0
"""A week. Nobody waits longer for one answer; a larger number is a slip of units."""

_NAME = re.compile(r"[a-z0-9_-]{1,64}")
_PRIORITIES = {str(n): n for n in range(10)}


def tags(value: str) -> Mapping[str, str]:
    """Read `x-headgate-tags`.

    Raises:
        BadRequestError: a tag is malformed, stands twice, or there are too many.

    Example:
        >>> tags("team=a, feature=b")
        {'team': 'a', 'feature': 'b'}
    """
    if not value.strip():
        return NO_TAGS
    parts = value.split(",", MAX_TAGS)
    if len(parts) > MAX_TAGS:
        raise _wrong(TAGS, value, f"at most {MAX_TAGS} tags", "Send fewer tags.")
    found: dict[str, str] = {}
    for part in parts:
        name, equals, text = part.partition("=")
        name, text = name.strip(), text.strip()
        check_tag(name, text, shown=part if equals else None)
        if name in found:
            raise _wrong(TAGS, value, f"each tag once, and {name!r} stands twice", "Send it once.")
        found[name] = text
    return found


def check_tag(name: str, text: str, *, shown: str | None = "") -> None:
    """Check one tag, wherever it came from.

    Args:
        name: its name.
        text: its value.
        shown: the tag as it was spelled, for the message; None where it has no `=`.

    Raises:
        BadRequestError: the name or the value is not allowed.
    """
    cure = "Write `name=value,name=value`; names are of a-z, 0-9, `_` and `-`, at most 64 characters."
    if shown is None or not _NAME.fullmatch(name):
        raise _wrong(TAGS, shown or name, "tags such as `team=a,feature=b`", cure)
    if not 0 < len(text) <= MAX_TAG_VALUE or not text.isprintable():
        raise _wrong(TAGS, text, f"a value of 1 to {MAX_TAG_VALUE} printable characters for {name!r}", cure)


def deadline(value: str) -> float:
    """Read `x-headgate-deadline`: seconds from now after which the answer is of no use.

    Raises:
        BadRequestError: it is not a duration of more than nothing and at most a week.

    Example:
        >>> deadline("30s"), deadline("1.5")
        (30.0, 1.5)
    """
    try:
        wanted = seconds(value)
    except ValueError:
        wanted = None
    if not isinstance(wanted, float) or not 0 < wanted <= MAX_DEADLINE:
        raise _wrong(DEADLINE, value, "a duration of up to seven days", "Write `30s`, `1.5`, `500ms` or `2m`.")
    return wanted


def priority(value: str) -> int:
    """Read `x-headgate-priority`: 0 to 9; 9 goes first.

    Raises:
        BadRequestError: it is anything else.
    """
    found = _PRIORITIES.get(value.strip())
    if found is None:
        raise _wrong(
            PRIORITY, value, "a whole number from 0 to 9", "Send 9 for what must go first, 0 for what can wait."
        )
    return found


def idempotency_key(value: str) -> str:
    """Read `Idempotency-Key`: the caller's name for a call that is to be made once.

    Raises:
        BadRequestError: it is empty, too long, or not of printable ASCII.

    Example:
        >>> idempotency_key("order-17")
        'order-17'
    """
    if not (0 < len(value) <= MAX_IDEMPOTENCY_KEY and value.isascii() and value.isprintable()):
        wanted = f"1 to {MAX_IDEMPOTENCY_KEY} printable ASCII characters"
        raise _wrong(IDEMPOTENCY, value, wanted, "Send a UUID, or leave it out.")
    return value


def cache(value: str) -> Wish:
    """Read `x-headgate-cache`: `on`, `off`, `refresh` or `ttl=600`; `refresh` and `ttl` may stand together.

    Raises:
        BadRequestError: it is anything else.

    Example:
        >>> cache("refresh, ttl=10m")
        Wish(on=True, refresh=True, ttl=600.0, key=None)
    """
    words = [word.strip().lower() for word in value.split(",")]
    if words == ["off"]:
        return Wish(on=False)
    refresh, ttl = False, None
    for word in words:
        if word == "refresh" and not refresh:
            refresh = True
        elif word.startswith("ttl=") and ttl is None:
            ttl = _ttl(value, word.removeprefix("ttl="))
        elif words != ["on"]:
            raise _wrong(CACHE, value, "`on`, `off`, `refresh` or `ttl=600`", "Leave it out for what the route says.")
    return Wish(on=True, refresh=refresh, ttl=ttl)


def _ttl(value: str, text: str) -> float:
    try:
        wanted = seconds(text)
    except ValueError:
        wanted = None
    if not isinstance(wanted, float) or not 0 < wanted <= MAX_TTL:
        raise _wrong(CACHE, value, "a `ttl` above 0 and up to thirty days", "Write `ttl=600` or `ttl=1h`.")
    return wanted


def travelling(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Those of a caller's headers (by lower-case name) that go upstream.

    Raises:
        BadRequestError: one of them holds what cannot stand in a header.
    """
    found = {name: headers[name] for name in TRAVELS if name in headers}
    for name, value in found.items():
        if not (value.isascii() and value.isprintable()):
            raise _wrong(name, value, "printable ASCII characters", "Send plain text.")
    return found or NO_TAGS


def _wrong(header: str, value: str, wanted: str, cure: str) -> BadRequestError:
    shown = value if len(value) <= 80 else value[:77] + "..."
    return BadRequestError(
        f"The header `{header}` holds {shown!r}; it takes {wanted}.", code="invalid_header", param=header, hint=cure
    )
