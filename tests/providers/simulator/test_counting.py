"""How long a question is."""

import json

from headgate.core.usage import TokenUsage
from headgate.providers.simulator.counting import counting_job
from headgate.providers.simulator.operations import OPERATIONS
from headgate.providers.simulator.read_responses import read_responses

ASKED = json.dumps({"model": "gpt-6-luna", "input": "Hello", "instructions": "Be kind."}).encode()


def test_it_is_counted_as_it_is_charged():
    """The same number as the usage of the answer; and counting costs nothing."""
    job = counting_job(read_responses(ASKED))
    assert job.usage == TokenUsage()
    answered = OPERATIONS["/responses"](ASKED, "", 0).usage.prompt_tokens
    assert json.loads(job.whole(None, None)) == {"object": "response.input_tokens", "input_tokens": answered}
    assert answered == 8
