"""Builds the source archive and the wheel of what is committed, and tries the wheel where nothing else is installed.

    python -m tools.dist [FOLDER]          into `dist` where no folder is named; `make dist` does it

What is not committed is not in them. The wheel is made from the source archive, holds exactly the files below
`src/headgate`, and must do in an empty environment what a first look at headgate needs. Needs git and the package
index. The last lines are the digests of what was built.
"""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SOURCE = "src/"
FIRST_LOOK: Sequence[Sequence[str]] = (
    ("pip", "check"),
    ("python", "-c", "import headgate"),
    ("headgate", "config", "check", "--config", "headgate.yaml"),
    ("headgate", "ask", "--simulate", "Hello"),
    ("headgate", "models", "--simulate"),
)
"""What the wheel must do."""
CONFIG = """
store: "memory://"
providers: {p: {type: simulator}}
models: {default: gpt-6-luna, "*": {targets: [{provider: p}]}}
"""
QUIETLY = ("-qq", "--disable-pip-version-check", "--root-user-action", "ignore")


class Wrong(Exception):  # noqa: N818  what is wrong with what was built
    """What was built must not be given to anybody."""


def differences(wheel: Iterable[str], committed: Iterable[str]) -> list[str]:
    """What is in a wheel and not committed, or the other way round.

    Args:
        wheel: the names of its files.
        committed: paths of files in the repository.
    """
    packed = {name for name in wheel if ".dist-info/" not in name}
    wanted = {path.removeprefix(SOURCE) for path in committed if path.startswith(SOURCE)}
    return [f"{name}: committed, and not in the wheel" for name in sorted(wanted - packed)] + [
        f"{name}: in the wheel, and not committed" for name in sorted(packed - wanted)
    ]


def build(into: Path) -> Path:
    """Build what is committed; gives the wheel.

    Raises:
        Wrong: the wheel is not what is committed.
        CalledProcessError: it cannot be built.
    """
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "headgate")
        archive = _run("git", "archive", "HEAD", cwd=ROOT, stdout=subprocess.PIPE).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(tree, filter="data")
        tools = _environment(Path(folder, "tools"))
        _run(tools / "python", "-m", "pip", "install", *QUIETLY, "build")
        # The same commit gives the same bytes.
        date = _run("git", "log", "-1", "--format=%ct", cwd=ROOT, stdout=subprocess.PIPE).stdout.decode().strip()
        _run(
            tools / "python", "-m", "build", "--outdir", into.resolve(), tree,
            env={**os.environ, "SOURCE_DATE_EPOCH": date}, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        with zipfile.ZipFile(wheel := max(into.glob("*.whl"), key=lambda path: path.stat().st_mtime)) as packed:
            committed = _run("git", "ls-files", "src", cwd=ROOT, stdout=subprocess.PIPE).stdout.decode().splitlines()
            if wrong := differences(packed.namelist(), committed):
                raise Wrong("\n".join(wrong))
    return wheel


def attempt(wheel: Path) -> None:
    """Install a wheel into an empty environment and look at it.

    Raises:
        Wrong: something of it does not work.
    """
    with tempfile.TemporaryDirectory() as folder:
        bin_ = _environment(Path(folder, "empty"))
        constraints = ROOT / "constraints.txt"
        _run(bin_ / "python", "-m", "pip", "install", *QUIETLY, "-c", constraints, wheel.resolve())
        Path(folder, "headgate.yaml").write_text(CONFIG)
        for name, *words in FIRST_LOOK:
            try:
                _run(bin_ / name, *words, cwd=folder, stdout=subprocess.DEVNULL)
            except subprocess.CalledProcessError as error:
                raise Wrong(f"`{name} {' '.join(words)}` ends with {error.returncode}") from None


def _environment(path: Path) -> Path:
    """An environment of its own; gives the folder of its programs."""
    _run(sys.executable, "-m", "venv", path)
    return path / ("Scripts" if os.name == "nt" else "bin")


def _run(*words: str | Path, **more: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([str(word) for word in words], check=True, **more)


def main(arguments: Sequence[str]) -> int:
    """Build, try, and tell."""
    into = Path(arguments[0] if arguments else ROOT / "dist")
    into.mkdir(parents=True, exist_ok=True)
    for old in (*into.glob("headgate-*.whl"), *into.glob("headgate-*.tar.gz")):
        old.unlink()
    try:
        attempt(build(into))
    except Wrong as error:
        sys.stderr.write(f"{error}\n\nhint: nothing of {into} should be given to anybody\n")
        return 1
    for path in sorted(into.glob("headgate-*")):
        sys.stdout.write(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
