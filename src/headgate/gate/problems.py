"""What is wrong with a configuration, in words that name the file, the setting, the value and the cure.

Decides how a complaint reads and what of a value may be shown; refuses to know which settings exist. All complaints of
one configuration make one error. Text that might be a credential is never repeated.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from headgate.core.errors import ConfigError

Path = tuple[str | int, ...]
"""Where a setting stands: `("keys", 0, "name")` is written `keys[0].name`."""

_LONGEST = 60
_USERINFO = re.compile(r"(://)\S*@")
_PASSWORD = re.compile(r"(?i)([?&]\w*password=)[^&\s]*")
_CREDENTIAL = re.compile(r"(?i)\b(sk|hg|pk|rk|xox\w|ghp|key)-|^[0-9a-f]{40,}$|^eyJ|^Bearer\b|AIza")


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One complaint.

    Attributes:
        path: the setting; empty for the file as a whole.
        text: what is wrong, as the rest of a sentence that begins with the setting.
        hint: the cure, in one sentence; may be empty.
        line: the line in the file, where the setting itself has none (a key that stands twice, say).
        variable: the environment variable at fault, where the path does not tell.
    """

    path: Path
    text: str
    hint: str = ""
    line: int | None = None
    variable: str | None = None


def dotted(path: Path) -> str:
    """A path as people write it.

    Example:
        >>> dotted(("keys", 0, "limits"))
        'keys[0].limits'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint that names the known name most like this one; empty if none is alike.

    Example:
        >>> nearest("timout", ["timeout", "type"])
        'Did you mean `timeout`?'
    """
    by_low = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), by_low, n=1, cutoff=0.6)
    return f"Did you mean `{by_low[found[0]]}`?" if found else ""


def masked(text: str) -> str:
    """Text without the user and password of the addresses in it.

    Example:
        >>> masked("redis://:pa@ss@host:6379/1"), masked("postgresql://host/db?password=s&user=u")
        ('redis://***@host:6379/1', 'postgresql://host/db?password=***&user=u')
    """
    return _PASSWORD.sub(r"\1***", _USERINFO.sub(r"\1***@", text))


def shown(value: object) -> str:
    """A value as a complaint may show it; never one that might be a credential, nor what a collection holds."""
    if isinstance(value, str):
        if _CREDENTIAL.search(value):
            return "'***'"
        text = masked(value)
        return repr(text if len(text) <= _LONGEST else text[:_LONGEST] + "…")
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "empty" if value is None else str(value)[:_LONGEST]


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where the settings of one configuration came from.

    Attributes:
        source: the file's name, or `environment`, or `simulate`.
        lines: line numbers in the file.
        variables: settings that the environment or the command line made, and what made each.
    """

    source: str
    lines: Mapping[Path, int] = {}
    variables: Mapping[Path, str] = {}

    def line(self, path: Path) -> int | None:
        """The line of a setting, or of the section that it is missing from."""
        return next((self.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.lines), None)

    def variable(self, path: Path) -> str | None:
        """What made a setting, if the file did not."""
        return next((self.variables[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.variables), None)

    def makers(self, path: Path) -> list[str]:
        """The variables that made a setting or a part of it, if nothing in the file did."""
        if any(line[: len(path)] == path for line in self.lines):
            return []
        inside = {made for at, made in self.variables.items() if at[: len(path)] == path}
        return sorted(inside or {made for at, made in self.variables.items() if path[: len(at)] == at})


def refusal(problems: Sequence[Problem], places: Places) -> ConfigError:
    """All complaints as one error: a single one as a sentence and a hint, several as a list."""
    # One variable may fill many settings; it is complained about once. The first complaint about a setting stands.
    lines: dict[str, tuple[str, str]] = {}
    for problem in problems:
        variable = problem.variable or places.variable(problem.path)
        line = problem.line or places.line(problem.path)
        name = f"`{dotted(problem.path)}`"
        if variable:
            key = variable
            sentence = f"{variable} ({name})" if problem.path else variable
        else:
            key = name
            sentence = f"{places.source}{f':{line}' if line else ''}: {name}"
        lines.setdefault(key, (f"{sentence} {problem.text}", problem.hint))
    found = list(lines.values())
    hints = {hint for _, hint in found}
    if len(hints) == 1:
        joint = hints.pop()
        texts = [text for text, _ in found]
    else:
        joint = ""
        texts = [f"{text} {hint}".rstrip() for text, hint in found]
    if len(texts) == 1:
        return ConfigError(texts[0], hint=joint)
    return ConfigError("\n  - ".join([f"{len(texts)} settings cannot be used:", *texts]), hint=joint)
