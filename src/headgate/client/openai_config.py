"""A configuration in Python, for programs that need no file: one account at OpenAI, or at a server that speaks it.

Decides which settings there are and which variables of the environment (and of `.env`) fill those that are not given;
refuses to know what a gate makes of them. It is a short way to write what `headgate.yaml` says at length, and nothing
else: `AsyncHeadgate(OpenAIConfig(...))` is the way to use one.
"""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, ValidationError, model_validator

from headgate.core.errors import ConfigError
from headgate.gate.environment import named, process_environment, with_dotenv
from headgate.gate.section import Section
from headgate.gate.values import Address, Hidden, Seconds, Share

PROVIDER = "openai"
"""The name of the one provider."""


class _FromEnvironment(Section):
    """Settings whose defaults come from the environment. What is given wins; `.env` is read, the environment wins."""

    variables: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """The variables that fill a setting, by its name; the first one that is set."""

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise _refusal(type(self), error) from None

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        environment = with_dotenv(process_environment(), Path(".env"))
        found = dict(data)
        for name, variables in cls.variables.items():
            if found.get(name) is None:
                value = next((value for one in variables if (value := named(environment, one)) is not None), None)
                if value is not None:
                    found[name] = value
        return found


class RateLimitConfig(_FromEnvironment):
    """What the account allows, for each model. Nothing is limited that is not set.

    Example:
        >>> RateLimitConfig(requests_per_minute=500).requests_per_minute
        500
    """

    variables: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "requests_per_minute": ("OPENAI_RATE_LIMIT_RPM",),
        "tokens_per_minute": ("OPENAI_RATE_LIMIT_TPM",),
        "concurrency": ("OPENAI_RATE_LIMIT_CONCURRENCY",),
    }

    requests_per_minute: int | None = Field(None, gt=0, description="calls per minute")
    tokens_per_minute: int | None = Field(None, gt=0, description="tokens per minute, input and output together")
    concurrency: int | None = Field(None, gt=0, description="calls at the same time")
    spread: bool = Field(False, description="evenly spaced, and never more in any sliding minute")  # noqa: FBT003


class RetryConfig(_FromEnvironment):
    """How often a call is repeated, and how long it waits.

    Example:
        >>> RetryConfig(max_retries=5).max_retries
        5
    """

    variables: ClassVar[Mapping[str, tuple[str, ...]]] = {"max_retries": ("OPENAI_MAX_RETRIES",)}

    max_retries: int = Field(2, ge=0, le=19, description="n retries are n + 1 attempts")
    max_wait: Seconds = Field(5, description="longest wait for a target while another one exists")
    budget: Share = Field(0.1, description="share of traffic that may be retries")


class BatchConfig(_FromEnvironment):
    """How many prompts are asked at once (`batch_generate`, `batch_stream`).

    Example:
        >>> BatchConfig(concurrency=50).concurrency
        50
    """

    variables: ClassVar[Mapping[str, tuple[str, ...]]] = {"concurrency": ("OPENAI_BATCH_CONCURRENCY",)}

    concurrency: int | None = Field(None, ge=1, description="calls at the same time (default: what fills the limits)")
    progress: bool = Field(False, description="show progress where a call does not say")  # noqa: FBT003


class OpenAIConfig(_FromEnvironment):
    """One account. Every field that is not given comes from the environment, with the prefix `OPENAI_`, or `.env`.

    Raises:
        ConfigError: a value is wrong.

    Example:
        >>> config = OpenAIConfig(api_key="sk-mine", model="gpt-6-luna", rate_limit=RateLimitConfig(concurrency=9))
        >>> config.api_key, config.settings()["providers"]["openai"]["limits"]
        (Secret(***), {'concurrency': 9})
    """

    variables: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "api_key": ("OPENAI_API_KEY",),
        "base_url": ("OPENAI_BASE_URL",),
        "model": ("OPENAI_MODEL",),
        "organization": ("OPENAI_ORG_ID",),
        "project": ("OPENAI_PROJECT_ID",),
        "timeout": ("OPENAI_TIMEOUT", "OPENAI_TIMEOUT_SECONDS"),
        "daily_budget_usd": ("OPENAI_DAILY_BUDGET_USD",),
    }

    api_key: Hidden | None = Field(None, description="the credential")
    base_url: Address | None = Field(None, description="address up to and including `/v1`")
    model: str | None = Field(None, description="the model of a call that names none")
    organization: str | None = Field(None, description="sent as `openai-organization`")
    project: str | None = Field(None, description="sent as `openai-project`")
    timeout: Seconds | None = Field(None, gt=0, description="to connect, until the first word, and between two events")
    daily_budget_usd: Decimal | None = Field(None, gt=0, description="what a day may cost")
    rate_limit: RateLimitConfig = Field(default_factory=RateLimitConfig, description="what the account allows")
    retry: RetryConfig = Field(default_factory=RetryConfig, description="how often a call is repeated")
    batch: BatchConfig = Field(default_factory=BatchConfig, description="many prompts at once")

    def settings(self) -> dict[str, Any]:
        """The same as it would stand in `headgate.yaml`. The credential is in it."""
        limit = self.rate_limit
        limits = limit.model_dump(exclude_none=True, exclude={"spread"})
        if limit.spread:
            limits |= {"window": "sliding", "spread": True}
        key = None if self.api_key is None else self.api_key.reveal().replace("${", "$${")
        given = {
            "api_key": key, "base_url": self.base_url, "organization": self.organization, "project": self.project,
            "timeout": self.timeout, "max_retries": self.retry.max_retries, "limits": limits or None,
        }  # fmt: skip
        provider = {name: value for name, value in given.items() if value is not None}
        retry = {"max_wait": self.retry.max_wait, "budget": self.retry.budget}
        found: dict[str, Any] = {
            "providers": {PROVIDER: {"type": "openai", **provider}},
            "models": {"*": {"targets": [{"provider": PROVIDER}]}},
            "policies": {"retry": retry},
        }
        if self.model is not None:
            found["models"]["default"] = self.model
        if self.daily_budget_usd is not None:
            found["budgets"] = [
                {"name": "daily", "scope": "gateway", "window": "day", "limit_usd": self.daily_budget_usd}
            ]
        return found


def _refusal(config: type[_FromEnvironment], error: ValidationError) -> ConfigError:
    """What is wrong, by name; never with a value, which may be a credential."""
    found = []
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        name = ".".join(map(str, detail["loc"])) or config.__name__
        variables = config.variables.get(name, ())
        where = f" (or {' or '.join(variables)})" if variables else ""
        found.append(f"`{name}`{where}: {detail['msg']}.")
    return ConfigError(f"{config.__name__}: {' '.join(found)}", hint="`headgate.types` has the fields.")
