"""What a model takes, and what it refuses as the real one does.

Decides about parameters that have a value of the right type; refuses to know where in a request they stand. Which model
takes what is in `models.py`.
"""

from collections.abc import Mapping
from typing import Any

from headgate.providers.simulator.models import Model
from headgate.providers.simulator.problem import Problem, invalid, too_small, unsupported, unsupported_value

# What models that reason refuse at any effort, and what of it asks for nothing.
_NOT_WHERE_IT_REASONS: tuple[str, ...] = (
    "stop", "presence_penalty", "frequency_penalty", "logit_bias", "prediction", "modalities", "audio",
)  # fmt: skip
_NOTHING: tuple[Any, ...] = (None, False, 0, "", [], {}, ["text"])


def effort_of(model: Model, asked: str | None, param: str) -> str:
    """The reasoning effort in force.

    Raises:
        Problem: 400; the model does not reason, or not at that effort.
    """
    if asked is None:
        return model.default
    if not model.efforts and model.name == "fake":
        return "none"
    if not model.efforts:
        raise unsupported(param)
    if asked not in model.efforts:
        raise unsupported_value(param, asked, f"Supported values are: {', '.join(model.efforts)}.")
    return asked


def check_sampling(model: Model, effort: str, fields: Mapping[str, Any]) -> None:
    """Refuse what a reasoning model does not take.

    Raises:
        Problem: 400, naming the field.
    """
    for name, most in (("temperature", 2), ("top_p", 1)):
        value = fields.get(name)
        if value is not None and not 0 <= value <= most:
            message = f"Invalid '{name}': expected a number between 0 and {most}, but got {value} instead."
            raise Problem(400, message, code="decimal_out_of_range", param=name)
        if value not in (None, 1) and effort != "none":
            raise unsupported_value(name, value, "Only the default (1) value is supported.")
    refused = _NOT_WHERE_IT_REASONS if model.efforts else ()
    if effort != "none":
        refused += ("logprobs", "top_logprobs")
    for name in refused:
        if fields.get(name) not in _NOTHING:
            raise unsupported(name)


def check_cap(model: Model, param: str, cap: int | None, least: int) -> None:
    """Refuse an output cap that is too small, or beyond what the model can write.

    Raises:
        Problem: 400, naming the field.
    """
    if cap is None:
        return
    if cap < least:
        raise too_small(param, cap, least)
    if model.longest is not None and cap > model.longest:
        message = (
            f"{param} is too large: {cap}. This model supports at most {model.longest} completion tokens, whereas you "
            f"provided {cap}."
        )
        raise Problem(400, message, code="invalid_value", param=param)


def check_cache(model: Model, options: Mapping[str, Any] | None) -> None:
    """Refuse `prompt_cache_options` where the model has none.

    Raises:
        Problem: 400.
    """
    if options is not None and not model.writes_cache:
        raise unsupported("prompt_cache_options")


def check_verbosity(param: str, verbosity: object) -> None:
    """Refuse what is no verbosity.

    Raises:
        Problem: 400.
    """
    if verbosity not in (None, "low", "medium", "high"):
        raise invalid(param, verbosity, ["low", "medium", "high"])
