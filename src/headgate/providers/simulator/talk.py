"""Chat Completions and Responses as jobs: a question, its plan, and how either dialect spells it."""

from collections.abc import Callable, Iterator

import msgspec

from headgate.providers.simulator.job import Job, Told
from headgate.providers.simulator.plan import Plan, plan
from headgate.providers.simulator.question import Question
from headgate.providers.simulator.reported import chat_usage, responses_usage
from headgate.providers.simulator.script import Piece, Script
from headgate.providers.simulator.settings import Fault, FaultKind
from headgate.providers.simulator.storeroom import Kept, Storeroom
from headgate.providers.simulator.write_chat import Identity, stream_chat, whole_chat
from headgate.providers.simulator.write_responses import stream_responses, whole_responses


def chat_job(
    question: Question, seed: int, *, filtered_after: int | None = None, spoilt: FaultKind | None = None
) -> Job:
    """The answer to a question asked in Chat Completions.

    Args:
        question: what was asked.
        seed: the simulator's.
        filtered_after: tokens after which the content filter ends each answer.
        spoilt: how the answer does not fit its schema.

    Raises:
        Problem: 400; no value fits the schema.
    """
    decided = plan(question, seed, filtered_after=filtered_after, spoilt=spoilt)

    def stream(identity: Identity, told: Told, done: bool) -> Script:  # noqa: FBT001  a job's own form
        return stream_chat(question, decided, identity, told, done=done)

    return Job(
        model=question.model.name,
        usage=decided.usage(),
        report=chat_usage,
        whole=lambda identity, told: whole_chat(question, decided, identity, told),
        stream=stream if question.stream else None,
        tier=question.tier,
        prompt=question.prompt,
        writes_cache=question.model.writes_cache,
        long_ttl=question.long_ttl,
        filtered=lambda after: chat_job(question, seed, filtered_after=after),
        spoilt=None if question.schema is None else lambda kind: chat_job(question, seed, spoilt=kind),
    )


def responses_job(
    question: Question,
    seed: int,
    *,
    store: Storeroom | None = None,
    filtered_after: int | None = None,
    spoilt: FaultKind | None = None,
) -> Job:
    """The answer to a question asked in Responses; see `chat_job`.

    Args:
        question: what was asked.
        seed: the simulator's.
        store: where it is kept, if it was asked for.
        filtered_after: tokens after which the content filter ends the answer.
        spoilt: how the answer does not fit its schema.

    Raises:
        Problem: 400; no value fits the schema.
    """
    decided = plan(question, seed, filtered_after=filtered_after, spoilt=spoilt)

    def stream(identity: Identity, told: Told, done: bool) -> Script:  # noqa: ARG001, FBT001  there is no `[DONE]`
        return stream_responses(question, decided, identity, told)

    job = Job(
        model=question.model.name,
        usage=decided.usage(),
        report=responses_usage,
        whole=lambda identity, told: whole_responses(question, decided, identity, told),
        stream=stream if question.stream else None,
        tier=question.tier,
        prompt=question.prompt,
        writes_cache=question.model.writes_cache,
        long_ttl=question.long_ttl,
        filtered=lambda after: responses_job(question, seed, store=store, filtered_after=after),
        spoilt=None
        if question.schema is None
        else lambda kind: responses_job(question, seed, store=store, spoilt=kind),
    )
    return job if store is None or question.past is None else _kept(job, question, decided, store)


def _kept(job: Job, question: Question, decided: Plan, store: Storeroom) -> Job:
    """The same job, whose answer is kept, or made in the background."""

    def promise(
        identity: Identity, told: Told, charge: Callable[[], None], fault: Fault | None
    ) -> bytes | Iterator[Piece]:
        return store.promise(Kept(question, decided, identity, told), charge, fault)

    if question.background:
        return msgspec.structs.replace(job, promise=promise)
    return msgspec.structs.replace(job, keep=lambda identity, told: store.keep(Kept(question, decided, identity, told)))
