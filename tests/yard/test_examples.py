"""Every example of the README and of `docs/` works as it is printed.

A page is one story, told in a folder of its own, with the simulator in place of real providers. What is done with a
block depends on the words after its fence:

- ```` ```python ```` is run; all Python blocks of a page share their names.
- ```` ```sh run ```` is run by bash and must end with 0; a shell block without `run` is only for reading.
- ```` ```yaml ```` must be a configuration, or a part of one.
- a word with a dot, as in ```` ```yaml headgate.yaml ````, is a file name: the block is written there for what follows.
- `no-run` leaves a block alone: for fragments. A fragment of Python must still be Python.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
import yaml

from headgate.gate.config import Config

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(?P<words>[^\n`]+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: its language, the other words after the fence, its text, and the line where that begins."""

    language: str
    words: list[str]
    body: str
    line: int

    @property
    def file(self) -> str | None:
        """The file that it is to be written to."""
        return next((word for word in self.words if "." in word), None)


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page that name a language."""
    found = []
    for fence in FENCE.finditer(text):
        language, *words = fence["words"].split()
        found.append(Block(language, words, fence["body"], text.count("\n", 0, fence.start("body")) + 1))
    return found


class Story:
    """A page that is being told: its folder, and the names of its Python blocks so far."""

    def __init__(self, page: str, folder: Path) -> None:
        self.page = page
        self.folder = folder
        self.names = ModuleType("example")

    def tell(self, block: Block) -> None:
        """Do with a block what its words ask for."""
        if block.language == "python":
            # Empty lines in front make line numbers of a traceback those of the page.
            code = compile("\n" * (block.line - 1) + block.body, self.page, "exec")
        if "no-run" in block.words:
            return
        if block.file:
            (self.folder / block.file).write_text(block.body)
        if block.language == "python":
            exec(code, vars(self.names))  # noqa: S102  that is what examples are for
        elif block.language == "yaml":
            Config.model_validate(yaml.safe_load(block.body))
        elif block.language in {"sh", "bash"} and "run" in block.words:
            script = ["bash", "-euo", "pipefail", "-c", block.body]
            run = subprocess.run(script, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            if run.returncode:
                where = f"{self.page}:{block.line}"
                pytest.fail(f"{where} ended with {run.returncode}\n{run.stdout}{run.stderr}", pytrace=False)


@pytest.fixture
def story(tmp_path, monkeypatch):
    """Makes a story in a folder and an environment of its own, where nothing but the simulator answers."""
    for name in [name for name in os.environ if name.startswith(("OPENAI_", "HEADGATE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HEADGATE_SIMULATE", "1")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def begin(page: str) -> Story:
        made = Story(page, tmp_path)
        monkeypatch.setitem(sys.modules, "example", made.names)
        return made

    return begin


@pytest.mark.parametrize("page", [str(path.relative_to(ROOT)) for path in PAGES])
def test_examples(page, story):
    """Every block of the page does what it is there for."""
    told = story(page)
    for block in blocks((ROOT / page).read_text("utf-8")):
        told.tell(block)


PAGE = """\
# A page

```yaml headgate.yaml
server: {port: 4001}
```

```python
import pathlib
text = pathlib.Path("headgate.yaml").read_text()
```

```python
assert "4001" in text
assert False, "seen"
```

```text
{ not code
```
"""


def test_blocks_share_names_and_files_and_errors_name_the_line(story):
    """What one block made, the next one finds; a failure is reported at the line of the page."""
    told = story("page.md")
    first, second, third, _ = blocks(PAGE)
    told.tell(first)
    told.tell(second)
    with pytest.raises(AssertionError, match="seen") as caught:
        told.tell(third)
    assert caught.traceback[-1].lineno + 1 == 14
    assert PAGE.splitlines()[13] == 'assert False, "seen"'


def test_broken_blocks_are_seen(story):
    """A command that fails, a setting that does not exist and a fragment that is no Python are errors."""
    told = story("page.md")
    with pytest.raises(pytest.fail.Exception, match=r"page.md:1 ended with 3\nout"):
        told.tell(Block("sh", ["run"], "echo out; exit 3", 1))
    with pytest.raises(ValueError, match="prot"):
        told.tell(Block("yaml", [], "server: {prot: 1}", 1))
    with pytest.raises(SyntaxError):
        told.tell(Block("python", ["no-run"], "def f(", 1))
    told.tell(Block("sh", [], "exit 3", 1))
    told.tell(Block("python", ["no-run"], "exit(3)", 1))
