"""What names lead to, as far as it is known."""

from datetime import UTC, date, datetime

from headgate.catalog.models import Catalog, Own
from headgate.core.call import Target
from headgate.gate.offers import Offers
from headgate.policies.route import Plan

AT = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
LATER = datetime(2027, 2, 1, tzinfo=UTC).timestamp()
CATALOG = Catalog({"house": Own(context=32_768, max_output=4096, capabilities=frozenset({"tools", "vision"}))})


def offers(**routes):
    """What such routes offer; `openai` serves its maker's models."""
    plans = {name: Plan(tuple(Target(*pair) for pair in pairs)) for name, pairs in routes.items()}
    return Offers(plans, CATALOG, {"openai": "openai"})


def test_one_target_is_what_its_model_is():
    """Its limits, abilities and last day."""
    found = offers(fast=[("openai", "gpt-5-mini")]).of("fast", AT)
    assert (found.name, found.targets) == ("fast", (Target("openai", "gpt-5-mini"),))
    assert (found.context, found.max_output) == (400_000, 128_000)
    assert (found.retires, found.successor) == (date(2026, 12, 11), "gpt-5.6-terra")
    assert {"tools", "vision", "json_schema"} <= found.capabilities


def test_of_several_targets_the_least_is_true():
    """The smallest limits and what all of them can do: whoever answers, it holds."""
    found = offers(fast=[("openai", "gpt-6-luna"), ("own", "house")]).of("fast", AT)
    assert (found.context, found.max_output, found.capabilities) == (32_768, 4096, {"tools", "vision"})


def test_a_name_ends_with_the_last_of_its_targets():
    """And not at all while one of them has no last day; elsewhere there are no such days."""
    both = offers(a=[("openai", "gpt-5-mini"), ("openai", "gpt-4o")])
    assert (both.of("a", AT).retires, both.of("a", AT).successor) == (date(2027, 1, 14), "gpt-6-luna")
    assert offers(a=[("openai", "gpt-5-mini"), ("openai", "gpt-6-luna")]).of("a", AT).retires is None
    assert offers(a=[("azure", "gpt-5-mini")]).of("a", AT).retires is None


def test_what_is_gone_does_not_count_while_something_is_left():
    """A retired target makes the limits no smaller; where all are gone, what was is told."""
    routes = offers(a=[("openai", "gpt-4"), ("openai", "gpt-6-luna")], b=[("openai", "gpt-4")])
    assert routes.of("a", AT).context == 1_050_000
    assert (routes.of("b", AT).context, routes.of("b", AT).retires) == (8192, date(2026, 10, 23))


def test_what_nobody_knows_is_none():
    """One target of which nothing is known leaves the whole name unknown; so does no target at all."""
    for found in (
        offers(a=[("openai", "gpt-6-luna"), ("own", "llama")]).of("a", AT),
        offers(a=[("openai", "gpt-6-luna")]).of("b", AT),
    ):
        assert (found.context, found.max_output, found.capabilities, found.retires) == (None, None, None, None)


def test_any_other_name_is_what_it_is_called():
    """The route for all others passes the name on."""
    found = offers(**{"*": [("openai", None)]}).of("gpt-4o-2024-08-06", AT)
    assert (found.context, found.retires) == (128_000, date(2027, 1, 14))


def test_the_catalog_has_the_users_own_too():
    """With what is known of each."""
    found = {offer.name: offer for offer in offers().known()}
    assert found["house"].context == 32_768
    assert found["gpt-4"].successor == "gpt-6-sol"
    assert found["gpt-6-luna"].targets == ()


def test_fates_are_told_once_a_model():
    """Gone or near, whichever names lead there; not what lives long, and not elsewhere."""
    routes = offers(
        a=[("openai", "gpt-5-mini"), ("openai", "gpt-6-luna")],
        b=[("openai", "gpt-5-mini-2025-08-07"), ("openai", "gpt-4")],
        c=[("own", "gpt-3.5-turbo")],
    )
    found = list(routes.fates(["a", "b", "c"], AT))
    assert [(name, fate.gone) for name, fate in found] == [("gpt-5-mini", False), ("gpt-4", True)]
    assert list(offers(a=[("openai", "gpt-5.4-nano")]).fates(["a"], AT)) == []
    assert [name for name, _ in offers(a=[("openai", "gpt-5.4-nano")]).fates(["a"], LATER)] == ["gpt-5.4-nano"]
