"""What a key may be, as somebody wants it, and how it is told again.

Decides which words and values make a key's scope: those of `keys` in the configuration, and a budget. Refuses to know
who wants one, whether it may be had, and where it is kept.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from pydantic import Field, ValidationError, field_validator

from headgate.core import limits as core
from headgate.core.errors import BadRequestError
from headgate.core.limits import Allowance
from headgate.core.money import from_usd, show_usd
from headgate.gate import ask, wiring
from headgate.gate.coherence import ANY
from headgate.gate.config_providers import Limits
from headgate.gate.problems import dotted, nearest
from headgate.gate.section import Section
from headgate.stores.keys import Scope

MOST_USD = 9_000_000
"""What a sum of picodollars in 64 bits has room for."""


class BudgetWish(Section):
    """How much a key may spend."""

    limit_usd: Decimal = Field(gt=0, le=MOST_USD)
    window: Literal["day", "week", "month", "total"] = "day"
    time_zone: str = "UTC"

    @field_validator("time_zone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            return ZoneInfo(value).key
        except (KeyError, OSError, ValueError):
            message = "must be a time zone such as Europe/Berlin"
            raise ValueError(message) from None


class KeyWish(Section):
    """A key as somebody wants it: the words of `keys` in the configuration, and a budget."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")
    project: str | None = Field(None, min_length=1, max_length=128)
    models: list[str] | None = Field(None, min_length=1)
    limits: Limits | None = None
    budget: BudgetWish | None = None
    expires: date | None = None
    priority: int | None = Field(None, ge=0, le=9)
    tags: dict[str, str] = Field(default_factory=dict, max_length=ask.MAX_TAGS)
    passthrough: list[str] = Field(default_factory=list)
    cache: bool | None = None

    @field_validator("project")
    @classmethod
    def _printable(cls, value: str | None) -> str | None:
        if value is not None and not value.isprintable():
            message = "must be printable"
            raise ValueError(message)
        return value

    @field_validator("models", "passthrough")
    @classmethod
    def _listed(cls, value: list[str] | None) -> list[str] | None:
        if any(not one.isprintable() or not 0 < len(one) <= ask.MAX_TAG_VALUE for one in value or ()):
            message = "must be names of printable characters"
            raise ValueError(message)
        if ANY in (value or ()):
            message = "must name each model; leave it out for all"
            raise ValueError(message)
        return value

    @field_validator("tags")
    @classmethod
    def _as_in_headers(cls, value: dict[str, str]) -> dict[str, str]:
        try:
            for name, text in value.items():
                ask.check_tag(name, text)
        except BadRequestError:
            message = f"must have names of a-z, 0-9, `_` and `-` and values of 1 to {ask.MAX_TAG_VALUE} characters"
            raise ValueError(message) from None
        return value

    @field_validator("limits")
    @classmethod
    def _of_a_key(cls, value: Limits | None) -> Limits | None:
        if value is not None and value.group is not None:
            message = "have no group: those of a key are for all models together"
            raise ValueError(message)
        return value


def read(facts: Mapping[str, Any]) -> KeyWish:
    """Read what somebody wants.

    Raises:
        BadRequestError: a field is missing, unknown, or has a value that it may not have.

    Example:
        >>> read({"name": "web", "budget": {"limit_usd": "2.50"}}).budget.window
        'day'
    """
    try:
        return KeyWish.model_validate(dict(facts))
    except ValidationError as error:
        # The first one; never the error's own text, which shows values.
        detail = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = dotted(detail["loc"])
    fields = ", ".join(KeyWish.model_fields)
    if detail["type"] == "extra_forbidden":
        hint = nearest(str(detail["loc"][-1]), KeyWish.model_fields) or f"Fields are {fields}."
        raise BadRequestError(f"`{path}` is no field of a key.", param=path, hint=hint)
    if detail["loc"] == ("name",) and detail["type"] != "missing":
        text = "must be 1 to 64 letters, digits, `.`, `_`, `@` and `-`, a letter or digit first"
    else:
        text = detail["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        text = "is missing" if detail["type"] == "missing" else text
    raise BadRequestError(f"`{path}` {text}.", param=path)


def scope(wish: KeyWish) -> Scope:
    """What a key is good for that was wanted so."""
    return Scope(
        project=wish.project,
        models=None if wish.models is None else tuple(wish.models),
        limits=None if wish.limits is None else wiring.limits(wish.limits),
        budget=None if wish.budget is None else _allowance(wish.budget),
        expires=wish.expires,
        priority=wish.priority,
        tags=wish.tags,
        passthrough=tuple(wish.passthrough),
        cache=wish.cache,
    )


def told(scope: Scope) -> dict[str, Any]:
    """What a key is good for, in the words of the configuration."""
    budget = scope.budget
    return {
        "project": scope.project,
        "models": None if scope.models is None else list(scope.models),
        "limits": None if scope.limits is None else told_limits(scope.limits),
        "budget": None if budget is None else {
            "limit_usd": show_usd(budget.limit), "window": budget.window, "time_zone": budget.zone,
        },
        "expires": None if scope.expires is None else scope.expires.isoformat(),
        "priority": scope.priority,
        "tags": dict(scope.tags),
        "passthrough": list(scope.passthrough),
        "cache": scope.cache,
    }  # fmt: skip


def told_limits(limits: core.Limits) -> dict[str, Any]:
    """Limits in the words of the configuration; those that do not limit are left out."""
    facts = msgspec.structs.asdict(limits)
    words = {"window": "sliding"} if facts.pop("sliding") else {}
    spread = {"spread": True} if facts.pop("spread") else {}
    # Whole numbers were written as such.
    figures = {name: int(value) if float(value).is_integer() else value for name, value in facts.items() if value}
    return {**figures, **words, **spread}


def _allowance(wish: BudgetWish) -> Allowance:
    return Allowance(limit=from_usd(wish.limit_usd), window=wish.window, zone=wish.time_zone)
