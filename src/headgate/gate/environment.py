"""What the environment says: variables, `.env`, and the `${NAME}` references of a file.

Decides how a reference is replaced and which setting each known variable fills; refuses to know whether the values are
any good (the schema says) and where the mapping of variables came from: only `process_environment` asks the process.
"""

import io
import os
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path as File
from typing import Any

from dotenv import dotenv_values
from dotenv.variables import parse_variables
from msgspec import structs

from headgate.core.errors import ConfigError
from headgate.gate.problems import Path, Problem, shown
from headgate.gate.values import seconds
from headgate.providers.local.model import SMOLLM2, models_folder

DEFAULT_FILE = "headgate.yaml"
"""The file that is read where nothing names one."""

_REFERENCE = re.compile(r"(?P<escape>\$\$\{)|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^{}]*))?\}|\$\{")
_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"", "0", "false", "no", "off"})


def process_environment() -> dict[str, str]:
    """The variables of this process. The only place that asks."""
    return dict(os.environ)


def with_dotenv(environment: Mapping[str, str], file: File | None) -> Mapping[str, str]:
    """Add the variables of a `.env` file, if it exists. Those of the environment win, empty ones too.

    Raises:
        ConfigError: the file cannot be read.
    """
    if file is None or not file.is_file():
        return environment
    try:
        values = dotenv_values(stream=io.StringIO(file.read_text("utf-8-sig")), interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise ConfigError(f"{file}: the file cannot be read: {reason}.") from None
    found: dict[str, str] = {}
    for name, value in values.items():
        if value is not None:
            known = {**found, **environment}
            found[name] = "".join(atom.resolve(known) for atom in parse_variables(value))
    return {**found, **environment}


def named(environment: Mapping[str, str], name: str) -> str | None:
    """A variable's value; None where it is not set, or empty."""
    return environment.get(name, "").strip() or None


def switched(environment: Mapping[str, str], name: str) -> bool:
    """Whether a variable says yes.

    Raises:
        ConfigError: it says neither yes nor no.
    """
    value = environment.get(name, "").strip().lower()
    if value not in _YES | _NO:
        raise ConfigError(f"{name} is {shown(value)}, but must be 1 or 0.")
    return value in _YES


class References:
    """Replaces `${NAME}` and `${NAME:-default}` in every text of a document; `$${` stands for a plain `${`.

    Attributes:
        problems: references that are malformed, or whose variable is not set.
        empty: credentials that came to nothing, and the variable that each waits for.
        written: the texts that held references, as they were written.
        meant: the same texts with every reference replaced.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[Problem] = []
        self.empty: dict[Path, str] = {}
        self.written: dict[Path, str] = {}
        self.meant: dict[Path, str] = {}

    def resolve(self, value: Any, path: Path = ()) -> Any:
        """The same data with every reference replaced. What a variable holds is not looked at again."""
        if isinstance(value, dict):
            return {key: self.resolve(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, (*path, number)) for number, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        self.written[path] = value
        self.meant[path] = _REFERENCE.sub(lambda found: self._replace(found, path), value)
        return self.meant[path]

    def as_written(self, problem: Problem) -> Problem:
        """The same complaint, showing the reference in place of what the variable holds: it may be a credential."""
        if problem.path not in self.written:
            return problem
        text = problem.text.replace(shown(self.meant[problem.path]), repr(self.written[problem.path]))
        return structs.replace(problem, text=text)

    def _replace(self, found: re.Match[str], path: Path) -> str:
        if found["escape"]:
            return "${"
        name = found["name"]
        if name is None:
            hint = "Write `${NAME}` or `${NAME:-default}`; `$${` stands for a plain `${`."
            self.problems.append(Problem(path=path, text="holds a malformed reference.", hint=hint))
            return ""
        value = self._environment.get(name, "") or found["default"]
        if value:
            return value
        if path[:1] == ("providers",) and path[2:3] in {("api_key",), ("headers",)}:
            self.empty[path] = name
        elif value is None and name not in self._environment:
            hint = f"Set it, or give a default: `${{{name}:-…}}`."
            self.problems.append(Problem(path=path, text=f"needs the variable {name}, which is not set.", hint=hint))
        return ""


class Filler:
    """Fills the settings that a file leaves unset from the known variables.

    Attributes:
        made: the settings that were filled, and the variable that filled each.
        problems: variables that cannot be used.
    """

    def __init__(self, data: dict[str, Any], environment: Mapping[str, str]) -> None:
        self._data = data
        self._environment = environment
        self.made: dict[Path, str] = {}
        self.problems: list[Problem] = []
        self._timeout = self._timeout_variable()

    def fill(self, path: tuple[str, ...], name: str, value: object = None) -> None:
        """Set one setting from one variable, unless the variable is empty or the file says something there."""
        text = named(self._environment, name)
        if text is None:
            return
        holder: Any = self._data
        for part in path[:-1]:
            if holder.get(part) is None:
                holder[part] = {}
            holder = holder[part]
            if not isinstance(holder, dict):
                return
        if holder.get(path[-1]) is None:
            holder[path[-1]] = text if value is None else value
            self.made[path] = name

    def gateway(self) -> None:
        """What concerns the whole gate."""
        self.fill(("models", "default"), "OPENAI_MODEL")
        self.fill(("shared",), "REDIS_CACHE_URL")
        self.fill(("policies", "breaker", "failures"), "OPENAI_CIRCUIT_BREAKER_FAILURES")
        self.fill(("policies", "breaker", "rest"), "OPENAI_CIRCUIT_BREAKER_TIMEOUT")
        self._daily_budget()

    def local(self) -> None:
        """Which file the providers of type `local` serve, and under which name, where they do not say."""
        providers = self._data.get("providers")
        for provider in providers.values() if isinstance(providers, dict) else ():
            if not isinstance(provider, dict) or provider.get("type") != "local":
                continue
            file = provider.get("model_file")
            if file is None:
                provider["model_file"] = str(models_folder(self._environment) / SMOLLM2.file)
            if provider.get("model") is None and (file is None or isinstance(file, str)):
                provider["model"] = SMOLLM2.name if file is None else File(file).stem.lower()

    def providers(self) -> None:
        """What concerns the providers of type `openai`; makes one where the file names none at all."""
        if not self._data.get("providers") and self._any("OPENAI_API_KEY", "OPENAI_BASE_URL"):
            self._data["providers"] = {"openai": {"type": "openai"}}
            self.made["providers", "openai"] = "OPENAI_API_KEY" if self._any("OPENAI_API_KEY") else "OPENAI_BASE_URL"
        providers = self._data.get("providers")
        for name, provider in providers.items() if isinstance(providers, dict) else ():
            if not isinstance(provider, dict) or provider.get("type") != "openai":
                continue
            at = ("providers", name)
            if provider.get("api_key") is None and provider.get("base_url") is None:
                # Never one without the other: our key must not travel to somebody else's address.
                self.fill((*at, "api_key"), "OPENAI_API_KEY")
                self.fill((*at, "base_url"), "OPENAI_BASE_URL")
            self.fill((*at, "max_retries"), "OPENAI_MAX_RETRIES")
            self.fill((*at, "limits", "requests_per_minute"), "OPENAI_RATE_LIMIT_RPM")
            for part in ("connect", "first_token", "silence") if self._timeout else ():
                self.fill((*at, "timeout", part), self._timeout)

    def _any(self, *names: str) -> bool:
        return any(named(self._environment, name) for name in names)

    def _timeout_variable(self) -> str:
        """Which variable names the timeout; empty if none does."""
        both = [name for name in ("OPENAI_TIMEOUT", "OPENAI_TIMEOUT_SECONDS") if self._any(name)]
        if len(both) == 2 and _seconds(self._environment[both[0]]) != _seconds(self._environment[both[1]]):
            one, other = (shown(self._environment[name]) for name in both)
            text = f"is {one}, but OPENAI_TIMEOUT_SECONDS, which means the same, is {other}."
            self.problems.append(Problem(path=(), variable="OPENAI_TIMEOUT", text=text, hint="Set one of them."))
        return both[0] if both else ""

    def _daily_budget(self) -> None:
        limit = self._dollars("OPENAI_DAILY_BUDGET_USD")
        threshold = self._dollars("OPENAI_ALERT_THRESHOLD_USD")
        if threshold is not None and not self._any("OPENAI_DAILY_BUDGET_USD"):
            self._refuse("OPENAI_ALERT_THRESHOLD_USD", "has no budget to watch.", "Set OPENAI_DAILY_BUDGET_USD, too.")
        if limit is None:
            return
        if threshold is not None and threshold > limit:
            self._refuse("OPENAI_ALERT_THRESHOLD_USD", f"is {threshold}, more than the budget of {limit}.", "")
            return
        budgets = self._data.get("budgets")
        budgets = [] if budgets is None else budgets
        if not isinstance(budgets, list) or any(_is_daily(budget) for budget in budgets):
            return
        alert = {} if threshold is None else {"alert_at": [float(threshold / limit)]}
        made = {"name": "daily", "scope": "gateway", "window": "day", "limit_usd": str(limit), **alert}
        self._data["budgets"] = [*budgets, made]
        self.made["budgets", len(budgets)] = "OPENAI_DAILY_BUDGET_USD"

    def _dollars(self, name: str) -> Decimal | None:
        text = named(self._environment, name)
        if text is None:
            return None
        try:
            amount = Decimal(text)
        except InvalidOperation:
            amount = Decimal(0)
        if not amount.is_finite() or amount <= 0:
            self._refuse(name, f"is {shown(text)}, but must be a sum in US dollars above 0, such as 100.", "")
            return None
        return amount

    def _refuse(self, name: str, text: str, hint: str) -> None:
        self.problems.append(Problem(path=(), variable=name, text=text, hint=hint))


def _is_daily(budget: object) -> bool:
    """Whether a budget of the file is the gateway's daily one."""
    return (
        isinstance(budget, dict)
        and budget.get("scope", "gateway") == "gateway"
        and budget.get("window", "day") == "day"
    )


def _seconds(text: str) -> object:
    try:
        return seconds(text)
    except ValueError:
        return text
