"""Judges the length of modules: aim at 150 lines, ask why from 350 on, stop at 500.

    python -m tools.sizes

A module over the stop fails unless `EXEMPT` lists it with a reason; an entry that is no longer needed fails too.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

ASK = 350
STOP = 500

EXEMPT: Mapping[str, str] = {}
"""Modules that may be longer than `STOP`, and why."""


def judge(sizes: Mapping[str, int], exempt: Mapping[str, str] = EXEMPT) -> tuple[list[str], list[str]]:
    """What is to be asked, and what is wrong.

    Args:
        sizes: lines of each module, by path.
        exempt: reasons of modules that may be too long, by path.
    """
    ask = [f"{path}: {lines} lines; can it be told in less?" for path, lines in sizes.items() if ASK <= lines <= STOP]
    wrong = [
        f"{path}: {lines} lines, more than {STOP}\n\nhint: split it by what it decides"
        for path, lines in sizes.items()
        if lines > STOP and path not in exempt
    ]
    wrong += [
        f"{path}: need not be exempt any more\n\nhint: take it out of EXEMPT in tools/sizes.py"
        for path in exempt
        if sizes.get(path, 0) <= STOP
    ]
    return ask, wrong


def measure(root: Path) -> dict[str, int]:
    """Lines of every module of the house and of the yard, longest first."""
    modules = [path for folder in ("src", "tools") for path in (root / folder).rglob("*.py")]
    sizes = {str(path.relative_to(root)): len(path.read_text("utf-8").splitlines()) for path in modules}
    return dict(sorted(sizes.items(), key=lambda pair: -pair[1]))


def main() -> None:
    """Print the verdict; exit 1 if something is wrong."""
    sizes = measure(Path(__file__).parents[1])
    ask, wrong = judge(sizes)
    print("\n".join(ask), file=sys.stderr, end="\n" if ask else "")
    if wrong:
        sys.exit("\n".join(f"error: {line}" for line in wrong))
    print(f"sizes: {len(sizes)} modules, median {sorted(sizes.values())[len(sizes) // 2]} lines")


if __name__ == "__main__":
    main()
