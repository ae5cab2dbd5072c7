"""What `docs/clients.md` shows is what `make clients` runs."""

import re
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "tests" / "clients" / "programs"
FENCE = re.compile(r"^```(?P<words>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


def shown() -> list[tuple[str, str]]:
    """The blocks of the page that name a program: its name, and the text."""
    text = (ROOT / "docs" / "clients.md").read_text("utf-8")
    blocks = [(fence["words"].split()[-1], fence["body"]) for fence in FENCE.finditer(text)]
    return [(name, body) for name, body in blocks if "." in name]


def stands(block: str, program: str) -> bool:
    """Whether a block stands in a program, line after line, however far it is indented there."""
    lines, wanted = program.splitlines(), block.splitlines()
    pieces = ("\n".join(lines[at : at + len(wanted)]) for at in range(len(lines)))
    return any(dedent(piece) == "\n".join(wanted) for piece in pieces)


@pytest.mark.parametrize("name", sorted({name for name, _ in shown()}))
def test_what_the_page_shows_is_what_is_run(name):
    """Each block that names a program is a piece of it."""
    program = (PROGRAMS / name).read_text("utf-8")
    assert [body for of, body in shown() if of == name and not stands(body, program)] == []


def test_every_program_is_on_the_page():
    """No client is tested in secret."""
    programs = {path.name for path in PROGRAMS.iterdir() if path.is_file() and not path.name.startswith("telling.")}
    assert programs == {name for name, _ in shown()}


def test_a_difference_is_seen():
    """Indentation does not count, everything else does."""
    program = "def f():\n    a = 1\n    if a:\n        b = 2\n"
    assert stands("a = 1\nif a:\n    b = 2\n", program)
    assert not stands("a = 1\nb = 2\n", program)
    assert not stands("a = 2\n", program)
