"""`headgate embed`."""

import json


def test_vectors_on_stdout(headgate):
    """A JSON array per text, in their order; who answered and what it cost on stderr."""
    done = headgate("embed", "--simulate", "--dimensions", "4", "first text", "second text")
    assert done.code == 0
    first, second = (json.loads(line) for line in done.out.splitlines())
    assert (len(first), len(second)) == (4, 4)
    assert first != second
    assert done.said.startswith("[simulator/text-embedding-3-small, ")
    assert "cost $0.0" in done.said
    assert (
        headgate("embed", "--simulate", "--dimensions", "4", "second text").out
        == json.dumps(second, separators=(",", ":")).replace("e-0", "e-") + "\n"
    )


def test_lines_that_are_piped_in(headgate):
    """`--json` numbers them."""
    done = headgate("embed", "--simulate", "--json", "-m", "text-embedding-3-large", "-", piped=b"one\ntwo\n")
    assert done.code == 0
    entries = [json.loads(line) for line in done.out.splitlines()]
    assert [(entry["index"], len(entry["embedding"])) for entry in entries] == [(0, 3072), (1, 3072)]


def test_a_mistake_is_told(headgate):
    """2 for wrong use; 1 where the provider refuses; nothing on stdout."""
    done = headgate("embed", "--simulate", "-", piped=b"one\n\ntwo\n")
    assert (done.code, done.out) == (2, "")
    assert done.said.startswith("error: Line 2 is empty.\n\nhint: ")
    assert headgate("embed", "--simulate", "--dimensions", "0", "a").code == 2
    done = headgate("embed", "--simulate", "-m", "gpt-6-luna", "a")
    assert (done.code, done.out) == (1, "")
    assert done.said.startswith("error: ")
