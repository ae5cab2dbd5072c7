"""What may stand in the head of a request: how much, which framing, which address, which host.

Decides which heads are refused and with what status. Refuses to know sockets, and what requests mean. By the time these
rules are asked, the parser (llhttp, in its strict form) has refused what breaks HTTP's grammar: a length beside chunks,
two lengths or one that is no number, folded lines, bare line ends, control characters, spaces before colons.

A path is taken as it is after percent-decoding; nobody resolves dots or joins slashes. One that asks for it is refused,
so that it cannot mean two things to two servers.
"""

import re
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import unquote

from headgate.core.errors import BadRequestError, MethodNotAllowedError

MAX_HEAD = 64 * 1024
"""Bytes that a request may have beside its body: address, headers, trailers, marks of chunks."""
MAX_ADDRESS = 8 * 1024
"""Bytes of an address."""
MAX_FIELD = 16 * 1024
"""Bytes of one header, its name included."""
MAX_FIELDS = 128
"""Headers."""

HOST = b"host"
CODING = b"transfer-encoding"
EXPECT = b"expect"
WATCHED = frozenset((HOST, CODING, EXPECT))
"""Headers whose meaning is HTTP's own; each may stand there once."""

Field = tuple[bytes, bytes]

# A name or an address in brackets, and a port. Names may hold underscores, as those of containers do.
_AUTHORITY = re.compile(rb"(?P<name>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"https?://(?P<authority>[^/?#]*)(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Refusal(Exception):  # noqa: N818  the house's word for it
    """A request that breaks a rule of HTTP for which HTTP has a status of its own.

    It never becomes a call, so the error table has no row for it.

    Attributes:
        status: that status.
        error: what is said.
    """

    def __init__(self, status: int, error: BadRequestError) -> None:
        super().__init__(error.message)
        self.status = status
        self.error = error


class Target(NamedTuple):
    """What a request is sent to.

    Attributes:
        path: percent-decoded.
        raw_path: as it came.
        query: as it came, without its question mark.
        authority: host and port, where the address names them itself.
    """

    path: str
    raw_path: bytes
    query: bytes
    authority: bytes | None = None


def check_address(address: bytes) -> None:
    """Refuse an address that is too long; it need not have ended.

    Raises:
        Refusal: it is longer than `MAX_ADDRESS` (414).
    """
    if len(address) > MAX_ADDRESS:
        message = f"The address is longer than {MAX_ADDRESS} bytes."
        raise Refusal(414, BadRequestError(message, code="address_too_long"))


def read_target(method: str, address: bytes) -> Target:
    """Read the address in a request's first line.

    Raises:
        BadRequestError: it is none, or its path means different things to different readers.
        Refusal: it is longer than `MAX_ADDRESS` (414).
        MethodNotAllowedError: it asks for a tunnel.

    Example:
        >>> read_target("GET", b"/v1/%6dodels?limit=2")
        Target(path='/v1/models', raw_path=b'/v1/%6dodels', query=b'limit=2', authority=None)
    """
    check_address(address)
    authority = None
    if not address.startswith(b"/"):
        address, authority = _other_form(method, address)
    raw_path, _, query = address.partition(b"?")
    path = raw_path.decode("ascii")
    if "%" in path or "/." in path:
        path = _decoded(path)
    return Target(path, raw_path, query, authority)


def _other_form(method: str, address: bytes) -> tuple[bytes, bytes | None]:
    if method == "CONNECT":
        raise MethodNotAllowedError("This is no proxy: it makes no tunnels.", hint="Call its own addresses.")
    if address == b"*" and method == "OPTIONS":
        return address, None
    found = _ABSOLUTE.fullmatch(address)
    if found is None:
        raise BadRequestError("The address of the request does not begin with a slash.", code="invalid_http")
    rest = found["rest"]
    return rest if rest.startswith(b"/") else b"/" + rest, found["authority"]


def _decoded(path: str) -> str:
    try:
        path = unquote(path, errors="strict")
    except UnicodeDecodeError:
        raise BadRequestError("The path is not UTF-8.", code="invalid_http") from None
    if _CONTROL.search(path):
        raise BadRequestError("The path holds control characters.", code="invalid_http")
    if not {".", ".."}.isdisjoint(path.replace("\\", "/").split("/")):
        raise BadRequestError("The path holds segments of dots.", code="invalid_http", hint="Resolve them first.")
    return path


def check_size(fields: Sequence[Field], size: int) -> None:
    """Refuse too many headers, and one that is too long.

    Args:
        fields: the headers.
        size: bytes that have come so far; no header can be longer.

    Raises:
        Refusal: they are over a limit (431).
    """
    if len(fields) > MAX_FIELDS:
        raise too_much(f"The request has more than {MAX_FIELDS} headers.")
    if size > MAX_FIELD:
        for name, value in fields:
            if len(name) + len(value) > MAX_FIELD:
                shown = name[:40].decode("latin-1")
                raise too_much(f"The header `{shown}` is longer than {MAX_FIELD} bytes.")


def too_much(message: str) -> Refusal:
    """The refusal of a head that is over a limit."""
    return Refusal(431, BadRequestError(message, code="headers_too_large"))


def check_version(version: str) -> None:
    """Refuse what is neither HTTP/1.1 nor HTTP/1.0.

    Raises:
        BadRequestError: it is another version.
    """
    if version not in {"1.1", "1.0"}:
        raise BadRequestError(f"HTTP/{version} is not spoken here.", code="invalid_http", hint="Use HTTP/1.1.")


def check_coding(coding: bytes, version: str) -> None:
    """Refuse a body in a form whose end or meaning two readers could see differently.

    Raises:
        BadRequestError: the coding is anything but `chunked`, or the version has none.
    """
    if version != "1.1":
        raise BadRequestError("HTTP/1.0 has no `Transfer-Encoding`.", code="invalid_http")
    if coding.lower() != b"chunked":
        raise BadRequestError("`Transfer-Encoding` may only be `chunked`.", code="invalid_http")


def expects_continue(expectation: bytes, version: str) -> bool:
    """Whether the sender waits for `100 Continue` before the body.

    Raises:
        Refusal: it expects something else (417).
    """
    if version != "1.1":
        # It may have passed a proxy that does not know the word.
        return False
    if expectation.lower() != b"100-continue":
        message = "The only expectation that can be met here is `100-continue`."
        raise Refusal(417, BadRequestError(message, code="expectation_failed"))
    return True


class Hosts:
    """The names by which a server may be called.

    A page that somebody visits can lead a name of its own to this machine, and would then be let in as if it came from
    here: where nobody is asked for a key, only known names are answered. No page can do that to an IP address, nor to
    `localhost`.

    Args:
        names: further names; None where any will do.
    """

    def __init__(self, names: Iterable[str] | None = None) -> None:
        self._names = None if names is None else frozenset(name.lower().rstrip(".") for name in names)

    def check(self, authority: bytes | None, version: str = "1.1") -> None:
        """Judge a `Host` header, or the host in an absolute address.

        Args:
            authority: host and port; None where the request names none.
            version: HTTP's; before 1.1 nobody had to name a host.

        Raises:
            BadRequestError: it is missing, or not a host.
            Refusal: it is not one of ours (421).
        """
        if authority is None:
            if version == "1.1":
                raise BadRequestError("The request has no `Host`.", code="invalid_http")
            return
        found = _AUTHORITY.fullmatch(authority)
        if found is None:
            raise BadRequestError("The `Host` of the request is not a host.", code="invalid_http")
        if self._names is None:
            return
        name = found["name"].decode("ascii").lower().rstrip(".")
        if name in self._names or name == "localhost" or name.endswith(".localhost") or _is_address(name.strip("[]")):
            return
        hint = "Call it by its IP address or as `localhost`, or add the name to `server.allowed_hosts`."
        message = f"This server is not called {name[:80]!r}."
        raise Refusal(421, BadRequestError(message, code="unknown_host", hint=hint))


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
