"""A client on the simulator, without a gate: what the official SDK does on its own."""

import httpx2
import openai
import pytest

from headgate.client.simulated import simulated_client
from headgate.providers.simulator import Fault, Latency, Limits, Simulator
from headgate.testing import VirtualClock, virtual_time

MESSAGES = [{"role": "user", "content": "Hello"}]


def ask(simulator, **settings):
    """What the SDK gets, and how long it took."""

    async def tell():
        async with openai.AsyncOpenAI(api_key="k", http_client=simulated_client(simulator), **settings) as client:
            done = await client.chat.completions.create(model="fake", messages=MESSAGES)
            return done.choices[0].message.content, simulator.clock.monotonic()

    return virtual_time(tell())


def test_an_answer():
    """It takes its time on the virtual clock."""
    said, seconds = ask(Simulator(clock=VirtualClock(), latency=Latency(first_token=2)))
    assert said
    assert seconds == 2


def test_the_sdk_waits_as_it_is_told():
    """Its own retries sleep on the virtual clock too: three refused places, then an answer."""
    simulator = Simulator(clock=VirtualClock(), limits=Limits(requests_per_minute=1))
    ask(simulator)
    said, seconds = ask(simulator, max_retries=5)
    assert said
    assert seconds == pytest.approx(60, abs=0.01)
    assert [one.limited for one in simulator.log] == [None, "requests", None]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(kind="reset"), openai.APIConnectionError),
        (Fault(kind="cut"), openai.APIConnectionError),
        (Fault(kind="silence", delay=9), openai.APITimeoutError),
        (Fault(kind="status", status=400), openai.BadRequestError),
    ],
)
def test_what_goes_wrong(fault, error):
    """As over a network."""
    with pytest.raises(error):
        ask(Simulator(clock=VirtualClock(), faults=[fault]), max_retries=0, timeout=5)


def test_any_address():
    """What the simulator tells of itself, and queries."""

    async def tell():
        async with simulated_client(Simulator(clock=VirtualClock())) as client:
            log = await client.get("http://simulator/__log")
            listed = await client.get("http://simulator/v1/files?limit=0")
            return log.json(), listed.status_code, isinstance(client, httpx2.AsyncClient)

    log, status, is_client = virtual_time(tell())
    assert (log, status, is_client) == ({"arrivals": []}, 400, True)
