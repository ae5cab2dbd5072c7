"""From the settings of the guard to its rules.

Decides how a rule is spelled in the configuration and what is wrong with one; refuses to know how words are judged. The
engine that looks for patterns is an extra: it is imported only where there are rules.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from headgate.core.errors import ConfigError
from headgate.core.verdict import Side
from headgate.gate.config import Config, GuardRule
from headgate.gate.problems import Path, Problem, shown

if TYPE_CHECKING:
    from headgate.policies.guard.guard import Guard
    from headgate.policies.guard.names import Names
    from headgate.policies.guard.rules import Chains, Rule

_LISTS = ("patterns", "words")
_MISSING = "The guard has rules, and the package 'google-re2', which looks for patterns, is not installed."
_HINT = "`pip install 'headgate[guard]'`, or leave `policies.guard` out."


def guard(config: Config) -> "Guard | None":
    """The policy that the settings ask for; None where there are no rules.

    Raises:
        ConfigError: the extra is not installed, or the patterns are too large together.
    """
    if not _rules(config):
        return None
    chains = _chains(config)
    from headgate.policies.guard.guard import Guard  # noqa: PLC0415  an extra, which few need

    return Guard(chains, batches=config.policies.guard.batches == "allow")


def names(config: Config) -> "Names | None":
    """The policy for names; None where there are no rules for input.

    Raises:
        ConfigError: as `guard`.
    """
    if not config.policies.guard.input:
        return None
    chains = _chains(config, "input")
    from headgate.policies.guard.names import Names  # noqa: PLC0415  an extra, which few need

    return Names(chains)


def _chains(config: Config, *sides: Side) -> "Chains":
    try:
        from headgate.policies.guard.engine import BadPatternError  # noqa: PLC0415  an extra, which few need
        from headgate.policies.guard.rules import Chains  # noqa: PLC0415  ditto
    except ImportError as error:
        if error.name != "re2":
            raise
        raise ConfigError(_MISSING, hint=_HINT) from None
    given: dict[Side, Sequence[Rule]] = {"input": [], "output": []}
    for side, number, setting in _rules(config):
        if side in (sides or given):
            given[side] = [*given[side], _rule(setting, number)]
    try:
        return Chains(given)
    except BadPatternError as error:
        raise ConfigError(f"policies.guard: {error}.", hint="Use fewer or shorter patterns.") from None


def senseless(config: Config) -> Iterator[Problem]:
    """What is wrong with the rules."""
    for side, number, setting in _rules(config):
        path: Path = ("policies", "guard", side, number)
        yield from _settings(setting, path)
        yield from _places(config, side, setting, path)
        yield from _patterns(side, setting, number, path)


def _rules(config: Config) -> list[tuple[Side, int, GuardRule]]:
    found = config.policies.guard
    sides: tuple[tuple[Side, list[GuardRule]], ...] = (("input", found.input), ("output", found.output))
    return [(side, number, rule) for side, rules in sides for number, rule in enumerate(rules)]


def _rule(setting: GuardRule, number: int) -> "Rule":
    from headgate.policies.guard.rules import Rule  # noqa: PLC0415  an extra, which few need

    return Rule(
        kind=setting.kind,
        name=setting.name or f"{setting.kind}-{number + 1}",
        action=setting.action,
        patterns=tuple(setting.patterns),
        words=tuple(setting.words),
        model=setting.model,
        buffer=setting.buffer or "window",
        open=setting.on_failure == "open",
        models=None if setting.models is None else frozenset(setting.models),
    )


def _settings(rule: GuardRule, path: Path) -> Iterator[Problem]:
    for name in _LISTS:
        if rule.kind == name and not getattr(rule, name):
            yield Problem(path=(*path, name), text="is missing: there is nothing to look for.")
        if rule.kind != name and getattr(rule, name):
            text = f"has no effect on a rule of kind `{rule.kind}`."
            yield Problem(path=(*path, name), text=text, hint="Leave it out.")
    for number, word in enumerate(rule.words):
        if not word.strip():
            yield Problem(path=(*path, "words", number), text="is no word.")
    for name in ("model", "on_failure"):
        if rule.kind != "moderation" and name in rule.model_fields_set:
            text = f"has no effect on a rule of kind `{rule.kind}`, which asks nobody."
            yield Problem(path=(*path, name), text=text, hint="Leave it out.")


def _places(config: Config, side: Side, rule: GuardRule, path: Path) -> Iterator[Problem]:
    if side == "input" and rule.buffer is not None:
        text = "has no effect on input, which is there as a whole."
        yield Problem(path=(*path, "buffer"), text=text, hint="Leave it out.")
    for number, name in enumerate(rule.models or ()):
        if name not in config.models and "*" not in config.models:
            text = f"is {shown(name)}, but no route has that name."
            yield Problem(path=(*path, "models", number), text=text)
    if rule.kind == "moderation":
        yield from _moderation(config, side, rule, path)


def _moderation(config: Config, side: Side, rule: GuardRule, path: Path) -> Iterator[Problem]:
    if rule.action == "mask":
        text = "is `mask`, but a moderation does not say which words it means."
        yield Problem(path=(*path, "action"), text=text, hint="Use `block` or `flag`.")
    if side == "output" and rule.buffer is None:
        text = "is missing: a moderation of a stream needs more than a piece of it."
        yield Problem(path=(*path, "buffer"), text=text, hint="Use `sentence` or `whole`.")
    if rule.model not in config.models and "*" not in config.models:
        text = f"is {shown(rule.model)}, but no route leads to it."
        yield Problem(path=(*path, "model"), text=text, hint="Add it to `models`.")


def _patterns(side: Side, rule: GuardRule, number: int, path: Path) -> Iterator[Problem]:
    if not rule.patterns or rule.kind != "patterns":
        return
    try:
        from headgate.policies.guard.rules import complaints  # noqa: PLC0415  an extra, which few need
    except ImportError as error:
        if error.name != "re2":
            raise
        yield Problem(path=path, text="cannot be used: the package 'google-re2' is not installed.", hint=_HINT)
        return
    for complaint in complaints(_rule(rule, number), side):
        text = f"is {shown(rule.patterns[complaint.number])}: {complaint.reason}."
        hint = "Give it a bound (`{0,40}` for `*`), or set `buffer: sentence` or `whole`." if complaint.endless else ""
        yield Problem(path=(*path, complaint.setting, complaint.number), text=text, hint=hint)
