"""What a model can be asked for, by its path: who makes a job of a body. One table, for callers and batches."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from headgate.providers.simulator.embeddings import embeddings_job
from headgate.providers.simulator.images import edit_job, generation_job
from headgate.providers.simulator.job import Job
from headgate.providers.simulator.moderations import moderations_job
from headgate.providers.simulator.read_chat import read_chat
from headgate.providers.simulator.read_responses import read_responses
from headgate.providers.simulator.talk import chat_job, responses_job

Operation = Callable[[bytes, str, int], Job]
"""Makes a job of a body, its content type and the simulator's seed; raises a Problem where it cannot."""

OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType(
    {
        "/chat/completions": lambda body, _kind, seed: chat_job(read_chat(body), seed),
        "/responses": lambda body, _kind, seed: responses_job(read_responses(body), seed),
        "/embeddings": embeddings_job,
        "/moderations": moderations_job,
        "/images/generations": generation_job,
        "/images/edits": edit_job,
    }
)
"""By path, below `/v1`; each is posted."""
