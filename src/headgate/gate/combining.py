"""From the settings of routes to the policy that puts calls together.

Decides for which names it does so, and which of them it cannot serve; refuses to know how.
"""

from collections.abc import Mapping

from headgate.catalog.abilities import Abilities
from headgate.catalog.tokens import Tokens
from headgate.core.clock import Chance, Clock
from headgate.core.together import Combining
from headgate.gate.config import Config, Route
from headgate.gate.tasks import Start
from headgate.policies.combine.combine import Combine
from headgate.policies.route import ANY, Plan

SCHEMA = "json_schema"


def combine(
    config: Config,
    *,
    always: bool = False,
    plans: Mapping[str, Plan],
    abilities: Abilities,
    tokens: Tokens,
    start: Start,
    clock: Clock,
    chance: Chance,
) -> Combine | None:
    """The policy; None where no route asks for it.

    Args:
        config: what is wanted.
        always: calls may ask for it themselves.
        plans: the routes.
        abilities: what models can do.
        tokens: counts them.
        start: runs what waits.
        clock: for the wait.
        chance: names things.
    """
    routes: dict[str, Combining | None] = {}
    for name, route in config.models.items():
        if isinstance(route, Route):
            how = route.combine
            found = None if how is None else Combining(items=how.items, seconds=how.seconds, inputs=how.inputs)
            routes[name] = found
    if not (always or any(routes.values())):
        return None

    def lacks(name: str) -> bool:
        plan = plans.get(name) or plans.get(ANY)
        targets = plan.targets if plan is not None else ()
        known = [abilities.known(target.provider, target.model or name) for target in targets]
        return any(model is not None and model.can(SCHEMA) is False for model in known)

    return Combine(
        lambda name: routes.get(name, routes.get(ANY)),
        lacks=lacks,
        tokens=tokens,
        start=start,
        clock=clock,
        chance=chance,
    )
