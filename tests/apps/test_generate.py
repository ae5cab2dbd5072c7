"""What becomes of a prompt: which API is asked, with what, and on whose behalf."""

import pytest
from pydantic import ValidationError

from headgate.apps.failures import Failed
from headgate.apps.generate import Asking, Prompt
from headgate.core.call import Caller, Operation
from headgate.core.errors import ConfigError, NotAllowedError, RateLimitError
from headgate.core.wish import Wish
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.testing import VirtualClock, virtual_time

SETTINGS = {
    "store": "memory://",
    "providers": {"sim": {"type": "simulator"}, "old": {"type": "openai", "base_url": "http://x/v1", "api_key": "k"}},
    "models": {
        "default": "new",
        "new": {"targets": [{"provider": "sim", "model": "gpt-6-luna"}]},
        "both": {"targets": [{"provider": "sim", "model": "gpt-6-luna"}, {"provider": "old", "model": "gpt-6-luna"}]},
    },
}


def with_gate(act, settings=SETTINGS):
    """What a gate says."""

    async def story():
        config = load(None, environment={}, settings=settings).config
        async with await Gate.open(config, clock=VirtualClock()) as gate:
            return act(gate)

    return virtual_time(story())


def asked(prompt, *, stream=False, **asking):
    """The call that a prompt becomes."""
    return with_gate(lambda gate: Asking(gate=gate, **asking).call(prompt, stream=stream))


@pytest.mark.parametrize(
    ("most", "model", "operation"),
    [(16, None, "responses"), (15, None, "chat"), (16, "both", "chat"), (2000, "new", "responses")],
)
def test_responses_first(most, model, operation):
    """Chat completions where a target has no Responses, or where they would not take so short an answer."""
    call = asked(Prompt(prompt="Hi", max_tokens=most), model=model)
    assert call.operation is Operation(operation)
    field = "max_output_tokens" if operation == "responses" else "max_completion_tokens"
    assert call.body.view[field] == most


def test_a_prompt_is_asked_as_it_stands():
    """Nothing is added but the bound of the answer; our own doors store nothing at the provider."""
    wishes = {"tags": {"team": "a"}, "timeout": 5, "priority": 7}
    call = asked(Prompt(prompt="Hi"), user="anna", wishes=wishes, caller=Caller(key="web"))
    assert call.body.view == {"input": "Hi", "max_output_tokens": 2000, "user": "anna", "store": False}
    assert (call.user, call.tags, call.priority, call.caller.key) == ("anna", {"team": "a"}, 7, "web")
    assert call.deadline == pytest.approx(call.started + 5)
    assert call.unsupported == "drop"
    assert call.cache.on
    assert not call.stream
    warm = asked(Prompt(prompt="Hi", temperature=0.5, max_tokens=9), stream=True)
    assert warm.stream
    assert warm.body.view["temperature"] == 0.5


def test_the_cache_may_be_switched_off():
    """Whoever asks decides."""
    assert asked(Prompt(prompt="Hi"), wishes={"cache": Wish(on=False)}).cache == Wish(on=False)


def test_a_key_that_may_not_ask_the_model_is_refused():
    """As on `/v1`."""
    with pytest.raises(NotAllowedError, match="'new'"):
        asked(Prompt(prompt="Hi"), caller=Caller(models=frozenset({"else"})))


def test_a_gate_without_a_model_to_ask_is_the_operator_s_to_mend():
    """Not the caller's fault, and the cure is named."""
    settings = {**SETTINGS, "models": {"new": SETTINGS["models"]["new"]}}
    with pytest.raises(ConfigError) as told:
        with_gate(lambda gate: Asking(gate=gate).call(Prompt(prompt="Hi")), settings)
    assert "apps.generate.model" in told.value.hint
    named = with_gate(lambda gate: Asking(gate=gate, model="new").call(Prompt(prompt="Hi")), settings)
    assert named.model == "new"


def test_who_is_told_what():
    """Callers of the gateway by the error's own status and words; an application tells its users by itself."""
    error = RateLimitError("3 RPM at x")

    def fail(gate, gateway):
        asking = Asking(gate=gate, gateway=gateway)
        with asking.telling(asking.call(Prompt(prompt="Hi"))):
            raise error

    with pytest.raises(Failed) as told:
        with_gate(lambda gate: fail(gate, gateway=True))
    assert (told.value.status_code, told.value.detail) == (429, "3 RPM at x")
    assert told.value.headers["x-request-id"].startswith("req_")
    with pytest.raises(RateLimitError):
        with_gate(lambda gate: fail(gate, gateway=False))


def test_bounds():
    """Of the model itself; how they are told is tested at both doors."""
    assert Prompt(prompt="x" * 5000, max_tokens=1, temperature=0).max_tokens == 1
    assert Prompt(prompt="x").model_dump() == {"prompt": "x", "max_tokens": 2000, "temperature": None}
    for wrong in ({"prompt": ""}, {"prompt": "x", "max_tokens": 2001}, {"prompt": "x", "temperature": 2.001}):
        with pytest.raises(ValidationError):
            Prompt.model_validate(wrong)
