"""The simulated prompt cache."""

from headgate.providers.simulator.memory import PromptMemory


def test_short_prompts_are_never_cached():
    """Below 1,024 tokens nothing is read or written."""
    memory = PromptMemory()
    assert [memory.read("m", "x" * 4092) for _ in range(2)] == [(0, 0), (0, 0)]


def test_a_beginning_seen_before_is_cached():
    """In blocks of 128 tokens, from 1,024 on; the rest is new to the cache, up to the last whole block."""
    memory = PromptMemory()
    long = "".join(f"{at:04}" for at in range(2000))
    assert memory.read("m", long) == (0, 1920)
    assert memory.read("m", long) == (1920, 0)
    assert memory.read("m", long[: 1500 * 4] + "other " * 500) == (1408, 2176 - 1408)
    assert memory.read("m", long[: 1023 * 4] + "?" * 4000) == (0, 1920)
    assert memory.read("m", "?" + long) == (0, 1920)


def test_models_do_not_share():
    """Each model reads for itself."""
    memory = PromptMemory()
    memory.read("one", "x" * 8000)
    assert memory.read("other", "x" * 8000) == (0, 1920)
