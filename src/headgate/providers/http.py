"""The only outbound IO of the house: a pooled HTTP/1.1 transport with TLS, proxies and deadlines.

Decides how connections are opened, reused and closed; refuses to know what they carry. A request that was cancelled
closes its connection. Nothing is retried here: a request whose fate is unknown is the retry policy's business, and the
ledger's.
"""

import asyncio
import base64
import builtins
import ssl
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec

from headgate.core.clock import Clock
from headgate.core.errors import BadRequestError, ConfigError, TimeoutError, UnreachableError  # noqa: A004
from headgate.providers.http_connection import Connection, Exchange
from headgate.providers.transport import Headers, Outgoing, Written

MOST_ADDRESSES = 1024
"""URLs that are remembered, taken apart."""


class _Origin(NamedTuple):
    """Where a URL leads."""

    secure: bool
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.secure else ''}://{host}:{self.port}"


class _Address(msgspec.Struct, frozen=True):
    """A URL, taken apart once."""

    origin: _Origin
    start: str
    """What follows the method in the request line, and the `host` header."""

    def __repr__(self) -> str:
        # A proxy's credentials may stand in it.
        return f"_Address({self.origin})"


class _Proxy(NamedTuple):
    origin: _Origin
    authorization: str


class HttpTransport:
    """Connections to wherever a request's URL leads.

    Args:
        clock: for deadlines.
        tls: certificate authorities to trust; None for the system's.
        proxy: `http://[user:password@]host:port` to go through.
    """

    def __init__(self, *, clock: Clock, tls: ssl.SSLContext | None = None, proxy: str | None = None) -> None:
        self._clock = clock
        self._tls = tls
        self._proxy = _proxy(proxy) if proxy else None
        self._addresses: dict[str, _Address] = {}
        self._common: dict[tuple[tuple[str, str], ...], str] = {}
        self._idle: dict[_Origin, list[Connection]] = {}
        self._all: set[Connection] = set()

    async def send(self, request: Outgoing, *, connect: float, deadline: float, written: Written) -> Exchange:
        """Send a request and wait for the head of its answer; see `providers.transport.Transport`."""
        address = self._addresses.get(request.url) or self._address(request.url)
        origin = address.origin
        connection = self._take(origin) or await self._open(origin, connect, deadline)
        try:
            # Credentials are in these bytes. No frame of a failure has them, whoever reports it with its variables.
            if request.upload is None:
                connection.start(self._rendered(request, address), written)
            else:
                await connection.upload(self._rendered(request, address), request.upload, written, deadline)
            await connection.head(deadline)
        except BaseException:
            connection.abort()
            raise
        return Exchange(connection, self._idle.setdefault(origin, []).append)

    def _rendered(self, request: Outgoing, address: _Address) -> bytes:
        common = self._common.get(request.common)
        if common is None:
            common = self._common[request.common] = _lines(request.common)
        return _request(request, address.start, common)

    async def close(self) -> None:
        """Close every connection."""
        for connection in list(self._all):
            connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # the loop tells the connections that they are lost

    def _address(self, url: str) -> _Address:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
            if parts.scheme not in {"http", "https"} or not host:
                raise ValueError(url)
        except ValueError:
            raise ConfigError(f"{url!r} is no address.", hint="Write `base_url` as https://host/v1.") from None
        secure = parts.scheme == "https"
        origin = _Origin(secure, host, port or (443 if secure else 80))
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        authority = parts.netloc.rpartition("@")[2]
        proxied = self._proxy is not None and not secure
        start = f"{f'http://{authority}{path}' if proxied else path} HTTP/1.1\r\nhost: {authority}\r\n"
        if proxied and self._proxy and self._proxy.authorization:
            start += f"proxy-authorization: {self._proxy.authorization}\r\n"
        address = _Address(origin, start)
        if len(self._addresses) >= MOST_ADDRESSES:
            self._addresses.clear()  # most of them name one file each; those in use are back at once
        self._addresses[url] = address
        return address

    def _take(self, origin: _Origin) -> Connection | None:
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.usable:
                return connection
        return None

    async def _open(self, origin: _Origin, connect: float, deadline: float) -> Connection:
        seconds = min(connect, deadline - self._clock.monotonic())
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                return await (self._tunnel if self._proxy and origin.secure else self._connect)(origin, deadline)
        except builtins.TimeoutError:
            raise TimeoutError(f"{origin} could not be reached within {seconds:.3g} s.") from None
        except ssl.SSLCertVerificationError as error:
            raise UnreachableError(
                f"{origin} showed a certificate that is not trusted: {error.verify_message}.",
                hint="Name its authority in the provider's `ca_bundle`.",
            ) from None
        except OSError as error:
            raise UnreachableError(f"{origin} could not be reached: {error.strerror or error}.") from None

    async def _connect(self, origin: _Origin, _deadline: float) -> Connection:
        at = self._proxy.origin if self._proxy else origin
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: self._new(origin),
            at.host,
            at.port,
            ssl=self._context() if at.secure else None,
            server_hostname=at.host if at.secure else None,
        )
        self._all.add(connection)
        return connection

    async def _tunnel(self, origin: _Origin, deadline: float) -> Connection:
        """Through a proxy to a TLS server: `CONNECT`, then TLS inside (RFC 9110, 9.3.6)."""
        assert self._proxy is not None
        connection = await self._connect(origin, deadline)
        try:
            connection.start(_tunnelling(origin, self._proxy), None)
            await connection.head(deadline)
            if connection.status != 200:
                raise UnreachableError(f"The proxy {self._proxy.origin} answered {connection.status} for {origin}.")
            assert connection.transport is not None
            connection.renew()
            connection.transport = await asyncio.get_running_loop().start_tls(
                connection.transport, connection, self._context(), server_hostname=origin.host
            )
        except BaseException:
            connection.abort()
            raise
        return connection

    def _new(self, origin: _Origin) -> Connection:
        def gone(connection: Connection) -> None:
            self._all.discard(connection)
            idle = self._idle.get(origin, ())
            if connection in idle:
                self._idle[origin].remove(connection)

        return Connection(str(origin), self._clock, gone)

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


def _proxy(url: str) -> _Proxy:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ConfigError("The provider's `proxy` is no address.", hint="Write it as http://user:password@host:port.")
    credentials = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    authorization = "" if credentials == ":" else "Basic " + base64.b64encode(credentials.encode()).decode()
    return _Proxy(_Origin(secure=False, host=parts.hostname, port=parts.port or 80), authorization)


def _tunnelling(origin: _Origin, proxy: _Proxy) -> bytes:
    authority = str(origin).removeprefix("https://")
    credentials = f"proxy-authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
    return f"CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n{credentials}\r\n".encode()


def _lines(headers: Headers) -> str:
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        raise BadRequestError("A header holds a line break.")
    return lines


def _request(request: Outgoing, start: str, common: str) -> bytes:
    own = _lines(request.headers)
    size = len(request.body) if request.upload is None else request.upload.size
    head = f"{request.method} {start}{common}{own}content-length: {size}\r\n\r\n"
    return head.encode("latin-1") + request.body
