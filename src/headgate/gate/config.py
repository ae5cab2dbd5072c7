"""The configuration's schema: every setting, its type and its default.

Decides what may stand in `headgate.yaml`; refuses to know files and the environment (`load.py` reads those) and which
policies exist yet (`unbuilt.py`). What each kind of value may look like stands in `values.py`.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
)

from headgate.core.call import Unsupported
from headgate.core.secret import Secret
from headgate.gate.config_providers import Limits, Provider
from headgate.gate.section import Section
from headgate.gate.values import Hidden, HostName, Origin, Seconds, Share


class Cors(Section):
    """Who may call from a browser."""

    origins: list[Origin] = Field(default_factory=list, description="such as `https://app.example.com`; `*` is any")


class Server(Section):
    """The HTTP door."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(4000, ge=0, le=65535, description="port to listen on; 0 picks a free one")
    auth: Literal["none", "keys"] | None = Field(
        None, description="who may call: anybody, or holders of a key (default: `none` on loopback, `keys` elsewhere)"
    )
    admin_key: Hidden = Field(Secret(""), description="key of the admin routes; empty: they are closed")
    admin_port: int | None = Field(
        None, ge=0, le=65535, description="port on which the admin routes listen, and nothing else (default: with all)"
    )
    workers: int = Field(1, ge=1, le=64, description="processes")
    max_body_mb: float = Field(32, gt=0, description="largest JSON body, in MB; beyond it 413")
    max_upload_mb: float = Field(512, gt=0, description="largest upload, in MB")
    stream_open_after: Seconds = Field(
        15, description="a stream that has said nothing for so long is opened with 200 and kept alive by comments"
    )
    shutdown_grace: Seconds = Field(30, description="how long streams in flight may go on after SIGTERM")
    header_timeout: Seconds = Field(10, gt=0, description="for the headers of a request to come; beyond it 408")
    body_timeout: Seconds = Field(
        30, gt=0, description="between two pieces of a body; beyond it, or below 1 kB a second, 408"
    )
    allowed_hosts: list[HostName] | None = Field(
        None, description="names that `Host` may have (default: any; where no key is asked for on loopback, local ones)"
    )
    log_format: Literal["text", "json"] | None = Field(
        None, description="how the lines of the log read (default: `text` on a terminal, `json` elsewhere)"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="`info` has a line for each request, `warning` only for those that failed here or behind"
    )
    cors: Cors = Field(default_factory=Cors, description="pages of other sites that may call from a browser")


class Journal(Section):
    """The append-only book of each process."""

    path: str = Field("./headgate-journal", description="folder of the journal files")
    fsync: bool = Field(False, description="also survive a power cut, at the price of a disk write per attempt")  # noqa: FBT003
    max_backlog_mb: float = Field(1024, gt=0, description="undrained journal, in MB, beyond which calls get 503")


class TargetSettings(Section):
    """One provider with one model."""

    provider: str = Field(description="name of a provider")
    model: str | None = Field(None, description="the name to ask it for (default: the caller's)")
    weight: float = Field(1.0, gt=0, description="share among targets of the same priority")
    priority: int = Field(1, ge=1, description="1 is asked first")


class CompressSettings(Section):
    """What is left out of prompts."""

    whitespace: bool = Field(True, description="space at the ends of lines, and blank lines after the first one")  # noqa: FBT003
    pretty_json: bool = Field(True, description="JSON on many lines is put on one")  # noqa: FBT003
    spaces: bool = Field(False, description="several spaces between words become one; columns get lost")  # noqa: FBT003
    repeats: bool = Field(False, description="a long paragraph that was there before becomes a reference to it")  # noqa: FBT003
    code: bool = Field(False, description="JSON in fenced blocks of code, too")  # noqa: FBT003
    tools: bool = Field(False, description="arguments and results of tools, too")  # noqa: FBT003


def _compressed(value: object) -> object:
    return ({} if value else None) if isinstance(value, bool) else _mapping(value)


def _mapping(value: object) -> object:
    if value is None or isinstance(value, dict | Section):
        return value
    raise ValueError("must be true, false or a mapping")


class CombineSettings(Section):
    """How small calls that arrive together are asked together."""

    items: int = Field(10, ge=2, le=50, description="so many questions make one call")
    seconds: Seconds = Field(2, description="how long the first of them waits for the others")
    inputs: int = Field(2048, ge=2, le=2048, description="so many embeddings make one request")


class RouteCache(Section):
    """Whether and how answers of a route are kept. What it does not say is as in `policies.cache`."""

    enabled: bool = Field(True, description="keep answers")  # noqa: FBT003
    ttl: Seconds | None = Field(None, gt=0, description="for how long")
    scope: Literal["key", "project", "gateway"] | None = Field(None, description="who shares them")


def _switched(value: object) -> object:
    return {"enabled": value} if isinstance(value, bool) else _mapping(value)


def _kind_of_route(value: object) -> str:
    return "name" if isinstance(value, str) else "route"


class Route(Section):
    """A name that callers use, and who answers to it."""

    targets: list[TargetSettings] = Field(min_length=1, description="who answers")
    strategy: Literal["weighted", "priority", "latency", "cost"] = Field(
        "priority",
        description="order among targets: by priority, and then weight, latency or cost; `weighted`: by weight alone",
    )
    default_max_output: int | None = Field(None, ge=1, description="output bound where a budget applies")
    recovery: Literal["none", "continue"] = Field("none", description="when a stream breaks after its first word")
    compress: Annotated[CompressSettings | None, BeforeValidator(_compressed)] = Field(
        None, description="prompts are sent with fewer tokens; `true` is the mapping with its defaults"
    )
    combine: Annotated[CombineSettings | None, BeforeValidator(_compressed)] = Field(
        None, description="small calls that arrive together leave as one; `true` for the defaults"
    )
    cache: Annotated[RouteCache | None, BeforeValidator(_switched)] = Field(
        None, description="answers may be kept and shared: `true`, `false`, or a mapping (default: `policies.cache`)"
    )


RouteOrName = Annotated[
    Annotated[Route, Tag("route")] | Annotated[str, Tag("name")],
    Discriminator(_kind_of_route),
]
"""A route, or (for `default` alone, which `coherence.py` checks) the name of one."""


class RetrySettings(Section):
    """How often, and how long."""

    max_attempts: int = Field(3, ge=1, le=20, description="sends to one target, the first included")
    max_wait: Seconds = Field(5, description="longest wait for a target while another one exists")
    budget: Share = Field(0.1, description="share of traffic that may be retries (never less than 10 a minute)")


class BreakerSettings(Section):
    """When a failing target rests."""

    failures: int = Field(5, ge=1, description="failed attempts within the window that open it")
    window: Seconds = Field(60, description="how far back it looks")
    rest: Seconds = Field(20, description="how long it rests")
    probes: int = Field(1, ge=1, description="calls let through to try")


class CacheSettings(Section):
    """The default for routes that do not say."""

    enabled: bool = Field(False, description="keep answers")  # noqa: FBT003
    ttl: Seconds = Field(86400, gt=0, description="for how long")
    scope: Literal["key", "project", "gateway"] = Field(
        "project", description="who shares them; `gateway`: everybody, so it is for answers that are nobody's secret"
    )
    max_entry_kb: float = Field(1024, gt=0, description="answers that are larger, packed, are not kept")
    max_mb: float = Field(256, gt=0, description="of all that is kept; in memory, 64 of them")


class IdempotencySettings(Section):
    """What becomes of calls that carry an `Idempotency-Key`."""

    keep: Seconds = Field(86400, gt=0, description="for so long, what a call came to is given again")
    max_answer_mb: float = Field(
        16, gt=0, le=64, description="largest answer that is kept; beyond it, a repeat gets 409"
    )
    on_store_lost: Literal["closed", "open"] = Field(
        "closed", description="while the store is away, such calls are refused (503), or made without the promise"
    )


class GuardRule(Section):
    """One rule of the guard."""

    kind: Literal["patterns", "words", "secrets", "personal", "manipulative_language", "moderation"] = Field(
        description="what it looks for"
    )
    name: str | None = Field(None, min_length=1, description="in verdicts (default: the kind and its number)")
    action: Literal["block", "mask", "flag"] = Field(
        "block", description="the call is refused; the words are replaced; they pass, and the books say so"
    )
    patterns: list[str] = Field(default_factory=list, description="kind `patterns`: in RE2's syntax; case is ignored")
    words: list[str] = Field(default_factory=list, description="kind `words`: words and phrases; case is ignored")
    model: str = Field("omni-moderation-latest", description="kind `moderation`: who is asked, by its route")
    buffer: Literal["sentence", "whole"] | None = Field(
        None,
        description="output: how much of a stream is held back (default: as long as a match may be going on)",
    )
    on_failure: Literal["closed", "open"] = Field(
        "closed", description="kind `moderation`: where it cannot be asked, nothing passes, or everything"
    )
    models: list[str] | None = Field(None, description="only for calls that ask for these names (default: all)")


class GuardSettings(Section):
    """What is judged, in and out."""

    input: list[GuardRule] = Field(default_factory=list, description="rules for what goes in")
    output: list[GuardRule] = Field(default_factory=list, description="rules for what comes out")
    batches: Literal["refuse", "allow"] = Field(
        "refuse", description="batches, whose rows nobody judges: none where there are rules, or all"
    )


class BudgetPolicy(Section):
    """What happens where a budget cannot tell."""

    unknown_price: Literal["refuse", "estimate", "allow"] | None = Field(
        None,
        description="a model whose price is not known: it is not asked (`refuse`, 403), costs what the dearest of its "
        "family does, or is let through at an unknown cost (default: `allow`)",
    )
    on_shortage: Literal["refuse", "clamp"] = Field("refuse", description="too little is left")
    on_unknown: Literal["charge", "estimate", "release"] = Field("charge", description="an outcome nobody knows")
    unbounded: Literal["refuse", "estimate"] = Field("refuse", description="no bound exists")


class Policies(Section):
    """The rules of the gate."""

    on_retired: Literal["refuse", "successor"] = Field(
        "refuse", description="a model that its maker shut down: 404 that names the successor, or the successor answers"
    )
    on_unsupported: Unsupported | None = Field(
        None,
        description="a parameter the model does not take (default: `pass` for callers of the API, who hear it from the "
        "model; `drop` for the Python door and the command line)",
    )
    on_shared_store_lost: Literal["open", "closed", "share"] = Field("share", description="limits without their store")
    retry: RetrySettings = Field(default_factory=RetrySettings, description="repeating at the same target")
    breaker: BreakerSettings = Field(default_factory=BreakerSettings, description="resting a failing target")
    cache: CacheSettings = Field(default_factory=CacheSettings, description="answers from the past")
    guard: GuardSettings = Field(default_factory=GuardSettings, description="judging words")
    idempotency: IdempotencySettings = Field(default_factory=IdempotencySettings, description="calls made once")
    budget: BudgetPolicy = Field(default_factory=BudgetPolicy, description="spending")


class CatalogModel(Section):
    """The user's own facts about a model."""

    base: str | None = Field(None, description="a known model that it is like, and costs as much as")
    input_usd_per_million: Decimal | None = Field(None, ge=0, description="price of input; 0 is a price")
    cached_input_usd_per_million: Decimal | None = Field(
        None, ge=0, description="price of cached input (default: that of input)"
    )
    output_usd_per_million: Decimal | None = Field(None, ge=0, description="price of output")
    context: int | None = Field(None, gt=0, description="context window, in tokens")
    max_output: int | None = Field(None, gt=0, description="longest output, in tokens")
    capabilities: list[str] = Field(
        default_factory=list, description="what it can do (default: what `base` can): `tools`, `vision`, …"
    )


class CatalogSettings(Section):
    """The user's own facts; they win over the shipped ones."""

    models: dict[str, CatalogModel] = Field(default_factory=dict, description="by name")


class Budget(Section):
    """A sum that must not be exceeded."""

    name: str = Field(description="shown in reports and alerts")
    scope: Literal["gateway", "project", "key", "user", "model", "tag"] = Field("gateway", description="whose")
    project: str | None = Field(None, description="which project")
    key: str | None = Field(None, description="which key")
    user: str | None = Field(None, description="which end user")
    model: str | None = Field(None, description="which model")
    tag: str | None = Field(None, description="which tag, as `name=value`")
    window: Literal["day", "week", "month", "total"] = Field("day", description="per when")
    limit_usd: Decimal = Field(gt=0, description="the cap")
    alert_at: list[Share] = Field(default_factory=lambda: [0.8], description="shares of the cap that alert")
    time_zone: str = Field("UTC", description="where the window begins at midnight")


class Key(Section):
    """Somebody who may call."""

    name: str = Field(min_length=1, description="shown in the books")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the key, in lower-case hexadecimal digits")
    project: str | None = Field(None, description="the tenant it belongs to")
    models: list[str] | None = Field(None, description="names it may ask for (default: all)")
    limits: Limits | None = Field(None, description="how much it may ask")
    expires: date | None = Field(None, description="last day on which it works (UTC)")
    tags: dict[str, str] = Field(default_factory=dict, description="tags of all its calls")
    priority: int | None = Field(None, ge=0, le=9, description="highest priority it may claim")
    passthrough: list[str] = Field(default_factory=list, description="further `/v1` paths it may use")
    cache: bool | None = Field(None, description="its answers may be kept (default: as the route says)")


class Alerts(Section):
    """Who is told."""

    webhook: Hidden = Field(Secret(""), description="address that alerts are posted to")
    secret: Hidden = Field(Secret(""), description="alerts are signed by it, so that nobody else can make one")


class GenerateApp(Section):
    """Words for whoever asks: `/generate` and `/generate-stream`."""

    model: str | None = Field(None, description="who answers (default: the default model)")


class Apps(Section):
    """What is built on the gate."""

    generate: GenerateApp = Field(default_factory=GenerateApp, description="`/generate` and `/generate-stream`")


class Config(Section):
    """The whole configuration."""

    server: Server = Field(default_factory=Server, description="the HTTP door")
    store: str = Field(
        "sqlite:///./headgate.db",
        description="the ledger: `sqlite:///path`, `postgresql://…` or `memory://`",
        repr=False,  # it may hold a password, and so may the next one
    )
    retention_days: int | None = Field(
        None,
        ge=1,
        le=36_500,
        description="for so many days the ledger keeps each attempt, and sums that tell users and tags apart; sums by "
        "model, key and project stay (default: everything stays)",
    )
    shared: str = Field(
        "memory://",
        description="rates and limits: `memory://`, or `redis://host:6379/0` (also Valkey) for many processes",
        repr=False,
    )
    journal: Journal = Field(default_factory=Journal, description="the book before the ledger")
    providers: dict[str, Provider] = Field(default_factory=dict, description="who answers")
    models: dict[str, RouteOrName] = Field(
        default_factory=dict, description="names that callers use; `default` names one of them, `*` is any other"
    )
    policies: Policies = Field(default_factory=Policies, description="the rules")
    catalog: CatalogSettings = Field(default_factory=CatalogSettings, description="facts about models")
    budgets: list[Budget] = Field(default_factory=list, description="sums that must not be exceeded")
    keys: list[Key] = Field(default_factory=list, description="who may call")
    alerts: Alerts = Field(default_factory=Alerts, description="who is told")
    apps: Apps = Field(default_factory=Apps, description="what is built on the gate")
