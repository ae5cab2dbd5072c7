"""Finds the Pythons of this machine that can run headgate: final releases of CPython, 3.11 or newer, newest first.

    python3 tools/pythons.py            every one, as `3.13 /path/to/python`
    python3 tools/pythons.py newest     the path of the newest
    python3 tools/pythons.py others     the versions other than the one that runs this script
    python3 tools/pythons.py 3.12       the path of that version

A name on the PATH proves nothing (a pyenv shim may exist and fail), so each candidate is run. This script itself runs
on Pythons that are too old for headgate (3.7 will do): it has to find a better one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

NAMES = ["python3.14", "python3.13", "python3.12", "python3.11", "python3"]

PROBE = """
import ensurepip, sqlite3, ssl, sys, venv
v = sys.version_info
good = v >= (3, 11) and v.releaselevel == "final" and sys.implementation.name == "cpython" and not sys.abiflags
if good and sys.prefix == sys.base_prefix:
    print(f"{v[0]}.{v[1]} {sys.executable}")
"""
"""What each candidate runs. A Python of a virtual environment is not good: it may be the one about to be replaced."""


def numbers(text: str) -> list[int]:
    """The numbers in a version or a path, for sorting: 3.9 comes before 3.13."""
    return [int(digits) for digits in re.findall(r"\d+", text)]


def candidates() -> list[str]:
    """Names and paths that may be a Python: those on the PATH, then pyenv's."""
    root = os.environ.get("PYENV_ROOT") or "~/.pyenv"
    pyenv = [str(path) for path in Path(root).expanduser().glob("versions/3.1*/bin/python")]
    return NAMES + sorted(pyenv, key=numbers, reverse=True)


def probe(python: str) -> tuple[str, str] | None:
    """Version and path of an interpreter; None if it does not run or is not good enough."""
    try:
        run = subprocess.run([python, "-c", PROBE], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    version, _, path = run.stdout.decode().strip().partition(" ")
    return (version, path) if path else None


def find(names: list[str]) -> dict[str, str]:
    """The first good interpreter of each version, by version, newest first."""
    found: dict[str, str] = {}
    for name in names:
        good = probe(name)
        if good:
            found.setdefault(*good)
    return dict(sorted(found.items(), key=lambda pair: numbers(pair[0]), reverse=True))


def main(what: str = "all") -> None:
    """Print what was asked for; exit 1 with a hint if there is no such Python."""
    found = find(candidates())
    if what == "others":
        here = f"{sys.version_info[0]}.{sys.version_info[1]}"
        print(*(version for version in found if version != here))
        return
    if what == "newest":
        what = next(iter(found), "3.11 or newer")
    if not found or (what != "all" and what not in found):
        wanted = "3.11 or newer" if what == "all" else what
        sys.exit(f"error: found no Python {wanted}\n\nhint: put one on the PATH, or install one with pyenv")
    print(found[what] if what in found else "\n".join(f"{version} {path}" for version, path in found.items()))


if __name__ == "__main__":
    main(*sys.argv[1:])
