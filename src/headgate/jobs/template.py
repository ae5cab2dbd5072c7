"""A prompt with gaps: `Translate {text} into {language}.`, filled from the fields of each row.

Decides how gaps are written and what may fill them; refuses to know where the fields come from. A gap is a name and
nothing else: no attribute, index or format of Python's is ever looked up by what a template says.
"""

from collections.abc import Mapping
from string import Formatter

import msgspec

from headgate.core.errors import BadRequestError
from headgate.dialects.openai_fields import UNREADABLE

HINT = "A gap is `{column}`; write `{{` and `}}` for braces that are meant as such."


class Template:
    """A template, read once.

    Attributes:
        text: as it was given.
        names: of its gaps, each once.

    Raises:
        BadRequestError: it is malformed, or has no gap.

    Example:
        >>> Template("Say {word} {{twice}}.").fill({"word": "yes"})
        'Say yes {twice}.'
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            parts = list(Formatter().parse(text))
        except ValueError as error:
            raise BadRequestError(f"The template is malformed: {error}.", hint=HINT) from None
        for _, name, form, conversion in parts:
            if name is not None and (not name.strip() or form or conversion):
                raise BadRequestError(f"The template has a gap that is no name: {{{name}}}.", hint=HINT)
        self._parts = [(literal, name) for literal, name, _, _ in parts]
        self.names = tuple(dict.fromkeys(name for _, name in self._parts if name is not None))
        if not self.names:
            raise BadRequestError("The template has no gap, so that all rows would ask the same.", hint=HINT)

    def fill(self, values: Mapping[str, str]) -> str:
        """The prompt.

        Raises:
            KeyError: a value is missing.
        """
        return "".join([literal if name is None else literal + values[name] for literal, name in self._parts])


def plain(raw: msgspec.Raw) -> str | None:
    """A JSON value as it stands in a prompt: a text as it is, everything else in JSON; None for null."""
    try:
        value = msgspec.json.decode(raw)
    except UNREADABLE:
        return None
    return value if isinstance(value, str) or value is None else bytes(raw).decode()
