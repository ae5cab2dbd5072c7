"""Plots as inline SVG: drawn from figures, without a script, a font or an address.

Decides scales, places and words of a plot; colours are classes that the page gives a meaning, light and dark. Refuses
to know what the figures mean. Names are escaped here: they come from outside.
"""

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

WIDTH = 760
LEFT, RIGHT = 210, 30
LINE = 34
_LONGEST = 30
_HIDDEN = dict.fromkeys((*range(9), 11, 12, *range(14, 32), *range(127, 160)), "\N{REPLACEMENT CHARACTER}") | {
    # What would turn the order of the letters after it around.
    code: f"[U+{code:04X}]"
    for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
}


class Mark(NamedTuple):
    """What a line of a plot shows.

    Attributes:
        name: before the line.
        low, high: ends of the thin line.
        middle: the point.
        box: ends of the thick line, where there is one.
        told: the figures, in words, behind the line.
    """

    name: str
    low: float
    high: float
    middle: float
    told: str
    box: tuple[float, float] | None = None


class Dot(NamedTuple):
    """A point of a plot.

    Attributes:
        name: beside it.
        x, y: where it is.
        low, high: how far up and down it may be.
    """

    name: str
    x: float
    y: float
    low: float
    high: float


def lines(marks: Sequence[Mark], title: str, show: Callable[[float], str], *, least: float, most: float) -> str:
    """A line for each mark, on one scale.

    Args:
        marks: at least one.
        title: what the plot shows, for those who cannot see it.
        show: a figure of the axis.
        least: the scale begins no earlier, however the marks do.
        most: it ends no later.
    """
    low, high = min(mark.low for mark in marks), max(mark.high for mark in marks)
    ticks = scale(low, high, least=least, most=most)
    height = LINE * len(marks) + 40
    at = _along(ticks, LEFT, WIDTH - RIGHT)
    bottom = height - 30
    parts = [
        f'<line class="grid" x1="{at(tick):.1f}" x2="{at(tick):.1f}" y1="4" y2="{bottom}"/>'
        f'<text class="tick" x="{at(tick):.1f}" y="{bottom + 18}" text-anchor="middle">{safe(show(tick))}</text>'
        for tick in ticks
    ]
    for place, mark in enumerate(marks):
        y = LINE * place + LINE / 2 + 4
        box = ""
        if mark.box is not None:
            start, end = at(mark.box[0]), at(mark.box[1])
            box = (
                f'<rect class="box" x="{start:.1f}" y="{y - 8}" width="{max(end - start, 1):.1f}" height="16" rx="3"/>'
            )
        parts.append(
            f"<g><title>{safe(mark.name)}: {safe(mark.told)}</title>"
            f'<text class="name" x="{LEFT - 12}" y="{y + 4}" text-anchor="end">{safe(short(mark.name))}</text>'
            f'<line class="range" x1="{at(mark.low):.1f}" x2="{at(mark.high):.1f}" y1="{y}" y2="{y}"/>{box}'
            f'<circle class="dot" cx="{at(mark.middle):.1f}" cy="{y}" r="5"/></g>'
        )
    return _drawn(title, height, parts)


def scatter(
    dots: Sequence[Dot], title: str, *, x: Callable[[float], str], y: Callable[[float], str], below: str
) -> str:
    """A point for each dot: one figure against another.

    Args:
        dots: at least one.
        title: what the plot shows.
        x: a figure of the lower axis.
        y: a figure of the other one.
        below: what the lower axis is.
    """
    height, bottom, left = 330, 270, 70
    across = scale(0.0, max(dot.x for dot in dots), least=0.0, most=math.inf)
    up = scale(min(dot.low for dot in dots), max(dot.high for dot in dots), least=0.0, most=1.0)
    right, above = _along(across, left, WIDTH - 120), _along(up, bottom, 12)
    parts = [
        f'<line class="grid" x1="{left}" x2="{WIDTH - RIGHT}" y1="{above(tick):.1f}" y2="{above(tick):.1f}"/>'
        f'<text class="tick" x="{left - 8}" y="{above(tick) + 4:.1f}" text-anchor="end">{safe(y(tick))}</text>'
        for tick in up
    ]
    parts += [
        f'<text class="tick" x="{right(tick):.1f}" y="{bottom + 20}" text-anchor="middle">{safe(x(tick))}</text>'
        for tick in across
    ]
    middle = (left + WIDTH - RIGHT) // 2
    parts.append(f'<text class="tick" x="{middle}" y="{height - 12}" text-anchor="middle">{safe(below)}</text>')
    taken: list[tuple[float, float]] = []
    for dot in sorted(dots, key=lambda one: -one.y):
        place = right(dot.x)
        label = _free(place, above(dot.y) + 4, taken)
        told = f"{dot.name}: {y(dot.y)} at {x(dot.x)}"
        low, high = above(dot.low), above(dot.high)
        anchor, beside = ("end", place - 9) if place > WIDTH - 240 else ("start", place + 9)
        parts.append(
            f"<g><title>{safe(told)}</title>"
            f'<line class="range" x1="{place:.1f}" x2="{place:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
            f'<circle class="dot" cx="{place:.1f}" cy="{above(dot.y):.1f}" r="5"/>'
            f'<text class="name" x="{beside:.1f}" y="{label:.1f}" text-anchor="{anchor}">'
            f"{safe(short(dot.name))}</text></g>"
        )
    return _drawn(title, height, parts)


def scale(low: float, high: float, *, least: float, most: float) -> list[float]:
    """Round figures that span a range, four to eight of them.

    Example:
        >>> scale(0.61, 0.79, least=0.0, most=1.0)
        [0.6, 0.65, 0.7, 0.75, 0.8]
    """
    if high - low <= 1e-9 * abs(high) or high - low < 1e-12:
        # A range without a width, or nearly: some room around it.
        room = abs(high) * 0.1 or 0.1
        low, high = max(low - room, least), min(high + room, most)
    rough = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * 0.9)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [float(f"{place * step:.10g}") for place in range(first, last + 1)]
    return [tick for tick in ticks if least - 1e-12 <= tick <= most + 1e-12] or [low, high]


def safe(text: str) -> str:
    """A stranger's text as it may stand in a page: no markup, and nothing that a reader cannot see.

    Example:
        >>> safe("<b>")
        '&lt;b&gt;'
    """
    return escape(text.translate(_HIDDEN))


def short(name: str) -> str:
    """A name that fits before a line."""
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _along(ticks: Sequence[float], start: float, end: float) -> Callable[[float], float]:
    low, high = ticks[0], ticks[-1]
    width = (high - low) or 1.0
    return lambda value: start + (end - start) * min(max((value - low) / width, 0.0), 1.0)


def _free(x: float, y: float, taken: list[tuple[float, float]]) -> float:
    """A height at which a label covers none of those that are there."""
    while any(abs(x - other) < 180 and abs(y - height) < 15 for other, height in taken):
        y += 15
    taken.append((x, y))
    return y


def _drawn(title: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{safe(title)}">'
        f"<title>{safe(title)}</title>{''.join(parts)}</svg>"
    )
