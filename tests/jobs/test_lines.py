"""Lines of files and pipes."""

import asyncio
import os

from hypothesis import given
from hypothesis import strategies as st

from headgate.jobs.lines import PIECE, lines
from headgate.testing import virtual_time


def _read(path, **options):
    async def story():
        file = os.open(path, os.O_RDONLY)
        try:
            return [line async for line in lines(file, **options)]
        finally:
            os.close(file)

    return virtual_time(story())


@given(st.binary(max_size=200), st.integers(0, 3))
def test_what_is_read_is_what_was_written(tmp_path_factory, text, pieces):
    """Whatever stands in it, and wherever a piece of the file ends."""
    path = tmp_path_factory.mktemp("lines") / "in"
    whole = b"x" * (PIECE * pieces // 2) + text
    path.write_bytes(whole)
    expected = whole.split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert _read(path) == list(enumerate(expected, 1))


def test_what_is_too_long_is_none_and_the_next_line_is_there(tmp_path):
    """The number goes on; nothing of the long line stays in memory."""
    path = tmp_path / "in"
    path.write_bytes(b"a\n" + b"x" * (3 * PIECE) + b"\nb\n" + b"y" * 11)
    assert _read(path, longest=10) == [(1, b"a"), (2, None), (3, b"b"), (4, None)]
    path.write_bytes(b"0123456789\n01234567890\n")
    assert _read(path, longest=10) == [(1, b"0123456789"), (2, None)]


def test_a_mark_at_the_beginning_is_no_part_of_the_first_line(tmp_path):
    """Some editors write one."""
    path = tmp_path / "in"
    path.write_bytes(b"\xef\xbb\xbfa\nb")
    assert _read(path) == [(1, b"a"), (2, b"b")]


def test_a_pipe_is_read_as_it_comes():
    """A line is there as soon as it is written, and nobody is held up while there is none."""

    async def story():
        reading, writing = os.pipe()
        try:
            source = lines(reading)
            os.write(writing, b"one\ntw")
            assert await anext(source) == (1, b"one")
            waiting = asyncio.ensure_future(anext(source))  # noqa: TID251  it is awaited below
            await asyncio.sleep(0.01)
            assert not waiting.done()
            os.write(writing, b"o\n")
            assert await waiting == (2, b"two")
            os.close(writing)
            assert await anext(source, None) is None
        finally:
            os.close(reading)

    asyncio.run(story())


def test_a_device_that_is_always_ready():
    """`/dev/null` has no lines."""
    assert asyncio.run(_null()) == []


async def _null():
    file = os.open(os.devnull, os.O_RDONLY)
    try:
        return [line async for line in lines(file)]
    finally:
        os.close(file)
