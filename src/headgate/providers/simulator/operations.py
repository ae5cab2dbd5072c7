"""What a model can be asked for, by its path: who makes a job of a body. One table, for callers and batches."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from headgate.providers.simulator.completions import completions_job
from headgate.providers.simulator.counting import counting_job
from headgate.providers.simulator.embeddings import embeddings_job
from headgate.providers.simulator.images import edit_job, generation_job
from headgate.providers.simulator.job import Job
from headgate.providers.simulator.moderations import moderations_job
from headgate.providers.simulator.read_chat import read_chat
from headgate.providers.simulator.read_responses import read_responses
from headgate.providers.simulator.speech import speech_job
from headgate.providers.simulator.talk import chat_job, responses_job
from headgate.providers.simulator.transcriptions import transcription_job, translation_job

Operation = Callable[[bytes, str, int], Job]
"""Makes a job of a body, its content type and the simulator's seed; raises a Problem where it cannot."""

OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType(
    {
        "/chat/completions": lambda body, _kind, seed: chat_job(read_chat(body), seed),
        "/responses": lambda body, _kind, seed: responses_job(read_responses(body), seed),
        "/responses/input_tokens": lambda body, _kind, _seed: counting_job(read_responses(body)),
        "/completions": completions_job,
        "/embeddings": embeddings_job,
        "/moderations": moderations_job,
        "/images/generations": generation_job,
        "/images/edits": edit_job,
        "/audio/speech": speech_job,
        "/audio/transcriptions": transcription_job,
        "/audio/translations": translation_job,
    }
)
"""By path, below `/v1`; each is posted."""
