"""From the input to rows: what each line asks for, or why it asks for nothing.

Decides how a line is understood: a prompt, a conversation, a line as the Batch API takes it, a record of a CSV file.
Refuses to know how rows are answered. A line that cannot be understood stops nothing: it becomes a failed outcome.

A row's own fields win over what is given for all of them. Its fields other than `custom_id`, `prompt` and `messages`
are parameters of its request; with a template they are what fills it, and nothing else.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from zlib import crc32

import msgspec

from headgate.core.body import Body
from headgate.core.call import Operation
from headgate.core.errors import BadRequestError, HeadgateError
from headgate.dialects import endpoints
from headgate.dialects.openai_fields import UNREADABLE
from headgate.jobs import sheet
from headgate.jobs.lines import LONGEST
from headgate.jobs.row import Lane, Outcome, Row, Trouble
from headgate.jobs.seen import Seen
from headgate.jobs.template import Template, plain

TALKS = frozenset((Operation.CHAT, Operation.RESPONSES))
"""Operations that the model and the parameters of a job are meant for."""
ASKED = TALKS | {Operation.COMPLETIONS, Operation.EMBEDDINGS, Operation.MODERATIONS, Operation.IMAGES}
"""What a row may ask: requests and answers in JSON."""
LONGEST_ID = 512
"""Characters of a `custom_id`."""

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_encode = msgspec.json.Encoder().encode
_NULL = b"null"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of every row.

    Attributes:
        model: for rows that name none.
        template: makes prompts of the rows' fields.
        column: of a CSV file: it holds the prompts.
        params: parameters of each request that does not have them, in JSON by name.
        tier: the service tier of rows that name none.
        sheet: the input is a CSV file.
    """

    model: str | None = None
    template: Template | None = None
    column: str = "prompt"
    params: Mapping[str, bytes] = {}
    tier: str | None = None
    sheet: bool = False


class Taken(msgspec.Struct, frozen=True, gc=False):
    """One line of the input, understood.

    Attributes:
        row: what it asks; or what became of it at once.
        mark: a checksum of the line, by which it is known again.
    """

    row: Row | Outcome
    mark: int


class _Bad(Exception):  # noqa: N818  never leaves this module
    """Why a line is no row: code and message."""


class Intake:
    """Understands lines.

    Args:
        wish: what is asked of every row.
    """

    def __init__(self, wish: Wish) -> None:
        self._wish = wish
        self._seen = Seen()
        self._columns: Sequence[str] = ()
        self._chat = {name: msgspec.Raw(value) for name, value in wish.params.items()}
        if wish.model is not None:
            self._chat["model"] = msgspec.Raw(_encode(wish.model))
        if wish.tier is not None:
            self._chat.setdefault("service_tier", msgspec.Raw(_encode(wish.tier)))

    async def rows(self, lines: sheet.Lines) -> AsyncIterator[Taken]:
        """The rows, in the order of the input; empty lines are passed over.

        Raises:
            BadRequestError: a CSV file has no header, or lacks a column that is asked for.
        """
        found = sheet.records(lines) if self._wish.sheet else lines
        async for number, line in found:
            if line is not None and not line.strip():
                continue
            if self._wish.sheet and not self._columns:
                self._columns = self._header(line)
                continue
            yield Taken(self._row(number, line), 0 if line is None else crc32(line))

    def _row(self, number: int, line: bytes | None) -> Row | Outcome:
        name = f"row-{number}"
        try:
            if line is None:
                raise _Bad("too_long", f"Line {number} is longer than {LONGEST // 1024**2} MB.")
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                raise _Bad("invalid_utf8", f"Line {number} is not UTF-8 (byte {error.start}).") from None
            fields = self._record(number, text) if self._wish.sheet else _object(number, line)
            own = _name(number, fields) or name
            if not self._seen.add(own):
                # Its outcome must not be taken for that of the one before.
                message = f"The `custom_id` {own!r} of line {number} stands in the input before."
                raise _Bad("duplicate_custom_id", message)
            name = own
            operation, body = self._request(number, fields)
        except _Bad as bad:
            code, message = bad.args
            return refused(number, name, code, message)
        return Row(number=number, id=name, operation=operation, body=body)

    def _request(self, number: int, fields: dict[str, msgspec.Raw]) -> tuple[Operation, bytes]:
        wish = self._wish
        if wish.template is not None or wish.sheet:
            return self._chat_of(self._prompt(number, fields), {})
        if "body" in fields or "url" in fields:
            return self._batch_line(number, fields)
        asked = {name: value for name, value in fields.items() if name not in {"custom_id", "prompt"}}
        prompt = fields.get("prompt")
        if (prompt is None) == ("messages" not in fields):
            what = "neither `prompt` nor `messages` nor `body`" if prompt is None else "both `prompt` and `messages`"
            raise _Bad("no_prompt", f"Line {number} has {what}.")
        return self._chat_of(None if prompt is None else _text(number, "prompt", prompt), asked)

    def _chat_of(self, prompt: str | None, own: dict[str, msgspec.Raw]) -> tuple[Operation, bytes]:
        fields = {**self._chat, **{name: value for name, value in own.items() if bytes(value) != _NULL}}
        if prompt is not None:
            fields["messages"] = msgspec.Raw(_encode([{"role": "user", "content": prompt}]))
        return Operation.CHAT, _encode(fields)

    def _batch_line(self, number: int, fields: dict[str, msgspec.Raw]) -> tuple[Operation, bytes]:
        if "body" not in fields or "url" not in fields:
            lacking = "body" if "body" not in fields else "url"
            raise _Bad("missing_field", f"Line {number} looks like one of the Batch API, and has no `{lacking}`.")
        url = _text(number, "url", fields["url"])
        method = _text(number, "method", fields["method"]) if "method" in fields else "POST"
        try:
            found = endpoints.find(method, url.removeprefix("/v1"))
        except HeadgateError:
            found = None
        if found is None or not found.endpoint.plain or found.endpoint.operation not in ASKED:
            shown = f"{method} {url}"[:80]
            raise _Bad("unknown_url", f"Line {number} asks for {shown!r}, which no row can ask for.")
        operation, raw = found.endpoint.operation, bytes(fields["body"])
        # The model of a job is one that talks.
        given = self._chat if operation in TALKS else {}
        own = _object(number, raw, "The `body` of line")
        missing = {name: bytes(value) for name, value in given.items() if name not in own}
        if not missing:
            return operation, raw
        try:
            return operation, Body(raw).edited(missing).raw
        except BadRequestError as error:
            raise _Bad(error.code, f"Line {number}: {error.message}") from None

    def _prompt(self, number: int, fields: dict[str, msgspec.Raw]) -> str:
        template = self._wish.template
        if template is None:
            prompt = plain(fields[self._wish.column])
        else:
            values = {}
            for name in template.names:
                value = plain(fields[name]) if name in fields else None
                if value is None:
                    raise _Bad("missing_field", f"Line {number} has no `{name}`, which the template asks for.")
                values[name] = value
            prompt = template.fill(values)
        if not prompt or not prompt.strip():
            raise _Bad("no_prompt", f"The prompt of line {number} is empty.")
        return prompt

    def _header(self, line: bytes | None) -> Sequence[str]:
        try:
            columns = sheet.fields((line or b"").decode())
        except UnicodeDecodeError:
            raise BadRequestError("The first line of the CSV file is not UTF-8.", hint="Convert it.") from None
        columns = [column.strip() for column in columns]
        template = self._wish.template
        wanted = (self._wish.column,) if template is None else template.names
        lacking = [name for name in wanted if name not in columns]
        if lacking:
            shown = ", ".join(columns)[:300]
            raise BadRequestError(
                f"The CSV file has no column {lacking[0]!r}; it has: {shown}.",
                hint="The first line names the columns. Say which one holds the prompts with `--column`, or write a "
                "`--template`.",
            )
        return columns

    def _record(self, number: int, text: str) -> dict[str, msgspec.Raw]:
        try:
            values = sheet.fields(text)
        except BadRequestError:
            message = f"Line {number} has a quote that is never closed, so that all lines below are part of it."
            raise _Bad("malformed_row", message) from None
        if len(values) != len(self._columns):
            message = f"Line {number} has {len(values)} fields, and the header {len(self._columns)}."
            raise _Bad("malformed_row", message)
        return {name: msgspec.Raw(_encode(value)) for name, value in zip(self._columns, values, strict=True)}


def refused(number: int, name: str, code: str, message: str) -> Outcome:
    """What becomes of a line that is no row. Nothing is asked, and nothing is spent."""
    trouble = Trouble(code=code, message=message)
    return Outcome(id=name, number=number, lane=Lane.REALTIME, error=trouble, error_class=BadRequestError.__name__)


def _object(number: int, raw: bytes, what: str = "Line") -> dict[str, msgspec.Raw]:
    try:
        return _FIELDS.decode(raw)
    except UNREADABLE:
        raise _Bad("invalid_json", f"{what} {number} is not a JSON object.") from None


def _name(number: int, fields: dict[str, msgspec.Raw]) -> str | None:
    raw = fields.get("custom_id")
    if raw is None or bytes(raw) in {_NULL, b'""'}:
        return None
    name = _text(number, "custom_id", raw)
    if len(name) > LONGEST_ID:
        raise _Bad("invalid_custom_id", f"The `custom_id` of line {number} is longer than {LONGEST_ID} characters.")
    return name


def _text(number: int, name: str, raw: msgspec.Raw) -> str:
    try:
        text = _TEXT.decode(raw)
    except UNREADABLE:
        raise _Bad("invalid_type", f"The `{name}` of line {number} is not a text.") from None
    if name == "prompt" and not text.strip():
        raise _Bad("no_prompt", f"The prompt of line {number} is empty.")
    return text
