"""Covers dialects/openai_names.py: no id escapes, however it is written, and what is none is none."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.errors import BadRequestError
from headgate.core.upload import Form, Part, Stretch
from headgate.dialects.openai_names import chat_names, form_names, names, response_names


def told(body: object) -> set[str]:
    """The ids in a request for a response; a decoded one, or its text."""
    return set(response_names(body if isinstance(body, bytes) else json.dumps(body).encode()))


def item(**fields: object) -> dict[str, object]:
    """A request with one item of input."""
    return {"model": "m", "input": [{"role": "user", "content": "Hi"}, fields]}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"previous_response_id": "resp_1"}, {"resp_1"}),
        ({"conversation": "conv_1"}, {"conv_1"}),
        ({"conversation": {"id": "conv_1"}}, {"conv_1"}),
        (item(role="user", content=[{"type": "input_file", "file_id": "file-1"}]), {"file-1"}),
        (item(role="user", content=[{"type": "input_image", "file_id": "file-1"}]), {"file-1"}),
        (item(type="function_call_output", output=[{"type": "input_file", "file_id": "file-1"}]), {"file-1"}),
        (item(type="computer_call_output", output={"file_id": "file-1"}), {"file-1"}),
        (item(type="item_reference", id="msg_1"), {"msg_1"}),
        (item(id="msg_1"), {"msg_1"}),
        (item(type=None, id="msg_1"), {"msg_1"}),
        (item(id="msg_1", role="user"), {"msg_1"}),
        (item(type=[], id="msg_1"), {"msg_1"}),
        (item(type="reasoning", id="rs_1", summary=[]), {"rs_1"}),
        (item(type="reasoning", id="rs_1", encrypted_content=None), {"rs_1"}),
        (item(type="image_generation_call", id="ig_1"), {"ig_1"}),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1", "vs_2"]}]}, {"vs_1", "vs_2"}),
        ({"tools": [{"type": "code_interpreter", "container": "cntr_1"}]}, {"cntr_1"}),
        ({"tools": [{"container": {"type": "auto", "file_ids": ["file-1", "file-2"]}}]}, {"file-1", "file-2"}),
        ({"tools": [{"environment": {"type": "container_reference", "container_id": "cntr_1"}}]}, {"cntr_1"}),
        ({"tools": [{"type": "image_generation", "input_image_mask": {"file_id": "file-1"}}]}, {"file-1"}),
        ({"prompt": {"id": "pmpt_1", "variables": {"x": {"type": "input_file", "file_id": "file-1"}}}}, {"file-1"}),
        ({"prompt": {"variables": {"metadata": {"file_id": "file-1"}, "schema": {"file_id": "f2"}}}}, {"file-1", "f2"}),
        ({"input_file_id": "file-1", "previous_response_id": "resp_1"}, {"file-1", "resp_1"}),
        ({"a": [[[{"b": {"file_ids": ["file-1"]}}]]]}, {"file-1"}),
    ],
)
def test_every_place_where_an_id_may_stand(body, found):
    """Of requests for responses, as their API has them."""
    assert told(body) == found


@pytest.mark.parametrize(
    "body",
    [
        {"model": "m", "input": "previous_response_id: resp_1"},
        {"input": "x", "metadata": {"file_id": "mine", "conversation": "7"}},
        {"tools": [{"type": "function", "parameters": {"properties": {"x": {"examples": [{"file_id": "x"}]}}}}]},
        {"text": {"format": {"type": "json_schema", "schema": {"const": {"file_id": "x"}}}}},
        {"previous_response_id": None, "conversation": None},
        {"previous_response_id": 7, "conversation": {"id": 7}, "file_ids": [7, None, {}]},
        {"prompt": {"id": "pmpt_1", "variables": {"file_id": "my own word"}}},
        {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]},
        item(type="message", id="msg_1", role="assistant", content=[{"type": "output_text", "text": "previous"}]),
        item(id="msg_1", role="assistant", content="Hi"),
        item(type="function_call", id="fc_1", call_id="c", name="f", arguments='{"file_id": "x"}'),
        item(type="reasoning", id="rs_1", encrypted_content="gAAA"),
        item(type="image_generation_call", id="ig_1", result="iVBO"),
        item(content=[{"type": "output_text", "annotations": [{"file_id": "cfile_1", "container_id": "cntr_1"}]}]),
        item(type="file_search_call", id="fs_1", results=[{"file_id": "file-1"}]),
        {"input": [], "id": "x"},
        {"input": ["x"], "id": "x"},
    ],
)
def test_what_is_no_name(body):
    """The caller's own words, quotations of earlier answers, items that bring their content along."""
    assert told(body) == set()


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (rb'{"previous\u005fresponse_id": "resp_1"}', {"resp_1"}),
        (rb'{"input": [{"\u0066ile_id": "file-1"}]}', {"file-1"}),
        (rb'{"\u0063onversation": "conv_1"}', {"conv_1"}),
        (rb'{"input": [{"type": "item\u005freference", "id": "msg_1"}]}', {"msg_1"}),
        (rb'{"input": [{"i\u0064": "msg_1"}]}', {"msg_1"}),
        (rb'{"file_id": "file\u002d1"}', {"file-1"}),
        (b'{"file_id": "mine", "file_id": "theirs"}', {"mine", "theirs"}),
        (b'{"file_id": "theirs", "file_id": null}', {"theirs"}),
        (b'{"x": {"file_id": "theirs"}, "x": {}}', {"theirs"}),
        (b'{"input": [{"type": "input_file", "file_id": "theirs", "file_id": "mine"}]}', {"theirs", "mine"}),
        (b'{"file_ids": ["theirs"], "file_ids": ["mine"]}', {"theirs", "mine"}),
        (b'{"conversation": {"id": "theirs", "id": "mine"}}', {"theirs", "mine"}),
        (b'{"conversation": {"id": "theirs"}, "conversation": "mine"}', {"theirs", "mine"}),
        (
            b'{"input": [{"type": "item_reference", "id": "theirs", "id": "mine", "type": "message"}]}',
            {"theirs", "mine"},
        ),
        (b'{"input": [{"id": "theirs"}], "conversation": null, "input": "x"}', {"theirs"}),
        (b'{"input": [{"type": "reasoning", "id": "a", "encrypted_content": "x", "encrypted_content": null}]}', {"a"}),
        (b'{"metadata": {"file_id": "x"}, "input": [{"metadata": 1, "file_id": "theirs"}]}', {"theirs"}),
        (b'{"\\ud83d": "\\ud83d", "file_id": "file-1"}', {"file-1"}),
        (b'{"n": ' + b"9" * 5000 + b', "m": 1e99999, "file_id": "file-1"}', {"file-1"}),
    ],
)
def test_disguises_and_doubles_hide_nothing(raw, found):
    """Whichever of two a provider reads, it was seen; so was what is spelled by escapes."""
    assert told(raw) == found


def test_order_and_repetition_do_not_matter():
    """Each id once."""
    raw = b'{"file_ids": ["a", "b", "a"], "x": [{"file_id": "b"}, {"file_id": "c"}]}'
    assert sorted(names(raw)) == ["a", "b", "c"]


def test_depth_is_no_hiding_place():
    """What can be read is looked through to the bottom; what cannot is refused, and never passed on unseen."""
    deep = b'{"x": ' + b"[" * 400 + b'{"file_id": "file-1"}' + b"]" * 400 + b"}"
    assert names(deep) == ("file-1",)
    for depth in (100_000, 1_000_000):
        with pytest.raises(BadRequestError) as caught:
            names(b'{"x": ' + b"[" * depth + b'{"file_id": "file-1"}' + b"]" * depth + b"}")
        assert caught.value.code == "invalid_json"


def test_chat_names_files():
    """And only files: nothing else is kept for a chat."""
    part = {"type": "file", "file": {"file_id": "file-1"}}
    raw = json.dumps({"messages": [{"role": "user", "content": [part]}], "user": "previous_response_id"}).encode()
    assert chat_names(raw) == ("file-1",)
    assert chat_names(raw.replace(b"file_id", rb"file\u005fid")) == ("file-1",)
    assert chat_names(b'{"messages": [{"content": "Hi", "id": "x"}]}') == ()


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(
    VALUES,
    st.lists(st.sampled_from(["a", "b", 0, "input", "tools", "content"]), max_size=6),
    st.booleans(),
    st.booleans(),
)
def test_an_id_is_found_at_any_place(rest, path, escaped, variable):
    """Wherever it is put in whatever body, among whatever else; unless the field's name is a variable's name."""
    value: object = {"file_id": "file-x", "other": rest}
    for step in ["variables", *path] if variable else path:
        value = [rest, value] if step == 0 else {"first": rest, step: value}
    raw = json.dumps({"body": value}).encode()
    if escaped:
        raw = raw.replace(b'"file_id"', rb'"\u0066ile_id"')
    assert ("file-x" in response_names(raw)) is not variable


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("image[file_id]", ("file-1",)),
        ("images[][file_id]", ("file-1",)),
        ("images[0].file_id", ("file-1",)),
        ("mask[file_id]", ("file-1",)),
        ("file_id", ("file-1",)),
        ("file_ids[]", ("file-1",)),
        ("image", ()),
        ("image[]", ()),
        ("my_file_id_", ()),
        ("prompt", ()),
    ],
)
def test_forms_name_objects_by_the_fields_they_are_in(name, found):
    """Objects in a form are spelled with brackets; a file is no id."""
    assert form_names(Form([Part("prompt", b"", b"file_id"), Part(name, b"", b"file-1")], "x")) == found
    stretch = Stretch(lambda *_: b"file-1", 6, 0)
    assert form_names(Form([Part(name, b"", stretch, is_file=True)], "x")) == ()
