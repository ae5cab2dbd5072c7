"""The tables of the ledger as they are today, and how the two databases differ in their words.

Decides how lines lie in tables; refuses to know what is put into them (`tables.py`, `rollups.py`) and how older tables
become these (`migrations/`). Whoever changes `_TABLES` writes a revision beside the others, and names it in `REVISION`.

There is one line for each attempt, and the end of its call (`cache`, `call_…`) stands on it, too: one line a call costs
half the booking of two, and sums need no join. While `cache` is null, the call has not ended.

`rollups` holds sums of these lines: for each facet (which dimensions are told apart), grain (seconds), bucket (its
first second) and day of the call, one row for each group that occurs, whose names stand once in `rollup_groups`. Money
is kept in two parts, `high` · 10⁹ + `low`, because a sum of picodollars may be larger than 64 bits (9 million dollars).

`spent` and `lent` are the budgets' (`treasury.py`): a sum for each cap and window (`span`), and what processes may
spend of its rest. No cap is larger than 64 bits. `keys` and `audit` are the book of keys and of what was done by hand
(`keys.py`); `batches` is that of the batches that jobs make at providers (`batches.py`), `jobs`, `job_shards`,
`job_pieces` and `job_workers` that of durable jobs (`jobs.py`).
"""

import msgspec

from headgate.core.errors import ConfigError

REVISION = "0001"
"""The newest revision of the tables."""
VERSION_TABLE = "headgate_version"
"""Where a database keeps the revision of its tables: one row, one column, as alembic has it."""


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """What the two databases call differently.

    Attributes:
        name: as SQLAlchemy has it.
        key: the type of text whose order counts: that of its bytes.
        digest: the type of 128 bits, written in hexadecimal digits.
        json: the type of JSON.
        bytes: the type of bytes.
        attempts: what stands behind the columns of `attempts`.
        table: what stands behind the columns of every other table.
        tag: the value of a tag of the table `{0}`, by a mark for its name.
        lock: the statement after which nobody else writes until the transaction ends. One batch is booked after the
            other: the sums of today are the same few rows for all.
        further: statements that only this database needs.
    """

    name: str
    key: str
    digest: str
    json: str
    bytes: str
    attempts: str
    table: str
    tag: str
    lock: str
    further: tuple[str, ...] = ()


SQLITE = Dialect(
    name="sqlite",
    key="TEXT",
    digest="TEXT",
    json="TEXT",
    bytes="BLOB",
    attempts="WITHOUT ROWID",
    table="WITHOUT ROWID",
    tag="(SELECT value FROM json_each({0}.tags) WHERE key = ?)",
    lock="BEGIN IMMEDIATE",
)
POSTGRES = Dialect(
    name="postgresql",
    key='TEXT COLLATE "C"',
    digest="UUID",
    json="JSONB",
    bytes="BYTEA",
    attempts="PARTITION BY LIST (day)",
    # The rows of today are written again and again: room beside them spares their indexes.
    table="WITH (fillfactor = 80)",
    tag="({0}.tags ->> CAST(? AS TEXT))",
    # "headgate" in ASCII.
    lock=f"SELECT pg_advisory_xact_lock({0x6865616467617465})",
    # What no sum covers at the ends of a report is looked for by time. Rows come in its order: added at its end.
    further=("CREATE INDEX attempts_time ON attempts (time)",),
)

_TABLES = (
    """
CREATE TABLE attempts (
  day {key} NOT NULL, call_id {key} NOT NULL, attempt BIGINT NOT NULL, time DOUBLE PRECISION NOT NULL,
  operation TEXT NOT NULL, model_requested TEXT NOT NULL, stream BIGINT NOT NULL, key TEXT, project TEXT, "user" TEXT,
  tags {json}, provider TEXT, model TEXT, dropped TEXT, parent TEXT, model_served TEXT, service_tier TEXT,
  settled TEXT NOT NULL,
  basis TEXT, prompt_tokens BIGINT NOT NULL, completion_tokens BIGINT NOT NULL, cached_tokens BIGINT NOT NULL,
  cache_write_tokens BIGINT NOT NULL, reasoning_tokens BIGINT NOT NULL, saved_tokens BIGINT NOT NULL,
  cost BIGINT, price_table TEXT, status BIGINT, error_type TEXT, latency_ms DOUBLE PRECISION,
  first_token_ms DOUBLE PRECISION,
  cache TEXT, call_attempts BIGINT, call_status BIGINT, call_error_type TEXT, call_latency_ms DOUBLE PRECISION,
  call_first_token_ms DOUBLE PRECISION, guard TEXT, saved BIGINT, budgets TEXT, held BIGINT, resolved_by TEXT,
  PRIMARY KEY (day, call_id, attempt)
) {attempts}
""",
    """
CREATE TABLE objects (
  id {key} NOT NULL PRIMARY KEY, tenant TEXT, provider TEXT NOT NULL, call_id TEXT NOT NULL,
  time DOUBLE PRECISION NOT NULL
) {table}
""",
    """
CREATE TABLE rollup_groups (
  id {digest} NOT NULL PRIMARY KEY, model TEXT, provider TEXT, key TEXT, project TEXT, operation TEXT, "user" TEXT,
  tags {json}
) {table}
""",
    """
CREATE TABLE rollups (
  facet SMALLINT NOT NULL, grain INTEGER NOT NULL, bucket BIGINT NOT NULL, day {key} NOT NULL,
  group_id {digest} NOT NULL,
  calls BIGINT NOT NULL, errors BIGINT NOT NULL, cache_hits BIGINT NOT NULL, attempts BIGINT NOT NULL,
  prompt_tokens BIGINT NOT NULL, completion_tokens BIGINT NOT NULL, cached_tokens BIGINT NOT NULL,
  cost_high BIGINT NOT NULL, cost_low BIGINT NOT NULL, unknown_high BIGINT NOT NULL, unknown_low BIGINT NOT NULL,
  unknown_attempts BIGINT NOT NULL, unpriced_attempts BIGINT NOT NULL,
  saved_tokens BIGINT NOT NULL, saved_high BIGINT NOT NULL, saved_low BIGINT NOT NULL,
  PRIMARY KEY (facet, grain, bucket, day, group_id)
) {table}
""",
    """
CREATE TABLE spent (
  cap {key} NOT NULL, span {key} NOT NULL, amount BIGINT NOT NULL, told DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (cap, span)
) {table}
""",
    """
CREATE TABLE lent (
  owner {key} NOT NULL, cap {key} NOT NULL, span {key} NOT NULL, amount BIGINT NOT NULL, had BIGINT NOT NULL,
  PRIMARY KEY (owner, cap, span)
) {table}
""",
    """
CREATE TABLE keys (
  id {key} NOT NULL PRIMARY KEY, name {key} NOT NULL, sha256 {key} NOT NULL UNIQUE, former {key},
  former_until DOUBLE PRECISION, scope TEXT NOT NULL, created DOUBLE PRECISION NOT NULL, revoked_at DOUBLE PRECISION,
  version BIGINT NOT NULL UNIQUE
) {table}
""",
    "CREATE UNIQUE INDEX keys_valid ON keys (name) WHERE revoked_at IS NULL",
    """
CREATE TABLE audit (
  number BIGINT NOT NULL PRIMARY KEY, time DOUBLE PRECISION NOT NULL, actor TEXT NOT NULL, origin TEXT NOT NULL,
  action TEXT NOT NULL, subject TEXT NOT NULL, details TEXT NOT NULL
) {table}
""",
    """
CREATE TABLE batches (
  id {key} NOT NULL PRIMARY KEY, job {key} NOT NULL, place BIGINT NOT NULL, round BIGINT NOT NULL,
  began DOUBLE PRECISION NOT NULL, mark {key} NOT NULL UNIQUE, state {key} NOT NULL, claimed DOUBLE PRECISION NOT NULL,
  provider {key} NOT NULL, model {key} NOT NULL, tokens BIGINT NOT NULL, facts TEXT NOT NULL
) {table}
""",
    "CREATE INDEX batches_job ON batches (job)",
    "CREATE INDEX batches_open ON batches (state)",
    """
CREATE TABLE jobs (
  id {key} NOT NULL PRIMARY KEY, began DOUBLE PRECISION NOT NULL, state {key} NOT NULL, spec TEXT NOT NULL,
  settings TEXT NOT NULL, trouble TEXT
) {table}
""",
    """
CREATE TABLE job_shards (
  job {key} NOT NULL, place BIGINT NOT NULL, done BIGINT NOT NULL, token BIGINT NOT NULL, owner {key},
  wanted BIGINT NOT NULL, queued BIGINT NOT NULL, rows BIGINT NOT NULL, succeeded BIGINT NOT NULL,
  failed BIGINT NOT NULL, cost BIGINT NOT NULL, unpriced BIGINT NOT NULL, prompt_tokens BIGINT NOT NULL,
  completion_tokens BIGINT NOT NULL, ambiguous TEXT NOT NULL, input {bytes} NOT NULL,
  PRIMARY KEY (job, place)
) {table}
""",
    """
CREATE TABLE job_pieces (
  job {key} NOT NULL, place BIGINT NOT NULL, start BIGINT NOT NULL, data {bytes} NOT NULL,
  PRIMARY KEY (job, place, start)
) {table}
""",
    """
CREATE TABLE job_workers (id {key} NOT NULL PRIMARY KEY, beat BIGINT NOT NULL, gone BIGINT NOT NULL) {table}
""",
)


def tables(dialect: Dialect) -> list[str]:
    """The statements that make the tables in an empty database."""
    words = msgspec.structs.asdict(dialect)
    return [*(statement.strip().format(**words) for statement in _TABLES), *dialect.further]


def judge(revision: str, where: str) -> bool:
    """Whether tables of a revision must be carried over first; `where` is how errors name them.

    Raises:
        ConfigError: they are of a newer headgate.
    """
    # Revisions are numbered, in four digits.
    if revision > REVISION:
        message = f"The store {where!r} was written by a newer headgate (tables {revision}, known {REVISION})."
        raise ConfigError(message, hint="Upgrade headgate, or name another database in `store`.")
    return revision < REVISION


def stamped(dialect: Dialect) -> list[str]:
    """The same, and that they are of the newest revision."""
    return [
        *tables(dialect),
        f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)",
        f"INSERT INTO {VERSION_TABLE} VALUES ('{REVISION}')",  # noqa: S608  own words
    ]
