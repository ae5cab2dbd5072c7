"""Pretty-printed JSON inside a text, without the white space that only made it pretty.

Decides what is JSON: a whole value, from an opening bracket at the end of its line to the closing one. Its words,
numbers and names stay as they are spelled, in their order, doubles included. Refuses to know what is code around it.

A look at a text takes time in proportion to it: where a value turns out to be none, the search goes on behind the place
where that was seen.
"""

import re
from typing import Final

import msgspec

from headgate.dialects.openai_fields import UNREADABLE

_OPENS: Final = re.compile(r"^(?:[A-Za-z][\w ().,'/#*-]*+: ?|<[\w:.-]{1,80}>|)([{\[])[ \t]*+\r?\n", re.MULTILINE)
_TOKEN: Final = re.compile(r'"(?:[^"\\\n]|\\[^\n])*+"|[{}\[\]]|[^"{}\[\]]++')
_REST: Final = re.compile(r"(?:</[\w:.-]{1,80}>)?[ \t]*+(?=\r?\n|\Z)")
_BLANK_LINE: Final = re.compile(r"\n[ \t\r]*+\n")


def minified(text: str) -> str:
    r"""The text with its JSON on single lines.

    Example:
        >>> minified('Data:\n{\n  "a": 1.0,\n  "b": [ ]\n}\n')
        'Data:\n{"a":1.0,"b":[]}\n'
    """
    pieces: list[str] = []
    at = done = 0
    while (opens := _OPENS.search(text, at)) is not None:
        start = opens.start(1)
        tokens, at = _value(text, start)
        rest = _REST.match(text, at)
        # Behind a blank line, what is indented is code.
        if not tokens or rest is None or _BLANK_LINE.search(text, start, at):
            continue
        if (short := _short(text[start:at], tokens)) is not None:
            pieces += (text[done:start], short)
            done = at
    return "".join((*pieces, text[done:])) if pieces else text


def whole(text: str) -> str | None:
    """A text that is JSON and nothing else, without white space; None for any other text."""
    return _short(text, _TOKEN.findall(text))


def _value(text: str, start: int) -> tuple[list[str], int]:
    """The tokens of the value that begins somewhere, and its end; no tokens and where it breaks off, if it does."""
    tokens: list[str] = []
    depth, at = 0, start
    while (found := _TOKEN.match(text, at)) is not None:
        piece = found[0]
        tokens.append(piece)
        at = found.end()
        if piece in "{[":
            depth += 1
        elif piece in "}]":
            depth -= 1
            if not depth:
                return tokens, at
    return [], max(at, start + 1)


def _short(value: str, tokens: list[str]) -> str | None:
    try:
        msgspec.json.decode(value.encode())
    except (*UNREADABLE, UnicodeEncodeError):
        return None
    return "".join(token if token[0] == '"' else "".join(token.split()) for token in tokens)
