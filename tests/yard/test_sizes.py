"""The length of modules."""

from pathlib import Path

from tools.sizes import judge, measure


def test_the_bounds():
    """Up to 349 lines nothing is said, from 350 on a question is asked, over 500 it is an error."""
    ask, wrong = judge({"a": 349, "b": 350, "c": 500, "d": 501}, exempt={})
    assert [line.partition(":")[0] for line in ask] == ["b", "c"]
    assert [line.partition(":")[0] for line in wrong] == ["d"]


def test_an_exemption_that_is_not_needed_fails():
    """A listed module may be longer; once it is short enough, or gone, its line must go."""
    assert judge({"a": 600}, exempt={"a": "why"}) == ([], [])
    _, wrong = judge({"a": 500}, exempt={"a": "why", "gone": "why"})
    assert [line.partition(":")[0] for line in wrong] == ["a", "gone"]


def test_measure(tmp_path: Path):
    """Every module of src and tools is measured, longest first."""
    for name, lines in {"src/x/a.py": 2, "tools/b.py": 3, "tests/c.py": 9}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("pass\n" * lines)
    assert list(measure(tmp_path).items()) == [("tools/b.py", 3), ("src/x/a.py", 2)]
