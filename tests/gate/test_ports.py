"""The real clock and the real chance."""

import asyncio
import re
import time

from headgate.gate.ports import SystemChance, SystemClock


def test_the_clock_is_the_machines():
    """Both scales are those of the machine."""
    clock = SystemClock()
    before = time.monotonic(), time.time()  # noqa: TID251  that is what it must say
    said = clock.monotonic(), clock.time()
    after = time.monotonic(), time.time()  # noqa: TID251  ditto
    assert before[0] <= said[0] <= after[0]
    assert before[1] <= said[1] <= after[1]


def test_sleep_waits():
    """At least as long as it was told."""

    async def story():
        clock = SystemClock()
        start = clock.monotonic()
        await clock.sleep(0.01)
        return clock.monotonic() - start

    # The loop may wake within its clock's resolution.
    assert asyncio.run(story()) >= 0.0099


def test_chance_is_a_share():
    """Numbers lie in [0, 1) and differ."""
    chance = SystemChance()
    drawn = {chance.random() for _ in range(100)}
    assert len(drawn) > 90
    assert min(drawn) >= 0
    assert max(drawn) < 1


def test_tokens_are_unguessable_names():
    """32 lower-case hexadecimal digits, never the same."""
    chance = SystemChance()
    tokens = {chance.token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(re.fullmatch("[0-9a-f]{32}", token) for token in tokens)


def test_a_seed_repeats():
    """Equal seeds draw equally, also tokens; other seeds differ."""

    def drawn(seed):
        chance = SystemChance(seed)
        return chance.random(), chance.token(), chance.random()

    assert drawn(1) == drawn(1) != drawn(2)
    assert re.fullmatch("[0-9a-f]{32}", drawn(1)[1])
