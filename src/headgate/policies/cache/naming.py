"""Which calls may have one answer: those that ask the same of the same route, for the same tenant.

Decides under which name an answer is kept; refuses to know stores. Neither a tenant nor a question can be read from a
name: it is a digest of both.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import msgspec

from headgate.core.body import Body
from headgate.core.call import Call, Operation, Origin
from headgate.core.wish import Wish
from headgate.dialects.openai_question import ANSWERABLE, question

Scope = Literal["key", "project", "gateway"]

VERSION = "cache:1:"
"""What names begin with: of another version nothing is found, and nothing is misread."""
MOST_TTL = 30 * 86400.0
"""Seconds for which anything is kept, whatever is wished."""
LARGEST = 4 * 1024 * 1024
"""Bytes of the largest request whose answer is kept: to see what it means, all of it is read."""
_DEFAULTED = frozenset((Operation.CHAT, Operation.RESPONSES, Operation.COMPLETIONS))
_NOTHING = Wish()
_encode = msgspec.json.Encoder().encode


class Rule(NamedTuple):
    """What holds for a route.

    Attributes:
        enabled: answers are kept where nobody says anything else.
        ttl: seconds for which they are.
        scope: who shares them.
        mark: changes with whoever answers to the route, so that an answer of others is not found.
        defaults: what each of its providers adds to requests.
    """

    enabled: bool = False
    ttl: float = 86400.0
    scope: Scope = "project"
    mark: str = ""
    defaults: Sequence[Mapping[str, Any]] = ()


class Asked(NamedTuple):
    """What is looked for, and how.

    Attributes:
        name: under which an answer is kept.
        ttl: seconds for which it is, and the greatest age of one that will do.
        refresh: none from the past will do.
    """

    name: str
    ttl: float
    refresh: bool


def asked(call: Call, rule: Rule) -> Asked | None:
    """What to look for on behalf of a call; None where its answer is nobody else's.

    What names a provider's object is not: whose that is, is decided elsewhere.
    """
    wish = call.cache or _NOTHING
    on = wish.on if wish.on is not None else call.caller.cache
    if not (rule.enabled if on is None else on) or call.origin is not Origin.CALLER:
        return None
    if call.operation not in ANSWERABLE or call.names or call.address is not None or call.opaque:
        return None
    body = call.body
    if not isinstance(body, Body) or body.size > LARGEST:
        return None
    # Whoever answers: the same has to hold.
    defaults = rule.defaults if call.operation in _DEFAULTED else ()
    spelled = [question(call.operation, body, each) for each in defaults or ({},)]
    if None in spelled:
        return None
    what = ("question", str(spelled[0])) if wish.key is None else ("key", wish.key)
    where = (call.operation, call.model, rule.mark, _owner(call, rule.scope))
    how = (call.unsupported, sorted(call.headers.items()))
    name = VERSION + sha256(_encode((where, how, what))).hexdigest()
    ttl = rule.ttl if wish.ttl is None else wish.ttl
    return Asked(name, min(ttl, MOST_TTL), wish.refresh)


def _owner(call: Call, scope: Scope) -> Sequence[str | None]:
    """Who shares an answer. A key that was made again in another project is another one."""
    caller = call.caller
    if scope == "gateway":
        return ("gateway",)
    if scope == "key":
        return ("key", caller.tenant, caller.key)
    return ("project", caller.tenant)
