"""`headgate ask`."""

import pytest


@pytest.mark.parametrize("form", ["--stream", "--whole"])
def test_an_answer(headgate, form):
    """Words on stdout; who answered, what it cost, and that it is made up, on stderr."""
    done = headgate("ask", "--simulate", form, "Name a city.")
    assert done.code == 0
    assert len(done.out) > 10
    assert done.out.endswith("\n")
    assert done.said.startswith("[simulator/gpt-6-luna, ")
    assert done.said.endswith(", simulated]\n")
    assert "tokens, cost $0.0" in done.said


def test_both_forms_say_the_same(headgate):
    """The stream is the whole answer, piece by piece."""
    streamed, whole = (headgate("ask", "--simulate", form, "Name a city.") for form in ("--stream", "--whole"))
    assert streamed == whole


def test_facts_for_scripts(headgate):
    """`--json` is one line with words, sums and ids; nothing on stderr."""
    done = headgate("ask", "--simulate", "--json", "--model", "gpt-6-sol", "--system", "Be brief.", "Name a city.")
    assert (done.code, done.said) == (0, "")
    facts = done.json
    assert facts["text"]
    assert (facts["model"], facts["provider"], facts["simulated"]) == ("gpt-6-sol", "simulator", True)
    assert facts["finish_reason"] == "stop"
    assert facts["completion_tokens"] > 0
    assert facts["cost_usd"].startswith("0.0")
    assert facts["request_id"].startswith("req_")


def test_the_longest_answer_is_bounded(headgate):
    """`--max-tokens` cuts it."""
    facts = headgate("ask", "--simulate", "--json", "--max-tokens", "16", "Write about 300 words.").json
    assert (facts["finish_reason"], facts["completion_tokens"]) == ("length", 16)


@pytest.mark.parametrize("form", ["--stream", "--whole", "--json"])
def test_a_question_about_pictures(headgate, tmp_path, form):
    """Files and addresses go along with it."""
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    url = "https://pictures.example/a.png"
    done = headgate("ask", "--simulate", form, "--attach", "a.png", "--attach", url, "What is on them?")
    assert done.code == 0
    assert len(done.out) > 10
    bare = headgate("ask", "--simulate", "--json", "What is on them?").json["prompt_tokens"]
    assert headgate("ask", "--simulate", "--json", "--attach", url, "What is on them?").json["prompt_tokens"] > bare


def test_what_is_attached_must_be_a_picture(headgate, tmp_path):
    """A file that is none does not leave; 2."""
    (tmp_path / "passwords").write_text("secret")
    done = headgate("ask", "--simulate", "--attach", "passwords", "What is on it?")
    assert (done.code, done.out) == (2, "")
    assert done.said.startswith("error: The file 'passwords' is not a picture")


def test_a_question_may_be_piped_in(headgate):
    """`-` reads it from stdin."""
    piped = headgate("ask", "--simulate", "--whole", "-", piped="Name a cité.".encode())
    assert piped == headgate("ask", "--simulate", "--whole", "Name a cité.")


@pytest.mark.parametrize("piped", [b"", b" \n"])
def test_an_empty_question_is_refused(headgate, piped):
    """Nothing is asked."""
    done = headgate("ask", "--simulate", "-", piped=piped)
    assert (done.code, done.out) == (2, "")
    assert done.said.startswith("error: The question is empty.")


def test_what_is_piped_in_must_be_text(headgate):
    """Bytes that are no UTF-8 are refused, and where is told."""
    done = headgate("ask", "--simulate", "-", piped=b"abc\xff")
    assert (done.code, done.out) == (2, "")
    assert "not UTF-8 (byte 3)" in done.said


@pytest.mark.usefixtures("books")
def test_a_failure_is_told(headgate):
    """Nothing on stdout, the reason on stderr, and 1."""
    done = headgate("ask", "--model", "broken", "hi")
    assert (done.code, done.out) == (1, "")
    assert done.said == "error: The simulator reset the connection.\n"


@pytest.mark.usefixtures("books")
def test_a_broken_stream_keeps_what_was_said(headgate):
    """The words stand, the line is ended, and the break is told."""
    done = headgate("ask", "--model", "cutting", "hi")
    assert done.code == 1
    assert done.out.strip()
    assert done.out.endswith("\n")
    assert done.said.startswith("error: The stream broke after its first word")


def test_a_warning_is_told_once(headgate, tmp_path):
    """The configuration is read once."""
    (tmp_path / "headgate.yaml").write_text(
        "store: memory://\nproviders: {p: {type: simulator, weight: 2}}\nmodels: {'*': {targets: [{provider: p}]}}\n"
    )
    done = headgate("ask", "-m", "gpt-6-luna", "hi")
    assert done.code == 0
    assert done.said.count("has no effect") == 1
