"""`headgate moderate`."""

import json

LONG = "I will kill you " * 20


def test_a_table_of_verdicts(headgate):
    """A line per text, its worst category, and how many are flagged; that is no failure."""
    done = headgate("moderate", "--simulate", "What a lovely day", LONG)
    assert done.code == 0
    lines = [line.split() for line in done.out.splitlines() if line.strip()]
    assert lines[0] == ["text", "flagged", "most", "of", "all", "score"]
    good, bad, total = lines[2], lines[3], lines[4]
    assert good[:5] == ["What", "a", "lovely", "day", "no"]
    assert bad[-3:-1] == ["yes", "violence"]
    assert float(bad[-1]) > 0.5 > float(good[-1])
    assert bad[-4].endswith("…")
    assert total == ["in", "all", "1", "of", "2"]
    assert done.said.startswith("[simulator/omni-moderation-latest, ")
    assert "cost $0, simulated" in done.said


def test_orders_to_a_terminal_are_shown(headgate):
    """A text is a stranger's."""
    assert "\\x1b[31mred" in headgate("moderate", "--simulate", "\x1b[31mred").out


def test_verdicts_for_programs(headgate):
    """All categories and scores, an object per line."""
    done = headgate("moderate", "--simulate", "--json", "-", piped=b"Hello\nI will kill you\n")
    assert done.code == 0
    first, second = (json.loads(line) for line in done.out.splitlines())
    assert (first["index"], first["flagged"], second["index"], second["flagged"]) == (0, False, 1, True)
    assert second["categories"]["violence"]
    assert second["scores"]["violence"] > 0.5
    assert second["applied_input_types"]["violence"] == ["text"]
    assert len(second["categories"]) == 13


def test_a_mistake_is_told(headgate):
    """2 for wrong use."""
    assert headgate("moderate", "--simulate", "").code == 2
    assert headgate("moderate", "--simulate").code == 2
