"""Which dialect belongs to which operation. The list is closed: whoever adds one adds it here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from headgate.core.call import Operation
from headgate.dialects.dialect import Dialect
from headgate.dialects.openai_chat import ChatDialect
from headgate.dialects.openai_fields import image_usage, no_usage, prompt_usage, responses_usage
from headgate.dialects.openai_names import response_names
from headgate.dialects.openai_objects import ObjectsDialect
from headgate.dialects.openai_plain import PlainDialect
from headgate.dialects.openai_responses import ResponsesDialect

_ALL: tuple[Dialect, ...] = (
    ChatDialect(),
    ResponsesDialect(),
    ChatDialect(Operation.COMPLETIONS, "/completions"),
    PlainDialect(Operation.EMBEDDINGS, "/embeddings", prompt_usage),
    PlainDialect(Operation.MODERATIONS, "/moderations", no_usage),
    PlainDialect(Operation.IMAGES, "/images/generations", image_usage, streams=True),
    PlainDialect(Operation.IMAGE_EDITS, "/images/edits", image_usage, streams=True),
    PlainDialect(Operation.SPEECH, "/audio/speech", responses_usage, opaque=True),
    PlainDialect(Operation.TRANSCRIPTIONS, "/audio/transcriptions", responses_usage, streams=True),
    PlainDialect(Operation.TRANSLATIONS, "/audio/translations", responses_usage),
    PlainDialect(Operation.INPUT_TOKENS, "/responses/input_tokens", no_usage, names=response_names),
    ObjectsDialect(Operation.STORED, "/responses"),
    ObjectsDialect(Operation.FILES, "/files"),
    ObjectsDialect(Operation.UPLOADS, "/uploads"),
    ObjectsDialect(Operation.BATCHES, "/batches"),
    ObjectsDialect(Operation.PASSTHROUGH, ""),
)

DIALECTS: Final[Mapping[Operation, Dialect]] = MappingProxyType({dialect.operation: dialect for dialect in _ALL})
"""The dialect of each operation."""
