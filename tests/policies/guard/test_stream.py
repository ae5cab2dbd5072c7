"""A stream on its way through the guard: whatever the cuts, what comes out is what a whole text would be."""

import asyncio
import json
import re
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headgate.core.body import Body
from headgate.core.call import Call, Operation
from headgate.core.errors import GuardDownError, GuardError, OverloadedError
from headgate.core.reply import Event, Kind, Reply
from headgate.dialects.registry import DIALECTS
from headgate.dialects.sse import Decoder
from headgate.policies.guard.guard import Guard
from headgate.policies.guard.rules import Chains, Rule

SECRET = "sk-" + "a1B2" * 6
BLOCK = Rule(kind="patterns", name="deal", patterns=(r"\bact\s{1,3}now\b", "b[äo]{2,3}m", "x{3}"))
DEAL = re.compile(r"\bact\s{1,3}now\b|b[äo]{2,3}m|x{3}", re.ASCII)
"""The same, said to another engine."""
KEY = re.compile(rf"\b{SECRET}", re.ASCII)
MASK = Rule(kind="secrets", name="keys", action="mask")
WORDS = Rule(kind="words", name="names", action="mask", words=("ab ba", "bab", "Zoë"))
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


@cache
def chains(*rules: Rule) -> Chains:
    """Rules for output; made once."""
    return Chains({"input": (), "output": rules})


def events(raws: list[bytes], operation: Operation, *, usage_wanted: bool = True) -> list[Event]:
    """Events as a provider gives them."""
    reader = DIALECTS[operation].read_stream(usage_wanted=usage_wanted)
    return [reader.read(event) for raw in raws for event in Decoder().feed(raw)]


def sse(data: dict[str, Any]) -> bytes:
    """One event."""
    name = f"event: {data['type']}\n" if "type" in data else ""
    return f"{name}data: {json.dumps(data)}\n\n".encode()


def chat(*pieces: str, index: int = 0, field: str = "content") -> list[bytes]:
    """A chat answer in pieces."""

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return sse({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})

    raws = [chunk({"role": "assistant", "content": ""})]
    raws += [chunk({field: piece}) for piece in pieces]
    return [*raws, chunk({}, "stop"), sse({"id": "c1", "choices": [], "usage": USAGE}), b"data: [DONE]\n\n"]


def responses(*pieces: str) -> list[bytes]:
    """A response in pieces, with everything that repeats them."""
    text = "".join(pieces)
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    response = {"id": "resp_1", "store": False, "status": "in_progress", "output": [], "instructions": "Never act now."}
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    told: list[dict[str, Any]] = [
        {"type": "response.created", "response": response},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {"type": "response.content_part.added", **where, "part": {**part, "text": ""}},
        *({"type": "response.output_text.delta", **where, "delta": piece, "logprobs": []} for piece in pieces),
        {"type": "response.output_text.done", **where, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **where, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {
            "type": "response.completed",
            "response": {
                **response,
                "status": "completed",
                "output": [item],
                "usage": {"input_tokens": 3, "output_tokens": 4},
            },
        },
    ]
    return [sse({**one, "sequence_number": number}) for number, one in enumerate(told)]


class Source:
    """A provider's stream."""

    def __init__(self, given_: list[Event]) -> None:
        self.given = given_
        self.closed = 0
        self.asked: list[str] = []
        self.flag = ""
        self.down = False

    def __aiter__(self) -> "Source":
        return self

    async def __anext__(self) -> Event:
        if not self.given:
            raise StopAsyncIteration
        return self.given.pop(0)

    async def close(self) -> None:
        """Be closed."""
        self.closed += 1

    async def answer(self, call: Call) -> Reply:
        """Answer a caller with the stream, and the gate with a moderation."""
        if call.operation is not Operation.MODERATIONS:
            return Reply([], self, close=self.close, stream=True)
        if self.down:
            message = "no"
            raise OverloadedError(message)
        said = json.loads(call.body.raw)["input"]
        self.asked.append(said)
        flagged = bool(self.flag) and self.flag in said
        result = {"flagged": flagged, "categories": {"violence": flagged, "other": False}}
        return Reply([Event(kind=Kind.TERMINAL, raw=json.dumps({"results": [result]}).encode())])


def through(
    raws: list[bytes], *rules: Rule, operation: Operation = Operation.CHAT, source: Source | None = None
) -> tuple[list[Event], Exception | None, Call, Source]:
    """What comes out of a stream, the error that ends it, the call, and the source."""
    source = source or Source([])
    source.given = events(raws, operation)
    call = Call(id="1", operation=operation, model="m", body=Body(b"{}"), started=0, day="2027-01-15", stream=True)
    out: list[Event] = []

    guard = Guard(chains(*rules))

    async def story() -> Exception | None:
        try:
            async with await guard(call, source.answer) as reply:
                async for event in reply:
                    out.append(event)  # noqa: PERF401  what came before an error counts
        except (GuardError, GuardDownError) as error:
            return error
        return None

    return out, asyncio.run(story()), call, source


def said(out: list[Event], field: str = "content") -> str:
    """The words of a chat answer that a client puts together."""
    found = ""
    for event in out:
        if event.raw.startswith(b"data: {"):
            for choice in json.loads(event.raw[6:])["choices"]:
                found += choice["delta"].get(field) or ""
    return found


def datas(out: list[Event]) -> list[dict[str, Any]]:
    """The data of named events."""
    return [json.loads(event.raw.partition(b"data: ")[2]) for event in out]


PARTS = st.lists(
    st.sampled_from(
        ["act", " now", "now ", "a", "b", "ä", "ö", "o", "x", "xx", " ", "ab", "ba", "Zo", "ë", SECRET[:9], SECRET[9:]]
    ),
    max_size=14,
)


@settings(max_examples=400, deadline=None)
@given(parts=PARTS, cuts=st.sets(st.integers(0, 80)))
@example(parts=["act now"], cuts=set(range(8)))
@example(parts=["act  now", "ier"], cuts={1, 8})
@example(parts=["x", "x", "x"], cuts={1, 2, 3})
def test_every_cut_gives_what_the_whole_text_gives(parts: list[str], cuts: set[int]):
    """Blocked words are never sent, masked ones are masked, and all others come, wherever the events are cut."""
    text = "".join(parts)
    places = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    pieces = [text[a:b] for a, b in pairwise(places)]
    rules = (BLOCK, MASK, WORDS)
    whole, whole_error, _, _ = through(chat(text), *rules)
    out, error, call, source = through(chat(*pieces), *rules)
    blocked = DEAL.search(text)
    assert (error is not None) == (whole_error is not None) == (blocked is not None)
    assert not KEY.search(said(out))
    if error is None:
        assert said(out) == said(whole)
        assert [event.raw for event in out[-2:]] == chat()[-2:]
        assert "".join(event.text for event in out) == said(out)
    else:
        assert isinstance(error, GuardError)
        assert blocked is not None
        # Of what is blocked, not even the beginning was sent.
        assert "[" in said(out) or text[: blocked.start()].startswith(said(out))
        assert call.verdicts[-1] == error.verdict
        assert source.closed >= 1


@settings(max_examples=200, deadline=None)
@given(parts=PARTS, cuts=st.sets(st.integers(0, 80)))
def test_responses_repeat_what_was_said_and_nothing_else(parts: list[str], cuts: set[int]):
    """The finished text, part, item and response say what the deltas said; the numbers follow each other."""
    text = "".join(parts)
    places = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    pieces = [text[a:b] for a, b in pairwise(places)]
    out, error, _, _ = through(responses(*pieces), BLOCK, MASK, WORDS, operation=Operation.RESPONSES)
    whole, whole_error, _, _ = through(chat(text), BLOCK, MASK, WORDS)
    assert type(error) is type(whole_error)
    raw = b"".join(event.raw for event in out)
    assert not KEY.search(raw.decode())
    told = datas(out)
    assert [one["sequence_number"] for one in told] == list(range(len(told)))
    deltas = "".join(one["delta"] for one in told if one["type"].endswith(".delta"))
    if error is None:
        assert deltas == said(whole)
        done, part, item, end = told[-4:]
        assert done["text"] == part["part"]["text"] == item["item"]["content"][0]["text"] == deltas
        assert end["response"]["output"][0]["content"][0]["text"] == deltas
        assert end["response"]["instructions"] == "Never act now."


def test_a_stream_without_findings_passes_byte_by_byte():
    """Where nothing is found and nothing waits, events are the provider's own."""
    raws = chat("Hello", " there", ", friend")
    out, error, call, _ = through(raws, BLOCK, MASK)
    assert error is None
    assert [event.raw for event in out] == raws
    assert call.verdicts == []


def test_a_verdict_says_what_and_where():
    """The rule, its kind, the pattern and the place in the text; never the words."""
    _, error, call, _ = through(chat("Please ", "ac", "t no", "w."), BLOCK)
    assert isinstance(error, GuardError)
    verdict = error.verdict
    assert (verdict.rule, verdict.layer, verdict.side, verdict.action) == ("deal", "patterns", "output", "block")
    assert verdict.pattern == r"\bact\s{1,3}now\b"
    assert verdict.span == (7, 14)
    assert (error.http_status, error.code) == (403, "blocked")
    assert call.verdicts == [verdict]


@pytest.mark.parametrize("field", ["refusal", "reasoning_content", "reasoning"])
def test_every_field_of_a_message_is_judged(field):
    """Refusals and reasoning are words as well."""
    out, error, _, _ = through(chat("act", " now", field=field), BLOCK)
    assert isinstance(error, GuardError)
    assert "act" not in said(out, field)


def test_the_arguments_of_a_tool_are_judged_and_put_together_again():
    """A secret that is cut over the fragments of a call is masked; id and name stay."""
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"k":"'}}
    calls: list[dict[str, Any]] = [first]
    calls += [{"index": 0, "function": {"arguments": piece}} for piece in (SECRET[:5], SECRET[5:], '"}')]
    raws = chat("x")
    raws[1:2] = [sse({"id": "c1", "choices": [{"index": 0, "delta": {"tool_calls": [one]}}]}) for one in calls]
    out, error, _, _ = through(raws, MASK)
    assert error is None
    arguments, ids = "", []
    for one in datas(out[:-2]):
        for tool in one["choices"][0]["delta"].get("tool_calls", []):
            ids.append(tool.get("id"))
            arguments += tool["function"]["arguments"]
    assert arguments == '{"k":"[openai_key]"}'
    assert ids[0] == "call_1"


def test_choices_are_judged_apart():
    """Words of two answers side by side are no sentence."""

    def chunk(index: int, text: str, finish: str | None = None) -> bytes:
        return sse({"id": "c", "choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish}]})

    raws = [chunk(0, "act"), chunk(1, " now"), chunk(0, "", "stop"), chunk(1, " act now", "stop"), b"data: [DONE]\n\n"]
    out, error, _, _ = through(raws, BLOCK)
    assert isinstance(error, GuardError)
    assert error.verdict.span == (5, 12)
    assert b'"act"' in b"".join(event.raw for event in out)


MODERATION = Rule(kind="moderation", name="mod", buffer="sentence")


def test_a_moderation_is_asked_sentence_by_sentence():
    """A sentence is sent once it was judged; the flagged one never is."""
    source = Source([])
    source.flag = "kill"
    pieces = ("One th", "ing. ", "Two things! I will ki", "ll you. Bye.")
    out, error, call, _ = through(chat(*pieces), MODERATION, source=source)
    assert isinstance(error, GuardError)
    assert source.asked == ["One thing. ", "Two things! ", "I will kill you. "]
    assert said(out) == "One thing. Two things! "
    assert call.verdicts[0].categories == ("violence",)


def test_a_moderation_of_everything_waits_for_the_end():
    """With `whole`, it is asked once, and what the response repeats is not judged again."""
    source = Source([])
    rule = Rule(kind="moderation", name="mod", buffer="whole")
    out, error, _, _ = through(
        responses("One. ", "Two. ", "Three."), rule, operation=Operation.RESPONSES, source=source
    )  # fmt: skip
    assert error is None
    assert source.asked == ["One. Two. Three."]
    deltas = [one["delta"] for one in datas(out) if one["type"].endswith(".delta")]
    assert deltas == ["One. Two. Three."]


def test_a_moderation_that_is_down_closes_or_opens_as_declared():
    """Closed says no word; open says all, and the books say so."""
    source = Source([])
    source.down = True
    out, error, call, _ = through(chat("Hello."), MODERATION, source=source)
    assert isinstance(error, GuardDownError)
    assert out == []
    opened = Rule(kind="moderation", name="mod", buffer="sentence", open=True)
    out, error, call, _ = through(chat("Hello."), opened, source=source)
    assert error is None
    assert said(out) == "Hello."
    assert [(one.action, one.approved) for one in call.verdicts] == [("flag", True)]


def test_a_pattern_without_a_bound_is_judged_by_sentences():
    """It is found within a sentence, however it was cut."""
    rule = Rule(kind="patterns", name="long", patterns=("foo.*bar",), action="mask", buffer="sentence")
    out, error, _, _ = through(chat("Hi. fo", "o and ", "bar. B", "ye"), rule)
    assert error is None
    assert said(out) == "Hi. [long]. Bye"


def completions(*pieces: str) -> list[bytes]:
    """An answer of the older API, in pieces."""

    def chunk(text: str, finish: str | None = None) -> bytes:
        choice = {"index": 0, "text": text, "logprobs": {"tokens": [text]}, "finish_reason": finish}
        return sse({"id": "c1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]})

    return [*map(chunk, pieces), chunk("", "stop"), b"data: [DONE]\n\n"]


@settings(max_examples=200, deadline=None)
@given(parts=PARTS, cuts=st.sets(st.integers(0, 80)))
def test_completions_say_what_chat_says(parts: list[str], cuts: set[int]):
    """The older API, with the same rules and the same cuts; tokens do not tell what words do not."""
    text = "".join(parts)
    places = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    pieces = [text[a:b] for a, b in pairwise(places)]
    out, error, _, _ = through(completions(*pieces), BLOCK, MASK, WORDS, operation=Operation.COMPLETIONS)
    whole, whole_error, _, _ = through(chat(text), BLOCK, MASK, WORDS)
    assert type(error) is type(whole_error)
    raw = b"".join(event.raw for event in out).decode()
    assert not KEY.search(raw)
    told = [choice for event in out if event.raw.startswith(b"data: {") for choice in datas([event])[0]["choices"]]
    words = "".join(choice["text"] for choice in told)
    if error is None:
        assert words == said(whole)
        assert raw.endswith("data: [DONE]\n\n")
    else:
        assert not DEAL.search(words)
        assert "[DONE]" not in raw
    for choice in told:
        assert not choice["logprobs"] or choice["logprobs"]["tokens"] == [choice["text"]]


PLACES = {
    "output_text": ("response.output_text", "text", lambda text: {"type": "output_text", "text": text}),
    "refusal": ("response.refusal", "refusal", lambda text: {"type": "refusal", "refusal": text}),
    "reasoning_text": ("response.reasoning_text", "text", lambda text: {"type": "reasoning_text", "text": text}),
    "summary": ("response.reasoning_summary_text", "text", lambda text: {"type": "summary_text", "text": text}),
    "arguments": ("response.function_call_arguments", "arguments", None),
    "custom": ("response.custom_tool_call_input", "input", None),
    "code": ("response.code_interpreter_call_code", "code", None),
    "mcp": ("response.mcp_call_arguments", "arguments", None),
}  # fmt: skip
"""Where Responses says words: the name of the event, the field of its end, and the part that repeats it."""


def told_in(place: str, pieces: tuple[str, ...]) -> list[bytes]:
    """A response that says something in one of these places, and repeats it wherever the API does."""
    kind, field, part = PLACES[place]
    text = "".join(pieces)
    where = {"item_id": "i", "output_index": 0, "summary_index" if place == "summary" else "content_index": 0}
    content = {"content": [part(text)]} if part else {field: text}
    item = {"id": "i", "type": "item", **({"summary": content["content"]} if place == "summary" else content)}
    parts = [{"type": "response.content_part.done", **where, "part": part(text)}] if part else []
    told: list[dict[str, Any]] = [
        {"type": "response.created", "response": {"id": "r", "status": "in_progress", "output": []}},
        *({"type": f"{kind}.delta", **where, "delta": piece} for piece in pieces),
        {"type": f"{kind}.done", **where, field: text},
        *parts,
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": [item]}},
    ]
    return [sse({**one, "sequence_number": number}) for number, one in enumerate(told)]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("cut", [0, 4, 12])
def test_every_place_of_a_response_is_guarded(place: str, cut: int):
    """Words, refusals, thoughts and their summaries, arguments, code: as they come, and wherever they are repeated."""
    text = f"the {SECRET} and more"
    out, error, _, _ = through(told_in(place, (text[:cut], text[cut:])), MASK, operation=Operation.RESPONSES)
    assert error is None
    raw = b"".join(event.raw for event in out)
    assert b"a1B2" not in raw
    repeats = 4 if PLACES[place][2] else 3
    assert raw.count(b"the [openai_key] and more") >= repeats
    assert [one["sequence_number"] for one in datas(out)] == list(range(len(out)))
    out, error, _, _ = through(told_in(place, ("Please a", "ct now")), BLOCK, operation=Operation.RESPONSES)
    assert isinstance(error, GuardError)
    said = b"".join(event.raw for event in out)
    assert b"act" not in said.replace(b"content", b"")
    assert b"ct now" not in said


@pytest.mark.parametrize("place", PLACES)
def test_what_was_not_said_before_is_guarded_where_it_is_repeated(place: str):
    """A provider that sends no deltas, and says all at once in the end."""
    for last in (2, 3, 4):
        raws = [raw for raw in told_in(place, ("Please act now",)) if b".delta" not in raw]
        if len(raws) <= last - 1:
            continue
        out, error, _, _ = through([raws[0], *raws[last - 1 :]], BLOCK, operation=Operation.RESPONSES)
        assert isinstance(error, GuardError)
        assert b"act now" not in b"".join(event.raw for event in out)
