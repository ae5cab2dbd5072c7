"""What a caller wants of the cache.

Decides what can be wanted; refuses to know how it is said (headers, options) and who grants it.
"""

import msgspec


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A wish for one call. What it does not say is as the key, the route and the configuration have it.

    Attributes:
        on: an answer from the past will do, and this one may be kept; False: neither.
        refresh: no answer from the past; this one is kept instead.
        ttl: seconds for which the answer may be kept, and the greatest age of one that will do.
        key: what the answer is kept under, in place of what the request says.
    """

    on: bool | None = None
    refresh: bool = False
    ttl: float | None = None
    key: str | None = None
