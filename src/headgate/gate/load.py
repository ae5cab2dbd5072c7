"""Loading: from a file and the environment to a configuration that can be used.

Decides the order in which it is made: file, references, variables, schema, coherence, what is built, what is usable.
Refuses to ask the process for anything: the environment is given. Every complaint of one step comes in one error.
"""

import re
from collections.abc import Mapping
from pathlib import Path as File
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from headgate.core.errors import ConfigError
from headgate.gate import document
from headgate.gate.coherence import idle, incoherent
from headgate.gate.config import Config, Route
from headgate.gate.environment import DEFAULT_FILE, Filler, References, named, switched, with_dotenv
from headgate.gate.loaded import Loaded
from headgate.gate.problems import Path, Places, Problem, dotted, nearest, refusal, shown
from headgate.gate.settings import is_secret, section_at
from headgate.gate.unbuilt import unbuilt
from headgate.gate.usable import finished, simulated, usable

DEMO_MODEL = "gpt-6-luna"
"""The default model where the simulator was asked for and nothing is configured."""
SETTINGS = "settings"
SIMULATE = "simulate"
ENVIRONMENT = "environment"
_NOTHING: Mapping[str, object] = {}


def load(
    path: File | None,
    *,
    environment: Mapping[str, str],
    settings: Mapping[str, Any] | None = None,
    simulate: bool = False,
    dotenv: File | None = None,
    folder: File | None = None,
    overrides: Mapping[str, object] = _NOTHING,
    serving: bool = True,
) -> Loaded:
    """Read a configuration and check it whole.

    Args:
        path: the file; None for the one that `HEADGATE_CONFIG` names, else `headgate.yaml` in `folder`, else none.
        environment: the variables that count; `process_environment()` for those of this process.
        settings: what would stand in a file; no file is read then.
        simulate: put the simulator in place of the configured providers, as `HEADGATE_SIMULATE=1` does.
        dotenv: a `.env` file; it need not exist.
        folder: where `headgate.yaml` is looked for; None to look nowhere.
        overrides: settings by dotted key that win over the file, such as `{"server.port": 0}`.
        serving: calls will be made, so at least one provider must be usable.

    Raises:
        ConfigError: something is wrong; the message names the file or variable, the setting, its value and the cure.

    Example:
        >>> load(None, environment={}, simulate=True).config.models["default"]
        'gpt-6-luna'
    """
    environment = with_dotenv(environment, dotenv)
    simulate = switched(environment, "HEADGATE_SIMULATE") or simulate
    file = _file(path, environment, folder) if settings is None else None
    read = document.read(file) if file else document.Document()
    references = References(environment)
    data = references.resolve(read.data if settings is None else dict(settings))
    source = str(file) if file else None if settings is None else SETTINGS
    places, problems = _fill(data, environment, overrides, source=source, lines=read.lines, simulate=simulate)
    config, mistakes = _validated(data, references.written)
    problems = [*read.problems, *references.problems, *problems, *mistakes]
    if config is None or problems:
        raise refusal(problems, places)
    problems = [*(references.as_written(problem) for problem in incoherent(config)), *unbuilt(config, places)]
    if problems:
        raise refusal(problems, places)
    warnings = idle(config)
    config = finished(config)
    if simulate:
        config = simulated(config)
    else:
        config, skipped = usable(config, references.empty)
        warnings = [*warnings, *skipped]
        if serving:
            _must_be_usable(config, skipped)
    origins = {dotted(at): f"{file}:{line}" for at, line in read.lines.items()}
    origins |= {dotted(at): variable for at, variable in places.variables.items()}
    return Loaded(
        config=config,
        warnings=tuple(warnings),
        source=places.source,
        simulated=simulate,
        origins=origins,
        referenced=frozenset(map(dotted, references.written)),
    )


def _file(path: File | None, environment: Mapping[str, str], folder: File | None) -> File | None:
    if path is not None:
        return path
    by_name = named(environment, "HEADGATE_CONFIG")
    if by_name:
        return File(by_name)
    return folder / DEFAULT_FILE if folder and (folder / DEFAULT_FILE).exists() else None


def _fill(
    data: dict[str, Any],
    environment: Mapping[str, str],
    overrides: Mapping[str, object],
    *,
    source: str | None,
    lines: Mapping[Path, int],
    simulate: bool,
) -> tuple[Places, list[Problem]]:
    """Fill in place what the file leaves unset."""
    made: dict[Path, str] = {}
    for key, value in overrides.items():
        _override(data, tuple(key.split(".")), value)
        made[tuple(key.split("."))] = "command line"
    filler = Filler(data, environment)
    filler.gateway()
    filler.local()
    if not simulate:
        filler.providers()
    elif source is None:
        models = data.setdefault("models", {})
        models.setdefault("default", DEMO_MODEL)
        data.setdefault("store", "memory://")
    source = source or (SIMULATE if simulate else ENVIRONMENT)
    return Places(source=source, lines=lines, variables=made | filler.made), filler.problems


def _override(data: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for part in path[:-1]:
        if not isinstance(data.get(part), dict):
            data[part] = {}
        data = data[part]
    data[path[-1]] = value


def _validated(data: dict[str, Any], written: Mapping[Path, str]) -> tuple[Config | None, list[Problem]]:
    try:
        return Config.model_validate(data), []
    except ValidationError as error:
        # Never the error's own text: it shows values.
        return None, [_problem(detail, data, written) for detail in error.errors(include_url=False)]


def _problem(detail: ErrorDetails, data: Any, written: Mapping[Path, str]) -> Problem:
    path = _path(detail, data)
    kind, message, value = detail["type"], detail["msg"], detail["input"]
    if kind == "extra_forbidden":
        # The value is not shown: a misspelled `api_key` holds a credential.
        section = section_at(path[:-1])
        return Problem(
            path=path, text="is not a setting.", hint=nearest(str(path[-1]), section.model_fields if section else ())
        )
    if kind == "missing":
        return Problem(path=path, text="is missing.")
    expectation = _expectation(kind, message)
    if path in written:
        text = f"is {written[path]!r}, but {expectation}."
    elif is_secret(path) or kind in _UNSHOWN:
        text = f"{expectation}." if expectation.startswith("must") else f"cannot be used: {expectation}."
    else:
        text = f"is {shown(value)}, but {expectation}."
    hint = ""
    if kind == "literal_error":
        hint = nearest(str(value), re.findall(r"'([^']+)'", message))
    elif kind in {"string_type", "is_instance_of"}:
        hint = "Put text in quotes."
    return Problem(path=path, text=text, hint=hint)


# What stands where a section, a header or a hash was expected may well be a credential.
_UNSHOWN = frozenset({"model_type", "dict_type", "list_type", "string_pattern_mismatch"})
_EXPECTATIONS = {
    "model_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "list_type": "must be a list",
    "string_type": "must be text",
    "is_instance_of": "must be text",
    "int": "must be a whole number",
    "float": "must be a number",
    "decimal": "must be a number",
    "bool": "must be true or false",
    "date": "must be a date such as 2027-06-30",
    "finite_number": "must be a finite number",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must be 64 hexadecimal digits in lower case",
}


def _expectation(kind: str, message: str) -> str:
    known = _EXPECTATIONS.get(kind) or _EXPECTATIONS.get(kind.partition("_")[0])
    if known:
        return known
    return message.removeprefix("Value error, ").replace("Input should be", "must be", 1)


def _path(detail: ErrorDetails, data: Any) -> Path:
    """Where an error is, without the names that pydantic gives to the members of a union."""
    path: Path = ()
    for part in detail["loc"]:
        inside = isinstance(data, dict) and part in data
        if inside or (isinstance(data, list) and isinstance(part, int) and part < len(data)):
            data = data[part]
            path = (*path, part)
    missing = detail["type"] == "missing" and path[-1:] != detail["loc"][-1:]
    return (*path, detail["loc"][-1]) if missing else path


def _must_be_usable(config: Config, skipped: list[str]) -> None:
    """Refuse to start without anybody to ask.

    Raises:
        ConfigError: no provider is left, or no model leads to one.
    """
    if not config.providers:
        raise ConfigError(
            " ".join(["No usable provider.", *skipped]),
            hint="Set OPENAI_API_KEY, name a provider in `headgate.yaml`, or practise with `--simulate` or "
            "HEADGATE_SIMULATE=1.",
        )
    if not config.models.keys() - {"default"} and not isinstance(config.models.get("default"), Route):
        raise ConfigError(" ".join(["No usable model.", *skipped]), hint="Add a route to a usable provider.")
