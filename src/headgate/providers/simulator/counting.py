"""How many tokens a question in Responses has: counted as the simulator counts, and charged nothing."""

import msgspec

from headgate.core.usage import TokenUsage
from headgate.providers.simulator.job import Job
from headgate.providers.simulator.question import Question
from headgate.providers.simulator.words import count


def counting_job(question: Question) -> Job:
    """The answer to somebody who asks how long a question is."""
    answer = {"object": "response.input_tokens", "input_tokens": count(question.prompt)}
    return Job(
        model=question.model.name,
        usage=TokenUsage(),
        report=lambda _: None,
        whole=lambda _, __: msgspec.json.encode(answer),
    )
