"""Covers gate/webhook.py: how messages are signed, tried again and given up, on the virtual clock."""

import asyncio
import hashlib
import hmac
import json
import logging

import pytest

from headgate.core.errors import TimeoutError, UnreachableError  # noqa: A004
from headgate.core.secret import Secret
from headgate.gate.ports import SystemChance
from headgate.gate.tasks import Tasks
from headgate.gate.webhook import QUEUE, TRIES, Webhook, signature
from headgate.testing import EPOCH, VirtualClock, virtual_time

ADDRESS = "https://anna:p%40ss@hooks.example.com:8443/in?token=t0ken"


class Line:
    """A transport that answers as it is told to: with a status, an error, or not at all (None)."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.sent = []
        self.times = []
        self.closed = 0
        self.status = 200
        self.headers = {}

    async def send(self, request, *, connect, deadline, written):
        assert (connect, deadline - VirtualClock().monotonic(), written.sent) == (5, 10, False)
        self.sent.append(request)
        self.times.append(asyncio.get_running_loop().time())
        answer = self.answers.pop(0) if self.answers else 200
        if answer is None:
            await asyncio.sleep(3600)
        if isinstance(answer, Exception):
            raise answer
        self.status = answer
        return self

    async def close(self):
        self.closed += 1


def hooked(line, story, *, signed=True, address=ADDRESS):
    """Run a story with a webhook on a line."""

    async def whole():
        tasks = Tasks()
        webhook = Webhook(
            Secret(address), Secret("s3cret" if signed else ""), transport=line, clock=VirtualClock(),
            chance=SystemChance(seed=1),
            start=tasks.start,
        )  # fmt: skip
        try:
            return await story(webhook, tasks)
        finally:
            await tasks.close()

    return virtual_time(whole())


def test_a_message_can_be_checked_by_whoever_knows_the_secret():
    """Its body, its time and its id; who we are there is told in a header and not in the address."""
    line = Line()

    async def story(webhook, _):
        webhook.tell("budget.reached", {"budget": "daily"})
        await asyncio.sleep(1)
        assert (webhook.delivered, webhook.lost) == (1, 0)

    hooked(line, story)
    (request,) = line.sent
    headers = dict([*request.headers, *request.common])
    assert (request.method, request.url) == ("POST", "https://hooks.example.com:8443/in?token=t0ken")
    assert headers["authorization"] == "Basic YW5uYTpwQHNz"
    assert headers["content-type"] == "application/json"
    time, sign = (part.partition("=")[2] for part in headers["headgate-signature"].split(","))
    assert int(time) == EPOCH
    wanted = hmac.new(b"s3cret", time.encode() + b"." + request.body, hashlib.sha256).hexdigest()
    assert sign == wanted
    body = json.loads(request.body)
    assert body == {
        "id": headers["headgate-delivery"], "type": "budget.reached", "time": "2027-01-15T08:00:00.000Z",
        "budget": "daily",
    }  # fmt: skip


def test_a_signature_depends_on_everything():
    """On the secret, the time and every byte."""
    one = signature(Secret("a"), 1, b"x")
    assert one.startswith("t=1,v1=")
    assert (
        len({one, signature(Secret("b"), 1, b"x"), signature(Secret("a"), 2, b"x"), signature(Secret("a"), 1, b"y")})
        == 4
    )


def test_without_a_secret_nothing_is_signed():
    """There is nothing that a signature would prove."""
    line = Line()

    async def story(webhook, _):
        webhook.tell("x", {})
        await asyncio.sleep(1)

    hooked(line, story, signed=False, address="http://127.0.0.1:1/a")
    assert [name for name, _ in line.sent[0].headers] == ["headgate-delivery"]
    assert "authorization" not in dict(line.sent[0].common)


def test_what_may_be_cured_by_waiting_is_tried_again():
    """Under the same id, signed anew, ever more rarely; the next message waits its turn."""
    line = Line(503, UnreachableError("x"), TimeoutError("x"), 429, 408, 200, 200)

    async def story(webhook, _):
        webhook.tell("a", {})
        webhook.tell("b", {})
        await asyncio.sleep(300)
        assert (webhook.delivered, webhook.lost) == (2, 0)

    hooked(line, story)
    assert len({dict(request.headers)["headgate-delivery"] for request in line.sent[:6]}) == 1
    assert len({dict(request.headers)["headgate-signature"] for request in line.sent[:6]}) == 6
    waits = [after - before for before, after in zip(line.times, line.times[1:], strict=False)][:5]
    assert all(2**n <= wait <= 2 * 2**n for n, wait in enumerate(waits))
    assert json.loads(line.sent[6].body)["type"] == "b"


@pytest.mark.parametrize(
    ("answers", "tries", "why"),
    [([404], 1, "it answered 404"), ([302], 1, "it answered 302"), ([500] * 9, TRIES, "it answered 500"),
     ([UnreachableError("no https://x?token=t0ken")] * 9, TRIES, "upstream_unreachable")],
)  # fmt: skip
def test_what_cannot_be_delivered_is_given_up_and_logged(caplog, answers, tries, why):
    """Without the query, the path and the credentials of the address; the next message is sent all the same."""
    line = Line(*answers[:tries])

    async def story(webhook, _):
        webhook.tell("a", {})
        webhook.tell("b", {})
        await asyncio.sleep(600)
        assert (webhook.delivered, webhook.lost) == (1, 1)

    with caplog.at_level(logging.ERROR):
        hooked(line, story)
    assert len(line.sent) == tries + 1
    (record,) = caplog.records
    assert record.getMessage() == (
        f"An alert could not be told to the webhook at https://hooks.example.com:8443: {why}."
    )


def test_nobody_waits_and_the_queue_has_an_end(caplog):
    """A server that does not answer holds nothing up; what is too much is dropped, and told."""
    line = Line(None)

    async def story(webhook, _):
        for _ in range(QUEUE + 3):
            webhook.tell("a", {})
        await asyncio.sleep(1)
        assert len(line.sent) == 1
        assert webhook.lost == 3

    hooked(line, story)
    assert caplog.text.count("too many wait already") == 3


def test_at_the_end_what_waits_is_sent():
    """Also what was under way when its task was ended; then connections are closed."""
    line = Line(None)

    async def story(webhook, tasks):
        webhook.tell("a", {})
        await asyncio.sleep(1)
        await tasks.close()
        webhook.tell("b", {})
        await webhook.close(3)
        await webhook.close(3)
        assert (webhook.delivered, webhook.lost) == (2, 0)

    hooked(line, story)
    assert [json.loads(request.body)["type"] for request in line.sent] == ["a", "a", "b"]
    assert line.closed >= 2


def test_the_end_does_not_wait_for_ever(caplog):
    """What could not be sent in time is given up."""
    line = Line(None)

    async def story(webhook, _):
        webhook.tell("a", {})
        webhook.tell("b", {})
        before = asyncio.get_running_loop().time()
        await webhook.close(3)
        assert asyncio.get_running_loop().time() - before == pytest.approx(3)
        assert webhook.lost == 2

    hooked(line, story)
    assert caplog.text.count("the gate was closed") == 2
