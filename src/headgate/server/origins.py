"""Pages of other sites: which of them a browser may let call, and read the answers (CORS).

Decides by the page's origin alone, as `server.cors.origins` names them; refuses to know what is asked and to answer:
what a browser asks beforehand is the application's `OPTIONS`, with a few headers more. It stands in front of the
application only where origins are configured. Cookies mean nothing here, so credentials are never allowed; a key
travels in a header of its own.
"""

from collections.abc import Collection

from headgate.server.asgi import DIRECT, START, ASGIApp, Message, Receive, Scope, Send

ANY = "*"
MAX_AGE = b"600"
"""Seconds for which a browser need not ask again."""
LONGEST_WISH = 2048
"""Bytes of the list of headers that a browser may ask for."""

_METHODS = b"GET, HEAD, POST, DELETE, OPTIONS"
_VARY = (b"vary", b"Origin")


class Origins:
    """An application behind which pages of some origins may call.

    Args:
        app: answers.
        origins: such as `https://app.example.com`; `*` is any.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app = app
        self._any = ANY in origins
        self._origins = frozenset(origin.encode() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        head = dict(scope["headers"])
        told = self._told(head.get(b"origin"))
        if scope["method"] == "OPTIONS" and len(told) > 1 and b"access-control-request-method" in head:
            told += _allowed(head.get(b"access-control-request-headers", b""))
        if b"origin" in head:
            # The shorter way would go past what is added here.
            scope.get("extensions", {}).pop(DIRECT, None)

        async def telling(message: Message) -> None:
            if message["type"] == START:
                message = {**message, "headers": [*message.get("headers", ()), *told]}
            await send(message)

        await self._app(scope, receive, telling)

    def _told(self, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        """The headers of an answer to a page."""
        if self._any:
            told = [(b"access-control-allow-origin", b"*")]
        elif origin in self._origins:
            told = [(b"access-control-allow-origin", origin), _VARY]
        else:
            # Not even that the answer would differ for others may be forgotten: caches stand between.
            return [_VARY]
        return [*told, (b"access-control-expose-headers", b"*")]


def _allowed(wished: bytes) -> list[tuple[bytes, bytes]]:
    """What a browser that asks beforehand is told besides: any header will do."""
    headers = [(b"access-control-allow-methods", _METHODS), (b"access-control-max-age", MAX_AGE)]
    if wished and len(wished) <= LONGEST_WISH and wished.isascii():
        headers.append((b"access-control-allow-headers", wished))
    return headers
