"""What a user meets is documented, and what the documentation names exists.

`docs/design.md` is left out where existence is checked: it is the plan, and may be ahead of the house.
"""

import re
from collections.abc import Iterator

from headgate.core.error_table import tree
from headgate.gate.settings import settings_reference
from tools.docs import ROOT, commands, parameters

HEADER = re.compile(r"x-headgate-[a-z]+(?:-[a-z]+)*")
FENCE = re.compile(r"^```(?P<words>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
VARIABLE = re.compile(r"\b(?:OPENAI|HEADGATE|REDIS)_[A-Z][A-Z_]*[A-Z]\b")
LINK = re.compile(r"\]\((?!https?:|#|mailto:)(?P<target>[^)#\s]+)")
CALL = re.compile(r"(?:^|[\s`$|])headgate(?P<words> +[a-z-][^\s`|>&;#]*(?: +[^\s`|>&;#]+)*)")

PAGES = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
}
EVERYTHING = "\n".join(PAGES.values())
PROMISES = {name: text for name, text in PAGES.items() if name != "docs/design.md"}
COMMANDS = dict(commands())
SOURCE = "\n".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))


def shell(text: str) -> Iterator[str]:
    """The command lines of a page: shell blocks, and code within a sentence; continued lines joined."""
    for fence in FENCE.finditer(text):
        if fence["words"].split()[:1] in (["bash"], ["sh"], ["console"]):
            yield from fence["body"].replace("\\\n", " ").splitlines()
    yield from re.findall(r"`([^`\n]+)`", FENCE.sub("", text))


def mistakes(line: str) -> Iterator[str]:
    """What a command line says that `headgate` does not know."""
    for call in CALL.finditer(line):
        words = call["words"].split()
        plain = [word for word in words if not word.startswith("-")]
        name = next((name for at in (2, 1, 0) if (name := " ".join(["headgate", *plain[:at]])) in COMMANDS), None)
        if name is None or (name == "headgate" and plain):
            yield f"headgate {' '.join(words)}: no such command"
            continue
        options = {
            word for parameter in parameters(COMMANDS[name]) for word in parameter.opts + parameter.secondary_opts
        }
        for word in words:
            option = word.partition("=")[0]
            if option.startswith("--") and option not in options | {"--help"}:
                yield f"{name}: no option {option}"


def test_every_header_is_documented():
    """Each `x-headgate-*` header that the source spells stands in the documentation."""
    assert sorted(set(HEADER.findall(SOURCE)) - set(HEADER.findall(EVERYTHING))) == []


def test_every_documented_header_exists():
    """The documentation names no header that the house does not know."""
    named = {header for text in PROMISES.values() for header in HEADER.findall(text)}
    assert sorted(named - set(HEADER.findall(SOURCE))) == []


def test_every_variable_is_documented_and_exists():
    """Each environment variable that the source names stands in the documentation, and the other way round."""
    known = set(VARIABLE.findall(SOURCE))
    assert sorted(known - set(VARIABLE.findall(EVERYTHING))) == []
    assert sorted({name for text in PROMISES.values() for name in VARIABLE.findall(text)} - known) == []


def test_links_lead_somewhere():
    """Each link within the project names a file that exists."""
    links = [(page, link["target"]) for page, text in PAGES.items() for link in LINK.finditer(FENCE.sub("", text))]
    assert [(page, link) for page, link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_every_error_is_documented():
    """Each error class and each code stands in the documentation, and each class says what it means."""
    assert [error.__name__ for error in tree() if f"`{error.__name__}`" not in EVERYTHING] == []
    assert sorted({error.code for error in tree() if f"`{error.code}`" not in EVERYTHING}) == []
    assert [error.__name__ for error in tree() if not error.__doc__] == []


def test_every_setting_is_documented():
    """Each setting stands in the documentation and says what it does."""
    assert [setting.key for setting in settings_reference() if f"`{setting.key}`" not in EVERYTHING] == []
    assert [setting.key for setting in settings_reference() if not setting.description] == []


def test_every_command_is_documented():
    """Each command and each of its options stands in the documentation and has a help text."""
    for name, command in commands():
        assert f"`{name}`" in EVERYTHING
        assert command.help, name
        for parameter in parameters(command):
            assert parameter.help, f"{name} {parameter.name}"
            for option in [word for word in parameter.opts if word.startswith("--")]:
                assert f"`{option}`" in EVERYTHING, f"{name} {option}"


def test_every_documented_command_exists():
    """No page shows a command or an option that `headgate` does not take."""
    assert [
        f"{page}: {wrong}" for page, text in PROMISES.items() for line in shell(text) for wrong in mistakes(line)
    ] == []


def test_mistakes_are_seen():
    """A command that does not exist and an option that a command does not take are found; what is right is not."""
    assert list(mistakes("headgate config check --config a.yaml | headgate --version")) == []
    assert list(mistakes("headgate frobnicate")) == ["headgate frobnicate: no such command"]
    assert list(mistakes("$ HEADGATE_SIMULATE=1 headgate serve --prot 1")) == ["headgate serve: no option --prot"]
