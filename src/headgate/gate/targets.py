"""What is told of targets: how each one stands, and which of them the configuration names.

Decides what `/health` and `/metrics` call a target; refuses to know what its policies do: whichever of them has a
`state()` is asked for it.
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from headgate.core.policy import Policy
from headgate.policies.route import ANY, Plan

Name = tuple[str, str]
"""A provider and a model; where no model is asked, `""`."""
States = Mapping[Name, Mapping[str, Mapping[str, Any]]]
"""By target and by policy."""
LONGEST = 120
"""Characters of a name that are shown. Where a route takes any name, callers can make models up."""


@runtime_checkable
class Telling(Protocol):
    """A policy that says how it stands."""

    def state(self) -> Mapping[str, Any]:
        """In words and figures of JSON."""
        ...


def states(targets: Mapping[Name, Mapping[str, Policy]]) -> States:
    """How the policies of each target stand."""
    return {
        name: {layer: policy.state() for layer, policy in policies.items() if isinstance(policy, Telling)}
        for name, policies in targets.items()
    }


def resting(found: States) -> bool:
    """Whether any target rests after failures."""
    return any(policies.get("breaker", {}).get("state") == "open" for policies in found.values())


def shown(name: Name) -> str:
    """One name in a text.

    Example:
        >>> shown(("openai", "gpt-6-luna")), shown(("openai", ""))
        ('openai/gpt-6-luna', 'openai')
    """
    provider, model = name
    return f"{provider}/{model}"[:LONGEST] if model else provider


def configured(plans: Mapping[str, Plan], default: str | None) -> frozenset[Name]:
    """The targets that the configuration names, whatever callers may ask for besides."""
    found = set[Name]()
    for asked, plan in plans.items():
        model = default if asked == ANY else asked
        for target in plan.targets:
            named = target.model or model
            found |= {(target.provider, "")} | ({(target.provider, named)} if named else set())
    return frozenset(found)
