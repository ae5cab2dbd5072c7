"""What providers teach about counting: the estimates of each model, corrected by the usage that its answers report.

Decides by which two factors a model's own count differs from ours: one for what is said, one for tools and schemas,
because the latter are told to a model in a form that nobody publishes. Both are fitted to the last answers (least
squares of the relative error, older answers weighing less and less) and start at 1. Refuses to know who asked.

What a model reports counts for little: a factor stays between a quarter and four, whatever is claimed. What is
remembered is five numbers per model, of at most `MOST` models.
"""

import msgspec

from headgate.catalog.names import LONGEST

MOST = 1000
"""Models that are remembered; the one that was heard of first is forgotten first."""
FADING = 0.98
"""What an answer weighs after the next one: half after 35 answers."""
DOUBT = 0.1
"""How much the factors are held at 1, in answers."""
WIDEST = 4.0
"""How far a factor, or what a single answer says, may be from 1."""


class Factors(msgspec.Struct, frozen=True):
    """What our counts are multiplied by."""

    words: float = 1.0
    tools: float = 1.0


PLAIN = Factors()


class Calibration:
    """Factors per model.

    Example:
        >>> calibration = Calibration()
        >>> for _ in range(100):
        ...     calibration.learn("m", words=100, tools=50, reported=180)
        >>> factors = calibration.factors("m")
        >>> round(100 * factors.words + 50 * factors.tools)
        180
    """

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, float, float, float, float]] = {}

    def learn(self, model: str, *, words: int, tools: int, reported: int) -> None:
        """Take what an answer reports.

        Args:
            model: which one; name the provider too where the same name means two.
            words: tokens that were counted for what is said.
            tools: tokens that were counted for tools and schemas.
            reported: tokens that the provider counted, all input together.
        """
        counted = words + tools
        if counted <= 0 or reported <= 0 or len(model) > LONGEST:
            return
        # Shares of the count, so that a long prompt teaches no more than a short one.
        said, told = words / counted, tools / counted
        ratio = min(WIDEST, max(1 / WIDEST, reported / counted))
        new = (said * said, said * told, told * told, said * ratio, told * ratio)
        old = self._sums.get(model)
        if old is None:
            if len(self._sums) >= MOST:
                del self._sums[next(iter(self._sums))]
            old = (0.0, 0.0, 0.0, 0.0, 0.0)
        ww, wt, tt, wr, tr = (FADING * before + now for before, now in zip(old, new, strict=True))
        self._sums[model] = (ww, wt, tt, wr, tr)

    def factors(self, model: str) -> Factors:
        """What the counts for a model are to be multiplied by."""
        sums = self._sums.get(model)
        if sums is None:
            return PLAIN
        ww, wt, tt, wr, tr = sums
        ww, tt, wr, tr = ww + DOUBT, tt + DOUBT, wr + DOUBT, tr + DOUBT
        # The doubt makes this greater than 0, whatever the sums are.
        area = ww * tt - wt * wt
        return Factors(_bounded((tt * wr - wt * tr) / area), _bounded((ww * tr - wt * wr) / area))


def _bounded(factor: float) -> float:
    return min(WIDEST, max(1 / WIDEST, factor))
