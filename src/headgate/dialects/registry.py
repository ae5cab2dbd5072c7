"""Which dialect belongs to which operation, and to which path. The list is closed: whoever adds one adds it here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from headgate.core.call import Operation
from headgate.dialects.dialect import Dialect
from headgate.dialects.openai_chat import ChatDialect
from headgate.dialects.openai_responses import ResponsesDialect

_ALL: tuple[Dialect, ...] = (ChatDialect(), ResponsesDialect())

DIALECTS: Final[Mapping[Operation, Dialect]] = MappingProxyType({dialect.operation: dialect for dialect in _ALL})
"""The dialect of each operation."""

BY_PATH: Final[Mapping[str, Dialect]] = MappingProxyType({dialect.path: dialect for dialect in _ALL})
"""The dialect of each path below `/v1`, with its leading slash."""
