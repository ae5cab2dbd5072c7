"""Which of several failures the caller hears of: the one that tells most.

Decides it from what the failures are; refuses to know targets. A provider's failure says what is wrong. That a target
was not asked (it rests, its limits are too tight) says less, and that another one is too small says least: it could not
have helped. Of equals the later one counts, but of two that say when to come back, the sooner.
"""

from headgate.core.errors import HeadgateError, Onward, ProviderError


def telling(earlier: HeadgateError | None, later: HeadgateError) -> HeadgateError:
    """The one of two failures that tells the caller more.

    Args:
        earlier: None if the other one is the first.
        later: the other one.
    """
    if earlier is None:
        return later
    mine, its = _weight(earlier), _weight(later)
    if mine == its == _REFUSED and earlier.retry_after is not None and later.retry_after is not None:
        return earlier if earlier.retry_after <= later.retry_after else later
    return earlier if mine > its else later


_SMALL, _REFUSED, _FAILED = range(3)


def _weight(error: HeadgateError) -> int:
    if error.onward is Onward.LARGER:
        return _SMALL
    return _FAILED if isinstance(error, ProviderError) else _REFUSED
