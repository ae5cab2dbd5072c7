"""The search for Pythons."""

import sys
from pathlib import Path

from tools.pythons import find, numbers, probe


def script(folder: Path, name: str, prints: str) -> str:
    """An executable that stands in for an interpreter."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{prints}\n")
    path.chmod(0o755)
    return str(path)


def test_a_name_that_fails_is_passed_over(tmp_path):
    """A shim that exists and fails, and a name that does not exist, are no Pythons; the next candidate counts."""
    shim = script(tmp_path, "shim", "echo 'command not found' >&2; exit 127")
    good = script(tmp_path, "good", "echo 3.12 /somewhere/python3.12")
    assert find([shim, str(tmp_path / "absent"), good]) == {"3.12": "/somewhere/python3.12"}


def test_newest_first_and_first_found_wins(tmp_path):
    """Versions are ordered as numbers, and the PATH goes before what stands behind it."""
    names = [script(tmp_path, f"p{at}", f"echo 3.{minor} /{at}") for at, minor in enumerate([9, 11, 13, 11])]
    assert list(find(names).items()) == [("3.13", "/2"), ("3.11", "/1"), ("3.9", "/0")]


def test_a_virtual_environment_is_not_good():
    """The Python of an environment is never chosen to make that environment; the one behind it is."""
    assert sys.prefix == sys.base_prefix or probe(sys.executable) is None
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    behind = probe(f"{sys.base_prefix}/bin/python{version}")
    assert behind is not None
    assert behind[0] == version


def test_numbers():
    """3.9 sorts before 3.13."""
    assert numbers("3.9") < numbers("3.13") < numbers("3.13.1")
