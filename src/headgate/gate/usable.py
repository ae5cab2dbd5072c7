"""Which of the configured providers and routes can be used, and who answers to which name.

Decides what is skipped (with a warning), what the short form means, and what the simulator replaces. Refuses to know
where the settings came from. What it makes is final: every address, name and default is spelled out.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from urllib.parse import urlsplit

from headgate.gate.coherence import ANY, DEFAULT, auth, routes
from headgate.gate.config import Config, Route, TargetSettings
from headgate.gate.config_providers import Provider
from headgate.gate.problems import Path

OPENAI = "https://api.openai.com/v1"
"""The address of a provider of type `openai` that names none."""
SIMULATOR = "simulator"
"""The name of the provider that replaces all others."""


def finished(config: Config) -> Config:
    """The same configuration with the defaults that depend on other settings spelled out."""
    return config.model_copy(
        update={
            "server": config.server.model_copy(update={"auth": auth(config)}),
            "providers": {name: _addressed(provider) for name, provider in config.providers.items()},
        }
    )


def usable(config: Config, empty: Mapping[Path, str]) -> tuple[Config, list[str]]:
    """The same configuration without the providers that lack their credential, and without what needs them.

    Args:
        config: a finished configuration that fits together.
        empty: credentials that came to nothing, and the variable that each waits for.

    Returns:
        The configuration, and one warning for each thing left out.
    """
    warnings: list[str] = []
    providers: dict[str, Provider] = {}
    for name, provider in config.providers.items():
        lacking = _lacking(name, provider, empty)
        if lacking:
            warnings.append(f"The provider `{name}` is skipped: {lacking}.")
        else:
            providers[name] = provider
    models: dict[str, Route | str] = {}
    for name, route in routes(config).items():
        targets = [target for target in route.targets if target.provider in providers]
        if targets:
            models[name] = route.model_copy(update={"targets": targets})
        else:
            warnings.append(f"The model `{name}` is left out: each of its providers is skipped.")
    left_out = routes(config).keys() - models
    models |= _short_form(config, providers, models.keys() | left_out)
    default = config.models.get(DEFAULT)
    if isinstance(default, str):
        if default in models or (ANY in models and default not in left_out):
            models[DEFAULT] = default
        else:
            warnings.append(f"There is no default model: `{default}` is left out.")
    return config.model_copy(update={"providers": providers, "models": models}), warnings


def simulated(config: Config) -> Config:
    """The same configuration with one simulator in place of its providers; every route leads there."""
    models: dict[str, Route | str] = dict(config.models)
    models |= _short_form(config, config.providers or {SIMULATOR: _SIMULATOR}, routes(config).keys())
    for name, route in models.items():
        if isinstance(route, Route):
            targets: dict[str | None, TargetSettings] = {}
            for target in route.targets:
                # Two accounts with the same model are one target now.
                targets.setdefault(target.model, target.model_copy(update={"provider": SIMULATOR}))
            models[name] = route.model_copy(update={"targets": list(targets.values())})
    return config.model_copy(update={"providers": {SIMULATOR: _SIMULATOR}, "models": models})


_SIMULATOR = Provider(type="simulator", responses=True)


def _addressed(provider: Provider) -> Provider:
    if provider.type != "openai":
        responses = provider.responses if provider.responses is not None else provider.type == "simulator"
        return provider.model_copy(update={"responses": responses})
    address = provider.base_url or OPENAI
    responses = provider.responses if provider.responses is not None else is_openai(address)
    return provider.model_copy(update={"base_url": address, "responses": responses})


def is_openai(address: str) -> bool:
    """Whether an address is OpenAI's own; it has one host for each region."""
    return f".{urlsplit(address).hostname}".endswith(".api.openai.com")


def _lacking(name: str, provider: Provider, empty: Mapping[Path, str]) -> str:
    """What a provider lacks to be used; empty if nothing."""
    for path, variable in empty.items():
        if path[:2] == ("providers", name):
            return f"its `{path[2]}` needs {variable}, which is empty"
    if provider.api_key is not None and not provider.api_key:
        return "its `api_key` is empty"
    if provider.api_key is None and not provider.headers and provider.base_url and is_openai(provider.base_url):
        return "it has no `api_key`; set OPENAI_API_KEY"
    return ""


def _short_form(config: Config, providers: Mapping[str, Provider], taken: AbstractSet[str]) -> dict[str, Route | str]:
    """Routes made from the providers themselves.

    Each provider that names a model is a target of the default model and of that model's own name. Where the
    configuration has no route at all, any other name goes to the first provider unchanged.
    """
    made: dict[str, list[TargetSettings]] = {}
    for name, provider in providers.items():
        if provider.model is None:
            continue
        target = TargetSettings(provider=name, model=provider.model, weight=provider.weight, priority=provider.priority)
        made.setdefault(provider.model, []).append(target)
        if DEFAULT not in config.models:
            made.setdefault(DEFAULT, []).append(target)
    if not routes(config) and providers:
        made.setdefault(ANY, []).append(TargetSettings(provider=next(iter(providers))))
    return {name: Route(targets=targets) for name, targets in made.items() if name not in taken}
