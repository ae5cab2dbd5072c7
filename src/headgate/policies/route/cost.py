"""The cheapest target first, for this very call.

Decides what a call may cost at each target: its expected tokens, which are the same everywhere, at the rates of the
provider's price list. Refuses to know prices (`catalog/prices.py`) and how tokens are expected (`catalog/forecast.py`).
A price that nobody knows, or that is only estimated, comes last.
"""

from collections.abc import Mapping
from functools import partial
from math import inf

from headgate.catalog.forecast import Forecast
from headgate.catalog.prices import Prices
from headgate.core.call import FREE, Call, Target
from headgate.core.clock import Clock
from headgate.core.reply import Event, Reply
from headgate.core.usage import TokenUsage

MOST = 1000
"""Names whose answers are remembered."""


class Costs:
    """The strategy.

    Args:
        prices: what tokens cost.
        lists: whose price list holds at a provider, by the provider's name.
        clock: for the date of a price.
    """

    def __init__(self, prices: Prices, lists: Mapping[str, str], clock: Clock) -> None:
        self._prices = prices
        self._lists = lists
        self._clock = clock
        # By the name that callers use: who is asked for it shall not change what is expected.
        self._forecasts: dict[str, Forecast] = {}

    def order(self, call: Call, targets: list[Target]) -> list[Target]:
        """The cheapest first; those that cost the same stay in their order."""
        if call.operation in FREE:
            return targets
        demand = self._forecast(call.model).expect(call)
        usage = TokenUsage(prompt_tokens=demand.input, completion_tokens=demand.output)
        at = self._clock.time()
        return sorted(targets, key=lambda target: self._cost(call, target, usage, at))

    def learn(self, call: Call, reply: Reply) -> None:
        """Take what the answer used, so that the next one is expected better."""
        reply.watch(partial(_learn, self._forecast(call.model), call))

    def _cost(self, call: Call, target: Target, usage: TokenUsage, at: float) -> float:
        model = target.model or call.model
        cost, table = self._prices.cost(model, usage, at=at, provider=self._lists[target.provider], asked=model)
        return inf if cost is None or table is None or table.startswith("estimate") else cost

    def _forecast(self, name: str) -> Forecast:
        found = self._forecasts.get(name)
        if found is None:
            if len(self._forecasts) >= MOST:
                self._forecasts.clear()
            found = self._forecasts[name] = Forecast()
        return found


def _learn(forecast: Forecast, call: Call, event: Event) -> None:
    if event.usage is not None:
        forecast.learn(call, event.usage)
