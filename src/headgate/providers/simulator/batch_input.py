"""What a batch is made of: its request, and the rows of its input file, looked at before any of them is answered.

Decides which batches fail while they are validated, in the API's words; whether a row can be answered is found out
when it is, and by the code that answers it.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from headgate.providers.simulator.problem import Problem, invalid, missing, mistyped
from headgate.providers.simulator.question import decode
from headgate.providers.simulator.shelf import lifetime

MOST_ROWS = 50_000
_LARGEST = 200 * 1024 * 1024
_MOST_ERRORS = 100
"""Errors that are told: a file of 50,000 bad rows must not make each look at its batch a download."""

_NEEDED = {
    "/v1/chat/completions": ("messages", "Chat Completions"),
    "/v1/responses": ("input", "Responses"),
    "/v1/embeddings": ("input", "Embeddings"),
    "/v1/completions": ("prompt", "Completions"),
    "/v1/moderations": ("input", "Moderations"),
    "/v1/images/generations": ("prompt", "Images"),
}
ENDPOINTS = tuple(_NEEDED)
"""What a batch may ask. Of the API's others, the simulator has no videos, and edits only as forms."""

_LINE = re.compile(rb"[^\n]+")


class _New(msgspec.Struct):
    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: Any = None
    output_expires_after: Any = None


class NewBatch(msgspec.Struct, frozen=True):
    """A batch that is asked for.

    Attributes:
        input_file_id, endpoint, metadata: as asked.
        output_seconds: how long its output files are kept; None: for good.
    """

    input_file_id: str
    endpoint: str
    metadata: Mapping[str, str] | None
    output_seconds: int | None


class Row(msgspec.Struct, frozen=True):
    """One request of a batch.

    Attributes:
        custom_id: the caller's name for it.
        body: its body, as it stood in the file.
    """

    custom_id: str
    body: bytes


class Fault(msgspec.Struct, frozen=True):
    """Why a batch fails while it is validated.

    Attributes:
        code, message, param: as in any other error.
        line: of the input file, from 1; None where no line is to blame.
    """

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class Checked(msgspec.Struct, frozen=True):
    """An input file, looked at.

    Attributes:
        rows: what is to be answered, in the file's order; without meaning if there are errors.
        model: the model of all rows.
        errors: what is wrong; empty if nothing is.
    """

    rows: Sequence[Row]
    model: str | None
    errors: Sequence[Fault]


_NEW = msgspec.json.Decoder(_New)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_STRING = msgspec.json.Decoder(str)


def read_batch(body: bytes, endpoints: Collection[str] = ENDPOINTS) -> NewBatch:
    """Understand a request for a batch.

    Raises:
        Problem: 400, in the API's words.
    """
    wish = decode(_NEW, body)
    if wish.endpoint not in endpoints:
        raise invalid("endpoint", wish.endpoint, sorted(endpoints))
    if wish.completion_window != "24h":
        raise invalid("completion_window", wish.completion_window, ["24h"])
    seconds = lifetime(wish.output_expires_after, "output_expires_after")
    return NewBatch(wish.input_file_id, wish.endpoint, check_metadata(wish.metadata), seconds)


def check_metadata(given: object) -> Mapping[str, str] | None:
    """Metadata as the API takes them: at most 16 pairs of short texts.

    Raises:
        Problem: 400.
    """
    if given is None:
        return None
    if not isinstance(given, dict):
        raise mistyped("metadata", "expected an object")
    if len(given) > 16:
        message = f"Invalid 'metadata': too many properties. Expected at most 16, but got {len(given)} instead."
        raise Problem(400, message, code="object_above_max_properties", param="metadata")
    for name, value in given.items():
        if not isinstance(value, str):
            raise mistyped(f"metadata.{name}", "expected a string")
        for what, most in ((name, 64), (value, 512)):
            if len(what) > most:
                message = (
                    f"Invalid 'metadata.{name}': string too long. Expected at most {most} characters, "
                    f"but got {len(what)} instead."
                )
                raise Problem(400, message, code="string_above_max_length", param=f"metadata.{name}")
    return given


def check_rows(content: Sequence[bytes | memoryview], endpoint: str, known: Callable[[str], bool]) -> Checked:
    """Look at the rows of an input file.

    Args:
        content: the file's bytes, in order.
        endpoint: what the batch asks.
        known: whether there is a model of a name.
    """
    if sum(map(len, content)) > _LARGEST:
        return _failed(Fault("file_too_large", f"The batch input file is larger than {_LARGEST} bytes."))
    # A file of several parts may have rows that lie across their borders.
    whole = content[0] if len(content) == 1 else b"".join(content)
    rows: list[Row] = []
    errors: list[Fault] = []
    seen: set[str] = set()
    model: str | None = None
    number, end = 1, 0
    for line in _LINE.finditer(whole):
        number += line.start() - end  # the line feeds between two stretches that have none
        end = line.end()
        text = bytes(whole[line.start() : end])
        if not text.strip():
            continue
        try:
            row = _read(text, endpoint, seen)
            model = _check_body(row.body, endpoint, model, known)
        except Problem as problem:
            errors.append(Fault(problem.code or "invalid_request", problem.message, problem.param, number))
            if len(errors) == _MOST_ERRORS:
                break
            continue
        rows.append(row)
        if len(rows) > MOST_ROWS:
            return _failed(Fault("too_many_tasks", f"This batch contains more than {MOST_ROWS} requests."))
    if not rows and not errors:
        message = "The batch input file is empty. Please ensure that the batch contains at least one request."
        return _failed(Fault("empty_file", message))
    return Checked(rows, model, errors)


def _failed(error: Fault) -> Checked:
    return Checked((), None, (error,))


def _read(text: bytes, endpoint: str, seen: set[str]) -> Row:
    """One line.

    Raises:
        Problem: something is wrong with it.
    """
    try:
        fields = _FIELDS.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem(400, "This line is not parseable as valid JSON.", code="invalid_json_line") from None
    for name in ("custom_id", "method", "url", "body"):
        if name not in fields:
            raise missing(name)
    custom_id = _string(fields, "custom_id")
    if custom_id in seen:
        message = (
            "The custom_id for this request is a duplicate of another request. "
            "The custom_id parameter must be unique for each request in a batch."
        )
        raise Problem(400, message, code="duplicate_custom_id", param="custom_id")
    seen.add(custom_id)
    method = _string(fields, "method")
    if method != "POST":
        raise invalid("method", method, ["POST"])
    if _string(fields, "url") != endpoint:
        message = "The URL provided for this request does not match the batch endpoint."
        raise Problem(400, message, code="invalid_url", param="url")
    return Row(custom_id, bytes(fields["body"]))


def _check_body(body: bytes, endpoint: str, model: str | None, known: Callable[[str], bool]) -> str:
    """What is looked at in a row's body before it is answered; gives its model.

    Raises:
        Problem: something is wrong with it.
    """
    needed, surface = _NEEDED[endpoint]
    try:
        fields = _FIELDS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise mistyped("body", "expected an object") from None
    for name in ("model", needed):
        if name not in fields:
            raise Problem(400, f"{name.capitalize()} parameter is required.", param=f"body.{name}")
    if "stream" in fields and bytes(fields["stream"]) == b"true":
        message = f"{surface}: Streaming is not supported in the Batch API."
        raise Problem(400, message, code="streaming_unsupported", param="body.stream")
    asked = _string(fields, "model", "body.model")
    if not known(asked):
        message = f"The provided model '{asked}' is not supported by the Batch API."
        raise Problem(400, message, code="model_not_found", param="body.model")
    if model not in (None, asked):
        message = f"The provided model '{asked}' is not '{model}', and all requests of a batch must use the same model."
        raise Problem(400, message, code="mismatched_model", param="body.model")
    return asked


def _string(fields: Mapping[str, msgspec.Raw], name: str, param: str | None = None) -> str:
    try:
        return _STRING.decode(fields[name])
    except msgspec.DecodeError:
        raise mistyped(param or name, "expected a string") from None
