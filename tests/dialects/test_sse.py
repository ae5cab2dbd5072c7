"""Bytes to events and back: equal for every way of cutting, exact to the byte, bounded, never quadratic."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.errors import GarbledError
from headgate.dialects.sse import Decoder, ServerEvent, write

TRANSCRIPTS = sorted(Path(__file__).parent.glob("transcripts/*.txt"))

LINES = [b"data: one", b"data:two", b"data:  three", b"data", b"event: e", b"event:f", b": note", b"id: 7", b"retry: 9"]
PIECES = [
    *LINES,
    b"odd",
    b"",
    b"\xef\xbb\xbf",
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"\r\n\r\n",
    b"data: [DONE]",
    "é".encode(),
]
STREAMS = st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join)


def read(*chunks: bytes) -> tuple[list[ServerEvent], bytes]:
    """All events of a stream that comes in these chunks, and what is left."""
    decoder = Decoder()
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return events + decoder.end(), decoder.rest


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """The stream, cut at these places."""
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


def by_the_book(stream: bytes) -> list[tuple[bytes, bytes]]:
    """The dispatch algorithm of the standard, line by line, without any cleverness."""
    events, name, data = [], b"", []
    lines = re.sub(rb"\r\n?", b"\n", stream.removeprefix(b"\xef\xbb\xbf")).split(b"\n")
    for line in lines[:-1]:
        field, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if not line:
            if data:
                events.append((name, b"\n".join(data)))
            name, data = b"", []
        elif field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return events


@given(STREAMS, st.lists(st.integers(0, 1000), max_size=12))
def test_equal_for_every_cut(stream, places):
    """However the bytes are cut, the events and the rest are the same."""
    assert read(*cut(stream, places)) == read(stream) == read(*(bytes([byte]) for byte in stream))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcripts_cut_at_every_byte(path):
    """A recorded stream gives the same events cut in two at any byte, with LF, CRLF and CR."""
    for line_end in (b"\n", b"\r\n", b"\r"):
        stream = path.read_bytes().replace(b"\n", line_end)
        whole = read(stream)
        assert len(whole[0]) > 0
        for at in range(len(stream) + 1):
            assert read(stream[:at], stream[at:]) == whole


@given(STREAMS)
def test_agrees_with_the_standard(stream):
    """Names and data are those of the standard's own algorithm."""
    decoder = Decoder()
    events = [*decoder.feed(stream), *decoder._read(b"", last=True)]
    told = [(event.name, event.data) for event in events if event.data is not None]
    assert told == by_the_book(stream)


@given(STREAMS)
def test_no_byte_is_lost(stream):
    """The raw blocks and the rest, put together, are what came, less a leading byte order mark."""
    decoder = Decoder()
    events = [*decoder.feed(stream), *decoder._read(b"", last=True)]
    assert b"".join(event.raw for event in events) + decoder.rest == stream.removeprefix(b"\xef\xbb\xbf")


def test_fields():
    """Several data lines are joined, one space after the colon goes, id and retry are skipped, the name is kept."""
    block = b"id: 1\nevent: note\nretry: 5\ndata: a\ndata:b\ndata\ndata:  c\n\n"
    assert read(block) == ([ServerEvent(b"note", b"a\nb\n\n c", block)], b"")


@pytest.mark.parametrize("block", [b": keep-alive\n\n", b"\n", b"event: ping\n\n", b"id: 4\r\n\r\n"])
def test_without_data(block):
    """A block without a data line has no data, which is not the same as empty data."""
    (event,), _ = read(block)
    assert event.data is None
    assert event.raw == block
    assert read(b"data:\n\n")[0][0].data == b""


@pytest.mark.parametrize("last", [b"data: [DONE]", b"data: [DONE]\n", b"data: [DONE]\r\n", b"data:[DONE]\r"])
def test_done_without_its_blank_line(last):
    """Servers that leave out the last blank line are understood, and their callers get a whole event."""
    events, rest = read(b"data: {}\n\n", last)
    assert events[-1] == ServerEvent(b"", b"[DONE]", b"data: [DONE]\n\n")
    assert rest == b""


def test_a_cut_event_is_the_rest():
    """An event without its blank line is no event: a word of it may be missing."""
    assert read(b"data: one\n\ndata: two\n") == ([ServerEvent(b"", b"one", b"data: one\n\n")], b"data: two\n")


def test_a_carriage_return_waits_for_its_line_feed():
    """A CR at the end of a chunk may be half of a CRLF, so the event waits; the end of the stream settles it."""
    decoder = Decoder()
    assert decoder.feed(b"data: one\r\n\r") == []
    assert decoder.feed(b"\n") == [ServerEvent(b"", b"one", b"data: one\r\n\r\n")]
    assert decoder.feed(b"data: two\r\r") == []
    assert decoder.end() == [ServerEvent(b"", b"two", b"data: two\r\r")]


def test_a_byte_order_mark_is_dropped_once():
    """It is dropped at the start, even in pieces; elsewhere it is a part of what it stands in."""
    decoder = Decoder()
    assert decoder.feed(b"\xef") == decoder.feed(b"\xbb") == []
    assert decoder.feed(b"\xbfdata: one\n\n") == [ServerEvent(b"", b"one", b"data: one\n\n")]
    (event,) = decoder.feed(b"\xef\xbb\xbfdata: two\n\n")
    assert event.data is None
    assert read(b"\xef\xbb") == ([], b"\xef\xbb")


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_too_large(size):
    """An event over the limit is refused after the events before it, however it is cut; one at the limit is read."""
    good, big = b"data: ok\n\n", b"data: " + b"x" * 93 + b"\n\n"
    stream = good + big + good
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    decoder, events = Decoder(limit=100), []

    def feed_all() -> None:
        for chunk in [*chunks, b""]:
            events.extend(decoder.feed(chunk))

    with pytest.raises(GarbledError, match="more than 100 bytes"):
        feed_all()
    assert [event.data for event in events] == [b"ok"]
    assert [event.data for event in Decoder(limit=101).feed(big)] == [b"x" * 93]
    with pytest.raises(GarbledError):
        Decoder(limit=100).feed(big)


def test_a_huge_event_in_tiny_pieces_is_searched_once():
    """What was searched is not searched again: the search starts at most three bytes before the new ones."""
    decoder = Decoder()
    decoder.feed(b"data: " + b"x" * 1000)
    for length in range(1006, 1200):
        assert decoder._scanned == length - 3
        decoder.feed(b"x")
    (event,) = decoder.feed(b"\n\n")
    assert event.data == b"x" * 1194


@given(st.binary(), st.sampled_from([b"", b"error", b"response.created"]))
def test_written_events_are_read_back(data, name):
    """What is written is one event with the same name and data, but for the spelling of line ends in it."""
    (event,), rest = read(write(data, name))
    assert rest == b""
    assert event.name == name
    assert event.data == re.sub(rb"\r\n?", b"\n", data)
