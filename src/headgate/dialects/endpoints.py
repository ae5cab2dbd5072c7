"""Every address below `/v1` that leads to a provider, on one page.

Decides which operation an address and a method ask for, what body they take, and which ids stand in the address;
refuses to know who may ask. An id is of letters, digits, `-` and `_`: nothing else that a caller writes into an
address ever becomes a part of one that we send.
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple
from urllib.parse import parse_qs

from headgate.core.call import Address, Operation
from headgate.core.errors import BadRequestError, MethodNotAllowedError, UnknownPathError

Takes = Literal["json", "form", "json or form", "maybe json", "anything"]
"""What body an address takes; `maybe json`: none, or a JSON object."""
LONGEST_QUERY = 4096
"""Characters of a query."""
PASSING = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE"))
"""Methods that may go to an address that is not on this page; answers to others are framed by rules of their own."""

_PATH = re.compile(r"/[A-Za-z0-9_./:-]+")
_ID = re.compile(r"[A-Za-z0-9_-]{1,256}")
_TRUE = ("true", "True", "1")
# What a provider keeps, and whose it is only the gate knows.
_KEPT = frozenset(("files", "uploads", "batches", "responses", "models"))


class Endpoint(NamedTuple):
    """One line of the page.

    Attributes:
        operation: what it asks for.
        takes: its body.
        listing: it answers with a list of objects.
        opaque: its answer is bytes of any kind.
        plain: it is posted to the operation's own path: the model call of an operation.
    """

    operation: Operation
    takes: Takes
    listing: bool = False
    opaque: bool = False
    plain: bool = False


class Found(NamedTuple):
    """What an address leads to.

    Attributes:
        endpoint: the line of the page.
        address: where the call goes; None for the operation's own path.
        names: the ids that stand in it.
        stream: its query asks for server-sent events.
    """

    endpoint: Endpoint
    address: Address | None
    names: tuple[str, ...] = ()
    stream: bool = False


def _call(operation: Operation, takes: Takes = "json") -> dict[str, Endpoint]:
    return {"POST": Endpoint(operation, takes, plain=True)}


ENDPOINTS: Final[Mapping[str, Mapping[str, Endpoint]]] = MappingProxyType(
    {
        "/chat/completions": _call(Operation.CHAT),
        "/responses": _call(Operation.RESPONSES),
        "/responses/input_tokens": _call(Operation.INPUT_TOKENS),
        "/completions": _call(Operation.COMPLETIONS),
        "/embeddings": _call(Operation.EMBEDDINGS),
        "/moderations": _call(Operation.MODERATIONS),
        "/images/generations": _call(Operation.IMAGES),
        "/images/edits": _call(Operation.IMAGE_EDITS, "json or form"),
        "/audio/speech": _call(Operation.SPEECH),
        "/audio/transcriptions": _call(Operation.TRANSCRIPTIONS, "form"),
        "/audio/translations": _call(Operation.TRANSLATIONS, "form"),
        "/responses/{id}": {
            "GET": Endpoint(Operation.STORED, "maybe json"),
            "DELETE": Endpoint(Operation.STORED, "maybe json"),
        },
        "/responses/{id}/cancel": {"POST": Endpoint(Operation.STORED, "maybe json")},
        "/responses/{id}/input_items": {"GET": Endpoint(Operation.STORED, "maybe json")},
        "/files": {
            "GET": Endpoint(Operation.FILES, "maybe json", listing=True),
            "POST": Endpoint(Operation.FILES, "form"),
        },
        "/files/{id}": {
            "GET": Endpoint(Operation.FILES, "maybe json"),
            "DELETE": Endpoint(Operation.FILES, "maybe json"),
        },
        "/files/{id}/content": {"GET": Endpoint(Operation.FILES, "maybe json", opaque=True)},
        "/uploads": {"POST": Endpoint(Operation.UPLOADS, "json")},
        "/uploads/{id}/parts": {"POST": Endpoint(Operation.UPLOADS, "form")},
        "/uploads/{id}/complete": {"POST": Endpoint(Operation.UPLOADS, "json")},
        "/uploads/{id}/cancel": {"POST": Endpoint(Operation.UPLOADS, "maybe json")},
        "/batches": {
            "GET": Endpoint(Operation.BATCHES, "maybe json", listing=True),
            "POST": Endpoint(Operation.BATCHES, "json"),
        },
        "/batches/{id}": {"GET": Endpoint(Operation.BATCHES, "maybe json")},
        "/batches/{id}/cancel": {"POST": Endpoint(Operation.BATCHES, "maybe json")},
    }
)
"""Below `/v1`, by path template and method."""

_PLAIN = {
    (method, path): Found(endpoint, None)
    for path, methods in ENDPOINTS.items()
    for method, endpoint in methods.items()
    if endpoint.plain
}


def find(method: str, path: str, query: str = "") -> Found:
    """What an address leads to.

    Args:
        method: the HTTP method.
        path: below `/v1`, decoded.
        query: as it came, without the question mark; it travels with calls that are not posted to a model.

    Raises:
        UnknownPathError: there is no such address.
        MethodNotAllowedError: there is, but not for that method.
        BadRequestError: the query is no query.

    Example:
        >>> find("GET", "/files/file-1/content").address.path
        '/files/file-1/content'
    """
    found = _PLAIN.get((method, path))
    return _find(method, path, query) if found is None else found


def allowed(path: str) -> str | None:
    """The methods that an address takes, as the header `Allow` has them; None where there is no such address."""
    methods = ENDPOINTS.get(_template(path)[0])
    return None if methods is None else ", ".join((*methods, "OPTIONS"))


def unknown(path: str) -> UnknownPathError:
    """There is no such address below `/v1`."""
    shown = path if len(path) <= 80 else path[:77] + "..."
    return UnknownPathError(f"There is no {'/v1' + shown!r} here.", hint=way_to(path.removeprefix("/v1")))


def way_to(path: str) -> str:
    """The hint for whoever asked for an address that is none: what it was meant to be, or where the addresses stand.

    Args:
        path: what was asked for, without any `/v1` before it.

    Example:
        >>> way_to("/chat/completions")
        'It is `/v1/chat/completions`: a base URL ends with `/v1`, once.'
    """
    if allowed(path) is None:
        return "`/docs` lists the addresses of this gateway."
    return f"It is `/v1{path}`: a base URL ends with `/v1`, once."


def passes(path: str, patterns: Iterable[str]) -> bool:
    """Whether a path below `/v1` is one of those that a key may use as they are.

    Args:
        path: decoded; one that a server might read otherwise than we do never passes, nor one that leads to what the
            gate keeps apart: addresses of this page in any spelling, and what lies below files, batches and the like.
        patterns: full paths; a `*` at the end stands for the rest.

    Example:
        >>> passes("/fine_tuning/jobs", ["/v1/fine_tuning/*"]), passes("/fine_tuning/../files", ["/v1/fine_tuning/*"])
        (True, False)
    """
    if not _PATH.fullmatch(path) or any(word in {"", ".", ".."} for word in path.split("/")[1:]):
        return False
    low = path.lower()
    if allowed(low) is not None or low.split("/")[1] in _KEPT:
        return False
    full = "/v1" + path
    return any(full.startswith(wanted[:-1]) if wanted.endswith("*") else full == wanted for wanted in patterns)


def checked(query: str) -> str:
    """A query that may travel.

    Raises:
        BadRequestError: it is malformed, or too long.
    """
    if len(query) > LONGEST_QUERY or not (query.isascii() and query.isprintable()) or set(query) & set(' "<>#'):
        raise BadRequestError("The query of the address is malformed, or too long.", code="invalid_query")
    return query


def _find(method: str, path: str, query: str) -> Found:
    template, names = _template(path)
    methods = ENDPOINTS.get(template)
    if methods is None:
        raise unknown(path)
    endpoint = methods.get(method)
    if endpoint is None:
        message = f"/v1{path} does not take {method[:80]}."
        raise MethodNotAllowedError(message, hint=f"It takes {allowed(path)}.")
    # What is posted says all in its body.
    query = checked(query) if method == "GET" else ""
    stream = template == "/responses/{id}" and parse_qs(query).get("stream", ["false"])[-1] in _TRUE
    return Found(endpoint, Address(method, path, query, endpoint.listing), names, stream)


def _template(path: str) -> tuple[str, tuple[str, ...]]:
    """The line of the page that a path may stand for, and the ids in it."""
    if "{" in path:
        return "", ()  # a template is no address
    if path in ENDPOINTS:
        return path, ()
    words = path.split("/")
    if len(words) > 2 and _ID.fullmatch(words[2]):
        return "/".join([*words[:2], "{id}", *words[3:]]), (words[2],)
    return path, ()
