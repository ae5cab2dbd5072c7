"""The life of a batch, on a clock that a test owns."""

import asyncio
import json
from collections import Counter

import msgspec
import pytest
from openai.types import Batch as SdkBatch

from headgate.core.usage import TokenUsage
from headgate.providers.simulator.batch_input import NewBatch
from headgate.providers.simulator.batches import Answered, Batches
from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.settings import Batch
from headgate.providers.simulator.shelf import Shelf
from headgate.testing import EPOCH, VirtualClock, virtual_time

CHAT = "/v1/chat/completions"
DAY = Batch(seconds=100)


class Account:
    """A shelf and batches whose rows are answered with their own text."""

    def __init__(self, life, seed=0):
        clock = VirtualClock()
        self.shelf = Shelf(clock, seed)
        self.answered = []
        self.batches = Batches(
            clock=clock, seed=seed, life=life, shelf=self.shelf, answer=self.answer, known=lambda name: name == "fake",
            weigh=lambda _endpoint, body: len(json.loads(body)["messages"]),
        )  # fmt: skip

    def answer(self, endpoint, body, refusal):
        """Every row that says `bad` is refused."""
        assert endpoint == CHAT
        self.answered.append(body)
        said = json.loads(body)["messages"]
        if refusal is None and said == "bad":
            refusal = Problem(400, "No.")
        if refusal is not None:
            return Answered(refusal.status, "req_1", refusal.body())
        return Answered(200, "req_1", body, TokenUsage(prompt_tokens=2, completion_tokens=1, cached_tokens=1))

    def begin(self, *said, raw=None, name=None, **more):
        """The name of a new batch of rows that say this."""
        rows = [
            {"custom_id": f"{at}", "method": "POST", "url": CHAT, "body": {"model": "fake", "messages": words}}
            for at, words in enumerate(said)
        ]
        content = b"\n".join(json.dumps(row).encode() for row in rows) if raw is None else raw
        name = self.shelf.put("batch", "in.jsonl", (content,)).id if name is None else name
        return self.batches.begin(NewBatch(name, CHAT, None, more.get("seconds")))["id"]

    def look(self, name):
        """The batch as it is now, valid for the SDK."""
        return SdkBatch.model_validate_json(msgspec.json.encode(self.batches.tell(name)), strict=True)

    def lines(self, file):
        """The lines of a file."""
        return [json.loads(line) for line in b"".join(self.shelf.find(file).chunks()).splitlines()]


def story(tell, life=DAY, seed=0):
    """Run a story with an account."""

    async def run():
        return await tell(Account(life, seed))

    return virtual_time(run())


def test_a_whole_life():
    """Validated, worked off evenly, finalized, completed; its times are those of the changes, whenever it is asked."""

    async def tell(account):
        name = account.begin(*["good"] * 80)
        seen = []
        for _ in range(12):
            batch = account.look(name)
            seen.append((batch.status, batch.request_counts.completed, batch.output_file_id is None))
            await asyncio.sleep(10)
        return seen, account.look(name)

    seen, batch = story(tell)
    assert seen == [
        ("validating", 0, True),
        ("in_progress", 0, True),
        *[("in_progress", 10 * step, True) for step in range(1, 8)],
        ("finalizing", 80, True),
        ("completed", 80, False),
        ("completed", 80, False),
    ]
    times = (batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at, batch.expires_at)
    assert [time - int(EPOCH) for time in times] == [0, 10, 90, 100, 86_400]
    assert (batch.model, batch.errors, batch.error_file_id, batch.failed_at) == ("fake", None, None, None)
    assert batch.usage
    assert (batch.usage.input_tokens, batch.usage.output_tokens, batch.usage.total_tokens) == (160, 80, 240)
    assert batch.usage.input_tokens_details.cached_tokens == 80


def test_who_asks_late_sees_the_same():
    """A batch that nobody looked at has had the same life."""

    async def tell(account):
        name = account.begin("good", "bad", "good")
        await asyncio.sleep(1000)
        batch = account.look(name)
        files = [account.shelf.find(file) for file in (batch.output_file_id, batch.error_file_id)]
        return [time - int(EPOCH) for time in (batch.in_progress_at, batch.completed_at)], [
            (file.purpose, file.created_at - int(EPOCH), file.expires_at) for file in files
        ]

    assert story(tell) == ([10, 100], [("batch_output", 100, None)] * 2)


def test_the_files():
    """Each row in one of them, exactly once, in another order than in the input; refused ones among the errors."""

    async def tell(account):
        name = account.begin(*["good", "bad"] * 20, seconds=7200)
        await asyncio.sleep(100)
        batch = account.look(name)
        good, bad = account.lines(batch.output_file_id), account.lines(batch.error_file_id)
        assert account.shelf.find(batch.output_file_id).expires_at == int(EPOCH) + 7300
        assert (batch.request_counts.total, batch.request_counts.failed) == (40, 20)
        return good, bad

    good, bad = story(tell)
    order = [int(line["custom_id"]) for line in good]
    assert sorted(order) == list(range(0, 40, 2)) != order
    assert sorted(int(line["custom_id"]) for line in bad) == list(range(1, 40, 2))
    assert set(good[0]) == {"id", "custom_id", "response", "error"}
    assert good[0]["response"] == {
        "status_code": 200, "request_id": "req_1", "body": {"model": "fake", "messages": "good"},
    }  # fmt: skip
    assert good[0]["error"] is bad[0]["error"] is None
    assert bad[0]["response"]["status_code"] == 400
    assert bad[0]["response"]["body"]["error"]["message"] == "No."
    assert len({line["id"] for line in good + bad}) == 40
    assert good[0]["id"].startswith("batch_req_")
    assert story(tell) == (good, bad)
    assert [line["custom_id"] for line in story(tell, seed=1)[0]] != [line["custom_id"] for line in good]


def test_failed():
    """A file that cannot be used: the batch says why, and nothing was answered."""

    async def tell(account):
        other = account.shelf.put("vision", "x", (b"",)).id
        names = [account.begin(raw=b"{"), account.begin(name="file-none"), account.begin(name=other)]
        assert account.look(names[0]).status == "validating"
        await asyncio.sleep(10)
        batches = [account.look(name) for name in names]
        assert [batch.status for batch in batches] == ["failed"] * 3
        assert batches[0].failed_at == int(EPOCH) + 10
        assert batches[0].request_counts.total == 0
        assert account.answered == []
        return [(batch.errors.data[0].code, batch.errors.data[0].line) for batch in batches], batches[1].errors.data[0]

    errors, missing = story(tell)
    assert errors == [("invalid_json_line", 1), ("invalid_request", None), ("invalid_request", None)]
    assert missing.message.startswith("Cannot find file file-none")
    assert missing.param == "file_id"


def test_expired():
    """At the end of the window: what was answered is there, the rest is listed as not."""

    async def tell(account):
        name = account.begin(*["good"] * 80)
        await asyncio.sleep(1000)
        batch = account.look(name)
        return batch, account.lines(batch.output_file_id), account.lines(batch.error_file_id)

    batch, good, bad = story(tell, Batch(seconds=100, window=50))
    assert (batch.status, batch.expired_at - batch.created_at, batch.completed_at) == ("expired", 50, None)
    assert (len(good), len(bad), batch.request_counts.completed) == (40, 40, 40)
    assert Counter(line["custom_id"] for line in good + bad) == Counter(map(str, range(80)))
    assert all(line["response"] is None and line["error"]["code"] == "batch_expired" for line in bad)


def test_cancelled():
    """It takes a while to stop; what was answered by then is there, and no more was."""

    async def tell(account):
        name = account.begin(*["good"] * 80)
        await asyncio.sleep(50)
        seen = [account.batches.cancel(name)["status"]]
        await asyncio.sleep(9)
        seen.append(account.batches.cancel(name)["status"])
        await asyncio.sleep(1)
        seen.append(account.batches.cancel(name)["status"])
        await asyncio.sleep(1000)
        batch = account.look(name)
        assert (batch.cancelling_at - batch.created_at, batch.cancelled_at - batch.created_at) == (50, 60)
        assert len(account.answered) == 40
        return seen, len(account.lines(batch.output_file_id)), account.lines(batch.error_file_id)

    seen, good, bad = story(tell)
    assert seen == ["cancelling", "cancelling", "cancelled"]
    assert (good, len(bad), bad[0]["error"]["code"]) == (40, 40, "batch_cancelled")


def test_cancelled_before_it_began():
    """Without files."""

    async def tell(account):
        name = account.begin("good")
        account.batches.cancel(name)
        await asyncio.sleep(1000)
        batch = account.look(name)
        return batch.status, batch.output_file_id, batch.error_file_id, account.answered

    assert story(tell) == ("cancelled", None, None, [])


def test_what_is_over_cannot_be_cancelled():
    """409, in the API's words; an unknown one is 404."""

    async def tell(account):
        name = account.begin("good")
        await asyncio.sleep(100)
        found = []
        for one in (name, "batch_none"):
            with pytest.raises(Problem) as caught:
                account.batches.cancel(one)
            found.append((caught.value.status, caught.value.message))
        return found

    assert story(tell) == [
        (409, "Cannot cancel a batch with status 'completed'."),
        (404, "No batch found with id 'batch_none'."),
    ]


def test_rows_that_are_meant_to_fail():
    """A share of them, with the status that was asked for; the same ones for the same seed."""

    async def tell(account):
        name = account.begin(*["good"] * 200)
        await asyncio.sleep(100)
        batch = account.look(name)
        bad = account.lines(batch.error_file_id)
        assert {line["response"]["status_code"] for line in bad} == {429}
        assert batch.request_counts.completed + len(bad) == 200
        return sorted(line["custom_id"] for line in bad)

    life = Batch(seconds=100, failing=0.3, status=429)
    assert 40 < len(story(tell, life)) < 80
    assert story(tell, life) == story(tell, life) != story(tell, life, seed=2)


def test_lists():
    """Newest first, by pages."""

    async def tell(account):
        names = [account.begin("good") for _ in range(3)]
        await asyncio.sleep(100)
        first = account.batches.listed({"limit": "2", "order": "asc"})
        assert [row["status"] for row in first["data"]] == ["completed"] * 2
        rest = account.batches.listed({"after": first["last_id"]})
        return [row["id"] for row in first["data"] + rest["data"]] == names[::-1], first["has_more"], rest["has_more"]

    assert story(tell) == (True, True, False)


@pytest.mark.parametrize("life", [Batch(seconds=0), Batch(validating=1, finalizing=1), Batch(window=0.01)], ids=str)
def test_strange_lives(life):
    """However its phases lie, a batch ends, with each row in a file or never begun."""

    async def tell(account):
        name = account.begin("good")
        for _ in range(10):
            account.look(name)
            await asyncio.sleep(0.5)
        batch = account.look(name)
        return batch.status, batch.request_counts.total

    assert story(tell, life) == (("expired", 0) if life.window < 1 else ("completed", 1))


def test_a_new_batch_is_not_in_lists_at_once():
    """Where lists are slow; by its id it is found."""

    async def tell(account):
        name = account.begin("good")
        assert account.batches.listed({})["data"] == []
        assert account.look(name).status == "validating"
        await asyncio.sleep(30)
        assert [batch["id"] for batch in account.batches.listed({})["data"]] == [name]

    story(tell, msgspec.structs.replace(DAY, listing=30.0))


def test_no_more_tokens_are_enqueued_than_allowed():
    """A batch that would exceed them beside those that run fails, in the API's words; later it may run."""

    async def tell(account):
        first = account.begin(*["good"] * 10)
        second = account.begin(*["good"] * 10)
        await asyncio.sleep(15)
        assert (account.look(first).status, account.look(second).status) == ("in_progress", "failed")
        (error,) = account.look(second).errors.data
        assert (error.code, error.line) == ("token_limit_exceeded", None)
        assert "Enqueued token limit reached for fake" in error.message
        await asyncio.sleep(90)
        third = account.begin(*["good"] * 10)
        await asyncio.sleep(15)
        assert account.look(third).status == "in_progress"

    story(tell, msgspec.structs.replace(DAY, tokens=60))
