"""Every module that does something has a test file of its own."""

import ast
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]

EXEMPT: Mapping[str, str] = {
    "__init__.py": "tests/yard/test_surface.py has it",
}
"""Modules without a test file of their own (paths below src/headgate), and why."""


def does_something(source: str) -> bool:
    """Whether a module holds a function with a body: more than a docstring, `...` or `pass`."""
    return any(
        not isinstance(statement, ast.Pass)
        and not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for statement in node.body
    )


def unpaired(root: Path) -> set[str]:
    """Modules that do something and have no test file in the same place of `tests`."""
    house = root / "src" / "headgate"
    found = set()
    for path in house.rglob("*.py"):
        # A package is a module too: `cli/__init__.py` belongs to `tests/test_cli.py`.
        module = path.parent if path.name == "__init__.py" else path.with_suffix("")
        folder = root / "tests" / module.parent.relative_to(house.parent if module == house else house)
        test = folder / f"test_{module.name.strip('_')}.py"
        if not test.exists() and does_something(path.read_text("utf-8")):
            found.add(str(path.relative_to(house)))
    return found


def test_every_module_has_its_test():
    """`src/headgate/<room>/<module>.py` is covered by `tests/<room>/test_<module>.py`, unless `EXEMPT` says why not."""
    assert sorted(unpaired(ROOT) - set(EXEMPT)) == []


def test_no_exemption_is_left_over():
    """An exemption that is no longer needed must go."""
    assert sorted(set(EXEMPT) - unpaired(ROOT)) == []


def test_what_counts_as_doing_something():
    """Data, protocols and constants need no test of their own; a property does."""
    assert not does_something('class A:\n    x: int\n    def f(self):\n        """Say."""\n        ...\nB = 1\n')
    assert does_something("class A:\n    @property\n    def f(self):\n        return 1\n")


def test_a_missing_test_is_seen(tmp_path: Path):
    """The search looks at the mirrored place, in nested rooms too."""
    for name in ("core/a.py", "core/b.py", "providers/simulator/c.py"):
        (tmp_path / "src/headgate" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src/headgate" / name).write_text("def f():\n    return 1\n")
    (tmp_path / "tests/core").mkdir(parents=True)
    (tmp_path / "tests/core/test_a.py").touch()
    assert unpaired(tmp_path) == {"core/b.py", "providers/simulator/c.py"}
