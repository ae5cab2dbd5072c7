"""Covers policies/route/choice.py: what is known of a route before a call comes."""

import pytest

from headgate.catalog.abilities import Abilities
from headgate.catalog.models import Catalog, Own
from headgate.core.body import Body
from headgate.core.call import Call, Operation, Target
from headgate.core.errors import BadRequestError, NoTargetError
from headgate.policies.route.choice import choose
from headgate.policies.route.plan import Plan

OWNS = {
    "eyes": Own(capabilities=frozenset(("vision", "json_schema"))),
    "hands": Own(capabilities=frozenset(("tools", "json_schema"))),
    "both": Own(capabilities=frozenset(("vision", "tools", "json_schema"))),
    "nothing": Own(capabilities=frozenset()),
}
IMAGE = b'{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]'


def chosen(*targets, raw=b"{}", operation=Operation.CHAT, strategy="priority", chat_only=(), **facts):
    """The choice for a call, and the call."""
    given = {"id": "1", "operation": operation, "model": "m", "body": Body(raw), "started": 0, "day": "2027-01-15"}
    call = Call(**(given | facts))

    def speaks(provider, operation):
        return operation is Operation.CHAT or provider not in chat_only

    plan = Plan(tuple(targets), strategy)
    return choose(call, plan, speaks, Abilities(Catalog(OWNS), ("maker",)), None), call


def models(targets):
    """Names, in order."""
    return [target.model for target in targets]


def of(*names, provider="p"):
    """Targets by the names of their models, in the order of priority."""
    return [Target(provider, name, priority=number) for number, name in enumerate(names, 1)]


@pytest.mark.parametrize(
    ("names", "raw", "fitting"),
    [
        (("eyes", "hands", "both"), b"{}", ["eyes", "hands", "both"]),
        (("eyes", "hands", "both"), IMAGE + b"}", ["eyes", "both"]),
        (("eyes", "hands", "both"), b'{"tools":[{"type":"function"}]}', ["hands", "both"]),
        (("eyes", "hands", "both"), IMAGE + b',"tools":[{"type":"function"}]}', ["both"]),
        # What nobody knows may be.
        (("eyes", "stranger"), b'{"tools":[{"type":"function"}]}', ["stranger"]),
        # What none of them can is no reason to choose: the provider says so.
        (("eyes", "hands"), b'{"web_search_options":{}}', ["eyes", "hands"]),
        (("eyes",), b'{"tools":[{"type":"function"}]}', ["eyes"]),
        # A list that does not name streaming does not mean it.
        (("eyes", "hands"), b'{"stream":true}', ["eyes", "hands"]),
    ],
)
def test_a_call_goes_to_those_that_can(names, raw, fitting):
    """In the order in which they stand."""
    choice, call = chosen(*of(*names), raw=raw, stream=b"stream" in raw)
    assert models(choice.fitting(call) if choice.differ else choice.targets) == fitting


def test_where_none_can_do_it_all_the_refusal_says_what_each_lacks():
    """400, with what is needed, whom we have looked at and what each cannot; nothing is guessed."""
    choice, call = chosen(*of("eyes", "hands"), raw=IMAGE + b',"tools":[{"type":"function"}]}')
    with pytest.raises(BadRequestError) as caught:
        choice.fitting(call)
    assert caught.value.message == (
        "This request needs tools, vision; no target of the model 'm' can: p/eyes lacks tools; p/hands lacks vision."
    )
    assert (caught.value.http_status, caught.value.code) == (400, "unsupported_capability")


def test_equals_differ_in_nothing():
    """Then nobody looks into requests."""
    choice, _ = chosen(*of("both", "both", "stranger"))
    assert choice.differ == {"audio_in", "audio_out", "documents", "cache", "computer_use", "parallel_tools", "prefill",
                             "reasoning", "web_search"}  # fmt: skip
    assert chosen(*of("both", "both"))[0].differ == frozenset()
    assert chosen(*of("stranger", "other"))[0].differ == frozenset()


def test_facts_are_the_makers_or_the_users():
    """A name of OpenAI says something at OpenAI only."""
    sees, blind = Target("maker", "gpt-4o"), Target("maker", "gpt-3.5-turbo", priority=2)
    choice, call = chosen(sees, blind, raw=IMAGE + b"}")
    assert models(choice.fitting(call)) == ["gpt-4o"]
    assert chosen(*of("gpt-4o", "gpt-3.5-turbo"))[0].differ == frozenset()


def test_a_model_that_does_not_stream_is_not_asked_to():
    """Where its maker says so."""
    choice, call = chosen(*of("gpt-5-pro", "gpt-5.5", provider="maker"), operation=Operation.RESPONSES, stream=True)
    assert models(choice.fitting(call)) == ["gpt-5.5"]


def test_tools_that_a_model_has_in_responses_only_are_none_in_chat():
    """gpt-6-astra calls tools in Responses, and none in Chat Completions."""
    raw = b'{"tools":[{"type":"function"}]}'
    choice, call = chosen(*of("gpt-6-astra", "gpt-4.1", provider="maker"), raw=raw)
    assert models(choice.fitting(call)) == ["gpt-4.1"]
    choice, call = chosen(*of("gpt-6-astra", "gpt-4.1", provider="maker"), raw=raw, operation=Operation.RESPONSES)
    assert not choice.differ or models(choice.fitting(call)) == ["gpt-6-astra", "gpt-4.1"]


def test_a_model_that_is_not_for_it_is_left_out():
    """A model of embeddings is not asked to talk, unless there is no other."""
    two = of("text-embedding-3-small", "gpt-4.1", provider="maker")
    assert models(chosen(*two)[0].targets) == ["gpt-4.1"]
    assert chosen(*two)[0].settled
    assert models(chosen(*two, operation=Operation.EMBEDDINGS)[0].targets) == ["text-embedding-3-small"]
    assert models(chosen(two[0], two[0])[0].targets) == ["text-embedding-3-small"] * 2


def test_a_provider_without_the_operation_is_left_out():
    """It is none of those who are able; where nobody is, 503."""
    p, q = Target("p", "x"), Target("q", "x")
    choice, _ = chosen(p, q, operation=Operation.RESPONSES, chat_only=("p",))
    assert (choice.able, choice.targets, choice.settled) == ((q,), (q,), True)
    with pytest.raises(NoTargetError, match=r"responses API \(asked: p, q\)"):
        chosen(p, q, operation=Operation.RESPONSES, chat_only=("p", "q"))


@pytest.mark.parametrize(
    ("priorities", "strategy", "settled", "order"),
    [
        ((2, 1), "priority", True, [1, 2]),
        ((2, 1), "latency", True, [1, 2]),
        ((2, 1), "cost", True, [1, 2]),
        ((2, 1), "weighted", False, [2, 1]),
        ((2, 1, 2), "cost", False, [1, 2, 2]),
        ((1, 1), "priority", False, [1, 1]),
    ],
)
def test_where_priorities_say_it_all_the_order_is_settled(priorities, strategy, settled, order):
    """Then no call draws, hashes or counts anything."""
    targets = [Target(f"p{number}", "x", priority=priority) for number, priority in enumerate(priorities)]
    choice, _ = chosen(*targets, strategy=strategy)
    assert (choice.settled, [target.priority for target in choice.targets]) == (settled, order)
