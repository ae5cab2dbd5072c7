"""Shortens the texts of one prompt, one after the other.

Decides in which order a text is shortened, and which paragraphs are said again; refuses to know where texts stand. What
comes out depends on this text and those before it only, so that a provider's cache of prompts goes on matching while a
conversation grows. A text that is short already comes out as it is.
"""

import msgspec

from headgate.policies.compress.minify import minified, whole
from headgate.policies.compress.parts import Part, parts
from headgate.policies.compress.space import paragraphs, spared

LEAST = 400
"""Characters of a paragraph for which a reference pays."""
OPENING = 60
"""Characters of it that a reference quotes."""


class How(msgspec.Struct, frozen=True, kw_only=True):
    """What is done.

    Attributes:
        whitespace: what no reader misses goes.
        pretty_json: pretty-printed JSON is put on one line.
        spaces: several spaces between words become one.
        repeats: a long paragraph that has been said becomes a reference.
        code: JSON in fences is put on one line.
        tools: arguments and results of tools are shortened as well.
    """

    whitespace: bool = True
    pretty_json: bool = True
    spaces: bool = False
    repeats: bool = False
    code: bool = False
    tools: bool = False


class Shortener:
    """Shortens the texts of one prompt.

    Args:
        how: what is done.
    """

    def __init__(self, how: How) -> None:
        self._how = how
        self._said: dict[str, str | None] = {}
        """Long paragraphs by their opening; None where several begin alike."""
        self._again: set[str] = set()
        """Openings that were there before."""

    def text(self, text: str, *, refer: bool = True) -> str:
        """A text as short as it gets.

        Args:
            text: what is said.
            refer: it may refer to what was said before.
        """
        return "".join(self._part(part, refer=refer) for part in parts(text))

    def _part(self, part: Part, *, refer: bool) -> str:
        how, text = self._how, part.text
        if part.kind == "fence" and how.code:
            return _fence(text)
        if part.kind != "prose":
            return text
        if how.pretty_json:
            text = minified(text)
        if how.whitespace or how.spaces:
            text = spared(text, lines=how.whitespace, gaps=how.spaces)
        if how.repeats:
            text = "".join(self._paragraph(words, refer=refer) + blanks for words, blanks in paragraphs(text))
        return text

    def _paragraph(self, paragraph: str, *, refer: bool) -> str:
        words = paragraph.strip("\r\n")
        if len(words) < LEAST or words[0] in " \t" or "\n " in words or "\n\t" in words:
            return paragraph
        opening = " ".join(words[:OPENING].split())
        if self._said.setdefault(opening, words) != words:
            # Nobody could tell which one is meant.
            self._said[opening] = None
        elif opening in self._again and refer:
            again = f'[Here a paragraph from above stands again: "{opening}…", {len(words):,} characters]'
            return paragraph.replace(words, again)
        self._again.add(opening)
        return paragraph


def _fence(text: str) -> str:
    """A block of code, its lines with the marks included; shorter, where it holds JSON and nothing else."""
    first, _, rest = text.partition("\n")
    inside, _, last = rest.removesuffix("\n").rpartition("\n")
    short = whole(inside)
    if short is None:
        return text
    indent = first[: len(first) - len(first.lstrip(" "))]
    end = "\r" * inside.endswith("\r")
    return f"{first}\n{indent}{short}{end}\n{last}" + "\n" * rest.endswith("\n")
