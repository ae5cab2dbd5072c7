"""What the simulator keeps, at its addresses."""

import asyncio
import json
from decimal import Decimal

import pytest

from headgate.providers.simulator.settings import Batch, Fault
from headgate.providers.simulator.simulator import Simulator
from headgate.providers.simulator.visit import Request
from headgate.testing import VirtualClock, virtual_time

CHAT = "/v1/chat/completions"


class Caller:
    """Somebody who calls a simulator."""

    def __init__(self, **settings):
        self.simulator = Simulator(clock=VirtualClock(), **settings)

    async def ask(self, method, address, body=b"", **headers):
        """Status, content type and bytes of an answer."""
        path, _, query = address.partition("?")
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.simulator.take(Request(method, "/v1" + path, given, raw, query))
        said = []
        try:
            await answer.head()
            while data := await answer.receive():
                said.append(data)
        finally:
            answer.close()
        return answer.status, answer.headers["content-type"], b"".join(said)

    async def json(self, method, address, body=b"", **headers):
        """The object of an answer; an error with its status."""
        status, _, said = await self.ask(method, address, body, **headers)
        found = json.loads(said)
        return found if status == 200 else (status, found["error"])

    async def upload(self, content, *, purpose="batch", filename="in.jsonl", address="/files", field="file", **more):
        """Send a form."""
        parts = [(f'name="{name}"', text.encode()) for name, text in {"purpose": purpose, **more}.items()]
        parts.append((f'name="{field}"; filename="{filename}"', content))
        body = b"".join(
            b"--b\r\ncontent-disposition: form-data; " + head.encode() + b"\r\n\r\n" + data + b"\r\n"
            for head, data in parts
        )
        return await self.json("POST", address, body + b"--b--\r\n", content_type="multipart/form-data; boundary=b")

    async def batch(self, url, *bodies):
        """Run a batch to its end: the batch, the good lines by name, the bad ones."""
        rows = [{"custom_id": str(at), "method": "POST", "url": url, "body": body} for at, body in enumerate(bodies)]
        file = await self.upload(b"\n".join(json.dumps(row).encode() for row in rows))
        wish = {"input_file_id": file["id"], "endpoint": url, "completion_window": "24h"}
        name = (await self.json("POST", "/batches", wish))["id"]
        await asyncio.sleep(100)
        batch = await self.json("GET", f"/batches/{name}")
        found = []
        for kind in ("output_file_id", "error_file_id"):
            said = b"" if batch[kind] is None else (await self.ask("GET", f"/files/{batch[kind]}/content"))[2]
            found.append({line["custom_id"]: line["response"] for line in map(json.loads, said.splitlines())})
        return batch, *found


def story(tell, **settings):
    """Run a story with a caller."""

    async def run():
        return await tell(Caller(**settings))

    return virtual_time(run())


@pytest.mark.parametrize(
    ("method", "address", "message"),
    [
        ("GET", "/responses/r", "Response with id 'r' not found."),
        ("DELETE", "/responses/r", "Response with id 'r' not found."),
        ("POST", "/responses/r/cancel", "Response with id 'r' not found."),
        ("GET", "/responses/r/input_items", "Response with id 'r' not found."),
        ("GET", "/files/f", "No such File object: f"),
        ("DELETE", "/files/f", "No such File object: f"),
        ("GET", "/files/f/content", "No such File object: f"),
        ("POST", "/uploads/u/cancel", "No such Upload object: u"),
        ("POST", "/uploads/u/complete", "No such Upload object: u"),
        ("GET", "/batches/b", "No batch found with id 'b'."),
        ("POST", "/batches/b/cancel", "No batch found with id 'b'."),
    ],
)
def test_what_is_not_there(method, address, message):
    """404, in the API's words."""

    async def tell(caller):
        return await caller.json(method, address, {"part_ids": []})

    status, error = story(tell)
    assert (status, error["message"], error["type"]) == (404, message, "invalid_request_error")


def test_files():
    """Uploaded as a form, shown, listed, read back, thrown away."""
    data = bytes(range(256)) * 3000

    async def tell(caller):
        fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
        file = await caller.upload(data, purpose="user_data", filename="ü.bin", **fields)
        assert (file["filename"], file["bytes"], file["expires_at"] - file["created_at"]) == ("ü.bin", 768_000, 3600)
        assert await caller.json("GET", f"/files/{file['id']}") == file
        assert (await caller.json("GET", "/files?purpose=user_data&limit=5"))["data"] == [file]
        assert (await caller.json("GET", "/files?purpose=batch"))["data"] == []
        content = await caller.ask("GET", f"/files/{file['id']}/content")
        assert content == (200, "application/octet-stream", data)
        assert (await caller.json("DELETE", f"/files/{file['id']}"))["deleted"]
        assert (await caller.json("GET", f"/files/{file['id']}"))[0] == 404
        return (await caller.json("GET", "/files?limit=0"))[1]["param"]

    assert story(tell) == "limit"


def test_forms_that_are_refused():
    """Each names what is missing or wrong."""

    async def tell(caller):
        found = [
            await caller.upload(b"", purpose="fun"),
            await caller.upload(b"", field="document", purpose="evals"),
            await caller.upload(b"", purpose="evals", **{"expires_after[seconds]": "3600"}),
            await caller.json("POST", "/files", {"purpose": "evals"}, content_type="application/json"),
        ]
        return [(status, error["param"]) for status, error in found]

    assert story(tell) == [(400, "purpose"), (400, "file"), (400, "expires_after.anchor"), (415, None)]


def test_uploads():
    """Begun, filled, completed; the file is there."""

    async def tell(caller):
        wish = {"filename": "a", "purpose": "evals", "bytes": 6, "mime_type": "text/plain"}
        name = (await caller.json("POST", "/uploads", wish))["id"]
        parts = [
            (await caller.upload(data, address=f"/uploads/{name}/parts", field="data"))["id"]
            for data in (b"def", b"abc")
        ]
        done = await caller.json("POST", f"/uploads/{name}/complete", {"part_ids": parts[::-1]})
        assert (await caller.json("POST", f"/uploads/{name}/cancel"))[0] == 400
        return (await caller.ask("GET", f"/files/{done['file']['id']}/content"))[2]

    assert story(tell) == b"abcdef"


def test_answers():
    """Kept unless asked not to; shown, replayed, continued, counted, listed, thrown away."""

    async def tell(caller):
        status, kind, first = await caller.ask(
            "POST", "/responses", {"model": "gpt-4o", "input": "50 tokens", "stream": True}
        )
        said = [json.loads(event.split(b"\ndata: ")[1]) for event in first.split(b"\n\n")[:-1]]
        answer = said[-1]["response"]
        address = f"/responses/{answer['id']}"
        assert await caller.json("GET", address) == answer
        assert await caller.ask("GET", address + "?stream=true") == (status, kind, first)
        rest = (await caller.ask("GET", address + "?stream=true&starting_after=10"))[2]
        assert first.endswith(rest)
        assert json.loads(rest.split(b"\ndata: ")[1].split(b"\n\n")[0])["sequence_number"] == 11
        plain = (await caller.ask("GET", address + "?stream=true&include_obfuscation=false"))[2]
        assert b"obfuscation" in first
        assert b"obfuscation" not in plain
        assert (await caller.json("GET", address + "?starting_after=3"))[1]["param"] == "starting_after"
        assert (await caller.json("GET", address + "?stream=maybe"))[1]["param"] == "stream"
        more = {"model": "gpt-4o", "input": "And?", "previous_response_id": answer["id"]}
        following = await caller.json("POST", "/responses", more)
        assert following["usage"]["input_tokens"] > 50
        counted = await caller.json("POST", "/responses/input_tokens", more)
        assert counted["input_tokens"] == following["usage"]["input_tokens"]
        items = await caller.json("GET", f"/responses/{following['id']}/input_items?order=asc")
        assert [item["role"] for item in items["data"]] == ["user", "assistant", "user"]
        unkept = await caller.json("POST", "/responses", {"model": "gpt-4o", "input": "x", "store": False})
        assert (await caller.json("GET", f"/responses/{unkept['id']}"))[0] == 404
        assert (await caller.json("POST", address + "/cancel"))[1]["message"] == (
            "Cannot cancel a synchronous response."
        )
        assert (await caller.json("DELETE", address))["deleted"]
        return (await caller.json("POST", "/responses", more))[1]["code"]

    assert story(tell) == "previous_response_not_found"


def test_a_broken_answer_is_not_kept():
    """Only what was generated to its end can be looked at again."""

    async def tell(caller):
        fault = json.dumps({"kind": "error_event", "after_tokens": 3})
        wish = {"model": "gpt-4o", "input": "50 tokens", "stream": True}
        said = (await caller.ask("POST", "/responses", wish, x_simulate_fault=fault))[2]
        name = json.loads(said.split(b"\ndata: ")[1].split(b"\n\n")[0])["response"]["id"]
        return (await caller.json("GET", f"/responses/{name}"))[0]

    assert story(tell) == 404


def test_in_the_background():
    """Promised at once; done, and charged, after its time, at the price of any other answer."""

    async def tell(caller):
        wish = {"model": "gpt-6-luna", "input": "50 tokens"}
        promised = await caller.json("POST", "/responses", wish | {"background": True})
        assert (promised["status"], promised["output"], promised["background"]) == ("queued", [], True)
        assert caller.simulator.bill.lines == []
        await asyncio.sleep(9)
        working = await caller.json("GET", f"/responses/{promised['id']}")
        assert (working["status"], caller.simulator.bill.usd()) == ("in_progress", Decimal(0))
        await asyncio.sleep(1)
        charged = caller.simulator.bill.total
        done = await caller.json("GET", f"/responses/{promised['id']}")
        at_once = await caller.json("POST", "/responses", wish)
        assert done["output"][-1]["content"] == at_once["output"][-1]["content"]
        assert done["usage"] == at_once["usage"]
        assert charged * 2 == caller.simulator.bill.total > 0
        return done["status"], done["completed_at"] - done["created_at"], len(caller.simulator.log)

    assert story(tell, background=10.0) == ("completed", 10, 2)


@pytest.mark.parametrize(
    ("fault", "status", "charged"),
    [
        (Fault(kind="error_event", code="rate_limit_exceeded"), "failed", 0),
        (Fault(kind="error_event", code="content_filter", after_tokens=3), "incomplete", 1),
        (Fault(kind="wrong_usage"), "completed", 1),
        (Fault(kind="silence", delay=1), "completed", 1),
    ],
    ids=str,
)
def test_faults_in_the_background(fault, status, charged):
    """They befall the answer, or the promise."""

    async def tell(caller):
        promised = await caller.json("POST", "/responses", {"model": "gpt-4o", "input": "x", "background": True})
        await asyncio.sleep(10)
        done = await caller.json("GET", f"/responses/{promised['id']}")
        return done["status"], len(caller.simulator.bill.lines)

    assert story(tell, faults=[fault]) == (status, charged)


def test_a_fault_instead_of_a_promise():
    """An error status: nothing was promised, nothing will be charged."""

    async def tell(caller):
        refused = await caller.json("POST", "/responses", {"model": "gpt-4o", "input": "x", "background": True})
        await asyncio.sleep(10)
        return refused[0], caller.simulator.bill.lines

    assert story(tell, faults=[Fault(kind="status", status=503)]) == (503, [])


def test_a_batch_of_chats():
    """Answered as callers are, at half the price; limits and faults of callers do not count."""
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "50 tokens"}]}

    async def tell(caller):
        batch, good, bad = await caller.batch(CHAT, body, body | {"service_tier": "golden"}, body)
        assert batch["status"] == "completed"
        assert bad["1"]["status_code"] == 400
        assert bad["1"]["body"]["error"]["param"] == "service_tier"
        assert good["0"]["request_id"] != good["2"]["request_id"]
        lines = caller.simulator.bill.lines
        assert [line.tier for line in lines] == ["batch", "batch"]
        assert {line.request_id for line in lines} == {good[name]["request_id"] for name in "02"}
        tokens = [good[name]["body"]["usage"]["completion_tokens"] for name in "02"]
        assert sum(tokens) == batch["usage"]["output_tokens"]
        assert good["0"]["body"]["object"] == "chat.completion"
        twice = caller.simulator.bill.total
        caller.simulator._desk._faults._faults = ()
        alone = await caller.json("POST", "/chat/completions", body)
        assert alone["choices"][0]["message"] == good["0"]["body"]["choices"][0]["message"]
        return twice == caller.simulator.bill.total - twice > 0, len(caller.simulator.log)

    assert story(tell, faults=[Fault(kind="status")]) == (True, 1)


def test_batches_of_other_operations():
    """Answers that are kept, embeddings, moderations, pictures, completions."""

    async def tell(caller):
        said = {"model": "gpt-4o", "input": "5 tokens"}
        _, good, bad = await caller.batch("/v1/responses", said, said | {"background": True})
        assert await caller.json("GET", f"/responses/{good['0']['body']['id']}") == good["0"]["body"]
        found = [bad["1"]["body"]["error"]["param"]]
        for url, body in (
            ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "x"}),
            ("/v1/moderations", {"model": "omni-moderation-latest", "input": "x"}),
            ("/v1/images/generations", {"model": "gpt-image-2", "prompt": "x"}),
            ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "x"}),
        ):
            _, good, _ = await caller.batch(url, body)
            found.append(min(good["0"]["body"]))
        return found, {line.tier for line in caller.simulator.bill.lines}

    assert story(tell) == (["background", "data", "id", "background", "choices"], {"batch"})


def test_the_bill_waits_for_nobody():
    """Rows are charged as they are answered, whether or not anybody looks at the batch."""

    async def tell(caller):
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
        rows = [{"custom_id": str(at), "method": "POST", "url": CHAT, "body": body} for at in range(10)]
        file = await caller.upload(b"\n".join(json.dumps(row).encode() for row in rows))
        wish = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
        await caller.json("POST", "/batches", wish)
        await asyncio.sleep(50)
        half = len(caller.simulator.bill.lines)
        await asyncio.sleep(50)
        return half, len(caller.simulator.bill.lines)

    assert story(tell, batch=Batch(seconds=100)) == (5, 10)


def test_equal_seeds_keep_equal_things():
    """Names and all."""

    async def tell(caller):
        return await caller.batch(CHAT, {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]})

    assert story(tell, seed=5) == story(tell, seed=5) != story(tell, seed=6)


def test_sums_are_as_right_as_was_said():
    """In either dialect; a model without a quality does not know any."""

    async def story():
        caller = Caller(quality={"gpt-4o": 1.0, "gpt-4.1": 0.0})
        said = []
        for model in ("gpt-4o", "gpt-4.1", "gpt-4o-mini"):
            asked = {"model": model, "messages": [{"role": "user", "content": "What is 17 + 25?"}]}
            chat = await caller.json("POST", "/chat/completions", asked)
            responses = await caller.json("POST", "/responses", {"model": model, "input": "What is 17 + 25?"})
            said.append((chat["choices"][0]["message"]["content"], responses["output"][-1]["content"][0]["text"]))
        return said

    right, wrong, words = virtual_time(story())
    assert right == ("42", "42")
    assert all(33 <= int(text) <= 51 and text != "42" for text in wrong)
    assert not any(text.isdigit() for text in words)
