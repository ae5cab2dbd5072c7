"""A configuration that was read and found good, and how it is shown.

Decides what the doors get from loading; refuses to know how it was read.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
import yaml

from headgate.gate.config import Config
from headgate.gate.problems import masked


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of `load`.

    Attributes:
        config: final, with every default and every value of the environment filled in, unusable providers left out.
        warnings: what was skipped or has no effect, one sentence each.
        source: the file's path, or `settings`, `environment` or `simulate` where there is no file.
        simulated: the simulator was asked for in place of the configured providers.
        origins: for each setting that is not a default, by dotted key: `FILE:LINE`, or the variable that made it.
        referenced: settings whose value is written as `${NAME}`, by dotted key.
    """

    config: Config
    warnings: tuple[str, ...] = ()
    source: str
    simulated: bool = False
    origins: Mapping[str, str] = {}
    referenced: frozenset[str] = frozenset()

    def from_environment(self, key: str) -> bool:
        """Whether a variable made a setting, rather than a file that may be read by others."""
        return key in self.referenced or ":" not in self.origins.get(key, ":")


def show(loaded: Loaded) -> str:
    """The final configuration as YAML. Credentials are `***`; comments say what did not come from a file."""
    head = [f"# source: {loaded.source}"]
    if loaded.simulated:
        head.append("# simulated: every provider is replaced by the simulator")
    made = {key: origin for key, origin in loaded.origins.items() if ":" not in origin}
    head += [f"# {key}: from {origin}" for key, origin in made.items()]
    data = _masked(loaded.config.model_dump(mode="json", exclude_none=True))
    return "\n".join([*head, yaml.safe_dump(data, sort_keys=False, allow_unicode=True)])


def generation(config: Config) -> str:
    """A short name of a configuration, the same wherever it is the same. Credentials do not count."""
    data = _masked(config.model_dump(mode="json", exclude_none=True))
    return hashlib.sha256(msgspec.json.encode(data, order="sorted")).hexdigest()[:12]


def _masked(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _masked(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_masked(value) for value in data]
    return masked(data) if isinstance(data, str) else data
