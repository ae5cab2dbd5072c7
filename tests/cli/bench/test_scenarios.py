"""What is measured."""

from headgate.cli.bench.scenarios import GROUP, Change, scenarios


def test_the_promises():
    """Those of the project: with headers 97 % and 0.5 %, with upheavals 95 % and 1 %, without headers 88 % and 3 %."""
    assert {one.name: (one.share, one.refused) for one in scenarios(10)} == {
        "requests": (0.97, 0.005),
        "tokens": (0.97, 0.005),
        "few tokens": (0.97, 0.005),
        "concurrency": (0.97, 0.005),
        "stranger": (0.95, 0.01),
        "changing": (0.95, 0.01),
        "no headers": (0.88, 0.03),
    }


def test_upheavals_come_in_thirds():
    """Halved and back; a stranger who comes and goes."""
    found = {one.name: one for one in scenarios(9)}
    assert found["changing"].upheavals == found["stranger"].upheavals == [180, 360]
    assert [change.limits.requests_per_minute for change in found["changing"].changes] == [120, 240]
    assert isinstance(found["changing"].changes[0], Change)
    assert found["requests"].upheavals == []


def test_what_the_gate_is_told():
    """The limits as they are, but for an account that is silent: there it believes too much."""
    told = {one.name: one.told for one in scenarios(3)}
    assert told["tokens"] == {"tokens_per_minute": 120_000}
    assert told["concurrency"] == {"concurrency": 12}
    assert told["no headers"] == {"requests_per_minute": 360}
    assert [one.limits.headers for one in scenarios(3)] == [True] * 6 + [False]
    assert {one.limits.group for one in scenarios(3)} == {GROUP}
