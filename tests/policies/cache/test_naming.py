"""Which calls may have one answer."""

import json

from hypothesis import given
from hypothesis import strategies as st

from headgate.core.body import Body
from headgate.core.call import Address, Call, Caller, Operation, Origin
from headgate.core.upload import Form
from headgate.core.wish import Wish
from headgate.policies.cache.naming import LARGEST, MOST_TTL, Rule, asked

ON = Rule(enabled=True)
RAW = b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}'


def call(raw=RAW, operation=Operation.CHAT, **more):
    """A call."""
    facts = {"id": "c", "operation": operation, "model": "m", "started": 0.0, "day": "2027-01-15", **more}
    return Call(body=Body(raw), **facts)


def name(rule=ON, **more):
    """The name under which an answer is kept."""
    return asked(call(**more), rule).name


texts = st.text(max_size=6) | st.sampled_from(["a", "b", "key:a", "project:a", "gateway", '","'])
callers = st.builds(
    Caller, key=st.none() | texts, project=st.none() | texts.filter(bool), tags=st.just({}), cache=st.none()
)


@given(callers, callers, st.sampled_from(["project", "key"]))
def test_no_two_tenants_ever_share(one, other, scope):
    """Whatever their projects and keys are called; and the same one always finds its own."""
    rule = Rule(enabled=True, scope=scope)
    owners = [(caller.tenant, caller.key if scope == "key" else None) for caller in (one, other)]
    names = [name(rule, caller=caller) for caller in (one, other)]
    assert (names[0] == names[1]) == (owners[0] == owners[1])


def test_everybody_shares_where_the_operator_says_so():
    """And only then; whoever needs no key shares with others who need none."""
    wide = Rule(enabled=True, scope="gateway")
    assert name(wide, caller=Caller(key="a")) == name(wide, caller=Caller(key="b", project="p"))
    assert name(wide) != name()
    assert name(caller=Caller()) == name()


def test_what_else_tells_answers_apart():
    """The route, whoever answers to it, the operation, and how the request is changed on its way."""
    others = [
        name(model="other"),
        name(Rule(enabled=True, mark="changed")),
        name(operation=Operation.COMPLETIONS),
        name(unsupported="drop"),
        name(headers={"openai-beta": "x"}),
        name(cache=Wish(key="mine")),
        name(cache=Wish(key='[{"messages":[]}]')),
        name(raw=RAW.replace(b"Hi", b"Ho")),
    ]
    assert len({name(), *others}) == len(others) + 1
    same = [name(user="u", tags={"a": "b"}, priority=9, deadline=1.0, id="d"), name(stream=True, usage_wanted=True)]
    assert {name(), *same} == {name()}


def test_a_wish_wins_over_a_key_and_a_key_over_a_route():
    """On or off."""
    for wish, key, route, found in [
        (None, None, True, True),
        (None, None, False, False),
        (None, True, False, True),
        (None, False, True, False),
        (Wish(on=True), False, False, True),
        (Wish(on=False), True, True, False),
        (Wish(ttl=5.0), None, True, True),
        (Wish(refresh=True), None, False, False),
    ]:
        asking = call(cache=wish, caller=Caller(cache=key))
        assert (asked(asking, Rule(enabled=route)) is not None) is found


def test_what_has_no_answer_of_its_own():
    """The gate's own calls, those that name a provider's objects, that go elsewhere, that are no JSON, or opaque."""
    for more in (
        {"origin": Origin.INTERNAL},
        {"names": ("file-1",)},
        {"address": Address("GET", "/x")},
        {"opaque": True},
        {"operation": Operation.SPEECH},
    ):
        assert asked(call(**more), ON) is None
    form = Call("c", Operation.IMAGES, "m", Form((), "x"), 0.0, "d")
    assert asked(form, ON) is None
    assert asked(call(raw=json.dumps({"store": True}).encode()), ON) is None
    assert asked(call(raw=b'{"messages":"%s"}' % bytes(LARGEST).replace(b"\0", b"x")), ON) is None
    keeps = Rule(enabled=True, defaults=({}, {"store": True}))
    assert asked(call(), keeps) is None
    assert asked(call(operation=Operation.EMBEDDINGS, raw=b'{"input":"x"}'), keeps) is not None


def test_how_long_an_answer_is_kept():
    """As the call wishes, else as the route has it, but never for ever."""
    assert asked(call(), Rule(enabled=True, ttl=60.0)).ttl == 60.0
    assert asked(call(cache=Wish(ttl=5.0)), Rule(enabled=True, ttl=60.0)).ttl == 5.0
    assert asked(call(cache=Wish(ttl=1e12)), ON).ttl == MOST_TTL
    assert asked(call(cache=Wish(on=True, refresh=True)), ON).refresh
