"""What a dialect must be able to say: the contract between wire formats and the rest of the house.

A dialect belongs to an operation. It reads requests, answers, events and errors into the words of `core`, prepares a
request for a provider, and writes an error into a stream. It keeps no state but that of one stream.
"""

from typing import Protocol

import msgspec

from headgate.core.body import Body
from headgate.core.call import Operation
from headgate.core.caps import Fields
from headgate.core.errors import Answer, HeadgateError, ProviderError
from headgate.core.reply import Event
from headgate.core.upload import Form, Upload
from headgate.dialects.sse import ServerEvent


class RequestFacts(msgspec.Struct, frozen=True):
    """What the gate reads of a request, and all it reads.

    Attributes:
        model: the model asked for.
        stream: server-sent events are wanted.
        usage_wanted: the usage is wanted inside the stream.
        user: the end user.
        opaque: the answer is bytes of any kind (sound, subtitles).
        names: ids of the provider's objects that it names.
        fields: the bounds that it sets to its own answer, where they were read together with the rest.
        plain: nothing in it stands for more than its own bytes, as far as it was seen; see `core.caps.is_plain`.
    """

    model: str | None = None
    stream: bool = False
    usage_wanted: bool = True
    user: str | None = None
    opaque: bool = False
    names: tuple[str, ...] = ()
    fields: Fields | None = None
    plain: bool = False


class StreamReader(Protocol):
    """Reads one stream, event by event."""

    def read(self, event: ServerEvent) -> Event:
        """Understand one server-sent event.

        Raises:
            ProviderError: the event is an error, in the class that its facts call for (`OverloadedError`, …).
            GarbledError: the event cannot be read; a word may have been lost.
        """
        ...

    @property
    def complete(self) -> bool:
        """The provider has said that the answer is finished; anything else at the end is an interruption."""
        ...


class Dialect(Protocol):
    """One wire format, for one operation."""

    operation: Operation
    path: str
    """Below a provider's `base_url`, with its leading slash; below `/v1` at our own door."""

    def read_request(self, raw: bytes | Form) -> RequestFacts:
        """Read a caller's request strictly: a JSON object, or a form where the address takes one.

        Raises:
            BadRequestError: it is malformed, mistyped or ambiguous.
        """
        ...

    def prepare(self, body: Body | Upload, *, model: str | None, stream: bool) -> Body | Upload:
        """The body that goes upstream: the model's name set (None: as it is), usage asked for in streams.

        A body that needs no change is returned as it is; else only the bytes of the changed fields differ.
        """
        ...

    def read_answer(self, raw: bytes) -> Event:
        """Read a whole answer (status 2xx) as its one event.

        Raises:
            GarbledError: it cannot be read, or says itself that it failed.
        """
        ...

    def read_stream(self, *, usage_wanted: bool) -> StreamReader:
        """A reader for one stream; the usage that the caller did not ask for is marked `hidden`."""
        ...

    def read_error(self, answer: Answer) -> ProviderError:
        """Read an error answer (status outside 2xx) as the class that its facts call for."""
        ...

    def write_error(self, error: HeadgateError, *, sequence: int) -> bytes:
        """An error as one in-band event of a stream. `sequence` is the number of events before it."""
        ...
