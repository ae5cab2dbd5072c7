"""Covers policies/route/draw.py: lots by chance, and lots by key."""

from collections import Counter

import pytest

from headgate.core.body import Body
from headgate.core.call import Call, Operation, Target
from headgate.core.upload import Form
from headgate.gate.ports import SystemChance
from headgate.policies.route.draw import cache_key, draw, stick

FIVE, THREE, TWO = Target("a", "x", 5), Target("b", "x", 3), Target("c", "y", 2)
THESE = (FIVE, THREE, TWO)


def test_the_weight_is_the_chance_of_coming_first_and_then_again():
    """Half, three and two tenths come first; behind the first, the others by their weights."""
    chance = SystemChance(seed=1)
    drawn = [draw(THESE, chance) for _ in range(20_000)]
    assert all(sorted(names) == ["a", "b", "c"] for names in ([t.provider for t in order] for order in drawn))
    first = Counter(order[0].provider for order in drawn)
    assert [round(first[name] / 20_000, 2) for name in "abc"] == pytest.approx([0.5, 0.3, 0.2], abs=0.011)
    second = Counter(order[1].provider for order in drawn if order[0] is FIVE)
    assert second["b"] / second.total() == pytest.approx(0.6, abs=0.015)


@pytest.mark.parametrize("point", [0.0, 1 - 2**-53])
def test_the_ends_of_chance_are_no_errors(point):
    """Neither 0 nor the number next to 1."""

    class Always(SystemChance):
        def random(self):
            return point

    assert len(draw(THESE, Always())) == 3


def test_keys_are_spread_by_weight_and_stay():
    """The same key, the same order; many keys, the weights."""
    orders = [stick(THESE, f"key {number}") for number in range(10_000)]
    first = Counter(order[0].provider for order in orders)
    assert [first[name] / 10_000 for name in "abc"] == pytest.approx([0.5, 0.3, 0.2], abs=0.015)
    assert orders == [stick(tuple(reversed(THESE)), f"key {number}") for number in range(10_000)]


def test_one_target_more_takes_its_share_and_moves_nothing_else():
    """Of ten, a tenth; nobody moves from one old target to another."""
    old = [Target(f"p{number}", "m") for number in range(9)]
    new = Target("new", "m")
    moved = 0
    for number in range(5000):
        before, after = stick(old, f"k{number}"), stick([*old, new], f"k{number}")
        assert [target for target in after if target is not new] == before
        moved += after[0] is new
    assert moved / 5000 == pytest.approx(0.1, abs=0.015)


def test_two_models_of_one_provider_are_two_targets():
    """A key chooses among them as well."""
    twins = [Target("p", "x"), Target("p", "y"), Target("p")]
    assert {stick(twins, str(number))[0].model for number in range(50)} == {"x", "y", None}


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (b'{"prompt_cache_key": "tenant 7"}', "tenant 7"),
        (b'{"model": "m"}', None),
        (b'{"prompt_cache_key": null}', None),
        (b'{"prompt_cache_key": ""}', None),
        (b'{"prompt_cache_key": 7}', None),
        (b'{"prompt_cache_key": ["a"]}', None),
        (b'{"messages": [{"content": "what is prompt_cache_key?"}]}', None),
        (b'{"metadata": {"prompt_cache_key": "inner"}}', None),
        (b'{"prompt_cache_key": "\\ud83d"}', None),
        (b'{"prompt_cache_key": "a", "big": 1e999', None),
    ],
)
def test_the_key_is_a_text_of_the_request_itself(raw, key):
    """Whatever else stands under that name is none."""
    call = Call(id="c", operation=Operation.CHAT, model="m", body=Body(raw), started=0, day="2027-01-15")
    assert cache_key(call) == key


def test_a_form_has_no_key():
    """Uploads are not searched."""
    call = Call(id="c", operation=Operation.TRANSCRIPTIONS, model="m", body=Form([], "b"), started=0, day="2027-01-15")
    assert cache_key(call) is None
