"""A value that must never be shown.

Upstream credentials live in this type from the moment they are read. It cannot be printed, formatted, logged,
pickled or serialised by accident; only `reveal()` gives the text, and only the provider that sends it calls that.
"""

from typing import NoReturn


class Secret:
    """Text that hides itself.

    Example:
        >>> s = Secret("sk-live-123")
        >>> str(s), repr(s), f"{s}"
        ('***', 'Secret(***)', '***')
        >>> bool(Secret("")), s.reveal()
        (False, 'sk-live-123')
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __str__(self) -> str:
        return "***"

    def __repr__(self) -> str:
        return "Secret(***)"

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(("Secret", self._text))

    def __reduce__(self) -> NoReturn:
        message = "a Secret cannot be pickled"
        raise TypeError(message)
