"""A plan: who answers to one name, and in which order."""

from typing import Literal

import msgspec

from headgate.core.call import Target

ANY = "*"
"""The route of every name that has none of its own."""

Strategy = Literal["priority", "weighted", "latency", "cost"]


class Plan(msgspec.Struct, frozen=True):
    """Who answers to one name.

    Attributes:
        targets: in the order of the configuration.
        strategy: the order among targets of the same priority: `priority` draws by weight; `latency` asks the quicker
            of two that are drawn so; `cost` asks the cheapest. `weighted` draws among all, whatever their priority.
    """

    targets: tuple[Target, ...]
    strategy: Strategy = "priority"
