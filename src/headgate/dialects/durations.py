"""Durations as OpenAI's headers spell them: the way Go prints them.

Decides the spelling; refuses to know what lasts so long.
"""

from math import ceil

_DUST = 1e-6
"""Milliseconds by which a sum of binary fractions may be too long."""


def go_duration(seconds: float) -> str:
    """Spell a duration; milliseconds, rounded up, so that nobody comes back too early.

    Example:
        >>> go_duration(0.012), go_duration(1), go_duration(360), go_duration(3723.5)
        ('12ms', '1s', '6m0s', '1h2m3.5s')
    """
    ms = ceil(seconds * 1000 - _DUST)
    if ms < 1000:
        return f"{ms}ms" if ms > 0 else "0s"
    minutes, ms = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    left = f"{ms / 1000:g}s"
    if hours:
        return f"{hours}h{minutes}m{left}"
    return f"{minutes}m{left}" if minutes else left
