"""Covers policies/route/cost.py: the cheapest for this call."""

from decimal import Decimal

import msgspec

from headgate.catalog.models import Catalog, Own
from headgate.catalog.prices import OWN, Prices
from headgate.core.body import Body
from headgate.core.call import Call, Operation, Target
from headgate.core.reply import Event, Kind, Reply
from headgate.core.usage import TokenUsage
from headgate.policies.route.cost import MOST, Costs
from headgate.testing import VirtualClock, virtual_time

READS, WRITES = Target("p", "reads"), Target("p", "writes")
"""One is cheap to tell things, the other cheap to hear from."""
OWNS = {
    "reads": Own(input=Decimal(1), output=Decimal(20)),
    "writes": Own(input=Decimal(10), output=Decimal(2)),
    "half": Own(input=Decimal(1)),
    "dear": Own(input=Decimal(9999), output=Decimal(9999)),
}
LISTS = {"p": "openai", "house": OWN}


def asked(cap=None, size=0, **facts):
    """A question of so many bytes that allows so many tokens."""
    body = b'{"messages":[{"content":"%s"}]%s}' % (b"x" * size, b"" if cap is None else b',"max_tokens":%d' % cap)
    given = {
        "id": "1",
        "operation": Operation.CHAT,
        "model": "m",
        "body": Body(body),
        "started": 0,
        "day": "2027-01-15",
    }
    return Call(**(given | facts))


def ordered(call, *targets, costs=None, unknown="allow"):
    """The models in the order in which they would be asked."""

    async def story():
        strategy = costs or Costs(Prices(Catalog(OWNS), unknown=unknown), LISTS, VirtualClock())
        return [target.model for target in strategy.order(call, list(targets))]

    return virtual_time(story())


def test_input_and_output_decide():
    """Much to read and little to say, or the other way round; the request's own cap counts."""
    assert ordered(asked(size=8000), WRITES, READS) == ["reads", "writes"]
    assert ordered(asked(size=1000), READS, WRITES) == ["writes", "reads"]
    assert ordered(asked(cap=10, size=1000), WRITES, READS) == ["reads", "writes"]
    assert ordered(asked(size=100, operation=Operation.EMBEDDINGS), WRITES, READS) == ["reads", "writes"]


def test_what_nobody_knows_comes_last():
    """A model without a price, one whose output has none, and one that is only estimated."""
    stranger, half = Target("p", "who-knows"), Target("p", "half")
    assert ordered(asked(cap=10), stranger, half, WRITES, READS) == ["writes", "reads", "who-knows", "half"]
    dear = Target("p", "dear")
    assert ordered(asked(cap=10), stranger, dear, unknown="estimate") == ["dear", "who-knows"]


def test_ones_own_machine_is_free():
    """Nobody charges for its tokens."""
    assert ordered(asked(), WRITES, Target("house", "llama")) == ["llama", "writes"]


def test_equals_stay_in_their_order():
    """And so does whatever nobody charges for."""
    twin = msgspec.structs.replace(READS, weight=3)
    assert ordered(asked(), twin, READS) == ["reads", "reads"]
    free = asked(operation=Operation.MODERATIONS)
    assert ordered(free, READS, WRITES) == ["reads", "writes"]
    assert ordered(free, WRITES, READS) == ["writes", "reads"]


def test_long_answers_are_learned():
    """By the name that callers use, whoever answered."""
    costs = Costs(Prices(Catalog(OWNS)), LISTS, VirtualClock())
    call = asked(size=8000)
    assert ordered(call, READS, WRITES, costs=costs) == ["reads", "writes"]
    for _ in range(30):
        usage = TokenUsage(prompt_tokens=2000, completion_tokens=5000)
        costs.learn(call, Reply([Event(kind=Kind.TERMINAL), Event(kind=Kind.TRAILER, usage=usage)]))
    assert ordered(call, READS, WRITES, costs=costs) == ["writes", "reads"]
    assert ordered(asked(size=8000, model="other"), READS, WRITES, costs=costs) == ["reads", "writes"]


def test_made_up_names_do_not_fill_the_memory():
    """What was learned of them is learned again."""
    costs = Costs(Prices(Catalog(OWNS)), LISTS, VirtualClock())
    for number in range(MOST + 5):
        costs.learn(asked(model=f"n{number}"), Reply([]))
    assert len(costs._forecasts) <= MOST
