"""Completions, the dialect before chat: reads the request as strictly as the API documents, and writes its answer.

Tokens of a prompt have no text here, because the simulator has nobody's vocabulary: each stands for itself with four
digits, and is counted as one.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from headgate.core.usage import TokenUsage
from headgate.providers.simulator.job import Job, Told
from headgate.providers.simulator.plan import Plan, Said, plan
from headgate.providers.simulator.problem import Problem, too_large, too_small, unsupported
from headgate.providers.simulator.question import (
    Question,
    decode,
    known_model,
)
from headgate.providers.simulator.read_chat import stops
from headgate.providers.simulator.reported import chat_usage
from headgate.providers.simulator.script import Script, Step
from headgate.providers.simulator.taking import (
    check_cap,
    check_sampling,
)
from headgate.providers.simulator.write_chat import DONE, Identity, chat_error

_encode = msgspec.json.encode
_USUAL_CAP = 16
_MOST = 128
_MOST_PROMPTS = 2048
_MOST_IN_ALL = 2048
"""Answers to all prompts of a request together."""


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class _Request(msgspec.Struct):
    model: str
    prompt: str | list[Any] | None = None
    suffix: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: int | None = None
    best_of: int | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    logprobs: int | None = None
    echo: bool | None = None
    stop: str | list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, Any] | None = None
    seed: int | None = None
    user: str | None = None


_DECODER = msgspec.json.Decoder(_Request)


class _Choice(msgspec.Struct, frozen=True):
    """One of the answers, and what is said before it."""

    echo: str
    said: Said


def completions_job(body: bytes, _kind: str, seed: int) -> Job:
    """The answer to a request's body.

    Raises:
        Problem: 400 or 404, in the API's words.
    """
    asked = decode(_DECODER, body)
    questions = _questions(asked)
    return _job(asked, questions, seed, None)


def _job(asked: _Request, questions: list[Question], seed: int, filtered_after: int | None) -> Job:
    plans = [plan(question, seed, filtered_after=filtered_after) for question in questions]
    shown = asked.n or 1
    choices = [
        _Choice(question.last if asked.echo else "", said)
        for question, decided in zip(questions, plans, strict=True)
        for said in decided.answers[:shown]
    ]
    wanted = asked.stream_options is not None and bool(asked.stream_options.include_usage)

    def stream(identity: Identity, told: Told, done: bool) -> Script:  # noqa: FBT001  a job's own form
        visible = sum(len(choice.said.tokens) for choice in choices)
        events = _events(asked.model, choices, identity, told if wanted else None, wanted=wanted, done=done)
        return Script(b"", events, visible, chat_error)

    return Job(
        model=asked.model,
        usage=_usage(plans),
        report=chat_usage,
        whole=lambda identity, told: _whole(asked.model, choices, identity, told),
        stream=stream if asked.stream else None,
        filtered=lambda after: _job(asked, questions, seed, after),
    )


def _usage(plans: list[Plan]) -> TokenUsage:
    return TokenUsage(
        prompt_tokens=sum(decided.prompt_tokens for decided in plans),
        completion_tokens=sum(decided.output for decided in plans),
    )


def _questions(asked: _Request) -> list[Question]:
    """A question for each of the prompts."""
    model = known_model(asked.model, "completions")
    n, best = asked.n or 1, asked.best_of
    for name, value in (("n", asked.n), ("best_of", best)):
        if value is not None and value < 1:
            raise too_small(name, value, 1)
        if value is not None and value > _MOST:
            raise too_large(name, value, _MOST)
    if best is not None and best < n:
        message = "You must specify that you want more than one generation ('best_of' >= 'n')."
        raise Problem(400, message, code="invalid_parameter_combination", param="best_of")
    if best is not None and best > n and asked.stream:
        message = "You cannot stream with 'best_of' greater than 'n'."
        raise Problem(400, message, code="invalid_parameter_combination", param="best_of")
    if asked.logprobs:
        raise unsupported("logprobs", "The simulator does not tell them.")
    if asked.stream_options is not None and not asked.stream:
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise Problem(400, message, param="stream_options")
    prompts = _prompts(asked.prompt)
    if len(prompts) * (best or n) > _MOST_IN_ALL:
        message = f"Too many completions: {len(prompts)} prompts with {best or n} each. At most {_MOST_IN_ALL} in all."
        raise Problem(400, message, code="invalid_value", param="n" if best is None else "best_of")
    check_cap(model, "max_tokens", asked.max_tokens, 1)
    check_sampling(model, "none", {"temperature": asked.temperature, "top_p": asked.top_p})
    return [
        Question(
            model=model,
            prompt=prompt + (asked.suffix or ""),
            last=prompt,
            n=best or n,
            cap=_USUAL_CAP if asked.max_tokens is None else asked.max_tokens,
            stop=stops(asked.stop),
        )
        for prompt in prompts
    ]


def _prompts(asked: str | list[Any] | None) -> list[str]:
    if asked is None:
        return ["<|endoftext|>"]
    if isinstance(asked, str):
        return [asked]
    if not asked:
        message = "Invalid 'prompt': empty array. Expected an array with minimum length 1, but got an empty array."
        raise Problem(400, message, code="empty_array", param="prompt")
    if len(asked) > _MOST_PROMPTS and not isinstance(asked[0], int):
        message = f"Invalid 'prompt': array too long. Expected an array with maximum length {_MOST_PROMPTS}."
        raise Problem(400, message, code="array_above_max_length", param="prompt")
    if isinstance(asked[0], int):
        return [_written(asked, "prompt")]
    return [prompt if isinstance(prompt, str) else _written(prompt, f"prompt[{at}]") for at, prompt in enumerate(asked)]


def _written(tokens: object, param: str) -> str:
    """Tokens, written out with four digits each."""
    if not isinstance(tokens, list) or any(type(token) is not int or token < 0 for token in tokens):
        message = f"Invalid type for '{param}': expected a string or an array of tokens."
        raise Problem(400, message, code="invalid_type", param=param)
    return "".join(f"{token % 10_000:04}" for token in tokens)


def _completion(model: str, identity: Identity, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "cmpl-" + identity.key[:29],
        "object": "text_completion",
        "created": identity.created,
        "model": model,
        "choices": choices,
        "system_fingerprint": identity.fingerprint,
    }


def _choice(index: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}


def _whole(model: str, choices: list[_Choice], identity: Identity, told: Told) -> bytes:
    written = [_choice(at, one.echo + one.said.text, one.said.finish) for at, one in enumerate(choices)]
    answer = _completion(model, identity, written)
    if told is not None:
        answer["usage"] = told
    return _encode(answer)


def _events(
    model: str, choices: list[_Choice], identity: Identity, told: Told, *, wanted: bool, done: bool
) -> Iterator[Step]:
    """All answers side by side, token by token."""

    def event(index: int, text: str, finish: str | None) -> bytes:
        chunk = _completion(model, identity, [_choice(index, text, finish)])
        if wanted:
            chunk["usage"] = None
        return b"data: " + _encode(chunk) + b"\n\n"

    yield from (Step(event(index, one.echo, None)) for index, one in enumerate(choices) if one.echo)
    for at in range(max(len(one.said.tokens) for one in choices)):
        for index, one in enumerate(choices):
            if at < len(one.said.tokens):
                yield Step(event(index, one.said.tokens[at], None), 1, visible=True)
    for index, one in enumerate(choices):
        yield Step(event(index, "", one.said.finish))
    if told is not None:
        yield Step(b"data: " + _encode({**_completion(model, identity, []), "usage": told}) + b"\n\n")
    if done:
        yield Step(DONE)
