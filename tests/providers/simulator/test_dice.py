"""Repeatable chance."""

from headgate.providers.simulator.dice import Dice


def test_equal_seeds_draw_equally_and_others_do_not():
    """The seed is everything that the numbers depend on."""
    one, same, other = Dice(b"a"), Dice(b"a"), Dice(b"b")
    drawn = [one.bits() for _ in range(50)]
    assert drawn == [same.bits() for _ in range(50)]
    assert drawn != [other.bits() for _ in range(50)]


def test_draws_stay_in_their_bounds_and_use_them():
    """`below`, `between` and `share` keep to their intervals and reach both ends of the whole-numbered ones."""
    dice = Dice(b"bounds")
    assert {dice.below(3) for _ in range(200)} == {0, 1, 2}
    assert {dice.between(5, 7) for _ in range(200)} == {5, 6, 7}
    shares = [dice.share() for _ in range(2000)]
    assert 0 <= min(shares) < 0.05
    assert 0.95 < max(shares) < 1
    assert 0.47 < sum(shares) / len(shares) < 0.53


def test_picking_and_shuffling_lose_nothing():
    """A shuffled list holds the same things; a pick is one of them."""
    dice = Dice(b"cards")
    cards = list(range(10))
    assert sorted(dice.shuffled(cards)) == cards
    assert any(dice.shuffled(cards) != cards for _ in range(5))
    assert {dice.pick("ab") for _ in range(100)} == {"a", "b"}
    assert cards == list(range(10))
