"""The parts of the documentation that are made from the code."""

import pytest
import typer
from typer.main import get_command

from headgate.dialects.endpoints import ENDPOINTS
from tools.docs import MARK, PARTS, ROOT, addresses, constants, described, narrower, rewritten, table


def test_only_the_marked_part_is_written():
    """What stands outside the marks is left alone; writing twice changes nothing more."""
    text = "by hand\n<!-- made from the code: x -->\nold\n<!-- end -->\nby hand\n"
    new = rewritten(text, {"x": lambda: "new"})
    assert new == "by hand\n<!-- made from the code: x -->\n\nnew\n<!-- end -->\nby hand\n"
    assert rewritten(new, {"x": lambda: "new"}) == new


def test_an_unknown_part_is_an_error():
    """A mark cannot name what nothing makes."""
    with pytest.raises(KeyError, match="y"):
        rewritten("<!-- made from the code: y -->\n<!-- end -->", {})


def test_every_part_stands_somewhere():
    """Nothing is made for no page, and no page waits for a part that nothing makes."""
    pages = [path.read_text("utf-8") for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(mark["name"] for page in pages for mark in MARK.finditer(page)) == sorted(PARTS)


def test_a_bar_in_a_cell_is_escaped():
    """A cell cannot end its column."""
    assert table(["a"], [["x|y"]]) == "| a |\n| --- |\n| x\\|y |\n"


def test_narrower_codes_are_found():
    """Codes are read from where errors are made, both branches of a choice included; other calls do not count."""
    source = "raise BadRequestError(m, code='a' if x else 'b')\nerrors.NotAllowedError(m, code='c')\nexit(code='d')"
    assert list(narrower(source)) == [
        ("a", "BadRequestError"), ("b", "BadRequestError"), ("c", "NotAllowedError"),
    ]  # fmt: skip


def test_a_computed_code_is_nobody_s():
    """A code that is only known at run time is not guessed."""
    import ast

    assert list(constants(ast.parse("facts.code", mode="eval").body)) == []


def test_every_address_is_listed():
    """Each method of the page of addresses has a line of its own, and the body that it takes."""
    text = addresses()
    for path, methods in ENDPOINTS.items():
        for method in methods:
            assert f"| `{method} /v1{path}` |" in text
    assert "| `POST /v1/images/edits` | Image edits | JSON or a form |\n" in text
    assert "| `GET /v1/models` | Models | nothing |\n" in text


def test_a_command_is_described():
    """Name, help, arguments and options of a command appear; what is hidden does not."""
    app = typer.Typer()

    @app.command()
    def ask(
        question: str = typer.Argument(help="what to ask"),
        model: str = typer.Option("m", "--model", "-m", help="whom"),
        secret: str = typer.Option("", "--secret", hidden=True),
    ):
        """Ask once."""

    text = described("headgate ask", get_command(app))
    assert text.startswith("### `headgate ask`\n\nAsk once.\n")
    assert "| `QUESTION` | what to ask |" in text
    assert "| `--model`, `-m` | whom [default: m] |" in text
    assert "secret" not in text
