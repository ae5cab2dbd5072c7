"""What connections share: ticks, the date, the end."""

import asyncio

import pytest

from headgate.server.listener import Listener
from headgate.testing import VirtualClock, virtual_time


class Member:
    """A connection that counts."""

    def __init__(self) -> None:
        self.ticks = 0
        self.told = 0
        self.transport = self
        self.aborted = False

    def tick(self) -> None:
        self.ticks += 1

    def shutdown(self) -> None:
        self.told += 1

    def abort(self) -> None:
        self.aborted = True


async def _app(_scope, _receive, _send) -> None:
    """Nothing."""


def _listener(**settings):
    return Listener(_app, clock=VirtualClock(), **settings)


def test_one_tick_a_second_for_all():
    """Each connection counts for itself; the date goes on; it stops with its block."""

    async def story():
        listener = _listener()
        members = [Member(), Member()]
        listener.connections |= set(members)
        before = listener.date
        with listener.ticking():
            await asyncio.sleep(10.5)
        after = listener.date
        await asyncio.sleep(10)
        return before, after, listener.date, [member.ticks for member in members]

    before, after, later, ticks = virtual_time(story())
    assert before == b"date: Fri, 15 Jan 2027 08:00:00 GMT\r\n"
    assert after == later == b"date: Fri, 15 Jan 2027 08:00:10 GMT\r\n"
    assert ticks == [10, 10]


@pytest.mark.parametrize(("header", "body"), [(10, 30), (1, 30), (0.2, 0.4), (0.001, 1)])
def test_limits_are_met_within_a_quarter(header, body):
    """Short limits are looked at more often, but not without bound."""

    async def story():
        listener = _listener(header_timeout=header, body_timeout=body)
        member = Member()
        listener.connections.add(member)
        with listener.ticking():
            await asyncio.sleep(100)
        return listener, 100 / member.ticks

    listener, tick = virtual_time(story())
    assert tick <= max(0.06, min(1.01, header / 3.9))
    assert header <= listener.header_ticks * tick <= max(header * 1.3, 0.06)
    assert body <= listener.body_ticks * tick <= body * 1.3


def test_the_end_waits_for_answers_and_then_cuts():
    """All are told; what takes longer than the grace is cancelled, and whoever is still there is cut off."""

    async def story():
        loop = asyncio.get_running_loop()
        listener = _listener()
        member = Member()
        listener.connections.add(member)
        task = loop.create_task(asyncio.sleep(1000))
        listener.tasks.add(task)
        task.add_done_callback(listener.tasks.discard)
        began = loop.time()
        await listener.finish(5)
        return member, task.cancelled(), loop.time() - began

    member, cancelled, seconds = virtual_time(story())
    assert (member.told, member.aborted, cancelled) == (1, True, True)
    assert seconds == pytest.approx(7, abs=0.2)


def test_the_end_is_quick_where_nothing_is_in_flight():
    """And where answers end by themselves."""

    async def story():
        loop = asyncio.get_running_loop()
        listener = _listener()
        await listener.finish(5)
        member = Member()
        listener.connections.add(member)
        loop.call_later(1, listener.connections.discard, member)
        await listener.finish(5)
        return loop.time(), member.aborted

    seconds, aborted = virtual_time(story())
    assert seconds == pytest.approx(1, abs=0.1)
    assert not aborted
