"""What must not stand in any file of the project."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BANNED = re.compile(
    r"/(?:work|tmp|root)/"  # paths of one machine
    r"|pypi\.org/simple|pythonhosted\.org|registry\.npmjs\.org"  # addresses of package indexes
    r"|--(?:extra-)?index-url|--find-links"
)


def files() -> list[Path]:
    """Every file that git knows or would add, but for this one."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return [ROOT / name for name in names if name and name != "tests/yard/test_words.py" and (ROOT / name).is_file()]


def test_no_machine_and_no_index_is_named():
    """The project runs anywhere: no file holds a path of one machine or the address of a package index."""
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in files()
        for match in BANNED.finditer(path.read_bytes().decode("utf-8", "ignore"))
    ]
    assert found == []


@pytest.mark.parametrize("text", ["cd /work/main", "/tmp/x", "https://pypi.org/simple/", "--index-url"])  # noqa: S108  words
def test_the_words_are_recognised(text):
    """The search finds what it looks for."""
    assert BANNED.search(text)


def test_constraints_name_every_direct_dependency():
    """What pyproject asks for is pinned, so that every machine tests the same versions."""
    import tomllib

    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    direct = pyproject["project"]["dependencies"]
    lists = [direct, *pyproject["project"]["optional-dependencies"].values(), *pyproject["dependency-groups"].values()]
    asked = [entry for entries in lists for entry in entries if isinstance(entry, str)]
    names = {re.split(r"[^A-Za-z0-9-]", entry)[0].lower() for entry in asked}
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()}
    assert sorted(names - pinned) == []
    assert len(direct) <= 20


def test_news_fragments_have_names_that_towncrier_takes():
    """`<issue>.<kind>.md`: a misnamed fragment would be silently left out of the news."""
    names = [path.name for path in (ROOT / "changelog").iterdir() if path.name != "README.md"]
    wanted = r"\d+\.(added|changed|fixed|removed|security)(\.\d+)?\.md"
    assert [name for name in names if not re.fullmatch(wanted, name)] == []
