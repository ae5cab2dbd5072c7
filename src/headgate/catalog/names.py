"""What a model is called: which known name may stand behind the one that a caller gave.

Decides how dated, fine-tuned and prefixed names are taken apart; refuses to know which models there are. Nothing is
guessed: a name that only looks like a known one (`gpt-6-lunar`, `someone/gpt-6-luna`) has no other spelling.
"""

import re
from collections.abc import Iterator

LONGEST = 256
"""Characters that the name of a model may have; nobody makes longer ones."""

PREFIXES = frozenset(
    (
        "openai", "azure", "azure_ai", "azure-openai", "anthropic", "gemini", "google", "models", "vertex_ai",
        "google-vertex", "openrouter", "litellm_proxy", "text-completion-openai", "responses",
    )
)  # fmt: skip
"""What stands before a `/` and says who serves the model, not which one it is."""

# The date of a snapshot: `-2026-03-05`, `-20261021`, `@20261021`; and what it replaced, `-0613`.
_DATED = re.compile(r"(.+?)(?:-20\d\d-[01]\d-[0-3]\d|[-@]20\d\d[01]\d[0-3]\d|-[01]\d[0-3]\d)", re.ASCII)


def spellings(name: str) -> Iterator[str]:
    """The names under which a model may be known, the most exact first.

    Args:
        name: as a caller, a configuration or an answer has it.

    Yields:
        The name as it is; without who serves it; without its date; for a fine-tuned model `ft:` and its base, which
        has prices of its own, and then the base.

    Example:
        >>> list(spellings("openai/gpt-5.4-2026-03-05"))
        ['openai/gpt-5.4-2026-03-05', 'gpt-5.4-2026-03-05', 'gpt-5.4']
        >>> list(spellings("ft:gpt-4.1-mini:acme::x"))
        ['ft:gpt-4.1-mini:acme::x', 'ft:gpt-4.1-mini', 'gpt-4.1-mini']
    """
    if len(name) > LONGEST:
        return
    yield name
    *before, last = name.split("/")
    if before:
        if not PREFIXES.issuperset(before):
            return
        yield last
    if last.startswith("ft:"):
        base = last.split(":", 2)[1]
        yield from (f"ft:{spelling}" for spelling in _undated(base))
        yield from _undated(base)
    elif (dated := _DATED.fullmatch(last)) is not None:
        yield dated[1]


def _undated(name: str) -> Iterator[str]:
    yield name
    if (dated := _DATED.fullmatch(name)) is not None:
        yield dated[1]
