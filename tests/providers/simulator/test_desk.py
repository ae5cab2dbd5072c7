"""Where jobs are served: everything that does not depend on what was asked."""

import msgspec
import pytest

from headgate.core.usage import TokenUsage
from headgate.providers.simulator.arrivals import Arrivals
from headgate.providers.simulator.desk import Desk
from headgate.providers.simulator.job import Job
from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.script import Script, Step
from headgate.providers.simulator.settings import Fault, Latency, Limits
from headgate.providers.simulator.visit import Request, Visit
from headgate.testing import VirtualClock, virtual_time

DRAWN = TokenUsage(prompt_tokens=5, completion_tokens=12, completion_image_tokens=12)


def script(*_):
    """Three events of four tokens each."""
    steps = [Step(b"data: %d\n\n" % at, 4, visible=True) for at in range(3)]
    return Script(b"", iter(steps), 3, lambda code, _: b"data: error %s\n\n" % str(code).encode())


WHOLE = Job(model="fake", usage=DRAWN, report=lambda _: {"tokens": 17}, whole=lambda _, told: str(told).encode())
STREAM = msgspec.structs.replace(WHOLE, stream=script)


def serve(job, *, faults=(), limits=None, latency=None, after=None, times=1):
    """The bytes that a reader gets who leaves after so many pieces, and the desk."""

    async def tell():
        desk = Desk(
            VirtualClock(),
            0,
            latency=latency or Latency(),
            limits=limits or Limits(),
            faults=faults,
            arrivals=Arrivals(),
        )
        said = []
        for number in range(times):
            answer = desk.serve(Visit(Request("POST", "/v1/x", {}), number, 0), job)
            await answer.head()
            while (after is None or len(said) < after) and (data := await answer.receive()):
                said.append(data)
            answer.close()
        return said, answer, desk

    return virtual_time(tell())


def test_a_whole_answer():
    """Its type, its body, its line of the bill and of the log."""
    [body], answer, desk = serve(msgspec.structs.replace(WHOLE, content_type="audio/wav", seconds=3, characters=9))
    assert body == b"{'tokens': 17}"
    assert answer.headers["content-type"] == "audio/wav"
    [line] = desk.bill.lines
    assert (line.model, line.usage, line.complete, line.seconds, line.characters) == ("fake", DRAWN, True, 3, 9)
    assert [(one.path, one.model, one.stream, one.status) for one in desk.arrivals.seen] == [
        ("/v1/x", "fake", False, 200)
    ]


def test_who_leaves_a_stream_has_had_only_a_part_of_it():
    """No subset of the output is larger than what was generated."""
    _, _, desk = serve(STREAM, after=1)
    [line] = desk.bill.lines
    assert line.usage == TokenUsage(prompt_tokens=5, completion_tokens=4, completion_image_tokens=4)
    assert line.complete is False


def test_usage_that_an_operation_does_not_report_cannot_be_wrong():
    """The fault changes nothing then."""
    silent = msgspec.structs.replace(WHOLE, report=lambda _: None)
    for kind in ("wrong_usage", "no_usage"):
        assert serve(silent, faults=[Fault(kind=kind)])[0] == [b"None"]
    assert serve(WHOLE, faults=[Fault(kind="no_usage")])[0] == [b"None"]


def test_the_prompt_cache_reads_what_a_job_says():
    """A job without words for it has nothing cached."""
    long = msgspec.structs.replace(WHOLE, prompt="word " * 2000, usage=TokenUsage(prompt_tokens=2500))
    _, _, desk = serve(long, times=2)
    assert [line.usage.cached_tokens for line in desk.bill.lines] == [0, 2432]
    assert [line.usage.cache_write_tokens for line in desk.bill.lines] == [0, 0]
    _, _, desk = serve(msgspec.structs.replace(long, writes_cache=True))
    assert desk.bill.lines[0].usage.cache_write_tokens == 2432
    assert serve(WHOLE, times=2)[2].bill.lines[1].usage.cached_tokens == 0


def test_a_filter_that_does_not_look():
    """The fault is then an error like any other."""
    fault = Fault(kind="error_event", code="content_filter", after_tokens=1)
    assert serve(STREAM, faults=[fault])[0][-1] == b"data: error content_filter\n\n"
    with pytest.raises(Problem):
        serve(WHOLE, faults=[fault])


def test_limits_count_the_tokens_of_any_job():
    """In and out together."""
    with pytest.raises(Problem) as caught:
        serve(WHOLE, limits=Limits(tokens_per_minute=33), times=2)
    assert caught.value.headers["retry-after-ms"] == str(-(-60_000 // 33))
    _, answer, _ = serve(WHOLE, limits=Limits(tokens_per_minute=34), times=2)
    assert answer.headers["x-ratelimit-remaining-tokens"] == "0"


def test_the_log_tells_what_a_judge_needs():
    """What was taken, which limit was met, and how many were in flight for how long."""

    async def tell():
        clock = VirtualClock()
        desk = Desk(clock, 0, latency=Latency(first_token=2), limits=Limits(), faults=(), arrivals=Arrivals())
        simulated = [Visit(Request("POST", "/v1/x", {}), number, 0) for number in range(4)]
        one, two = (desk.serve(visit, WHOLE) for visit in simulated[:2])
        await one.head()
        desk.allow(Limits(concurrency=1))
        with pytest.raises(Problem) as caught:
            desk.serve(simulated[2], WHOLE)
        desk.refuse(simulated[2], caught.value, asked=True)
        await two.head()
        desk.serve(simulated[3], WHOLE).close()
        return desk.arrivals.seen

    log = virtual_time(tell())
    assert [(one.prompt_tokens, one.completion_tokens) for one in log] == [(5, 12), (5, 12), (0, 0), (5, 12)]
    assert [(one.status, one.limited) for one in log] == [(200, None)] * 2 + [(429, "concurrency"), (200, None)]
    assert [(one.busy, one.held) for one in log] == [(1, 0.0), (2, 0.0), (1, 4.0), (1, 4.0)]


def test_a_group_is_for_good():
    """The allowances are named by it."""
    desk = Desk(VirtualClock(), 0, latency=Latency(), limits=Limits(group="g"), faults=(), arrivals=Arrivals())
    with pytest.raises(ValueError, match="'g' from the beginning, and cannot become None"):
        desk.allow(Limits())


def test_time_passes_with_every_token():
    """Of a whole answer before it is there."""

    async def tell():
        clock = VirtualClock()
        latency = Latency(first_token=1, per_token=0.5)
        desk = Desk(clock, 0, latency=latency, limits=Limits(), faults=(), arrivals=Arrivals())
        answer = desk.serve(Visit(Request("POST", "/v1/x", {}), 1, 0), WHOLE)
        began = clock.monotonic()
        await answer.head()
        return clock.monotonic() - began

    assert virtual_time(tell()) == pytest.approx(1 + 0.5 * 11)
