"""Writes the parts of `docs/` that are made from the code, so that they cannot lie.

    python -m tools.docs            write them anew
    python -m tools.docs --check    fail if one is not what the code says

A part stands between `<!-- made from the code: NAME -->` and `<!-- end -->` in any document; everything outside such
marks is written by hand. `PARTS` says what each name stands for.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MARK = re.compile(r"(<!-- made from the code: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def errors() -> str:
    """The error table: one row per class."""
    from headgate.core.error_table import table as rows  # noqa: PLC0415  parts are made from the house only when asked for

    return table(
        ["error", "HTTP status", "`type`", "`code`", "same target again", "next target", "counts for the breaker"],
        [[f"`{row.error}`", row.status, f"`{row.type}`", f"`{row.code}`", *row[4:]] for row in rows()],
    )


def tree() -> str:
    """The error tree, as it is drawn where the errors are defined."""
    from headgate.core import errors as module  # noqa: PLC0415  ditto

    drawn = [line.removeprefix("    ") for line in (module.__doc__ or "").splitlines() if line.startswith("    ")]
    return "```text\n" + "\n".join(drawn) + "\n```\n"


def codes() -> str:
    """Every `code` that is narrower than its class's, and where it comes from."""
    found = sorted({(code, error) for path in sources() for code, error in narrower(path.read_text("utf-8"))})
    return table(["`code`", "error"], [[f"`{code}`", f"`{error}`"] for code, error in found])


def sources() -> list[Path]:
    """Every module of the house."""
    return sorted((ROOT / "src").rglob("*.py"))


def narrower(source: str) -> Iterator[tuple[str, str]]:
    """The codes that a module gives to errors as it makes them: (code, error's class)."""
    from headgate.core import error_table as module  # noqa: PLC0415  ditto

    names = {error.__name__ for error in module.tree()}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and (name := ast.unparse(node.func).rpartition(".")[2]) in names:
            for keyword in node.keywords:
                if keyword.arg == "code":
                    yield from ((code, name) for code in constants(keyword.value))


def constants(value: ast.expr) -> Iterator[str]:
    """The texts that an expression may come to: a literal, or the branches of a choice between literals."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.IfExp):
        yield from constants(value.body)
        yield from constants(value.orelse)


def faults() -> str:
    """What each fault of a provider leads to."""
    from tools.faults import ROWS, printed  # noqa: PLC0415  ditto

    cases = [f"{how}, {who}" for how in ("whole", "streamed") for who in ("another target", "alone")]
    return table(["the first target", *cases], [printed(row) for row in ROWS])


def faults_continued() -> str:
    """What becomes of a stream that may go on elsewhere."""
    from tools.faults import CONTINUED, NEXT, continued  # noqa: PLC0415  ditto

    return table(["the first target", *(other.name for other in NEXT)], [continued(row) for row in CONTINUED])


def configuration() -> str:
    """Every setting."""
    from headgate.gate.settings import settings_reference  # noqa: PLC0415  ditto

    return table(
        ["setting", "takes", "default", "what it does"],
        [
            [
                f"`{setting.key}`",
                setting.type,
                "must be given" if setting.default is None else f"`{setting.default}`" if setting.default else "",
                setting.description,
            ]
            for setting in settings_reference()
        ],
    )


def addresses() -> str:
    """Every address below `/v1`, as `/openapi.json` describes it."""
    from headgate.server.openapi import hot_paths  # noqa: PLC0415  ditto

    return table(
        ["address", "what it is about", "takes"],
        [
            [f"`{method.upper()} {path}`", found["summary"], " or ".join(sorted(_kinds(found))) or "nothing"]
            for path, methods in hot_paths().items()
            for method, found in methods.items()
        ],
    )


def _kinds(found: Mapping[str, Any]) -> Iterator[str]:
    """What bodies an address takes, in short."""
    for kind in found.get("requestBody", {}).get("content", ()):
        yield "JSON" if kind == "application/json" else "a form"


def model_parameters() -> str:
    """What models take: those of OpenAI that talk in either API and whose refusals are known; alike ones in one row."""
    from headgate.catalog.models import Catalog  # noqa: PLC0415  ditto

    catalog = Catalog()
    today = catalog.facts.date
    rows: dict[tuple[str, ...], list[str]] = {}
    for model in catalog.all():
        if model.maker == "openai" and model.refuses and model.takes("chat") and not model.retired(today):
            rows.setdefault(taken(model), []).append(f"`{model.id}`")
    head = ["models", "`reasoning_effort`", "`temperature`, `top_p`, log probabilities", "tools in chat", "not at all"]
    return table([*head, "longest answer"], [[", ".join(names), *cells] for cells, names in rows.items()])


def taken(model: Any) -> tuple[str, ...]:
    """A row of what a model takes, without its name."""
    when = {"always": "yes", "yes": "yes", "without_reasoning": "with effort `none`", "never": "no", "no": "no"}
    chat = model.efforts if model.chat_efforts is None else model.chat_efforts
    notes = {model.default_effort: " (default)"} | {one: " (not in chat)" for one in model.efforts if one not in chat}
    efforts = [f"`{effort}`{notes.get(effort, '')}" for effort in model.efforts]
    refused = sorted({*model.refuses, *(() if model.stop else ("stop",))})
    return (
        ", ".join(efforts) or "no",
        when[model.sampling],
        when[model.chat_tools],
        ", ".join(f"`{name}`" for name in refused),
        "" if model.max_output is None else f"{model.max_output:,}",
    )


def cli() -> str:
    """Every command with its arguments and options."""
    return "\n".join(described(name, command) for name, command in commands())


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that does something, as (`headgate config check`, command)."""
    from typer.main import get_command  # noqa: PLC0415  ditto

    from headgate.cli.app import app  # noqa: PLC0415  ditto

    def walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        inner = getattr(command, "commands", None)
        if inner is None or command.invoke_without_command:
            yield name, command
        for word, part in (inner or {}).items():
            if not part.hidden:
                yield from walk(f"{name} {word}", part)

    return walk("headgate", get_command(app))


def parameters(command: Any) -> list[Any]:
    """The arguments and options of a command that a person may use."""
    return [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]


def described(name: str, command: Any) -> str:
    """One command as a section."""
    rows = []
    for parameter in parameters(command):
        spelled = parameter.opts + parameter.secondary_opts
        if parameter.param_type_name == "argument":
            spelled = [parameter.metavar or parameter.name.upper()]
        said = " ".join((parameter.help or "").split())
        if parameter.show_default is True and isinstance(parameter.default, (int, float, str)) and parameter.default:
            said += f" [default: {parameter.default}]"
        rows.append([", ".join(f"`{word}`" for word in spelled), said])
    text = "\n\n".join(" ".join(lines.split()) for lines in (command.help or "").split("\n\n"))
    return f"### `{name}`\n\n{text}\n" + (f"\n{table(['option', 'what it does'], rows)}" if rows else "")


PARTS: Mapping[str, Callable[[], str]] = {
    "error-tree": tree,
    "error-table": errors,
    "error-codes": codes,
    "faults": faults,
    "faults-continued": faults_continued,
    "configuration": configuration,
    "addresses": addresses,
    "model-parameters": model_parameters,
    "cli": cli,
}


def rewritten(text: str, parts: Mapping[str, Callable[[], str]] = PARTS) -> str:
    """A document with its parts made anew.

    Raises:
        KeyError: it has a mark for a part that does not exist.
    """
    return MARK.sub(lambda mark: f"{mark[1]}\n{parts[mark['name']]()}\n{mark[3]}", text)


def main(option: str = "") -> None:
    """Write every part, or with `--check` exit 1 if one is out of date."""
    stale = []
    for path in sorted((ROOT / "docs").rglob("*.md")):
        text = path.read_text("utf-8")
        new = rewritten(text)
        if new != text:
            stale.append(str(path.relative_to(ROOT)))
            if option != "--check":
                path.write_text(new, "utf-8")
    if stale and option == "--check":
        sys.exit(f"error: out of date: {', '.join(stale)}\n\nhint: run `make docs` and commit what it wrote")
    print(f"docs: {'wrote ' + ', '.join(stale) if stale else 'as the code says'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
