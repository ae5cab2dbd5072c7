"""The table of what a model can be asked for."""

import pytest

from headgate.providers.simulator.operations import OPERATIONS
from headgate.providers.simulator.problem import Problem

FORMS = {"/images/edits", "/audio/transcriptions", "/audio/translations"}


@pytest.mark.parametrize("path", OPERATIONS)
def test_each_refuses_what_it_does_not_understand(path):
    """In the API's words; forms want a form."""
    with pytest.raises(Problem) as caught:
        OPERATIONS[path](b"{", "", 0)
    assert caught.value.status == (415 if path in FORMS else 400)


@pytest.mark.parametrize(
    ("path", "body", "model"),
    [
        ("/chat/completions", b'{"model": "fake", "messages": [{"role": "user", "content": "x"}]}', "fake"),
        ("/responses", b'{"model": "fake", "input": "x"}', "fake"),
        ("/responses/input_tokens", b'{"model": "fake", "input": "x"}', "fake"),
        ("/completions", b'{"model": "fake", "prompt": "x"}', "fake"),
        ("/embeddings", b'{"model": "fake", "input": "x"}', "fake"),
        ("/moderations", b'{"input": "x"}', "omni-moderation-latest"),
        ("/images/generations", b'{"model": "fake", "prompt": "x"}', "fake"),
        ("/audio/speech", b'{"model": "fake", "input": "x", "voice": "ash"}', "fake"),
    ],
)
def test_each_makes_a_job(path, body, model):
    """Whole, as nobody asked for a stream."""
    job = OPERATIONS[path](body, "application/json", 0)
    assert (job.model, job.stream) == (model, None)
