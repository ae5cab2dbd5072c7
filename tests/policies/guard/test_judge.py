"""The texts of one call, wherever they stand."""

import asyncio

import pytest

from headgate.core.body import Body
from headgate.core.call import Call, Operation
from headgate.core.errors import GuardError
from headgate.core.upload import Form, Part, Upload
from headgate.policies.guard.judge import Judge
from headgate.policies.guard.rules import Chain, Rule

MASK = Rule(kind="words", name="name", words=("anna",), action="mask")
START = Rule(kind="patterns", name="start", patterns=("^bad",))


def judge():
    """A judge, whose call nobody answers."""
    call = Call(id="1", operation=Operation.CHAT, model="m", body=Body(b"{}"), started=0, day="2027-01-15")
    return Judge(call, lambda _: pytest.fail("nobody is asked"))


def body(body_, *rules):
    """A request, judged."""
    return asyncio.run(judge().body(body_, Chain(rules, "input")))


def test_only_the_masked_texts_change():
    """Keys, twins and escapes included; everything else byte by byte."""
    raw = b'{"a" :1.0,  "Anna": "x", "m": [{"c": "\\u0041nna"}], "c":"anna", "c": "Joanna"}'
    assert body(Body(raw), MASK).raw == (
        b'{"a" :1.0,  "[name]": "x", "m": [{"c": "[name]"}], "c":"[name]", "c": "Joanna"}'
    )


def test_what_is_not_masked_is_the_same_object():
    """Nothing is copied."""
    given = Body(b'{"a": "b"}')
    assert body(given, MASK) is given
    upload = Upload("audio/wav", [b"anna"])
    assert body(upload, MASK) is upload


def test_each_text_has_its_own_beginning():
    """What asks for the start of a text is not fooled by what stands before it in the request."""
    with pytest.raises(GuardError):
        body(Body(b'{"a": "good", "b": "bad"}'), START)
    assert body(Body(b'{"a": "not bad"}'), START).raw == b'{"a": "not bad"}'


def test_the_fields_of_a_form():
    """Texts are judged, files and bytes are not."""
    form = Form([Part("prompt", b"", b"for anna"), Part("image", b"", b"anna", True), Part("x", b"", b"\xffanna")], "b")
    assert [part.data for part in body(form, MASK).parts] == [b"for [name]", b"anna", b"\xffanna"]


def test_an_answer_is_judged_where_words_came_out():
    """What it repeats of the question is left alone; tokens go where a mask stands."""
    raw = b'{"id": "anna", "choices": [{"message": {"content": "anna"}, "logprobs": {"content": []}}]}'
    out = asyncio.run(judge().answer(raw, ("choices",), Chain([MASK], "output")))
    assert out == b'{"id":"anna","choices":[{"message":{"content":"[name]"},"logprobs":null}]}'
    assert asyncio.run(judge().answer(raw, ("output",), Chain([MASK], "output"))) is raw
