"""The schema of `providers`: who answers, and how a simulator behaves.

Decides which settings a provider has; refuses to know the rest of the configuration (`config.py`).
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from headgate.gate.section import Section
from headgate.gate.values import Address, Headers, HeaderText, Hidden, Proxy, Seconds, Share


class TimeoutSettings(Section):
    """How long one attempt may take."""

    connect: Seconds = Field(5, gt=0, description="to open a connection")
    first_token: Seconds = Field(30, gt=0, description="until the first word of a stream")
    silence: Seconds = Field(30, gt=0, description="between two events of a stream")
    total: Seconds = Field(600, gt=0, description="in all")


def _timeouts(value: object) -> object:
    # A scalar sets the first three and leaves the total alone.
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        return {"connect": value, "first_token": value, "silence": value}
    return value


class Latency(Section):
    """How slow the simulator is."""

    first_token: Seconds = Field(0, description="until the first token")
    per_token: Seconds = Field(0, description="for each further token")
    jitter: Share = Field(0, description="share by which both vary")


class Batch(Section):
    """How long the simulator's day is: the life of a batch on a compressed clock."""

    seconds: Seconds = Field(2, description="from its creation to its completion")
    validating: Share = Field(0.1, description="share of it before the first row is answered")
    finalizing: Share = Field(0.1, description="share of it after the last row; a cancelled batch takes as long")
    window: Seconds = Field(86_400, description="when a batch expires; the API calls it 24 hours")
    failing: Share = Field(0, description="share of the rows that fail")
    status: int = Field(500, ge=400, le=599, description="the HTTP status that they fail with")
    listing: Seconds = Field(0, description="until a new batch stands in lists")


class Limits(Section):
    """What a provider (or a key) allows."""

    requests_per_minute: int | None = Field(None, gt=0, description="calls per minute")
    tokens_per_minute: int | None = Field(None, gt=0, description="tokens per minute, input and output together")
    input_tokens_per_minute: int | None = Field(None, gt=0, description="input tokens per minute")
    output_tokens_per_minute: int | None = Field(None, gt=0, description="output tokens per minute")
    concurrency: int | None = Field(None, gt=0, description="calls at the same time")
    group: str | None = Field(None, description="models with the same group share the limits")
    window: Literal["sliding"] | None = Field(None, description="never more than the limit in any sliding minute")
    spread: bool = Field(False, description="evenly spaced")  # noqa: FBT003


class Fault(Section):
    """One scripted fault of the simulator: what goes wrong, and for which calls."""

    kind: Literal[
        "status", "reset", "silence", "slow_first_token", "cut", "stall", "malformed", "error_event", "no_done",
        "wrong_usage", "no_usage", "missing_item", "unfit",
    ] = Field(description="what goes wrong")  # fmt: skip
    rate: Share = Field(1.0, description="share of calls that meet it")
    model: str | None = Field(None, description="only calls for this model")
    times: int | None = Field(None, gt=0, description="only the first so many of the calls that would meet it")
    status: int = Field(503, ge=400, le=599, description="for `status`: the HTTP status")
    code: str | None = Field(None, description="for `status` and `error_event`: the error's `code`")
    type: str | None = Field(None, description="for `status` and `error_event`: the error's `type`")
    retry_after: float | None = Field(None, ge=0, description="for `status`: the `Retry-After` header, in seconds")
    after_tokens: int = Field(0, ge=0, description="for faults inside a stream: tokens sent before it")
    delay: Seconds = Field(3600, description="for `silence`, `slow_first_token` and `stall`: how long")


class Provider(Section):
    """One provider: an account somewhere, a model on this machine, or the simulator."""

    type: Literal["openai", "simulator", "local", "anthropic", "gemini"] = Field(description="what it speaks")
    model: str | None = Field(None, description="short form: it is a target of the default model and of this name")
    priority: int = Field(1, ge=1, description="short form: 1 is asked first")
    weight: float = Field(1.0, gt=0, description="short form: share among equals")
    api_key: Hidden | None = Field(None, description="the credential; an empty one skips the provider with a warning")
    base_url: Address | None = Field(
        None, description="address up to and including `/v1` (default for `openai`: `https://api.openai.com/v1`)"
    )
    timeout: Annotated[TimeoutSettings, BeforeValidator(_timeouts)] = Field(
        default_factory=TimeoutSettings, description="a number sets `connect`, `first_token` and `silence`"
    )
    max_retries: int | None = Field(None, ge=0, le=20, description="n retries are n + 1 attempts; wins over the policy")
    limits: Limits | None = Field(None, description="what the provider allows, for each of its models")
    responses: bool | None = Field(
        None, description="it has `/responses` (default: true for OpenAI's own address and the simulator)"
    )
    headers: Headers = Field(default_factory=dict, description="sent with every call")
    organization: HeaderText | None = Field(None, description="sent as `openai-organization`")
    project: HeaderText | None = Field(None, description="sent as `openai-project`")
    proxy: Proxy | None = Field(None, description="HTTP proxy, `http://user:password@host:port`", repr=False)
    ca_bundle: str | None = Field(None, description="file of the certificate authorities to trust")
    defaults: dict[str, Any] = Field(default_factory=dict, description="parameters added to requests that lack them")
    model_file: str | None = Field(
        None, description="local: a GGUF file (default: the one that `headgate local install` brings)"
    )
    seed: int = Field(0, description="simulator: equal seeds answer equally")
    latency: Latency = Field(default_factory=Latency, description="simulator: how slow it is")
    limit_headers: bool = Field(True, description="simulator: answers say what is left of the limits")  # noqa: FBT003
    faults: list[Fault] = Field(default_factory=list, description="simulator: what goes wrong")
    batch: Batch = Field(default_factory=Batch, description="simulator: how long the life of a batch is")
    batch_tokens: int | None = Field(
        None, ge=1, description="input tokens that a model's batches may have enqueued at once (default: nobody knows)"
    )
    background: Seconds = Field(1, description="simulator: how long an answer in the background takes")
    quality: dict[str, Share] = Field(default_factory=dict, description="simulator: share of sums a model gets right")
