"""The report of an evaluation in a real browser."""

import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"
CONFIG = """
store: memory://
providers:
  p: {type: simulator, seed: 1, quality: {gpt-6-luna: 0.5, gpt-6-sol: 0.9}}
models: {"*": {targets: [{provider: p}]}}
"""


@pytest.fixture
def report(tmp_path, monkeypatch):
    """The report of an evaluation by the installed command, over rows that a page must not obey."""
    monkeypatch.chdir(tmp_path)
    rows = [{"question": f"{HOSTILE} What is {at} + 1?", "answer": at + 1} for at in range(60)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "headgate.yaml").write_text(CONFIG)
    command = [
        sys.executable, "-m", "headgate", "eval", "rows.jsonl", "--models", "gpt-6-luna,gpt-6-sol",
        "-p", "{question}", "-p", f"{HOSTILE} {{question}}", "-o", "out",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stderr
    return tmp_path / "out" / "report.html"


def browse(page: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Open a page in a browser that shows it to nobody."""
    profile = page.parent / "profile"
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}",
        "--no-first-run", "--enable-logging=stderr", *arguments, page.as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=50)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_the_report_opens_in_a_browser(report):
    """Plots, tables and rows are there, its own style is taken, and what strangers wrote is text."""
    seen = browse(report, "--dump-dom")
    assert "<title>Evaluation of rows.jsonl</title>" in seen.stdout
    assert seen.stdout.count("<svg") == 3
    assert seen.stdout.count("<article>") > 3
    assert "<img" not in seen.stdout
    assert "<script" not in seen.stdout
    assert "&lt;script&gt;" in seen.stdout
    assert "Content Security Policy" not in seen.stderr
    picture = report.with_name("page.png")
    browse(report, f"--screenshot={picture}", "--window-size=1200,2000")
    assert struct.unpack(">II", picture.read_bytes()[16:24]) == (1200, 2000)
    assert picture.stat().st_size > 50_000
