"""Input items as they are listed."""

from openai.types.responses import ResponseItemList

from headgate.providers.simulator.items import as_listed


def test_a_text():
    """Is a message of the user."""
    assert as_listed("Hi", "k") == [
        {
            "id": "msg_k0000",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_text", "text": "Hi"}],
        }
    ]


def test_items():
    """Ids that are there stay, others are made; texts become parts; each is valid for the SDK."""
    items = as_listed(
        [
            {"role": "assistant", "content": "Hello"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}], "id": "msg_mine"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "id": None},
            {"type": "function_call_output", "call_id": "c", "output": "R"},
            {"type": "reasoning", "summary": [], "id": "rs_1"},
        ],
        "k",
    )
    assert [item["id"] for item in items] == ["msg_k0000", "msg_mine", "fc_k0002", "fc_k0003", "rs_1"]
    assert items[0]["content"][0]["type"] == "output_text"
    listed = {"object": "list", "data": items, "first_id": "a", "last_id": "b", "has_more": False}
    assert [item.type for item in ResponseItemList.model_validate(listed, strict=True).data] == [
        "message", "message", "function_call", "function_call_output", "reasoning",
    ]  # fmt: skip


def test_a_reference():
    """Stays as it is."""
    reference = {"type": "item_reference", "id": "msg_1"}
    assert as_listed([reference], "k") == [reference]
