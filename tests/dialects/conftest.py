"""Plays recorded streams through a decoder and a dialect's reader, and writes down what came out."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headgate.core.errors import HeadgateError
from headgate.dialects.dialect import StreamReader
from headgate.dialects.sse import Decoder, ServerEvent

TRANSCRIPTS = Path(__file__).parent / "transcripts"


def _server_events(chunks: Iterable[bytes]) -> Iterator[ServerEvent]:
    decoder = Decoder()
    for chunk in chunks:
        yield from decoder.feed(chunk)
    yield from decoder.end()


def play_stream(reader: StreamReader, chunks: Iterable[bytes]) -> dict[str, Any]:
    """What a stream says: one `[kind, text, size]` per event, every fact that was told, and how it ended."""
    story: dict[str, Any] = {"events": []}
    try:
        for server_event in _server_events(chunks):
            event = reader.read(server_event)
            assert event.raw == server_event.raw
            line = [event.kind.name, event.text, event.size]
            story["events"].append([*line, "hidden"] if event.hidden else line)
            facts = {"finish": event.finish, "usage": event.usage, "model": event.model, "tier": event.tier}
            story |= {name: _plain(fact) for name, fact in facts.items() if fact is not None}
    except HeadgateError as error:
        story["error"] = [type(error).__name__, error.code, error.message]
    return story | {"complete": reader.complete}


def _plain(fact: Any) -> Any:
    """A fact as JSON has it; pictures and sound are only told of where there are some."""
    told = msgspec.to_builtins(fact)
    if isinstance(told, dict):
        return {
            name: count for name, count in told.items() if count or not name.endswith(("image_tokens", "audio_tokens"))
        }
    return told


@pytest.fixture
def play() -> Callable[[StreamReader, Iterable[bytes]], dict[str, Any]]:
    """Play chunks of bytes through a reader."""
    return play_stream


@pytest.fixture
def transcript() -> Callable[[str], tuple[bytes, dict[str, Any]]]:
    """A recorded stream, and the story that it must tell (the `.json` beside it)."""

    def load(name: str) -> tuple[bytes, dict[str, Any]]:
        expected: dict[str, Any] = msgspec.json.decode((TRANSCRIPTS / f"{name}.json").read_bytes())
        return (TRANSCRIPTS / f"{name}.txt").read_bytes(), expected

    return load
