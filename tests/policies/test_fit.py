"""Covers policies/fit.py: what becomes of parameters that a model does not take."""

import asyncio

import msgspec
import pytest

from headgate.catalog.models import Model
from headgate.core.body import Body
from headgate.core.call import Call, Operation, Target
from headgate.core.errors import BadRequestError
from headgate.core.reply import Event, Kind, Reply
from headgate.core.upload import Upload
from headgate.policies.fit import Fit

LUNA = Model(
    id="luna", efforts=("none", "low", "max"), chat_efforts=("none", "low"), default_effort="low",
    sampling="without_reasoning", chat_tools="without_reasoning", stop=0, max_output=1000,
)  # fmt: skip
PLAIN = Model(id="plain", capabilities=frozenset(("tools",)))
SHY = Model(id="shy", max_output=10)
MODELS = {model.id: model for model in (LUNA, PLAIN, SHY)}
COLD = b'{"temperature": 0.2, "max_tokens": 5, "seed": 1}'


def asked(raw, model="luna", *, operation=Operation.CHAT, target=None, **more):
    """A call for a target."""
    body = Body(raw) if isinstance(raw, bytes) else raw
    call = Call(id="c", operation=operation, model=model, body=body, started=0.0, day="2026-11-20", **more)
    return msgspec.structs.replace(call, target=Target("p", target))


def passed(call, on_unsupported=None):
    """The call that the next handler gets, and the names that were looked up."""
    seen, names = [], []

    async def following(call):
        seen.append(call)
        return Reply([Event(kind=Kind.TERMINAL)])

    def find(name):
        names.append(name)
        return MODELS.get(name)

    async def story():
        async with await Fit(find, on_unsupported)(call, following):
            pass

    asyncio.run(story())
    return seen[0], names


def test_pass_does_not_even_look():
    """The call itself goes on, and nobody asks what is known of its model; a body that nobody could read is fine."""
    for call, setting in ((asked(COLD), None), (asked(b"{"), None), (asked(COLD, unsupported="drop"), "pass")):
        now, names = passed(call, setting)
        assert now is call
        assert names == []


def test_drop_changes_the_request_and_names_what_it_changed():
    """The door's default, or the setting; the setting wins."""
    for call, setting in (
        (asked(COLD, unsupported="drop"), None),
        (asked(COLD), "drop"),
        (asked(COLD, unsupported="refuse"), "drop"),
    ):
        now, names = passed(call, setting)
        assert now.body.raw == b'{"max_completion_tokens":5,"seed": 1}'
        assert now.dropped == ("max_tokens", "temperature")
        assert (now.target, names) == (call.target, ["luna"])


def test_each_name_is_told_once():
    """However many reasons there are to change a field."""
    now, _ = passed(asked(b'{"reasoning_effort": "max", "tools": [{"type": "function"}]}'), "drop")
    assert now.body.raw == b'{"reasoning_effort": "none", "tools": [{"type": "function"}]}'
    assert now.dropped == ("reasoning_effort",)


def test_refuse_says_everything_that_does_not_fit():
    """400 with the first field, all reasons, and the cure; nothing goes on."""
    with pytest.raises(BadRequestError) as caught:
        passed(asked(COLD), "refuse")
    error = caught.value
    assert (error.http_status, error.code, error.param) == (400, "unsupported_parameter", "max_tokens")
    assert error.message == (
        "luna takes `max_completion_tokens` in place of `max_tokens`. "
        "luna takes no `temperature` unless `reasoning_effort` is none."
    )
    assert "on_unsupported: drop" in error.hint
    with pytest.raises(BadRequestError, match=r"at most 1,000 tokens, and `max_completion_tokens` is 1,001") as caught:
        passed(asked(b'{"max_completion_tokens": 1001}'), "refuse")
    assert (caught.value.code, caught.value.param) == ("unsupported_value", "max_completion_tokens")


def test_refuse_lets_pass_what_fits_or_asks_for_nothing():
    """As it came."""
    for raw in (b'{"reasoning_effort": "low"}', b'{"temperature": 1}', b"{}"):
        call = asked(raw)
        assert passed(call, "refuse")[0] is call


def test_the_targets_model_decides():
    """Not the name that the caller asked for; unless the target has none of its own."""
    assert passed(asked(COLD, "fast", target="luna"), "drop")[1] == ["luna"]
    assert passed(asked(COLD, "luna", target="nobody"), "drop")[0].dropped == ()
    assert passed(asked(COLD, "luna"), "drop")[0].dropped != ()


@pytest.mark.parametrize("setting", ["drop", "refuse"])
def test_of_what_is_not_known_nothing_follows(setting):
    """An unknown model; a model of which nobody said whether it reasons."""
    for name, raw in (("nobody", COLD), ("shy", b'{"reasoning_effort": "low", "temperature": 0}')):
        call = asked(raw, name)
        assert passed(call, setting)[0] is call
    assert passed(asked(b'{"reasoning_effort": "low"}', "plain"), "drop")[0].dropped == ("reasoning_effort",)


def test_each_api_has_its_own_rules():
    """Efforts and tools of chat are not those of Responses; other operations are left alone."""
    hard = b'{"reasoning": {"effort": "max"}, "tools": [{"type": "function"}]}'
    assert passed(asked(hard, operation=Operation.RESPONSES), "drop")[0].dropped == ()
    for operation in (Operation.EMBEDDINGS, Operation.COMPLETIONS, Operation.IMAGES):
        call = asked(COLD, operation=operation)
        assert passed(call, "refuse")[0] is call


def test_an_upload_is_left_alone():
    """There are no fields to fit."""
    call = asked(Upload("text/plain", ()))
    assert passed(call, "drop")[0] is call
