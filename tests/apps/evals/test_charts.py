"""Plots: scales, places, and names that come from outside."""

import xml.etree.ElementTree as ET
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from headgate.apps.evals.charts import LEFT, RIGHT, WIDTH, Dot, Mark, lines, scale, scatter


@given(st.floats(0, 1e6), st.floats(0, 1e6))
@example(0.0, 5e-324)
def test_a_scale_spans_its_range_in_few_round_steps(one, other):
    """Whatever the range; it goes no further than it may."""
    low, high = sorted((one, other))
    ticks = scale(low, high, least=0.0, most=float("inf"))
    assert 2 <= len(ticks) <= 9
    assert ticks == sorted(set(ticks))
    assert ticks[0] >= 0
    if high - low > max(1e-9 * high, 1e-12):
        assert ticks[0] <= low + 1e-6 * high
        assert ticks[-1] >= high * (1 - 1e-6)
    assert max(scale(0.97, 1.0, least=0.0, most=1.0)) == 1.0
    assert scale(1.0, 1.0, least=0.0, most=1.0)[-1] == 1.0


def test_marks_stand_where_their_figures_are():
    """On one scale, in their order; names are text, whatever they look like."""
    marks = [Mark("<script>x</script>", 0.2, 0.6, 0.4, "40 %"), Mark("b" * 90, 0.0, 1.0, 1.0, "all", (0.5, 0.9))]
    drawn = ET.fromstring(lines(marks, 'a "title" & more', str, least=0.0, most=1.0))  # noqa: S314  it was made here
    dots = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in drawn.iter("circle")]
    width = WIDTH - LEFT - RIGHT
    assert [x for x, _ in dots] == [round(LEFT + 0.4 * width, 1), WIDTH - RIGHT]
    assert dots[0][1] < dots[1][1]
    names = [text.text for text in drawn.iter("text") if text.get("class") == "name"]
    assert names[0] == "<script>x</script>"
    assert len(names[1]) == 30
    assert len(list(drawn.iter("rect"))) == 1


def test_dots_of_one_place_keep_their_labels_apart():
    """Twenty variants of equal cost and quality can still be read; a cost of nothing has a scale."""
    dots = [Dot(f"v{at}", 0.0, 0.5, 0.4, 0.6) for at in range(20)]
    drawn = ET.fromstring(scatter(dots, "t", x=str, y=str, below="cost"))  # noqa: S314  it was made here
    heights = sorted(float(text.get("y")) for text in drawn.iter("text") if text.get("class") == "name")
    assert all(after - before >= 15 for before, after in pairwise(heights))
