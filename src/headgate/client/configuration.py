"""The configuration of a gate in a program: a file, a mapping, or nothing but the environment.

Decides in which forms a program may give it; refuses to know what stands in it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headgate.client.openai_config import OpenAIConfig
from headgate.core.errors import ConfigError
from headgate.gate.config import Config
from headgate.gate.environment import process_environment
from headgate.gate.load import load
from headgate.gate.loaded import Loaded


def loaded(
    config: str | os.PathLike[str] | Mapping[str, Any] | Config | OpenAIConfig | None,
    *,
    simulate: bool,
    api_key: str | None,
    base_url: str | None,
    model: str | None,
) -> Loaded:
    """Read the configuration, wherever it is; arguments as for `AsyncHeadgate`.

    Raises:
        ConfigError: it is wrong.
    """
    if isinstance(config, OpenAIConfig):
        config = config.settings()
    if not isinstance(config, str | os.PathLike | Mapping | Config | None):
        message = f"The configuration is of the type {type(config).__name__}; it takes a path, a mapping or a `Config`."
        raise ConfigError(message, hint='Write `Headgate("headgate.yaml")` or `Headgate({"providers": …})`.')
    given = {"OPENAI_API_KEY": api_key, "OPENAI_BASE_URL": base_url}
    environment = process_environment() | {name: value for name, value in given.items() if value is not None}
    if isinstance(config, Config):
        config = {name: getattr(config, name) for name in config.model_fields_set}
    return load(
        Path(config) if isinstance(config, str | os.PathLike) else None,
        environment=environment,
        settings=config if isinstance(config, Mapping) else None,
        simulate=simulate,
        dotenv=Path(".env"),
        folder=Path(),
        overrides={} if model is None else {"models.default": model},
    )
