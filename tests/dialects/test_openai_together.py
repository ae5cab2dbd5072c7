"""Covers dialects/openai_together.py: which questions are plain, how several stand in one, whose answer is whose."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.body import Body
from headgate.core.call import Operation
from headgate.core.usage import TokenUsage
from headgate.dialects.openai_strict import strict
from headgate.dialects.openai_together import LONGEST, LONGEST_ANSWER, SCHEMA, answers, read, tell, write
from headgate.dialects.registry import DIALECTS

USER = {"role": "user", "content": "Hi"}
SYSTEM = {"role": "system", "content": "Be brief."}
USAGE = TokenUsage(prompt_tokens=9, completion_tokens=5, cached_tokens=2, cache_write_tokens=1, reasoning_tokens=3)


def chat(**fields):
    """A question in chat, read."""
    return read(Operation.CHAT, Body(json.dumps({"model": "m", "messages": [USER], **fields}).encode()))


def responses(**fields):
    """A question in Responses, read."""
    return read(Operation.RESPONSES, Body(json.dumps({"model": "m", "input": "Hi", "store": False, **fields}).encode()))


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"messages": [SYSTEM, USER]}, {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
        {"n": 1, "stream": False, "store": False, "temperature": 0.5, "top_p": None, "user": "u"},
        {"max_tokens": 50}, {"max_completion_tokens": LONGEST_ANSWER}, {"reasoning_effort": "low", "verbosity": "low"},
    ],
)  # fmt: skip
def test_plain_questions_in_chat(fields):
    """One text of the user, at most one of the system before it, and parameters that are all alike."""
    assert chat(**fields).text == "Hi"


@pytest.mark.parametrize(
    "fields",
    [
        {"stream": True}, {"store": True}, {"n": 2}, {"tools": []}, {"stop": ["."]}, {"seed": 1}, {"logprobs": True},
        {"response_format": {"type": "text"}}, {"metadata": {}}, {"something": "new"}, {"messages": []},
        {"messages": [USER, USER]}, {"messages": [SYSTEM]}, {"messages": [SYSTEM, SYSTEM, USER]},
        {"messages": [USER, {"role": "assistant", "content": "Ho"}]}, {"messages": [{**USER, "name": "n"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]},
        {"messages": [{"role": "user", "content": " \n"}]},
        {"messages": [{"role": "user", "content": "x" * (LONGEST + 1)}]},
        {"max_tokens": 5, "max_completion_tokens": 5}, {"max_tokens": LONGEST_ANSWER + 1}, {"max_tokens": 0},
        {"max_tokens": "many"}, {"messages": None}, {"messages": "Hi"},
    ],
)  # fmt: skip
def test_what_is_not_plain_in_chat(fields):
    """Whatever says more, or something that is not known here, goes as it came."""
    assert chat(**fields) is None


def test_a_field_that_stands_twice_is_not_plain():
    """The provider might read the other one."""
    raw = b'{"messages": [{"role": "user", "content": "Hi"}], "messages": [{"role": "user", "content": "Ho"}]}'
    assert read(Operation.CHAT, Body(raw)) is None
    assert read(Operation.COMPLETIONS, Body(b'{"prompt": "Hi"}')) is None


@pytest.mark.parametrize(
    ("fields", "plain"),
    [
        ({}, True), ({"input": [USER]}, True), ({"input": [SYSTEM, {**USER, "type": "message"}]}, True),
        ({"instructions": "Be brief.", "max_output_tokens": 50, "text": {"verbosity": "low"}}, True),
        ({"text": {"format": {"type": "text"}}, "reasoning": {"effort": "low"}}, True),
        ({"store": None}, False), ({"store": True}, False), ({"stream": True}, False), ({"background": True}, False),
        ({"previous_response_id": "r"}, False), ({"text": {"format": {"type": "json_object"}}}, False),
        ({"tools": []}, False), ({"include": []}, False), ({"conversation": "c"}, False), ({"input": []}, False),
        ({"input": [{"type": "item_reference", "id": "i"}]}, False), ({"truncation": "auto"}, False),
    ],
)  # fmt: skip
def test_questions_in_responses(fields, plain):
    """What is not told otherwise is stored: such a question is not plain."""
    assert (responses(**fields) is not None) == plain


def test_what_must_be_the_same_is_compared_as_it_is_spelled():
    """Not the words of the user, nor the order of fields; anything else."""
    assert chat().shared == chat(messages=[{"role": "user", "content": "Ho"}]).shared
    assert chat(temperature=1, top_p=1).shared == chat(top_p=1, temperature=1).shared
    different = [
        chat(), chat(temperature=1), chat(temperature=1.0), chat(messages=[SYSTEM, USER]), chat(max_tokens=5),
        chat(max_completion_tokens=5), chat(messages=[{**SYSTEM, "role": "developer"}, USER]), chat(user="u"),
        responses(), responses(instructions="Be brief."), responses(input=[SYSTEM, USER]),
        responses(text={"verbosity": "low"}),
    ]  # fmt: skip
    assert len({question.shared for question in different}) == len(different)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5), st.sampled_from([chat, responses]))
def test_texts_come_back_out_of_a_request_as_they_went_in(texts, ask):
    """Whatever they are, none leaves its string; the dialect's own reader takes the request."""
    shared = ask(temperature=0.5).shared
    ids = {f"id{number}": text for number, text in enumerate(texts)}
    raw = write("other", shared, ids)
    view = json.loads(raw)
    said = view["messages"][-1]["content"] if "messages" in view else view["input"]
    assert {item["id"]: item["text"] for item in json.loads(said)["items"]} == ids
    assert (view["model"], view["temperature"]) == ("other", 0.5)
    assert DIALECTS[shared.operation].read_request(raw).model == "other"


def test_what_the_system_says_comes_first():
    """Instructions, the system's message, and then how to answer several."""
    shared = responses(
        instructions="One.", input=[{"role": "system", "content": "Two."}, USER], max_output_tokens=80
    ).shared
    view = json.loads(write("m", shared, {"a": "x", "b": "y"}))
    assert view["instructions"].startswith("One.\n\nTwo.\n\nThe user's message is a JSON object.")
    assert (view["store"], view["max_output_tokens"]) == (False, 2 * (80 + 10 + 24))
    view = json.loads(write("m", chat(messages=[{"role": "developer", "content": "One."}, USER]).shared, {"a": "x"}))
    assert view["messages"][0]["role"] == "developer"
    assert view["messages"][0]["content"].startswith("One.\n\nThe user's")
    assert "max_tokens" not in view


def test_the_schema_is_a_strict_one():
    """As the house itself would spell it, and always the same one."""
    assert strict(SCHEMA["schema"]).schema == SCHEMA["schema"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"answers": [{"id": "a", "answer": "1"}, {"id": "b", "answer": "2"}]}', {"a": "1", "b": "2"}),
        ('{"answers": [{"id": "a", "answer": "1"}, {"id": "b", "answer": "2', {"a": "1"}),
        ('{"answers": [{"id": "a", "answer": "1"}, {"id": "b", "answer": "2"}, {"id": "a", "answer": "3"}]}',
         {"b": "2"}),
        ('{"answers": [{"id": "a", "answer": ""}, {"id": "b", "answer": 2}, {"id": 3, "answer": "2"}, "x", null]}', {}),
        ('```json\n{"answers": [{"id": "a", "answer": "`1`"}]}\n```\n', {"a": "`1`"}),
        ('{"answers": {"a": "1"}}', {}), ('["a"]', {}), ("", {}), ("I'm sorry.", {}), ("null", {}), ("[" * 10_000, {}),
        ('{"answers": [{"id": "a", "answer": "\\ud83d"}]}', {}),
    ],
)  # fmt: skip
def test_answers_are_read_for_certain_or_not_at_all(text, found):
    """What is cut off, told twice, empty or of another kind is nobody's answer."""
    assert answers(text) == found


@given(st.text())
def test_no_text_is_too_strange_for_it(text):
    """It is the model's."""
    assert isinstance(answers(text), dict)


def test_an_answer_in_chat_is_as_if_it_had_been_asked_alone():
    """Its own id, words and usage; nothing else that a model said, which may be about the others."""
    raw = json.dumps(
        {
            "id": "chatcmpl-all", "object": "chat.completion", "created": 7, "model": "gpt", "service_tier": "default",
            "choices": [{"message": {"role": "assistant", "content": "{}", "reasoning_content": "SECRET"}}],
            "usage": {"prompt_tokens": 99}, "more": "SECRET",
        }
    ).encode()  # fmt: skip
    told = tell(raw, chat().shared, "Ho", name="c1", usage=USAGE)
    assert b"SECRET" not in told
    assert json.loads(told)["id"] == "chatcmpl-c1"
    event = DIALECTS[Operation.CHAT].read_answer(told)
    assert (event.text, event.finish, event.usage, event.model, event.tier) == ("Ho", "stop", USAGE, "gpt", "default")
    assert "usage" not in json.loads(tell(raw, chat().shared, "Ho", name="c1", usage=None))


def test_an_answer_in_responses_repeats_what_its_own_asker_has_asked():
    """Not the instructions, the schema and the length of them all; nothing of the thoughts."""
    raw = json.dumps(
        {
            "id": "resp_all", "object": "response", "created_at": 7, "status": "incomplete", "model": "gpt",
            "instructions": "SECRET", "max_output_tokens": 999, "text": {"format": {"type": "json_schema"}},
            "output": [{"type": "reasoning", "summary": [{"text": "SECRET"}]}], "temperature": 1.0, "input": "SECRET",
            "incomplete_details": {"reason": "max_output_tokens"},
        }
    ).encode()  # fmt: skip
    shared = responses(instructions="Be brief.", max_output_tokens=50, text={"verbosity": "low"}).shared
    told = tell(raw, shared, "Ho", name="c1", usage=USAGE)
    assert b"SECRET" not in told
    view = json.loads(told)
    assert (view["id"], view["status"], view["instructions"], view["max_output_tokens"], view["temperature"]) == (
        "resp_c1", "completed", "Be brief.", 50, 1.0,
    )  # fmt: skip
    assert view["text"] == {"format": {"type": "text"}, "verbosity": "low"}
    event = DIALECTS[Operation.RESPONSES].read_answer(told)
    assert (event.text, event.finish, event.usage, event.made) == ("Ho", "stop", USAGE, ())


def test_an_answer_whose_envelope_cannot_be_read_again():
    """Its words were read; what is not known is left out."""
    assert json.loads(tell(b'{"a": "\\ud83d"}', chat().shared, "Ho", name="c", usage=None))["choices"]
