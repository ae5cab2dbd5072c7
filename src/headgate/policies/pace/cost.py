"""What a call is to the limits: how much of them it takes, and how much room it needs.

Decides by arithmetic on limits and tokens alone; refuses to know calls, time and what is left.
"""

from math import inf

from headgate.core.limits import Demand, Limits
from headgate.stores.rates import Rule

MINUTE = 60.0
LARGE, LONGEST_BURST = 3.0, 10.0
"""Where calls are large for their limit of tokens, so many of them may be taken at once, up to so many seconds' worth:
what short answers give back would be lost if it found no room below the burst."""


def seconds_of_tokens(limits: Limits, demand: Demand) -> float:
    """The seconds of the limits of tokens that a call takes."""
    minutes = 0.0
    if most := limits.tokens_per_minute:
        minutes = (demand.input + demand.output) / most
    if most := limits.input_tokens_per_minute:
        minutes = max(minutes, demand.input / most)
    if most := limits.output_tokens_per_minute:
        minutes = max(minutes, demand.output / most)
    return MINUTE * minutes


def roomy(rule: Rule, demand: Demand) -> Rule:
    """A rule whose burst is large enough for such calls."""
    burst = min(LARGE * seconds_of_tokens(rule.limits, demand), LONGEST_BURST)
    return rule if burst <= rule.burst else Rule(rule.name, rule.limits, burst)


def cost(rule: Rule | None, demand: Demand) -> float:
    """What a call takes of what is scarce: the seconds of the limit of which it takes most; 1 where none is set."""
    if rule is None:
        return 1.0
    return max(MINUTE / (rule.limits.requests_per_minute or inf), seconds_of_tokens(rule.limits, demand)) or 1.0


def weights(limits: Limits) -> tuple[int, int]:
    """What the provider's headers about tokens count: input, output. Limits apart tell of the input first."""
    if limits.tokens_per_minute is not None or not limits.counts_tokens:
        return 1, 1
    return (1, 0) if limits.input_tokens_per_minute is not None else (0, 1)
