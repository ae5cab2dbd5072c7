"""A configuration file as plain data, with the line of every setting.

Decides what YAML may say: one mapping of text keys, each once, of plain values, without aliases. Refuses to know what
the settings mean. A file cannot make us read without end, build objects, or see two values for one setting.
"""

import os
import re
import stat
from datetime import datetime
from pathlib import Path as File
from typing import Any

import yaml

from headgate.core.errors import ConfigError
from headgate.gate.problems import Path, Problem

MAX_BYTES = 1_000_000
"""Longest file that is read."""
MAX_DEPTH = 50
"""Deepest nesting."""

_PLAIN = frozenset(
    f"tag:yaml.org,2002:{tag}" for tag in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq")
)
_TEXT = "tag:yaml.org,2002:str"
_NUMBER = re.compile(
    r"[-+]?(0|[1-9][0-9_]*)(\.[0-9_]*)?([eE][-+]?[0-9]+)?|\.[0-9]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)


class Document:
    """What a file says.

    Attributes:
        data: its mapping.
        lines: the line of each setting.
        problems: what cannot be taken as it stands.
    """

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []


class _Loader(yaml.SafeLoader):
    """Composes nodes; refuses aliases, so that a small file cannot mean a large one."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it bare
            raise yaml.MarkedYAMLError(None, None, "aliases (`*name`) are not taken here", event.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


def read(file: File) -> Document:
    """Read a configuration file.

    Raises:
        ConfigError: it cannot be read, is too large, or is not YAML with a mapping at its root.
    """
    text = _text(file)
    document = Document()
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return document
        if not isinstance(root, yaml.MappingNode):
            raise ConfigError(
                f"{file}: the file must hold a mapping of settings.", hint="Begin with a section such as `providers:`."
            )
        document.data = _Builder(loader, document).mapping(root, ())
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(file, error) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"{file}:{line}: a character that YAML does not allow (#x{int(error.character):04x})."
        ) from None
    except RecursionError:
        raise ConfigError(f"{file}: the file is nested too deeply.") from None
    return document


def _text(file: File) -> str:
    try:
        with open(file, "rb", opener=_at_once) as stream:
            piped = stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)
            if piped:
                os.set_blocking(stream.fileno(), True)
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(
            f"{file}: the configuration file cannot be read: {reason}.",
            hint="Name it with `--config FILE` or `HEADGATE_CONFIG`.",
        ) from None
    if piped and not raw:
        hint = "What was read from a pipe once is not there a second time."
        raise ConfigError(f"{file}: this is a pipe, and nothing comes out of it.", hint=hint)
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{file}: the file is larger than {MAX_BYTES} bytes.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{file}:{line}: the file is not UTF-8.", hint="Save it as UTF-8.") from None


def _at_once(path: str, flags: int) -> int:
    """Open it; a pipe to which nobody writes would keep us waiting for ever."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _not_yaml(file: File, error: yaml.MarkedYAMLError) -> ConfigError:
    # Only the parser's own words: its excerpt of the file might show a credential.
    mark = error.problem_mark or error.context_mark
    where = f"{file}:{mark.line + 1}" if mark else str(file)
    what = error.problem or "cannot be read"
    hint = ""
    if r"'\t'" in what:
        hint = "Indent with spaces, not tabs."
    elif "got '{'" in what:
        hint = "Inside `{…}`, put `${NAME}` in quotes."
    return ConfigError(f"{where}: not valid YAML: {what}.", hint=hint)


class _Builder:
    """Nodes to data."""

    def __init__(self, loader: yaml.SafeLoader, document: Document) -> None:
        self._loader = loader
        self._document = document

    def mapping(self, node: yaml.MappingNode, at: Path) -> dict[str, Any]:
        if len(at) > MAX_DEPTH:
            raise RecursionError
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "a collection"
            if key_node.tag != _TEXT:
                self._complain((*at, key), line, "stands where a name must stand.", "Put the name in quotes.")
                continue
            path = (*at, key)
            if key in found:
                self._complain(path, line, f"stands twice, first in line {self._document.lines[path]}.", "Keep one.")
                continue
            self._document.lines[path] = line
            found[key] = self.value(value_node, path)
        return found

    def value(self, node: yaml.Node, at: Path) -> Any:
        line = node.start_mark.line + 1
        if node.tag not in _PLAIN:
            self._complain(at, line, f"has the YAML tag {node.tag!r}, which is not taken here.", "Write a plain value.")
            return None
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, at)
        if isinstance(node, yaml.SequenceNode):
            if len(at) > MAX_DEPTH:
                raise RecursionError
            items = []
            for number, item in enumerate(node.value):
                self._document.lines[(*at, number)] = item.start_mark.line + 1
                items.append(self.value(item, (*at, number)))
            return items
        return self._scalar(node, at, line)

    def _scalar(self, node: yaml.Node, at: Path, line: int) -> Any:
        kind = node.tag.rpartition(":")[2]
        if kind in {"int", "float"} and not _NUMBER.fullmatch(node.value):
            # YAML 1.1 reads 010 as eight and 1:30 as ninety; nobody who writes a configuration does.
            self._complain(at, line, "is a number in an unusual notation.", "Write it in decimal; put text in quotes.")
            return None
        try:
            value = self._loader.construct_object(node)
        except ValueError:
            self._complain(at, line, "is neither a number nor a date that exists.", "Put text in quotes.")
            return None
        # A date with a time is not a date, and no setting wants one.
        return node.value if isinstance(value, datetime) else value

    def _complain(self, path: Path, line: int, text: str, hint: str) -> None:
        self._document.problems.append(Problem(path=path, text=text, hint=hint, line=line))
