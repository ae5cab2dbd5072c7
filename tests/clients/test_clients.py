"""Every client runs unchanged: what it saw is what the simulator answered, and what the ledger has.

Run by `make clients`: the clients come from the package indexes, in the versions of `requirements/` and `package.json`,
into `build/clients`, once. A program of `programs/` talks to a fresh gate through one client and prints a line for
each call; the gate's provider is the simulator, over HTTP, which keeps what it was asked and what it answered.
"""

import asyncio
import base64
import json
import os
import shutil
import struct
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.clients, pytest.mark.timeout(900)]

PROGRAMS = Path(__file__).parent / "programs"
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "embeddings": "/v1/embeddings"}
JQ = "install it: apt install jq, or brew install jq"
CURL = "install it: apt install curl, or brew install curl"


class Step(NamedTuple):
    """One call that a program is to make."""

    door: str
    task: str
    operation: str
    stream: bool = False
    encoding: str | None = None


def _talk(door: str, operation: str, *, tool: str | None = None, error: bool = True) -> list[Step]:
    """A conversation of two turns, a stream, a tool's call and its result, and a model that does not exist."""
    steps = [
        Step(door, "conversation", operation),
        Step(door, "conversation", operation),
        Step(door, "stream", operation, stream=True),
        Step(door, "tool", tool or operation),
        Step(door, "tool", tool or operation),
    ]
    return [*steps, Step(door, "error", operation)] if error else steps


def _embed(door: str, *encodings: str | None) -> list[Step]:
    """Embeddings, in each of these forms."""
    return [Step(door, "embedding", "embeddings", encoding=encoding) for encoding in encodings]


class Program(NamedTuple):
    """A program, and what it is to do."""

    home: str
    package: str
    file: str
    plan: list[Step]
    error: str
    """The class of the exception that an unknown model is to the client's user."""


OPENAI = [
    *_talk("sync", "chat"),
    *_embed("sync", "base64", "float"),
    *_talk("async", "chat"),
    *_embed("async", "base64", "float"),
    *_talk("responses", "responses"),
]
LANGCHAIN = [
    *_talk("default", "chat", tool="responses"),
    *_embed("default", "base64", "float"),
    *_talk("responses", "responses"),
]
LLAMA_INDEX = [*_talk("chat", "chat"), *_embed("chat", "base64")]
PYDANTIC_AI = [
    *_talk("chat", "chat"),
    *_embed("chat", "base64"),
    *_talk("responses", "responses"),
    *_embed("responses", "base64"),
]
PYTHON = [
    Program("openai-3", "openai", "openai_python.py", OPENAI, "NotFoundError"),
    Program("openai-2", "openai", "openai_python.py", OPENAI, "NotFoundError"),
    Program("langchain", "langchain-openai", "langchain_sdk.py", LANGCHAIN, "OpenAIModelNotFoundError"),
    Program("llama-index", "llama-index-llms-openai-like", "llama_index_sdk.py", LLAMA_INDEX, "NotFoundError"),
    Program("pydantic-ai", "pydantic-ai-slim", "pydantic_ai_sdk.py", PYDANTIC_AI, "ModelNotFoundError"),
    Program("instructor", "instructor", "instructor_sdk.py", LLAMA_INDEX, "InstructorRetryException"),
]

OPENAI_NODE = [*_talk("chat", "chat"), *_embed("chat", "base64", "float"), *_talk("responses", "responses")]
VERCEL = [
    *_talk("responses", "responses"),
    *_embed("responses", "float"),
    *_talk("chat", "chat"),
    *_embed("chat", "float"),
    *_talk("compatible", "chat"),
    *_embed("compatible", "float"),
]
NODE = [
    Program("node", "openai", "openai_node.mjs", OPENAI_NODE, "NotFoundError"),
    Program("node", "ai", "vercel_ai.mjs", VERCEL, "AI_APICallError"),
]


def _raised(error: str) -> dict[str, Any]:
    """What a client's exception tells of an unknown model."""
    return {"error": error, "status": 404, "code": "model_not_found"}


def _answer(path: str, answer: bytes, *, stream: bool) -> dict[str, Any]:
    """What the simulator said: `text`, or `tool` and `arguments`; or `vectors`; and `tokens`."""
    if path == PATHS["embeddings"]:
        made = json.loads(answer)
        vectors = [_vector(one["embedding"]) for one in made["data"]]
        return {"vectors": vectors, "tokens": [made["usage"]["prompt_tokens"], 0]}
    events = []
    if stream:
        lines = (line.removeprefix(b"data: ") for line in answer.split(b"\n") if line.startswith(b"data: {"))
        events = [json.loads(line) for line in lines]
    if path == PATHS["responses"]:
        return _of_responses(events[-1]["response"] if stream else json.loads(answer))
    if not stream:
        chat = json.loads(answer)
        return _of_chat(chat["choices"][0]["message"], chat["usage"])
    deltas = [choice["delta"] for event in events for choice in event["choices"]]
    message: dict[str, Any] = {"content": "".join(delta.get("content") or "" for delta in deltas)}
    calls = [call["function"] for delta in deltas for call in delta.get("tool_calls", ())]
    if calls:
        function = {"name": calls[0]["name"], "arguments": "".join(call.get("arguments", "") for call in calls)}
        message["tool_calls"] = [{"function": function}]
    return _of_chat(message, events[-1]["usage"])


def _of_chat(message: dict[str, Any], usage: dict[str, int]) -> dict[str, Any]:
    tokens = [usage["prompt_tokens"], usage["completion_tokens"]]
    for call in message.get("tool_calls") or ():
        arguments = json.loads(call["function"]["arguments"])
        return {"tool": call["function"]["name"], "arguments": arguments, "tokens": tokens}
    return {"text": message["content"], "tokens": tokens}


def _of_responses(response: dict[str, Any]) -> dict[str, Any]:
    tokens = [response["usage"]["input_tokens"], response["usage"]["output_tokens"]]
    for item in response["output"]:
        if item["type"] == "function_call":
            return {"tool": item["name"], "arguments": json.loads(item["arguments"]), "tokens": tokens}
    parts = [part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"]]
    return {"text": "".join(parts), "tokens": tokens}


def _vector(given: str | list[float]) -> list[float]:
    """An embedding; base64 holds little-endian floats of four bytes."""
    if isinstance(given, list):
        return given
    data = base64.b64decode(given)
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def _judge(told, plan: list[Step], error: dict[str, Any]) -> None:
    """Hold what a client saw against what was answered, and both against the books."""
    assert [(step["door"], step["task"]) for step in told.steps] == [(step.door, step.task) for step in plan]
    assert len(told.rows) == len(plan)
    exchanges = iter(told.exchanges)
    for step, planned, row in zip(told.steps, plan, told.rows, strict=True):
        assert (row["operation"], row["stream"]) == (planned.operation, planned.stream), planned
        assert (row["key"], row["project"]) == ("visitor", "clients")
        assert row["request_id"] == f"req_{row['call_id']}"
        assert step.get("request_id", row["request_id"]) == row["request_id"], planned
        if planned.task == "error":
            assert (row["attempt"], row["settled"], row["status"]) == (0, "not_billed", 404)
            assert row["model_requested"] == "no-such-model"
            facts = {name: value for name, value in step.items() if name not in {"door", "task", "request_id"}}
            assert facts == error
            continue
        exchange = next(exchanges)
        assert exchange.path == PATHS[planned.operation]
        assert exchange.attempt == f"{row['call_id']}-{row['attempt']}"
        assert exchange.key == "Bearer sk-upstream"
        assert exchange.question.get("encoding_format") == planned.encoding
        answer = _answer(exchange.path, exchange.answer, stream=planned.stream)
        assert (row["settled"], row["basis"], row["status"]) == ("billed", "reported", 200)
        assert [row["prompt_tokens"], row["completion_tokens"]] == answer["tokens"]
        assert step.get("tokens", answer["tokens"]) == answer["tokens"], planned
        if planned.task == "embedding":
            vectors = [_vector(one) for one in step["vectors"]]
            assert vectors == [pytest.approx(one, rel=1e-6) for one in answer["vectors"]]
        elif "tool" in answer:
            assert (step["tool"], step["arguments"]) == (answer["tool"], answer["arguments"])
        else:
            assert step["text"] == answer["text"] != ""
    assert list(exchanges) == []
    assert sum(Decimal(row["cost_usd"] or 0) for row in told.rows) == told.bill


@pytest.fixture(name="prove")
def _prove(tmp_path, tell, table):
    """Lets a program talk, judges what it told, and enters it into the table."""

    def prove(client: str, command: list[str | Path], plan: list[Step], error: dict[str, Any], **variables: str):
        told = asyncio.run(tell(tmp_path, command, **variables))
        _judge(told, plan, error)
        table(client, [(step.door, step.task) for step in plan])

    return prove


@pytest.mark.parametrize("program", PYTHON, ids=[program.home for program in PYTHON])
def test_python(program, python, prove):
    """A client for Python, in an environment of its own."""
    home = python(program.home)
    command = [home / "bin" / "python", PROGRAMS / program.file]
    prove(python.version(program.package, home), command, program.plan, _raised(program.error))


@pytest.mark.parametrize("program", NODE, ids=[program.file for program in NODE])
def test_node(program, node, prove):
    """A client for Node, which finds its packages above the place where it lies."""
    home = node()
    for file in PROGRAMS.glob("*.mjs"):
        shutil.copy(file, home)
    command = [home / "node_modules" / ".bin" / "node", home / program.file]
    prove(node.version(program.package), command, program.plan, _raised(program.error))


def test_llm(python, prove, need):
    """`llm`, as a command. Of an error it tells the message."""
    need("jq", JQ)
    home = python("llm")
    plan = [*_talk("chat", "chat"), *_embed("chat", "base64"), *_talk("responses", "responses", error=False)]
    said = "Error: Error code: 404 - The model 'no-such-model' does not exist here.\n\n"
    error = {"said": said + "hint: `GET /v1/models` and `headgate models` list the names that do."}
    path = os.pathsep.join([str(home / "bin"), os.environ["PATH"]])
    prove(python.version("llm", home), ["bash", PROGRAMS / "llm_command.sh"], plan, error, PATH=path)


def test_curl(prove, need):
    """curl, which knows nothing of anything. It ends with 22 where the status is an error."""
    need("jq", JQ)
    version = subprocess.run([need("curl", CURL), "--version"], capture_output=True, text=True, check=True).stdout
    plan = [*_talk("chat", "chat"), *_embed("chat", "float", "base64")]
    error = {"error": 22, "status": 404, "code": "model_not_found"}
    prove(" ".join(version.split()[:2]), ["bash", PROGRAMS / "curl.sh"], plan, error)
