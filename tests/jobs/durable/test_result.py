"""Covers jobs/durable/result.py: the output is put together of pieces, in the order of the input."""

import pytest

from headgate.core.errors import HeadgateError
from headgate.jobs.durable import result
from headgate.jobs.part import Part
from headgate.jobs.row import Lane, Outcome, Trouble
from headgate.stores.jobs import Sums

GOOD = Outcome(
    id="ü", number=2, lane=Lane.FLEX, status=200, body=b'{"x": 1}', request_id="req_1", cost=5, attempts=1, cached=True,
    latency_ms=1.5, prompt_tokens=3, completion_tokens=4,
)  # fmt: skip
BAD = Outcome(id="a", number=1, lane=Lane.REALTIME, error=Trouble(code="c", message="m"), cost=None, error_class="E")


@pytest.mark.parametrize("outcome", [GOOD, BAD])
def test_a_line_is_read_as_it_was_written(outcome):
    """Everything that an outcome tells."""
    assert result.read(outcome.line()) == outcome


async def told(here, cut):
    """A job whose shard has told two pieces of its part file."""
    part = Part.open(here.folder / "x.part", {}, job="job")
    for outcome in (GOOD, BAD):
        part.sent(outcome.number)
        part.add(outcome)
    data = part.path.read_bytes()
    part.close()
    await here.book.enter("me")
    hold = await here.book.claim("job", 0, "me")
    await here.book.tell(hold, Sums(), [], (0, data[:40]))
    await here.book.tell(hold, Sums(), [], (40 + cut, data[40 + cut :]))


def test_an_output_is_in_the_order_of_the_input(place, asked):
    """Though the second row was answered first."""

    async def story(here):
        await here.give(asked(2))
        await told(here, 0)
        out = here.folder / "out.jsonl"
        assert await result.write(here.book, await here.book.find("job"), out) == 2
        assert out.read_bytes() == BAD.line() + GOOD.line()

    place(story)


def test_a_gap_is_no_output(place, asked):
    """Half a shard would be taken for the whole."""

    async def story(here):
        await here.give(asked(2))
        await told(here, 1)
        with pytest.raises(HeadgateError, match="gap"):
            await result.write(here.book, await here.book.find("job"), here.folder / "out.jsonl")

    place(story)


def test_a_folder_that_is_not_there(place, asked):
    """The message says what to do."""

    async def story(here):
        await here.give(asked(2))
        with pytest.raises(HeadgateError, match="cannot be written"):
            await result.write(here.book, await here.book.find("job"), here.folder / "no" / "out.jsonl")

    place(story)
