"""Covers policies/route/route.py: who is asked, in which order, and what comes out when nobody answers."""

import gc
import weakref
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest

from headgate.catalog.abilities import Abilities
from headgate.catalog.models import Catalog, Own
from headgate.catalog.prices import Prices
from headgate.core.body import Body
from headgate.core.call import MODELLESS, Call, Operation, Target
from headgate.core.errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ContextLengthError,
    DeadlineError,
    HeadgateError,
    NoTargetError,
    OverloadedError,
    QuotaError,
    RestingError,
    SharedStoreError,
    TimeoutError,  # noqa: A004
    TooLongError,
    UnknownModelError,
    UnreachableError,
)
from headgate.core.reply import Event, Kind, Reply
from headgate.core.usage import TokenUsage
from headgate.gate.ports import SystemChance
from headgate.policies.route import ANY, Costs, Plan, Route
from headgate.testing import VirtualClock, virtual_time

CALL = Call(id="1", operation=Operation.CHAT, model="m", body=Body(b"{}"), started=0, day="2027-01-15")
A, B, C = Target("a", "x", 0.7, 1), Target("b", "x", 0.3, 1), Target("c", "y", 1, 2)


class Providers:
    """Who fails how; the others answer."""

    def __init__(self, *, usage: TokenUsage | None = None, **failing: HeadgateError) -> None:
        self.usage = usage
        self.failing = failing
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, call: Call) -> Reply:
        assert call.target is not None
        self.asked.append((call.target.provider, call.others))
        if error := self.failing.get(call.target.provider):
            raise error
        return Reply([Event(kind=Kind.TERMINAL, usage=self.usage)], target=call.target)


def route(
    *targets: Target,
    strategy: str = "priority",
    chat_only: tuple[str, ...] = (),
    own: dict[str, Own] | None = None,
    plans: dict[str, Plan] | None = None,
    **settings: object,
) -> Route:
    """One route named `m`. Of models nothing is known but `own`, and what OpenAI's are at the provider `maker`."""
    catalog, clock = Catalog(own or {}), VirtualClock()
    given = {
        "speaks": lambda provider, operation: operation is Operation.CHAT or provider not in chat_only,
        "accounts": lambda _: [name for name in ("a", "b", "c") if name not in chat_only],
        "abilities": Abilities(catalog, ("maker",)),
        "costs": Costs(Prices(catalog), dict.fromkeys("abc", "openai"), clock),
        "chance": SystemChance(seed=3),
        "clock": clock,
    }
    return Route(plans or {"m": Plan(targets, strategy)}, **(given | settings))  # type: ignore[arg-type]


def ask(policy: Route, providers: Providers, call: Call = CALL) -> Reply:
    """One call through the policy."""

    async def story() -> Reply:
        return await policy(call, providers)

    return virtual_time(story())


def test_equals_are_drawn_by_weight():
    """Seven of ten go to the target with weight 0.7; each time the other one remains."""
    policy, providers = route(A, B, C), Providers()
    for _ in range(2000):
        ask(policy, providers)
    counts = Counter(providers.asked)
    assert set(counts) == {("a", 2), ("b", 2)}
    assert 1320 <= counts["a", 2] <= 1480


def test_weighted_ignores_priorities():
    """The strategy `weighted` draws among all targets."""
    policy, providers = route(A, B, C, strategy="weighted"), Providers()
    for _ in range(500):
        ask(policy, providers)
    assert set(Counter(name for name, _ in providers.asked)) == {"a", "b", "c"}


@pytest.mark.parametrize(
    "error", [UnreachableError("x"), OverloadedError("x"), TimeoutError("x"), QuotaError("x"), AuthenticationError("x")]
)
def test_failures_go_to_the_next_target(error: HeadgateError):
    """Everything that another target may do better goes on, in the order of priorities."""
    providers = Providers(a=error, b=error)
    reply = ask(route(A, B, C), providers)
    assert reply.target == C
    assert [others for _, others in providers.asked] == [2, 1, 0]


@pytest.mark.parametrize("error", [APIError("400"), SharedStoreError("away")])
def test_a_bad_request_goes_nowhere(error: HeadgateError):
    """Nobody else would take it either; nor what our own rules refuse."""
    providers = Providers(a=error, b=error)
    with pytest.raises(type(error)):
        ask(route(A, B, C), providers)
    assert len(providers.asked) == 1


def test_the_last_failure_comes_out():
    """When all fail, the caller hears of the last one."""
    last = QuotaError("the last")
    with pytest.raises(QuotaError, match="the last"):
        ask(route(A, C), Providers(a=UnreachableError("the first"), c=last))


def test_no_fallback_after_the_deadline():
    """A call that is late is not taken to the next target."""
    providers = Providers(a=UnreachableError("x"))
    with pytest.raises(UnreachableError):
        ask(route(A, C), providers, msgspec.structs.replace(CALL, deadline=0.0))
    assert providers.asked == [("a", 1)]


def test_only_targets_that_have_the_operation_are_asked():
    """A Responses call passes a chat-only provider by."""
    providers = Providers()
    call = msgspec.structs.replace(CALL, operation=Operation.RESPONSES)
    assert ask(route(A, C, chat_only=("a",)), providers, call).target == C
    with pytest.raises(NoTargetError, match="asked: a, c") as caught:
        ask(route(A, C, chat_only=("a", "c")), providers, call)
    assert caught.value.http_status == 503


def test_unknown_models_are_refused_by_name():
    """No route, no call."""
    providers = Providers()
    with pytest.raises(UnknownModelError, match="'gpt-9'") as caught:
        ask(route(A), providers, msgspec.structs.replace(CALL, model="gpt-9"))
    assert (caught.value.http_status, caught.value.code, caught.value.param) == (404, "model_not_found", "model")
    assert providers.asked == []


def test_any_other_name_goes_to_the_star():
    """`*` takes what has no route of its own."""
    policy = route(plans={ANY: Plan((C,)), "m": Plan((A,))})
    assert ask(policy, Providers(), msgspec.structs.replace(CALL, model="gpt-9")).target == C
    assert ask(policy, Providers()).target == A


@pytest.mark.parametrize("operation", sorted(MODELLESS))
def test_what_asks_no_model_goes_to_an_account(operation: Operation):
    """To the one that keeps what the call names, else to the first that has the operation; no other is asked."""
    providers = Providers(a=UnreachableError("x"), c=UnreachableError("y"))
    call = msgspec.structs.replace(CALL, operation=operation, model="")
    assert ask(route(A, B, C), providers, msgspec.structs.replace(call, account="b")).target == Target("b")
    for account in (None, "c"):
        with pytest.raises(UnreachableError):
            ask(route(A, B, C), providers, msgspec.structs.replace(call, account=account))
    assert providers.asked == [("b", 0), ("a", 0), ("c", 0)]


@pytest.mark.parametrize("account", [None, "a", "gone"])
def test_without_an_account_nothing_is_sent(account):
    """503 where nobody has the operation, or where the account is configured no more."""
    providers = Providers()
    call = msgspec.structs.replace(CALL, operation=Operation.FILES, model="", account=account)
    with pytest.raises(NoTargetError, match="files") as caught:
        ask(route(A, B, C, chat_only=("a", "b", "c")), providers, call)
    assert caught.value.http_status == 503
    with pytest.raises(NoTargetError):
        ask(route(A, B, C), providers, msgspec.structs.replace(call, account="gone"))
    assert providers.asked == []


def test_a_call_that_names_objects_goes_to_their_account_only():
    """Whatever the weights say, and without a fallback: nobody else has them."""
    kept = msgspec.structs.replace(CALL, account="c")
    providers = Providers()
    for _ in range(20):
        assert ask(route(A, B, C), providers, kept).target == C
    assert set(providers.asked) == {("c", 0)}
    with pytest.raises(UnreachableError):
        ask(route(A, B, C), Providers(c=UnreachableError("x")), kept)


def test_an_account_that_has_no_part_in_the_model_is_refused():
    """400 that names both; nothing is sent."""
    providers = Providers()
    with pytest.raises(BadRequestError, match=r"'c'.*'m'") as caught:
        ask(route(A, B), providers, msgspec.structs.replace(CALL, account="c"))
    assert (caught.value.code, caught.value.param) == ("wrong_account", "model")
    assert providers.asked == []


def living(*gone: str) -> Route:
    """A route to all three that asks first who lives."""

    def living(call: Call, targets: Sequence[Target]) -> Sequence[Target]:
        left = [
            msgspec.structs.replace(target, retires="2027-02-01") for target in targets if target.provider not in gone
        ]
        if not left:
            raise UnknownModelError(f"{call.model} is gone", param="model")
        return left

    return route(A, B, C, living=living)


def test_a_retired_target_is_not_asked_and_does_not_count_as_another():
    """The one that is left knows that it is the last; what is known of it travels along."""
    providers = Providers(c=OverloadedError("busy"))
    with pytest.raises(OverloadedError):
        ask(living("a", "b"), providers)
    assert providers.asked == [("c", 0)]
    answer = ask(living("a", "c"), providers)
    assert answer.target == msgspec.structs.replace(B, retires="2027-02-01")


def test_where_none_is_left_nothing_is_asked():
    """The refusal is the caller's answer."""
    providers = Providers()
    with pytest.raises(UnknownModelError, match="m is gone"):
        ask(living("a", "b", "c"), providers)
    assert providers.asked == []


SMALL, LARGE = Target("a", "small"), Target("b", "large", priority=2)
HUGE, UNKNOWN = Target("c", "huge", priority=3), Target("c", "who-knows", priority=3)
SIZES = {"small": Own(context=8000), "large": Own(context=100_000), "huge": Own(context=900_000)}


@pytest.mark.parametrize("error", [ContextLengthError("long"), TooLongError("by our count")])
def test_a_question_that_is_too_long_goes_to_a_larger_context(error: HeadgateError):
    """To the next one that may be larger, be it the provider's word or our own count."""
    providers = Providers(a=error)
    assert ask(route(SMALL, LARGE, HUGE, own=SIZES), providers).target == LARGE
    assert providers.asked == [("a", 2), ("b", 1)]


def test_a_question_that_is_too_long_passes_by_what_is_not_larger():
    """The target that failed sets the measure for all that remain; who is asked knows how many others may help."""
    first, second = Target("a", "large"), Target("b", "small", priority=2)
    providers = Providers(a=ContextLengthError("long"))
    assert ask(route(first, second, HUGE, own=SIZES), providers).target == HUGE
    assert providers.asked == [("a", 2), ("c", 0)]


def test_a_model_of_unknown_size_may_be_larger_but_not_than_itself():
    """The same model at another provider is as small as it is here."""
    same = Target("b", "small", priority=2)
    assert ask(route(SMALL, same, UNKNOWN, own=SIZES), Providers(a=ContextLengthError("x"))).target == UNKNOWN
    twin = Target("b", "who-knows", priority=2)
    providers = Providers(a=ContextLengthError("long"))
    with pytest.raises(ContextLengthError, match="long"):
        ask(route(Target("a", "who-knows"), twin), providers)
    assert providers.asked == [("a", 1)]


def test_where_nobody_is_larger_the_error_is_raised_as_it_is():
    """The provider's own word, with the attempts of the call."""
    error = ContextLengthError("this model takes 900000")
    providers = Providers(a=error)
    with pytest.raises(ContextLengthError) as caught:
        ask(route(Target("a", "huge"), LARGE, SMALL, own=SIZES), providers)
    assert caught.value is error
    assert len(providers.asked) == 1


def test_a_target_that_was_not_asked_tells_less_than_one_that_failed():
    """The provider's failure comes out, whichever came first; its attempts are those of the call."""
    failure = OverloadedError("on fire")
    for failing in ({"a": failure, "c": RestingError("rests", retry_after=9)}, {"a": DeadlineError("x"), "c": failure}):
        with pytest.raises(OverloadedError) as caught:
            ask(route(A, C), Providers(**failing))
        assert caught.value is failure
        assert caught.value.attempts is CALL.trail


def test_when_all_rest_the_caller_comes_back_when_the_first_one_is_rested():
    """The smallest wait of all, not the last one."""
    resting = {name: RestingError(name, retry_after=wait) for name, wait in (("a", 9.0), ("b", 3.0), ("c", 20.0))}
    with pytest.raises(RestingError) as caught:
        ask(route(A, B, C), Providers(**resting))
    assert caught.value.retry_after == 3


def test_what_has_failed_a_question_already_is_left_out():
    """By provider and model, the caller's name included; the last one knows that it is the last."""
    providers = Providers()
    spent = msgspec.structs.replace(CALL, avoid=(("a", "x"), ("c", "y")))
    assert ask(route(A, B, C), providers, spent).target == B
    assert providers.asked == [("b", 0)]
    own_name = msgspec.structs.replace(CALL, avoid=(("a", "m"),))
    assert ask(route(Target("a"), C), providers, own_name).target == C


def test_at_an_account_another_model_may_be_left():
    """What has failed there is left out as elsewhere; still one target is asked."""
    policy, providers = route(A, Target("a", "y"), C), Providers(a=UnreachableError("x"))
    kept = msgspec.structs.replace(CALL, account="a", avoid=(("a", "x"),))
    with pytest.raises(UnreachableError):
        ask(policy, providers, kept)
    assert providers.asked == [("a", 0)]
    with pytest.raises(NoTargetError):
        ask(policy, providers, msgspec.structs.replace(kept, avoid=(("a", "x"), ("a", "y"))))
    assert len(providers.asked) == 1


def test_where_all_have_failed_a_question_nothing_is_sent():
    """503 that names them; a route to one target is no exception."""
    for targets in ((A, C), (A,)):
        providers = Providers()
        with pytest.raises(NoTargetError, match="failed already: a/x, c/y"):
            ask(route(*targets), providers, msgspec.structs.replace(CALL, avoid=(("a", "x"), ("c", "y"))))
        assert providers.asked == []


def test_only_targets_that_can_do_it_are_asked():
    """A request with tools passes a model by that has none, first though it stands, and does not fall back to it."""
    own = {"blind": Own(capabilities=frozenset(("vision",))), "handy": Own(capabilities=frozenset(("tools",)))}
    policy = route(Target("a", "blind"), Target("b", "handy", priority=2), own=own)
    tools = msgspec.structs.replace(CALL, body=Body(b'{"tools":[{"type":"function"}]}'))
    providers = Providers(b=UnreachableError("x"))
    with pytest.raises(UnreachableError):
        ask(policy, providers, tools)
    assert providers.asked == [("b", 0)]
    assert ask(policy, Providers()).target == Target("a", "blind")


def keyed(number: int) -> Call:
    """A call with one of many prompt cache keys."""
    return msgspec.structs.replace(CALL, body=Body(b'{"prompt_cache_key":"user-%d"}' % number))


@pytest.mark.parametrize("strategy", ["weighted", "priority", "latency"])
def test_a_prompt_cache_key_leads_to_the_same_target_each_time(strategy: str):
    """Many keys are spread by weight, and each of them stays, in another process too."""
    first, again = Providers(), Providers()
    one, other = route(A, B, strategy=strategy), route(A, B, strategy=strategy, chance=SystemChance(seed=9))
    for number in range(500):
        ask(one, first, keyed(number))
        ask(other, again, keyed(number))
    assert first.asked == again.asked
    assert 310 <= Counter(first.asked)["a", 1] <= 390


def test_a_prompt_cache_key_falls_back_to_the_same_target_each_time():
    """The order of the others belongs to the key as well, and priorities hold."""
    policy, d = (
        route(A, B, C, Target("d", "y", priority=2)),
        Providers(a=UnreachableError("x"), b=UnreachableError("x")),
    )
    answers = {number: [ask(policy, d, keyed(number)).target for _ in range(3)] for number in range(20)}
    assert all(len(set(targets)) == 1 for targets in answers.values())
    assert {targets[0].provider for targets in answers.values() if targets[0]} == {"c", "d"}


def test_a_prompt_cache_key_matters_more_than_latency():
    """The prompt that is kept at the slower target is asked there; other calls are not."""
    policy, slow, providers = route(A, B, strategy="latency"), VirtualClock(), Providers()

    async def answers(call: Call) -> Reply:
        await slow.sleep(9.0 if call.target == A else 0.1)
        return await providers(call)

    async def story() -> Counter[str]:
        for number in range(100):
            await policy(keyed(number), answers)
        for _ in range(100):
            await policy(CALL, answers)
        return Counter(name for name, _ in providers.asked[:100]) - Counter(name for name, _ in providers.asked[100:])

    assert virtual_time(story())["a"] > 50


def test_priorities_hold_whatever_the_strategy():
    """The first priority is asked first, be it the slowest and the dearest."""
    for strategy in ("priority", "latency", "cost"):
        first, cheap = Target("a", "gpt-5.5"), Target("b", "gpt-6-luna", priority=2)
        policy = route(cheap, Target("c", "gpt-6-luna", priority=2), first, strategy=strategy)
        providers = Providers(a=UnreachableError("x"))
        ask(policy, providers)
        assert providers.asked[0] == ("a", 2)
        assert providers.asked[1][1] == 1


def test_the_cheapest_is_asked_first_and_what_it_says_is_learned():
    """Ties are drawn by weight."""
    dear, cheap, twin = Target("a", "gpt-5.5"), Target("b", "gpt-6-luna", 0.75), Target("c", "gpt-6-luna", 0.25)
    policy, providers = route(dear, cheap, twin, strategy="cost"), Providers()
    for _ in range(400):
        ask(policy, providers)
    counts = Counter(providers.asked)
    assert set(counts) == {("b", 2), ("c", 2)}
    assert 270 <= counts["b", 2] <= 330

    prices = {"reads": Own(input=Decimal(1), output=Decimal(20)), "writes": Own(input=Decimal(10), output=Decimal(2))}
    policy = route(Target("a", "reads"), Target("b", "writes"), own=prices, strategy="cost")
    providers = Providers(usage=TokenUsage(prompt_tokens=1, completion_tokens=1))
    long = msgspec.structs.replace(CALL, body=Body(b'{"messages":"%s"}' % (b"x" * 1000)))
    for _ in range(3):
        ask(policy, providers, long)
    assert [name for name, _ in providers.asked] == ["b", "a", "a"]


def test_a_choice_is_made_once_a_day():
    """Who lives is asked once for each name, operation and day; made-up names do not fill the memory."""
    asked: list[str] = []

    def living(call: Call, targets: Sequence[Target]) -> Sequence[Target]:
        asked.append(call.day + call.model[:3])
        return targets

    policy = route(living=living, plans={ANY: Plan((A, C))})
    for day in ("2027-01-15", "2027-01-15", "2027-01-16"):
        ask(policy, Providers(), msgspec.structs.replace(CALL, day=day))
    assert asked == ["2027-01-15m", "2027-01-16m"]
    for number in range(2500):
        ask(policy, Providers(), msgspec.structs.replace(CALL, model=f"n{number}", day="2027-01-16"))
        ask(policy, Providers(), msgspec.structs.replace(CALL, model="n" * 300 + str(number), day="2027-01-16"))
    assert len(policy._choices) <= 1000
    assert max(len(name) for name, _ in policy._choices) < 300


def test_a_failure_keeps_nothing_alive():
    """An error that was got over is gone with its call, without a collector of garbage."""
    alive = []

    class SeenError(UnreachableError):
        """One that can be watched."""

        def __init__(self) -> None:
            super().__init__("x")
            alive.append(weakref.ref(self))

    async def providers(call: Call) -> Reply:
        if call.others:
            raise SeenError
        return Reply([])

    async def story() -> Reply:
        return await route(A, C)(CALL, providers)

    gc.collect()
    gc.disable()
    try:
        virtual_time(story())
        assert [found() for found in alive] == [None]
    finally:
        gc.enable()
