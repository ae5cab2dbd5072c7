"""`headgate ask --image`."""

import io
import sys

import msgspec
import pytest

PNG = b"\x89PNG\r\n\x1a\n"


def test_a_picture_is_written(headgate, tmp_path):
    """Over what was there; its size and its cost go to stderr, nothing to stdout."""
    (tmp_path / "fox.png").write_bytes(b"x" * 100_000)
    done = headgate("ask", "--simulate", "--image", "fox.png", "a red fox")
    assert (done.code, done.out) == (0, "")
    data = (tmp_path / "fox.png").read_bytes()
    assert data.startswith(PNG)
    assert done.said.startswith(f"[simulator/gpt-image-2, 1024x1024, {len(data):,} bytes of image/png, ")
    assert "cost $0.0" in done.said


def test_a_picture_goes_down_a_pipe(headgate, monkeypatch):
    """Its bytes, and nothing else."""
    pipe = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(pipe))
    done = headgate("ask", "--simulate", "--image", "-", "a red fox")
    assert done.code == 0
    data = pipe.getvalue()
    assert data.startswith(PNG)
    assert data.endswith(b"IEND\xaeB`\x82")


def test_what_is_attached_is_changed(headgate, tmp_path):
    """One picture or several; facts for scripts."""
    headgate("ask", "--simulate", "--image", "fox.png", "a red fox")
    done = headgate(
        "ask", "--simulate", "--image", "blue.png", "--attach", "fox.png", "--attach", "fox.png", "--json", "blue",
    )  # fmt: skip
    assert (done.code, done.said) == (0, "")
    facts = msgspec.json.decode(done.out)
    data = (tmp_path / "blue.png").read_bytes()
    assert data.startswith(PNG)
    assert data != (tmp_path / "fox.png").read_bytes()
    assert (facts["file"], facts["media_type"], facts["size"], facts["bytes"]) == (
        "blue.png", "image/png", "1024x1024", len(data),
    )  # fmt: skip
    assert facts["prompt_tokens"] > 2 * 1024
    assert facts["cost_usd"].startswith("0.0")


def test_another_model_may_draw(headgate):
    """As everywhere."""
    done = headgate("ask", "--simulate", "--image", "a", "-m", "gpt-image-2.5-flare", "a fox")
    assert done.code == 0
    assert "/gpt-image-2.5-flare, " in done.said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--image", "fox.gif"], "kind '.gif'"),
        (["--image", "no/fox.png"], "'no/fox.png' cannot be written: No such file"),
        (["--image", "."], "cannot be written: Is a directory"),
        (["--image", "-", "--json"], "A picture and `--json`"),
        (["--image", "a.png", "--system", "x"], "--system means nothing"),
        (["--image", "a.png", "--max-tokens", "20"], "--max-tokens means nothing"),
        (["--image", "a.png", "--attach", "none.png"], "none.png' cannot be read"),
        (["--image", "a.png", "--attach", "https://x.example/a.png"], "is a string, not a picture"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_spent(headgate, tmp_path, arguments, told):
    """And no empty file is left."""
    done = headgate("ask", "--simulate", *arguments, "a red fox")
    assert (done.code, done.out) == (2, "")
    assert told in done.said
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_gets_no_bytes(headgate, terminal):
    """It would take them for orders."""
    terminal()
    done = headgate("ask", "--simulate", "--image", "-", "a red fox")
    assert done.code == 2
    assert "A picture and a terminal" in done.said


def test_a_failure_leaves_what_was_there(headgate, tmp_path):
    """The old file stays, a new one is not begun; 1."""
    (tmp_path / "old.png").write_bytes(b"old")
    for name in ("old.png", "new.png"):
        done = headgate("ask", "--simulate", "--image", name, "-m", "gpt-6-luna", "a red fox")
        assert (done.code, done.out) == (1, "")
        assert done.said.startswith("error: ")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("old.png", b"old")]
