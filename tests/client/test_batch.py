"""Many calls at once."""

import asyncio
import io
import sys

import pytest

from headgate.client.batch import all_of, checked, or_raise
from headgate.core.errors import BadRequestError, HeadgateError, PartialFailureError, RateLimitError
from headgate.testing import virtual_time


def _run(questions, ask, *, concurrency=4, progress=False):
    return virtual_time(all_of(questions, ask, concurrency=concurrency, progress=progress))


def test_results_are_in_the_order_of_the_questions():
    """However long each takes."""

    async def ask(n):
        await asyncio.sleep(10 - n)
        return n * n

    assert _run(range(10), ask, concurrency=10) == [n * n for n in range(10)]


@pytest.mark.parametrize("concurrency", [1, 3, 50])
def test_no_more_than_so_many_run_together(concurrency):
    """And as many as may do."""
    running = most = 0

    async def ask(_):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1
        return 0

    _run(range(20), ask, concurrency=concurrency)
    assert most == min(concurrency, 20)


def test_questions_may_be_few_or_none_or_made_on_the_way():
    """Any iterable; None is a result like any other."""

    async def ask(n):
        return n

    assert _run([], ask) == []
    assert _run((n for n in range(3)), ask) == [0, 1, 2]
    assert _run([None, 1], ask) == [None, 1]


def test_an_error_takes_the_place_of_its_result():
    """The others go on, and the error carries all of it."""

    async def ask(n):
        if n % 3 == 1:
            message = f"no {n}"
            raise RateLimitError(message)
        return n

    results = _run(range(5), ask)
    assert [type(result) for result in results] == [int, RateLimitError, int, int, RateLimitError]
    with pytest.raises(PartialFailureError, match="2 of 5 calls failed; the first error: no 1") as caught:
        or_raise(results)
    assert caught.value.results == results
    assert or_raise([1, 2]) == [1, 2]


@pytest.mark.parametrize("options", [{"max_tokns": 5}, {"messages": []}, {"idempotency_key": "one"}])
def test_an_option_that_is_none_is_told_once_and_not_for_each_question(options):
    """Of one call, or of none: it stands in nobody's place."""
    with pytest.raises(BadRequestError) as error:
        checked(["a", "b"], options)
    assert error.value.param == next(iter(options))
    assert error.value.hint


def test_a_mistake_in_the_program_ends_everything():
    """What is no error of the house is not swallowed, and nothing is left running."""

    async def story():
        async def ask(n):
            if n == 2:
                raise ZeroDivisionError
            await asyncio.sleep(3600)

        with pytest.raises(ExceptionGroup) as caught:
            await all_of(range(5), ask, concurrency=5, progress=False)
        assert caught.group_contains(ZeroDivisionError)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual_time(story())


def test_cancelling_leaves_nothing_running():
    """All calls in flight are cancelled with their batch; none is begun after it."""
    begun = []

    async def story():
        async def ask(n):
            begun.append(n)
            await asyncio.sleep(3600)

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await all_of(range(100), ask, concurrency=8, progress=False)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual_time(story())
    assert begun == list(range(8))


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("stream", "drawn"), [(_Terminal, True), (io.StringIO, False)])
def test_progress_is_drawn_on_a_terminal_only(monkeypatch, stream, drawn):
    """A bar on stderr where a person looks; nothing in a log file, nothing on stdout."""
    shown = stream()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm")

    async def ask(n):
        if n == 1:
            raise HeadgateError("no")
        return n

    _run(range(3), ask, progress=True)
    assert ("3/3" in shown.getvalue()) == drawn
