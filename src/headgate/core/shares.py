"""Sums split among several, so that the shares add up to the sum, to the last unit.

Decides by the largest remainder (Hamilton's method); refuses to know who shares and why. Pure.
"""

from collections.abc import Sequence

from headgate.core.usage import TokenUsage

_ASKED = ("cached_tokens", "cache_write_tokens")
"""Input tokens of which none is of two of these kinds."""
_HEARD = ("prompt_image_tokens", "prompt_audio_tokens")
_SAID = ("reasoning_tokens", "completion_image_tokens", "completion_audio_tokens")


def split(amount: int, weights: Sequence[int], bounds: Sequence[int] | None = None) -> list[int]:
    """A sum in whole shares, in proportion to weights; equal ones where no weight says anything.

    Args:
        amount: the sum, not negative.
        weights: of each share, not negative; at least one.
        bounds: what each share is at most. What is beyond goes to the others; bounds that leave no room for the whole
            sum bind nobody.

    Example:
        >>> split(10, [1, 1, 1]), split(10, [8, 1, 1], [4, 9, 9]), split(10, [0, 0])
        ([4, 3, 3], [4, 3, 3], [5, 5])
    """
    if bounds is None or sum(bounds) < amount:
        return _parts(amount, weights)
    given, left, open_ = [0] * len(weights), amount, list(range(len(weights)))
    while True:
        parts = _parts(left, [weights[at] for at in open_])
        full = {at for at, part in zip(open_, parts, strict=True) if part > bounds[at]}
        if not full:
            for at, part in zip(open_, parts, strict=True):
                given[at] = part
            return given
        for at in full:
            given[at] = bounds[at]
            left -= bounds[at]
        # The rest has room: together the bounds are no less than the sum.
        open_ = [at for at in open_ if at not in full]


def _parts(amount: int, weights: Sequence[int]) -> list[int]:
    whole = sum(weights)
    if not whole:
        weights, whole = [1] * len(weights), len(weights)
    parts, rests = [], []
    for at, weight in enumerate(weights):
        part, rest = divmod(amount * weight, whole)
        parts.append(part)
        rests.append((-rest, at))
    for _, at in sorted(rests)[: amount - sum(parts)]:
        parts[at] += 1
    return parts


def split_usage(usage: TokenUsage, asked: Sequence[int], said: Sequence[int]) -> list[TokenUsage]:
    """Tokens in shares: input in proportion to what each asked, output to what each was told.

    No share has more of a kind (cached, reasoning, …) than of the whole that the kind is part of.

    Args:
        usage: of all together.
        asked: weights of the input.
        said: weights of the output.
    """
    fields = {name: [0] * len(asked) for name in usage.__struct_fields__}
    fields["prompt_tokens"] = split(usage.prompt_tokens, asked)
    fields["completion_tokens"] = split(usage.completion_tokens, said)
    for whole, kinds in (("prompt_tokens", _ASKED), ("prompt_tokens", _HEARD), ("completion_tokens", _SAID)):
        # In proportion to what is left of each share, of which a part is never more than the whole.
        left = fields[whole]
        for kind in kinds:
            fields[kind] = split(getattr(usage, kind), left)
            left = [rest - part for rest, part in zip(left, fields[kind], strict=True)]
    return [TokenUsage(**dict(zip(fields, share, strict=True))) for share in zip(*fields.values(), strict=True)]
