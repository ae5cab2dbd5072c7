"""Route: one question, several targets.

The policy is in `route`; it asks the targets in the order of its strategy: `draw` (by weight, and by prompt cache
key), `latency` and `cost`. `choice` has what is known of a route before a call comes, `telling` which of several
failures the caller hears of.
"""

from headgate.policies.route.cost import Costs
from headgate.policies.route.plan import ANY, Plan, Strategy
from headgate.policies.route.route import Route

__all__ = ["ANY", "Costs", "Plan", "Route", "Strategy"]
