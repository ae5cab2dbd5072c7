"""LiteLLM's table of models, out of its package: a source of facts, not a dependency.

Decides how the table is fetched and which of its entries are models that the gate can speak to; refuses to know what
the house makes of them. Floats are read as the decimals that are written there; a few carry traces of arithmetic
(1.5000020000000002e-05), so that prices are rounded to a millionth of a dollar per million tokens.
"""

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

TABLE = "litellm/model_prices_and_context_window_backup.json"
MAKERS = {"openai": "openai", "text-completion-openai": "openai", "anthropic": "anthropic", "gemini": "google"}
"""LiteLLM's providers that make models themselves, by our name for them."""
MILLION = 1_000_000
_FINEST = Decimal("0.000001")

# Google's toys and other people's weights are not what anybody routes to.
_LEFT_OUT = ("gemma", "lyria", "learnlm", "gemini-exp", "gemini-gemma", "imagen", "veo", "nano-banana")

Entry = Mapping[str, Any]


class Table(NamedTuple):
    """The table.

    Attributes:
        version: of the package that it was in.
        entries: by maker and name.
    """

    version: str
    entries: Mapping[tuple[str, str], Entry]


def fetch(version: str | None = None) -> Table:
    """Bring the package from the package index, without what it depends on, and read the table in it.

    Args:
        version: which one (default: the newest).

    Raises:
        subprocess.CalledProcessError: pip could not bring it.
    """
    wanted = "litellm" if version is None else f"litellm=={version}"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*command, "--only-binary", ":all:", "-d", folder, wanted], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as package:
            return Table(wheel.name.split("-")[1], dict(entries(json.loads(package.read(TABLE), parse_float=Decimal))))


def entries(table: Mapping[str, Entry]) -> Iterator[tuple[tuple[str, str], Entry]]:
    """The entries that are models of makers, by their own names."""
    for name, entry in table.items():
        maker = MAKERS.get(entry.get("litellm_provider", ""))
        plain = name.removeprefix("gemini/")
        # `high/1024-x-1024/gpt-image-1` is a price, not a model; `gemini/…` repeats what stands there without.
        if maker is not None and "/" not in plain and not plain.startswith(_LEFT_OUT):
            yield (maker, plain), entry


def usd_per_million(entry: Entry, key: str) -> Decimal | None:
    """A price per token as one per million of them; None where there is none."""
    value = entry.get(key)
    if value is None:
        return None
    return (Decimal(value) * MILLION).quantize(_FINEST).normalize() + 0
