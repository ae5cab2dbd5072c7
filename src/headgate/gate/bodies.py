"""What a request's body must call itself, and where it is received: in memory, or on the spool.

The same at every door that speaks HTTP. Decides by the page of addresses (`dialects/endpoints.py`) and the request's
own words; refuses to know how a door holds its headers and receives bytes.
"""

from headgate.core.errors import MediaTypeError
from headgate.dialects.endpoints import Takes
from headgate.gate.present import JSON
from headgate.gate.spool import FORM


def spooled(takes: Takes, content_type: str | None, encoding: str | None, *, empty: bool) -> bool:
    """Whether a body is received on the spool; else it is read whole, as JSON or as nothing.

    Args:
        takes: what the address takes.
        content_type: the header, if there is one.
        encoding: the header `Content-Encoding`, if there is one.
        empty: the request has no body.

    Raises:
        MediaTypeError: it is not what the address takes.

    Example:
        >>> spooled("form", "multipart/form-data; boundary=x", None, empty=False)
        True
        >>> spooled("maybe json", None, None, empty=True)
        False
    """
    check_encoding(encoding)
    if takes == "anything":
        return True
    media = media_type(content_type or "")
    if takes in {"form", "json or form"} and media == FORM:
        return True
    if takes == "form":
        message = f"The body calls itself {_short(media) or 'nothing'!r}, not a form."
        raise MediaTypeError(message, hint="Send `multipart/form-data`.")
    if not (takes == "maybe json" and empty):
        check_json(content_type)
    return False


def media_type(content_type: str) -> str:
    """The name in a content type, without its parameters."""
    return content_type.split(";", 1)[0].strip().lower()


def check_json(content_type: str | None) -> None:
    """See that a body calls itself JSON.

    Raises:
        MediaTypeError: it does not.
    """
    if content_type is None:
        raise MediaTypeError("The request has no `Content-Type`.")
    name = media_type(content_type)
    if name != JSON and not (name.startswith("application/") and name.endswith("+json") and "," not in name):
        raise MediaTypeError(f"The body calls itself {_short(content_type)!r}, not JSON.")


def check_encoding(encoding: str | None) -> None:
    """See that a body comes as it is.

    Raises:
        MediaTypeError: it is compressed.
    """
    if encoding is not None and encoding.strip().lower() != "identity":
        message = f"The body is encoded as {_short(encoding)!r}."
        raise MediaTypeError(message, hint="Send it as it is, without `Content-Encoding`.")


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
