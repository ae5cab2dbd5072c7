"""What policies have learned of their targets, from one configuration to the next.

Decides whose knowledge goes on when the configuration changes; refuses to know what it is. A policy of a target lasts
as it is where nothing that it is made of has changed: the calls under way go on telling it what became of them. Else
the new one is told by the former one what it knew.
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from headgate.core.call import Target
from headgate.core.policy import Policy
from headgate.gate.config import Config

LEARNING = ("retry", "breaker", "pace")
"""The layers that learn."""
MOST = 12_000
"""Policies that are kept of targets that nobody has asked since: where a route takes any name, callers make some up."""
Name = tuple[str, str]
"""A target, by provider and model."""


@runtime_checkable
class Carrying(Protocol):
    """A policy that can go on with what another one has learned."""

    def carry(self, former: Any) -> None:
        """Know what another one of the same kind, at the same target, knows."""
        ...


class Lasting:
    """What is known of targets that were not asked yet under this configuration.

    Args:
        config: this one.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._former: dict[tuple[Name, str], Policy] = {}
        self._unchanged = frozenset[str]()

    def carry(self, former: "Lasting", targets: Mapping[Name, Mapping[str, Policy]]) -> None:
        """Take over from the configuration before: what nobody asked for there either, and its policies."""
        self._unchanged = unchanged(former._config, self._config)  # noqa: SLF001  our own kind
        self._former = dict(former._former)  # noqa: SLF001  our own kind
        for name, policies in targets.items():
            self._former |= {(name, layer): policies[layer] for layer in LEARNING if layer in policies}
        for oldest in list(self._former)[:-MOST]:
            del self._former[oldest]

    def going_on(self, built: Policy | None, layer: str, target: Target) -> Policy | None:
        """The policy of a layer, at a target that is asked for the first time under this configuration."""
        former = self._former.pop(((target.provider, target.model or ""), layer), None)
        if built is None or former is None:
            return built
        if target.provider in self._unchanged:
            return former
        if isinstance(built, Carrying):
            built.carry(former)
        return built


def unchanged(before: Config, after: Config) -> frozenset[str]:
    """The providers for whose targets all that learns is made of the same settings."""
    if (before.policies.retry, before.policies.breaker) != (after.policies.retry, after.policies.breaker):
        return frozenset()
    return frozenset(name for name, one in after.providers.items() if before.providers.get(name) == one)
