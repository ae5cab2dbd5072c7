"""Covers policies/route.py."""

from collections import Counter
from collections.abc import Sequence

import msgspec
import pytest

from headgate.core.body import Body
from headgate.core.call import MODELLESS, Call, Operation, Target
from headgate.core.errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ContextLengthError,
    HeadgateError,
    NoTargetError,
    OverloadedError,
    QuotaError,
    TimeoutError,  # noqa: A004
    UnknownModelError,
    UnreachableError,
)
from headgate.core.reply import Reply
from headgate.gate.ports import SystemChance
from headgate.policies.route import ANY, Plan, Route
from headgate.testing import VirtualClock, virtual_time

CALL = Call(id="1", operation=Operation.CHAT, model="m", body=Body(b"{}"), started=0, day="2027-01-15")
A, B, C = Target("a", "x", 0.7, 1), Target("b", "x", 0.3, 1), Target("c", "y", 1, 2)


class Providers:
    """Who fails how; the others answer."""

    def __init__(self, **failing: HeadgateError) -> None:
        self.failing = failing
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, call: Call) -> Reply:
        assert call.target is not None
        self.asked.append((call.target.provider, call.others))
        if error := self.failing.get(call.target.provider):
            raise error
        return Reply([], target=call.target)


def route(*targets: Target, strategy: str = "priority", chat_only: tuple[str, ...] = ()) -> Route:
    """One route named `m`."""
    return Route(
        {"m": Plan(targets, strategy)},  # type: ignore[arg-type]
        speaks=lambda provider, operation: operation is Operation.CHAT or provider not in chat_only,
        accounts=lambda _: [name for name in ("a", "b", "c") if name not in chat_only],
        chance=SystemChance(seed=3),
        clock=VirtualClock(),
    )


def ask(policy: Route, providers: Providers, call: Call = CALL) -> Reply:
    """One call through the policy."""
    return virtual_time(policy(call, providers))


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


@pytest.mark.parametrize("error", [APIError("400"), ContextLengthError("long")])
def test_a_bad_request_goes_nowhere(error: HeadgateError):
    """Nobody else would take it either."""
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
    policy = Route(
        {ANY: Plan((C,)), "m": Plan((A,))},
        speaks=lambda *_: True,
        accounts=lambda _: [],
        chance=SystemChance(seed=1),
        clock=VirtualClock(),
    )
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

    policy = route(A, B, C)
    return Route(
        policy._plans,
        speaks=lambda _provider, _operation: True,
        accounts=lambda _: ["a", "b", "c"],
        chance=SystemChance(seed=3),
        clock=VirtualClock(),
        living=living,
    )


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
