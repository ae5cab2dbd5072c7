"""What of a response is only an echo of who asked."""

import json

from headgate.dialects.openai_replay_responses import echo, echoing, echoing_event, response_in

ANOTHERS = {"id": "resp_1", "metadata": {"secret": "a"}, "user": "u-1", "safety_identifier": "s", "model": "m"}


def test_a_response_repeats_only_what_its_own_caller_has_told():
    """Another's metadata and user go; what was told now comes; what the server never repeats stays out."""
    assert echo({"input": "Hi", "user": "u-2", "metadata": None}) == {"user": "u-2"}
    assert echoing(ANOTHERS, {}) == {
        "id": "resp_1", "metadata": {}, "user": None, "safety_identifier": None, "model": "m",
    }  # fmt: skip
    assert echoing(ANOTHERS, {"user": "u-2", "prompt_cache_key": "k"})["user"] == "u-2"
    assert "prompt_cache_key" not in echoing(ANOTHERS, {"prompt_cache_key": "k"})


def test_so_do_its_events():
    """Those that hold the response; others stay as they are, byte by byte."""
    facts = {"type": "response.created", "sequence_number": 0, "response": ANOTHERS}
    raw = b"event: response.created\ndata: " + json.dumps(facts).encode() + b"\n\n"
    told = echoing_event(raw, {"metadata": {"b": "c"}})
    assert told.startswith(b"event: response.created\ndata: {")
    assert json.loads(told.split(b"data: ")[1])["response"] == {
        **ANOTHERS,
        "metadata": {"b": "c"},
        "user": None,
        "safety_identifier": None,
    }
    for plain in (b'data: {"delta":"\\"response\\""}\n\n', b'data: {"response":"text"}\n\n', b": response\n\n"):
        assert echoing_event(plain, {"user": "u"}) == plain


def test_the_response_of_a_stream_is_in_its_last_event():
    """Found by its type, wherever the words may stand else."""
    delta = b'data: {"type":"response.output_text.delta","delta":"response.completed"}\n\n'
    last = b'event: response.completed\ndata: {"type":"response.completed","response":{"id":"resp_1"}}\n\n'
    assert response_in([delta, last, b"data: [DONE]\n\n"]) == b'{"id":"resp_1"}'
    assert response_in([delta]) is None
