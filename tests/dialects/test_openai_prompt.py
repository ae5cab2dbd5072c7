"""A plain prompt and the Python door's options as requests of both dialects."""

import pytest

from headgate.core.errors import BadRequestError
from headgate.dialects.openai_prompt import chat_prompt, responses_prompt

SCHEMA = {"name": "city", "schema": {"type": "object"}, "strict": True}
EVERYTHING = {
    "model": "m",
    "system": "Be brief.",
    "max_tokens": 50,
    "temperature": 0.5,
    "top_p": 0.9,
    "reasoning_effort": "low",
    "verbosity": "high",
    "schema": SCHEMA,
    "user": "u",
    "stream": True,
    "seed": 7,
}


def test_every_option_in_chat():
    """Each option stands where Chat Completions expects it; unknown ones pass."""
    assert chat_prompt("Hi", EVERYTHING) == {
        "model": "m",
        "stream": True,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "max_completion_tokens": 50,
        "response_format": {"type": "json_schema", "json_schema": SCHEMA},
        "temperature": 0.5,
        "top_p": 0.9,
        "reasoning_effort": "low",
        "verbosity": "high",
        "user": "u",
        "seed": 7,
    }


def test_every_option_in_responses():
    """Each option stands where Responses expects it; unknown ones pass; nothing is stored."""
    assert responses_prompt("Hi", EVERYTHING) == {
        "model": "m",
        "stream": True,
        "input": "Hi",
        "instructions": "Be brief.",
        "max_output_tokens": 50,
        "text": {"format": {"type": "json_schema", **SCHEMA}, "verbosity": "high"},
        "reasoning": {"effort": "low"},
        "store": False,
        "temperature": 0.5,
        "top_p": 0.9,
        "user": "u",
        "seed": 7,
    }


def test_nothing_given():
    """None is as good as not given, `stream` is only written where it is wanted, and options are not changed."""
    options = {"model": None, "system": None, "max_tokens": None, "stream": False}
    assert chat_prompt("Hi", options) == {"messages": [{"role": "user", "content": "Hi"}]}
    assert responses_prompt("Hi", options) == {"input": "Hi", "store": False}
    assert len(options) == 4


def test_messages_win():
    """A list of messages stands instead of the prompt; the system's words still go first."""
    messages = [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}]
    options = {"messages": messages, "system": "S"}
    assert chat_prompt("unused", options)["messages"] == [{"role": "system", "content": "S"}, *messages]
    request = responses_prompt("unused", options)
    assert (request["input"], request["instructions"]) == (messages, "S")
    assert chat_prompt("used", {"messages": []})["messages"] == [{"role": "user", "content": "used"}]
    assert len(messages) == 2


def test_parts_of_messages_are_respelled():
    """Responses has its own names for text and pictures; what is not known passes."""
    parts = [
        {"type": "text", "text": "A"},
        {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:y"}},
        {"type": "image_url", "image_url": "data:z"},
        {"type": "input_file", "file_id": "f"},
        "loose",
    ]
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": parts[:1]}, "odd"]
    assert responses_prompt("", {"messages": messages})["input"] == [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "A"},
                {"type": "input_image", "image_url": "data:x", "detail": "low"},
                {"type": "input_image", "image_url": "data:y"},
                *parts[3:],
            ],
        },
        {"role": "assistant", "content": [{"type": "output_text", "text": "A"}]},
        "odd",
    ]


def test_images_stand_beside_the_prompt():
    """As parts after its words, in the words of either API; `messages` have parts of their own."""
    options = {"images": ("data:x", "https://y"), "system": "S"}
    content = [
        {"type": "text", "text": "Hi"},
        {"type": "image_url", "image_url": {"url": "data:x"}},
        {"type": "image_url", "image_url": {"url": "https://y"}},
    ]
    assert chat_prompt("Hi", options) == {
        "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": content}]
    }
    request = responses_prompt("Hi", options)
    assert request["input"] == [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Hi"},
                {"type": "input_image", "image_url": "data:x"},
                {"type": "input_image", "image_url": "https://y"},
            ],
        }
    ]
    assert "images" not in request
    assert responses_prompt("Hi", {"images": []})["input"] == "Hi"
    with pytest.raises(BadRequestError, match="not with `messages`"):
        chat_prompt("", {"messages": [{"role": "user", "content": "A"}], "images": ["data:x"]})


def test_responses_keeps_what_is_given_by_its_own_names():
    """`text`, `reasoning` and `store` may be given as Responses spells them; the short options join them."""
    request = responses_prompt(
        "Hi",
        {
            "text": {"verbosity": "low"},
            "schema": SCHEMA,
            "reasoning": {"summary": "auto"},
            "reasoning_effort": "high",
            "store": True,
            "max_tokens": 3,
        },
    )
    assert request["text"] == {"verbosity": "low", "format": {"type": "json_schema", **SCHEMA}}
    assert request["reasoning"] == {"summary": "auto", "effort": "high"}
    assert request["store"] is True
    assert request["max_output_tokens"] == 16
    assert responses_prompt("Hi", {"max_tokens": "many"})["max_output_tokens"] == "many"
    # What is no length is not made one: the model refuses it.
    for wrong in (-1, 0, True):
        assert responses_prompt("Hi", {"max_tokens": wrong})["max_output_tokens"] is wrong


@pytest.mark.parametrize("write", [chat_prompt, responses_prompt])
@pytest.mark.parametrize(("name", "value"), [("messages", "Hi"), ("images", "data:x"), ("schema", "city")])
def test_wrong_forms(write, name, value):
    """A list or a mapping that is none is refused by name."""
    with pytest.raises(BadRequestError, match=f"`{name}` must be a .*, not str") as caught:
        write("Hi", {name: value})
    assert caught.value.param == name
