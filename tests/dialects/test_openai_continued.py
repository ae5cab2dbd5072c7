"""A stream continued by another one: cut at every event, repeated in other pieces, it reads as one whole answer."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.call import Operation
from headgate.core.reply import Event, Kind
from headgate.dialects.openai_continued import MOST_MARKS, continued
from headgate.dialects.openai_said import MOST, Departed
from headgate.dialects.registry import DIALECTS
from headgate.dialects.sse import Decoder

CHAT, RESPONSES, COMPLETIONS = Operation.CHAT, Operation.RESPONSES, Operation.COMPLETIONS
TALKS = [CHAT, RESPONSES, COMPLETIONS]
WORDS = ["Gates ", "open ", "für ", "alle \N{GRINNING FACE}", "."]
TEXT = "".join(WORDS)
DONE = b"data: [DONE]\n\n"


def sse(data: dict[str, Any], name: str = "") -> bytes:
    """One event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def chat(words: list[str], key: str, *, field: str = "delta") -> list[bytes]:
    """An answer in chat (or, as plain text, in the older completions)."""
    same = {"id": f"id-{key}", "created": ord(key), "model": f"m-{key}", "system_fingerprint": f"fp-{key}", "x": 1.0}

    def chunk(said: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, field: said, "finish_reason": finish}
        if field == "text":
            choice["text"] = said.get("content", "")
        return sse({**same, "choices": [choice], "usage": None})

    opening = [chunk({"role": "assistant", "content": ""}), b": hello\n\n"] if field == "delta" else []
    usage = {"prompt_tokens": 3, "completion_tokens": len(words), "total_tokens": 3 + len(words)}
    said = [chunk({"content": word}) for word in words]
    return [*opening, *said, chunk({}, "stop"), sse({**same, "choices": [], "usage": usage}), DONE]


def responses(words: list[str], key: str, *, reasoning: bool = False) -> list[bytes]:
    """An answer in Responses."""
    text = "".join(words)
    at = int(reasoning)
    place = {"item_id": f"msg-{key}", "output_index": at, "content_index": 0}
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"id": f"msg-{key}", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    thought = {"id": f"rs-{key}", "type": "reasoning", "summary": []}
    facts = {"id": f"resp-{key}", "created_at": ord(key), "model": f"m-{key}", "store": False, "x": 1.0}
    used = {"input_tokens": 3, "output_tokens": len(words), "total_tokens": 3 + len(words)}
    events: list[tuple[str, dict[str, Any]]] = [
        ("created", {"response": {**facts, "status": "in_progress", "output": []}}),
        ("in_progress", {"response": {**facts, "status": "in_progress", "output": []}}),
    ]
    if reasoning:
        events += [(f"output_item.{step}", {"output_index": 0, "item": thought}) for step in ("added", "done")]
    events += [
        ("output_item.added", {"output_index": at, "item": {**item, "status": "in_progress", "content": []}}),
        ("content_part.added", {**place, "part": {**part, "text": ""}}),
        *(("output_text.delta", {**place, "delta": word}) for word in words),
        ("output_text.done", {**place, "text": text}),
        ("content_part.done", {**place, "part": part}),
        ("output_item.done", {"output_index": at, "item": item}),
    ]
    output = [thought, item] if reasoning else [item]
    events.append(("completed", {"response": {**facts, "status": "completed", "output": output, "usage": used}}))
    named = ((f"response.{name}", facts) for name, facts in events)
    return [sse({"type": name, "sequence_number": n, **facts}, name) for n, (name, facts) in enumerate(named)]


def answer(operation: Operation, words: list[str], key: str) -> list[bytes]:
    """An answer, in pieces."""
    if operation is RESPONSES:
        return responses(words, key)
    return chat(words, key, field="delta" if operation is CHAT else "text")


def read(operation: Operation, raws: list[bytes]) -> list[Event]:
    """The events of a stream, as the house reads them."""
    reader = DIALECTS[operation].read_stream(usage_wanted=True)
    return [reader.read(event) for raw in raws for event in Decoder().feed(raw)]


def cuts(events: list[Event]) -> range:
    """Where a stream may break: after its first word and before its end."""
    kinds = [event.kind for event in events]
    return range(kinds.index(Kind.CONTENT) + 1, kinds.index(Kind.TERMINAL) + 1)


def join(operation: Operation, *parts: list[Event], repeated: str | None = None) -> list[Event]:
    """What the caller sees of an answer and those that continue it."""
    seen = continued(operation)
    shown: list[Event] = []
    for number, part in enumerate(parts):
        if number:
            said = seen.said()
            assert said is not None
            assert said == "".join(event.text for event in shown)
            seen.begin(said if repeated is None else repeated)
        for event in part:
            mine = seen.join(event) if number else event
            if mine is not None:
                seen.note(mine)
                shown.append(mine)
    return shown


def data(events: list[Event]) -> list[dict[str, Any]]:
    """What is said in events, comments and end marks left out."""
    found = (decoded.data for event in events for decoded in Decoder().feed(event.raw))
    return [json.loads(one) for one in found if one is not None and one != b"[DONE]"]


def check(operation: Operation, events: list[Event], text: str, key: str, last: str) -> None:
    """It is one whole answer: `text`, named as the first answer was and counted as the last one."""
    told = data(events)
    assert "".join(event.text for event in events) == text
    assert [event.kind for event in events].count(Kind.TERMINAL) == 1
    again = read(operation, [event.raw for event in events])
    assert [(event.kind, event.text, event.size) for event in again] == [
        (event.kind, event.text, event.size) for event in events
    ]
    if operation is RESPONSES:
        check_responses(told, text, key, last)
        return
    assert events[-1].raw == DONE
    assert {chunk["id"] for chunk in told} == {f"id-{key}"}
    assert {(chunk["created"], chunk["system_fingerprint"]) for chunk in told} == {(ord(key), f"fp-{key}")}
    assert b'"x":1.0' in events[-2].raw or b'"x": 1.0' in events[-2].raw
    assert told[-1]["usage"]["prompt_tokens"] == 3
    assert told[-1]["model"] == f"m-{last}"
    choices = [choice for chunk in told for choice in chunk["choices"]]
    said = [choice["delta"] if operation is CHAT else choice for choice in choices]
    assert "".join(one.get("content" if operation is CHAT else "text") or "" for one in said) == text
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop"]
    assert sum("role" in one for one in said) == (operation is CHAT)


def check_responses(told: list[dict[str, Any]], text: str, key: str, last: str) -> None:
    """One response: numbered through, each part begun and finished once, under the first names."""
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    kinds = [event["type"] for event in told if event["type"] != "response.output_text.delta"]
    messages = [event for event in told if event.get("item", {}).get("type") == "message"]
    assert len(messages) == 2
    assert sorted(set(kinds) - {"response.output_item.added", "response.output_item.done"}) == [
        "response.completed", "response.content_part.added", "response.content_part.done", "response.created",
        "response.in_progress", "response.output_text.done",
    ]  # fmt: skip
    deltas = [event for event in told if event["type"] == "response.output_text.delta"]
    assert "".join(event["delta"] for event in deltas) == text
    (index,) = {event["output_index"] for event in messages}
    for event in told:
        if "item_id" in event:
            assert (event["item_id"], event["output_index"], event["content_index"]) == (f"msg-{key}", index, 0)
        if event["type"] == "response.output_text.done":
            assert event["text"] == text
        if event["type"] == "response.content_part.done":
            assert event["part"]["text"] == text
        if "response" in event:
            assert (event["response"]["id"], event["response"]["created_at"]) == (f"resp-{key}", ord(key))
    assert [item["item"]["id"] for item in messages] == [f"msg-{key}"] * 2
    whole = told[-1]["response"]
    assert whole["model"] == f"m-{last}"
    assert whole["output"][index]["id"] == f"msg-{key}"
    assert whole["output"][index]["content"][0]["text"] == text
    assert [item["id"] for item in whole["output"][:index]] == [f"rs-{key}"] * index
    assert whole["usage"]["output_tokens"] > 0


@st.composite
def pieces(draw: st.DrawFn, text: str) -> list[str]:
    """A text in pieces, none of them empty."""
    marks = sorted(draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=8)))
    bounds = [0, *(mark for mark in marks if mark < len(text)), len(text)]
    return [text[a:b] for a, b in pairwise(bounds)]


ALPHABET = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd"), min_size=1, max_size=30)


@pytest.mark.parametrize("operation", TALKS)
@given(drawn=st.data(), text=ALPHABET)
def test_a_repeated_answer_becomes_one_with_the_first(operation, drawn, text):
    """Wherever it is cut, and in whatever pieces the second one comes: no character twice, and none missing."""
    first = read(operation, answer(operation, drawn.draw(pieces(text)), "a"))
    second = read(operation, answer(operation, drawn.draw(pieces(text)), "b"))
    for cut in cuts(first):
        check(operation, join(operation, first[:cut], second), text, "a", "b")


@pytest.mark.parametrize("operation", TALKS)
def test_it_may_break_again_and_again(operation):
    """A third answer continues what the first two have said, whether the second one had come to new words or not."""
    first, second, third = (read(operation, answer(operation, WORDS, key)) for key in "abc")
    for cut in cuts(first):
        for again in range(len(second) - 2):
            shown = join(operation, first[:cut], second[:again], third)
            if Kind.TERMINAL not in {event.kind for event in second[:again]}:
                check(operation, shown, TEXT, "a", "c")


@pytest.mark.parametrize("operation", TALKS)
@given(drawn=st.data(), text=ALPHABET)
def test_another_answer_is_noticed(operation, drawn, text):
    """It says another character, stops short, or goes on behind a finished text: nothing of it is shown."""
    first = read(operation, answer(operation, [*text], "a"))
    at = drawn.draw(st.integers(0, len(text) - 1))
    other = text[:at] + ("x" if text[at] != "x" else "y") + text[at + 1 :]
    for cut in cuts(first):
        said = "".join(event.text for event in first[:cut])
        for changed in (other, text[:at]):
            second = read(operation, answer(operation, drawn.draw(pieces(changed)) if changed else [], "b"))
            if changed.startswith(said) and len(said) != len(text):
                continue
            shown: list[Event] = []
            with pytest.raises(Departed):
                shown += join(operation, first[:cut], second)


def test_a_finished_text_has_no_more_words():
    """The first answer broke behind its text, of which the second one has more: the caller was told that it is all."""
    first = read(RESPONSES, responses(WORDS, "a"))
    second = read(RESPONSES, responses([*WORDS, " And more."], "b"))
    for cut in cuts(first):
        closed = any(b"text.done" in one.raw for one in first[:cut])
        if closed:
            with pytest.raises(Departed):
                join(RESPONSES, first[:cut], second)
        else:
            check(RESPONSES, join(RESPONSES, first[:cut], second), TEXT + " And more.", "a", "b")


@pytest.mark.parametrize("operation", TALKS)
def test_the_end_of_what_was_said_is_enough_for_a_model_that_goes_on(operation):
    """After a prefill the words follow at once, but for the space that was not sent."""
    first = read(operation, answer(operation, ["Gates ", "open "], "a"))
    cut = [event.text for event in first].index("open ") + 1
    second = read(operation, answer(operation, [" for", " all."], "b"))
    shown = join(operation, first[:cut], second, repeated=" ")
    assert "".join(event.text for event in shown) == "Gates open for all."
    with pytest.raises(Departed):
        join(operation, first[:cut], read(operation, answer(operation, ["for"], "b")), repeated=" ")


@pytest.mark.parametrize("first_thinks", [True, False])
@pytest.mark.parametrize("second_thinks", [True, False])
def test_reasoning_that_shows_nothing_is_passed_over(first_thinks, second_thinks):
    """The caller's items are those of the first answer, whatever the second one has thought before."""
    first = read(RESPONSES, responses(WORDS, "a", reasoning=first_thinks))
    second = read(RESPONSES, responses(WORDS, "b", reasoning=second_thinks))
    for cut in cuts(first):
        check(RESPONSES, join(RESPONSES, first[:cut], second), TEXT, "a", "b")


def delta(**said: Any) -> bytes:
    """A chunk of chat."""
    return sse({"id": "c", "choices": [{"index": said.pop("index", 0), "delta": said, "finish_reason": None}]})


def event(kind: str, **facts: Any) -> bytes:
    """An event of Responses."""
    return sse({"type": f"response.{kind}", "sequence_number": 9, **facts})


BEYOND = [
    (CHAT, delta(reasoning_content="hm")),
    (CHAT, delta(refusal="no")),
    (CHAT, delta(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}])),
    (CHAT, delta(content=[{"type": "text", "text": "hi"}])),
    (CHAT, delta(content="hi", index=1)),
    (CHAT, delta(audio={"data": "AAAA"})),
    (RESPONSES, event("reasoning_summary_text.delta", delta="hm")),
    (RESPONSES, event("refusal.delta", delta="no")),
    (RESPONSES, event("function_call_arguments.delta", delta="{}")),
    (RESPONSES, event("audio.delta", delta="AAAA")),
    (RESPONSES, event("image_generation_call.partial_image")),
    (RESPONSES, event("output_item.added", item={"type": "web_search_call", "id": "ws"})),
    (RESPONSES, event("output_item.added", item={"type": "message", "id": "msg-2"})),
    (RESPONSES, event("output_item.done", item={"type": "reasoning", "id": "rs", "summary": [{"text": "hm"}]})),
    (RESPONSES, event("output_text.annotation.added", annotation={})),
    (RESPONSES, event("something.new")),
]


@pytest.mark.parametrize(("operation", "raw"), BEYOND)
def test_more_than_words_neither_is_continued_nor_continues(operation, raw):
    """Tools, reasoning, refusals, sound, pictures, citations, several answers."""
    words = read(operation, answer(operation, WORDS, "a"))
    cut = cuts(words)[2]
    seen = continued(operation)
    for one in (*words[:cut], *read(operation, [raw])):
        seen.note(one)
    assert seen.said() is None
    for at in (2, cut + 1):
        second = [*words[:at], *read(operation, [raw]), *words[at:]]
        with pytest.raises(Departed):
            join(operation, words[:cut], second)


@pytest.mark.parametrize("operation", TALKS)
def test_what_is_remembered_is_bounded(operation):
    """A longer answer is not continued, nor one with endless events that say nothing; comments do not count."""
    words = read(operation, answer(operation, ["a" * (MOST // 2)] * 3, "a"))
    seen = continued(operation)
    for one in words[: cuts(words)[1]]:
        seen.note(one)
    said = seen.said()
    assert said is not None
    assert len(said) == MOST // 2 * 2
    seen.note(words[cuts(words)[1]])
    assert seen.said() is None
    seen = continued(operation)
    for one in read(operation, [*answer(operation, WORDS, "a")[:8], *[b": hi\n\n"] * MOST_MARKS * 2]):
        seen.note(one)
    assert seen.said()


def test_endless_events_without_words():
    """Only so many are looked at."""
    seen = continued(RESPONSES)
    for one in read(RESPONSES, [*responses(WORDS, "a")[:5], *[event("in_progress", response={})] * MOST_MARKS]):
        seen.note(one)
    assert seen.said() is None


def test_half_a_character_is_not_guessed():
    """A server that cuts characters in two is neither continued there nor continues: no other character follows."""
    half = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n'
    seen = continued(CHAT)
    for one in read(CHAT, [delta(content="Hi "), half]):
        seen.note(one)
    assert seen.said() is None
    with pytest.raises(Departed):
        join(CHAT, read(CHAT, [delta(content="Hi ")]), read(CHAT, [delta(content="Hi "), half]))


def test_plain_servers_are_continued_as_well():
    """Numbers, names of items and beginnings may all be missing; a role in each chunk is said once."""
    bare = [event("output_text.delta", delta=word) for word in WORDS]
    bare = [raw.replace(b'"sequence_number": 9, ', b"") for raw in bare]
    end = sse({"type": "response.completed", "response": {"id": "r2", "output": []}})
    shown = join(RESPONSES, read(RESPONSES, bare[:2]), read(RESPONSES, [*bare, end]))
    assert "".join(one.text for one in shown) == TEXT
    assert "sequence_number" not in data(shown)[-1]
    chunks = [delta(role="assistant", content=word) for word in WORDS]
    shown = join(CHAT, read(CHAT, chunks[:2]), read(CHAT, chunks))
    assert [one["choices"][0]["delta"].get("role") for one in data(shown)] == ["assistant"] * 2 + [None] * 3


def test_the_name_is_that_of_the_first_words():
    """Not of what came before: a stray blank line, or a chunk without a name, as Azure sends it."""
    before = [b"\n", sse({"id": "", "created": 0, "choices": [], "prompt_filter_results": []})]
    shown = join(CHAT, read(CHAT, [*before, *chat(WORDS, "a")[2:4]]), read(CHAT, [*before, *chat(WORDS, "b")]))
    assert [chunk["id"] for chunk in data(shown)] == [""] + ["id-a"] * 7
    assert "".join(one.text for one in shown) == TEXT


def test_bytes_of_the_provider_stay():
    """Fields that we do not know pass as they came, in the part that is cut as well."""
    raw = b'data: {"id":"b","big":1e400,"choices":[{"index":0,"delta":{"content":"Hi you","y":2.50}}]}\n\n'
    shown = join(CHAT, read(CHAT, [delta(content="Hi ")]), read(CHAT, [raw]))
    assert (
        shown[1].raw == b'data: {"id":"c","big":1e400,"choices":[{"index":0,"delta":{"content":"you","y":2.50}}]}\n\n'
    )
