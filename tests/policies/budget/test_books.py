"""Covers policies/budget/books.py, through the policy: what each kind of end costs, each attempt settled once."""

import asyncio
import itertools
import json
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import genai_prices
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headgate.catalog.models import Catalog, Own
from headgate.catalog.prices import Prices
from headgate.core.attempt import Basis, Settled
from headgate.core.body import Body
from headgate.core.call import Address, Call, Caller, Operation, Origin, Target, Timeouts
from headgate.core.errors import (
    Answer,
    APIError,
    BacklogError,
    ConfigError,
    GarbledError,
    HeadgateError,
    InterruptedError,  # noqa: A004
    Onward,
    OverloadedError,
    TimeoutError,  # noqa: A004
    UnpricedError,
    UnreachableError,
)
from headgate.core.money import PICO
from headgate.core.reply import Event, Kind, Reply
from headgate.core.secret import Secret
from headgate.core.usage import TokenUsage
from headgate.policies.budget.books import MOST_TOKENS
from headgate.policies.budget.budget import Budget
from headgate.providers.hosted import Hosted
from headgate.providers.simulator import Fault, Simulator, SimulatorTransport
from headgate.stores.journal import MemoryJournal
from headgate.stores.records import Intent, Outcome
from headgate.testing import EPOCH, VirtualClock, virtual_time

PRICES = Prices()
CALL = Call(
    id="c",
    operation=Operation.CHAT,
    model="fast",
    body=Body(b"x" * 41),
    started=0.0,
    day="2027-01-15",
    caller=Caller(key="web", project="team-a"),
    user="u1",
    tags={"team": "a"},
    target=Target("openai", "gpt-6-luna"),
)
USAGE = TokenUsage(prompt_tokens=1000, completion_tokens=100, cached_tokens=200)
USAGE_COST = 800 * 100_000 + 200 * 10_000 + 100 * 500_000
COUNTED = TokenUsage(prompt_tokens=11, completion_tokens=3)  # 41 and 10 bytes, four to a token
COUNTED_COST = 11 * 100_000 + 3 * 500_000


class Script:
    """A provider that does what it is told, and notes on the attempt what it did."""

    def __init__(self, *, sent=True, status=200, error=None, events=(), end=None, wait=0.0, stream=False):
        self.sent = sent
        self.status = status
        self.error = error
        self.events = list(events)
        self.end = end
        self.wait = wait
        self.stream = stream

    async def __call__(self, call):
        attempt = call.attempt
        attempt.sent = self.sent
        attempt.status = self.status
        await asyncio.sleep(self.wait)
        if self.error is not None:
            raise self.error
        if not self.stream:
            return Reply(self.events)
        return Reply(self.events[:1], self._rest(), stream=True)

    async def _rest(self):
        for event in self.events[1:]:
            await asyncio.sleep(1)
            yield event
        if self.end is not None:
            raise self.end


def whole(**facts):
    """A whole answer."""
    return Event(kind=Kind.TERMINAL, size=10, model="gpt-6-luna", **facts)


def stream(*, usage=None, finish=True):
    """A stream of ten bytes in two events, its end, and the usage after it."""
    events = [Event(kind=Kind.CONTENT, size=4, model="gpt-6-luna"), Event(kind=Kind.CONTENT, size=6)]
    if finish:
        events.append(Event(kind=Kind.TERMINAL, finish="stop"))
    if usage is not None:
        events.append(Event(kind=Kind.TRAILER, usage=usage, tier="default"))
    return events


def run(story):
    """Run in virtual time."""
    return virtual_time(story)


async def read(reply):
    """Iterate to the end."""
    async for _ in reply:
        pass


def attempt_of(provider, *, reading=read, **changes):
    """The attempt after one call, and what it left in the journal; errors of the call are swallowed."""
    call = msgspec.structs.replace(CALL, stream=provider.stream, trail=[], **changes)
    journal = MemoryJournal()

    async def story():
        try:
            reply = await Budget(journal, PRICES, VirtualClock())(call, provider)
            assert reply.attempts == call.trail
            await reading(reply)
        except HeadgateError as error:
            assert error is provider.error or error is provider.end  # noqa: PT017
            assert error.attempts == call.trail  # noqa: PT017
        except (asyncio.CancelledError, KeyError):
            pass

    run(story())
    [attempt] = call.trail
    intent, outcome = journal.read(0).records
    assert isinstance(intent, Intent)
    assert isinstance(outcome, Outcome)
    assert (outcome.settled, outcome.basis, outcome.cost) == (attempt.settled, attempt.basis, attempt.cost)
    assert (outcome.call_id, outcome.attempt) == (intent.call_id, intent.attempt) == ("c", 1)
    return attempt


def ends(attempt):
    """How it was settled, in short."""
    return attempt.settled, attempt.basis, attempt.cost, attempt.error_type


NOT_BILLED = (Settled.NOT_BILLED, None, 0)
UNKNOWN = (Settled.UNKNOWN, None, None)
REPORTED = (Settled.BILLED, Basis.REPORTED, USAGE_COST)
BY_COUNT = (Settled.BILLED, Basis.COUNTED, COUNTED_COST)


def test_the_intent_is_written_before_anything_leaves():
    """When the provider is asked, the journal already says who asks what of whom, and when the call began."""
    journal = MemoryJournal()

    async def provider(call):
        [intent] = journal.read(0).records
        assert intent == Intent(
            call_id="c",
            day="2027-01-15",
            time=EPOCH,
            operation="chat",
            model_requested="fast",
            key="web",
            project="team-a",
            user="u1",
            tags={"team": "a"},
            attempt=1,
            provider="openai",
            model="gpt-6-luna",
        )
        assert call.attempt.settled is None
        return Reply([whole(usage=USAGE)])

    async def story():
        await asyncio.sleep(5)
        await Budget(journal, PRICES, VirtualClock())(msgspec.structs.replace(CALL, trail=[]), provider)

    run(story())
    assert len(journal.read(0).records) == 2


def spoken(words, **fields):
    """The body of a request that says so many letters."""
    return Body(json.dumps({"messages": [{"role": "user", "content": "x" * words}], **fields}).encode())


def test_counting_takes_what_the_model_reads():
    """Not the JSON around it: 400 letters and the role, four to a token, and the six tokens around a message."""
    attempt = attempt_of(Script(events=stream(), stream=True), body=spoken(400, temperature=0.5))
    assert attempt.usage == TokenUsage(prompt_tokens=6 + 101, completion_tokens=3)


def thinking(thoughts, *, last, told=None, **changes):
    """The usage of the last of several calls to one target, the first of which tell what they thought."""

    async def story():
        policy = Budget(MemoryJournal(), PRICES, VirtualClock())
        for thought in thoughts:
            usage = TokenUsage(prompt_tokens=5, completion_tokens=thought + 5, reasoning_tokens=thought)
            call = msgspec.structs.replace(CALL, trail=[], body=told or CALL.body)
            await read(await policy(call, Script(events=[whole(usage=usage)])))
        call = msgspec.structs.replace(CALL, trail=[], stream=last.stream, **changes)
        with suppress(asyncio.CancelledError):
            await read(await policy(call, last))
        return call.attempt.usage

    return run(story())


def test_what_it_thought_is_counted_as_on_average():
    """Nobody sees it in a stream that is cut; the latest answers weigh more, and ours teach nothing."""
    cut = {"events": stream(), "stream": True}
    assert thinking([100] * 9, last=Script(**cut)) == TokenUsage(
        prompt_tokens=11, completion_tokens=103, reasoning_tokens=100
    )
    assert 290 < thinking([100] + [300] * 99, last=Script(**cut)).reasoning_tokens < 300
    assert thinking([], last=Script(**cut)).reasoning_tokens == 0
    assert thinking([100], last=Script(events=[whole()])).reasoning_tokens == 100


def test_an_answer_is_not_counted_longer_than_it_may_be():
    """Thoughts fill what the words leave of the cap; of several choices, each has its own."""
    cut = Script(events=stream(), stream=True)
    for fields, spent in (({"max_tokens": 40}, 40), ({"max_tokens": 2}, 2), ({"max_tokens": 40, "n": 2}, 80)):
        assert thinking([100], last=cut, body=spoken(4, **fields)).completion_tokens == spent


def test_what_was_told_not_to_think_does_not():
    """Nor does an operation that cannot, nor an answer that has not begun; and what was told so teaches nothing."""
    calm, cut = spoken(4, reasoning_effort="none"), Script(events=stream(), stream=True)
    gone = Script(status=None, error=asyncio.CancelledError(), stream=True)
    begun = Script(error=asyncio.CancelledError(), stream=True)
    assert thinking([100], last=cut, body=calm).reasoning_tokens == 0
    assert thinking([100], last=cut, operation=Operation.COMPLETIONS).reasoning_tokens == 0
    assert thinking([100], last=gone).reasoning_tokens == 0
    assert thinking([100], last=begun).reasoning_tokens == 100
    assert thinking([100], told=calm, last=cut).reasoning_tokens == 0


def test_nothing_leaves_when_the_intent_cannot_be_written():
    """A full journal: the provider is not asked, no attempt is counted, earlier ones are told."""
    journal = MemoryJournal(max_backlog=2)

    async def story():
        budget = Budget(journal, PRICES, VirtualClock())
        call = msgspec.structs.replace(CALL, trail=[])
        await budget(call, Script(events=[whole()]))
        with pytest.raises(BacklogError) as caught:
            await budget(call, Script(events=[whole()]))
        assert len(call.trail) == 1
        assert caught.value.attempts == call.trail

    run(story())


def test_attempts_are_numbered_over_all_targets():
    """One trail a call: each attempt has the next number, whoever it asks."""
    journal = MemoryJournal()

    async def story():
        budget = Budget(journal, PRICES, VirtualClock())
        call = msgspec.structs.replace(CALL, trail=[])
        for name, model in (("a", "m1"), ("a", "m1"), ("b", None)):
            await budget(msgspec.structs.replace(call, target=Target(name, model)), Script(events=[whole()]))
        assert [(attempt.number, attempt.provider, attempt.model) for attempt in call.trail] == [
            (1, "a", "m1"),
            (2, "a", "m1"),
            (3, "b", "fast"),
        ]

    run(story())
    assert [record.attempt for record in journal.read(0).records] == [1, 1, 2, 2, 3, 3]


def test_the_gates_own_call_names_its_parent():
    """Its cost belongs to somebody else's call."""
    journal = MemoryJournal()
    call = msgspec.structs.replace(CALL, trail=[], origin=Origin.INTERNAL, parent="theirs")
    run(Budget(journal, PRICES, VirtualClock())(call, Script(events=[whole()])))
    assert journal.read(0).records[0].parent == "theirs"


def test_a_complete_answer_costs_what_the_provider_reported():
    """Whole or streamed: billed, reported, priced by the model that served; timings in milliseconds."""
    attempt = attempt_of(Script(events=[whole(usage=USAGE, tier="default")], wait=0.25))
    assert ends(attempt) == (*REPORTED, None)
    assert attempt.price_table == f"genai-prices {genai_prices.__version__}"
    assert (attempt.usage, attempt.model_served, attempt.service_tier) == (USAGE, "gpt-6-luna", "default")
    assert (attempt.latency_ms, attempt.first_token_ms, attempt.status) == (250.0, None, 200)
    attempt = attempt_of(Script(events=stream(usage=USAGE), stream=True, wait=0.25))
    assert ends(attempt) == (*REPORTED, None)
    assert (attempt.latency_ms, attempt.first_token_ms) == (3250.0, 250.0)


def test_the_served_model_and_tier_make_the_price():
    """The answer says who served and in which tier, and that is what is charged; an unknown one has no price."""
    served = [Event(kind=Kind.TERMINAL, usage=USAGE, model="gpt-5.4-2026-03-05", tier="priority")]
    attempt = attempt_of(Script(events=served))
    assert attempt.cost == PRICES.cost("gpt-5.4", USAGE, at=EPOCH, tier="priority")[0] > 0
    attempt = attempt_of(Script(events=[Event(kind=Kind.TERMINAL, usage=USAGE, model="house-llama")]))
    assert ends(attempt) == (Settled.BILLED, Basis.REPORTED, None, None)
    assert attempt.price_table is None
    attempt = attempt_of(Script(events=[Event(kind=Kind.TERMINAL, usage=USAGE)]))
    assert attempt.cost == USAGE_COST


def test_another_price_list():
    """A target whose provider is not OpenAI is priced by that provider's list."""
    journal = MemoryJournal()
    call = msgspec.structs.replace(CALL, trail=[], target=Target("claude", "claude-haiku-4-5"))
    provider = Script(events=[Event(kind=Kind.TERMINAL, usage=USAGE)])
    run(Budget(journal, PRICES, VirtualClock(), price_list="anthropic")(call, provider))
    assert call.attempt.cost == PRICES.cost("claude-haiku-4-5", USAGE, at=EPOCH, provider="anthropic")[0] > 0


def test_what_the_user_says_of_the_model_asked_wins():
    """An answer calls itself by its base's name; the price is that of the model that was asked."""
    own = Prices(Catalog({"acme": Own(input=Decimal(7), output=Decimal(7))}))
    call = msgspec.structs.replace(CALL, trail=[], target=Target("openai", "acme"))
    answer = Event(kind=Kind.TERMINAL, usage=USAGE, model="gpt-4.1-mini-2025-04-14")
    run(Budget(MemoryJournal(), own, VirtualClock())(call, Script(events=[answer])))
    assert (call.attempt.cost, call.attempt.price_table) == (1100 * 7_000_000, "configuration")


@pytest.mark.parametrize(
    ("body", "factor"),
    [
        (b'{"prompt_cache_options": {"mode": "auto", "ttl": "12h"}}', 2),
        (b'{"prompt_cache_options": {"mode": "auto", "ttl": "1\\u0032h"}}', 2),
        (b'{"prompt_cache_options": {"ttl": "30m"}, "messages": "12h"}', 1),
        (b'{"prompt_cache_options": "12h"}', 1),
        (b"{}", 1),
    ],
)
def test_what_is_cached_for_twelve_hours_costs_twice_as_much_to_write(body, factor):
    """The answer does not say so; the request did."""
    call = msgspec.structs.replace(CALL, trail=[], body=Body(body))
    usage = TokenUsage(prompt_tokens=2000, cache_write_tokens=2000)
    run(Budget(MemoryJournal(), PRICES, VirtualClock())(call, Script(events=[whole(usage=usage)])))
    assert call.attempt.cost == 2000 * 125_000 * factor


def test_a_model_without_a_price_is_not_asked_where_that_is_refused():
    """403 that names the model and the setting; nothing is written and nothing leaves. The next target may be asked."""
    journal, provider = MemoryJournal(), Script(events=[whole(usage=USAGE)])
    strict = Budget(journal, PRICES, VirtualClock(), must_know=True)
    for name in ("house-llama", "whisper-1"):
        call = msgspec.structs.replace(CALL, trail=[], target=Target("openai", name))
        with pytest.raises(UnpricedError, match=rf"'{name}'.*`policies.budget.unknown_price` is `refuse`") as caught:
            run(strict(call, provider))
        assert (caught.value.http_status, caught.value.code, caught.value.onward) == (403, "unknown_price", Onward.NOW)
        assert call.trail == []
    assert journal.read(0).records == []
    call = msgspec.structs.replace(CALL, trail=[])
    run(strict(call, provider))
    assert call.attempt.cost is not None


def test_what_is_free_needs_no_price():
    """Files, batches and moderations are not refused for it; what passes unread has no model to ask about."""
    strict = Budget(MemoryJournal(), PRICES, VirtualClock(), must_know=True)
    for operation in (Operation.MODERATIONS, Operation.FILES, Operation.PASSTHROUGH):
        call = msgspec.structs.replace(CALL, trail=[], operation=operation, target=Target("openai", "house-llama"))
        run(strict(call, Script(events=[whole()])))
        assert len(call.trail) == 1


def test_a_complete_answer_without_usage_is_counted():
    """Four bytes a token, rounded up, and marked as our count."""
    for provider in (Script(events=[whole()]), Script(events=stream(), stream=True)):
        attempt = attempt_of(provider)
        assert ends(attempt) == (*BY_COUNT, None)
        assert attempt.usage == COUNTED


@pytest.mark.parametrize(
    "usage",
    [
        TokenUsage(prompt_tokens=-1),
        TokenUsage(completion_tokens=-5, prompt_tokens=3),
        TokenUsage(prompt_tokens=MOST_TOKENS + 1),
        TokenUsage(reasoning_tokens=10**30),
    ],
)
def test_usage_that_cannot_be_true_is_not_believed(usage):
    """It would lower the bill, or burst the ledger: our own count stands instead."""
    assert ends(attempt_of(Script(events=[whole(usage=usage)]))) == (*BY_COUNT, None)


BROKEN = InterruptedError("cut")


def test_a_stream_that_breaks_is_counted():
    """What was said costs money, though nobody reported it."""
    attempt = attempt_of(Script(events=stream(finish=False), end=BROKEN, stream=True))
    assert ends(attempt) == (*BY_COUNT, "stream_interrupted")


def test_a_stream_that_breaks_after_its_usage_is_reported():
    """What the provider said before the break is the truth."""
    attempt = attempt_of(Script(events=stream(usage=USAGE, finish=False), end=BROKEN, stream=True))
    assert ends(attempt) == (*REPORTED, "stream_interrupted")


async def leave(reply):
    """Read one event, and close."""
    await reply.read()
    await reply.read()
    await reply.close()
    await reply.close()


def test_a_stream_that_is_left_is_counted():
    """The caller closed it: what came until then is counted, once."""
    attempt = attempt_of(Script(events=stream(usage=USAGE), stream=True), reading=leave)
    assert ends(attempt) == (*BY_COUNT, "cancelled")


def test_a_stream_that_is_never_read_is_counted():
    """Closed at once: the first word had come all the same."""
    attempt = attempt_of(Script(events=stream(usage=USAGE), stream=True), reading=lambda reply: reply.close())
    assert attempt.usage == TokenUsage(prompt_tokens=11, completion_tokens=1)
    assert (attempt.settled, attempt.basis) == (Settled.BILLED, Basis.COUNTED)


async def finish_and_leave(reply):
    """As an SDK does: read up to the end mark, and close."""
    for _ in range(4):
        await reply.read()
    await reply.close()


def test_leaving_after_the_end_is_no_failure():
    """The answer was finished and its usage told."""
    attempt = attempt_of(Script(events=stream(usage=USAGE), stream=True), reading=finish_and_leave)
    assert ends(attempt) == (*REPORTED, None)


async def cancelled(reply):
    """The reader's task is cancelled while it waits for the next event."""
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read(reply))
        await asyncio.sleep(1.5)
        reading.cancel()


def test_a_reader_that_is_cancelled_pays_for_what_came():
    """Cancelled between two events: counted."""
    attempt = attempt_of(Script(events=stream(usage=USAGE), stream=True), reading=cancelled)
    assert ends(attempt) == (*BY_COUNT, "cancelled")


REFUSED = OverloadedError("503", answer=Answer(503, {}, b""))
IN_BAND = OverloadedError("overloaded, says an event")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("sent", "status", "error", "expected"),
    [
        (False, None, UnreachableError("connect"), NOT_BILLED),
        (False, None, TimeoutError("connect"), NOT_BILLED),
        (False, None, KeyError("a bug before sending"), NOT_BILLED),
        (False, None, asyncio.CancelledError(), NOT_BILLED),
        (True, 503, REFUSED, NOT_BILLED),
        (True, None, REFUSED, NOT_BILLED),
        (False, 413, APIError("early", answer=Answer(413, {}, b"")), NOT_BILLED),
        (True, 400, APIError("bad", answer=Answer(400, {}, b"")), NOT_BILLED),
        (True, 500, asyncio.CancelledError(), NOT_BILLED),
        (True, None, TimeoutError("silence"), UNKNOWN),
        (True, 200, TimeoutError("half an answer"), UNKNOWN),
        (True, None, UnreachableError("reset"), UNKNOWN),
        (True, 200, GarbledError("?"), UNKNOWN),
        (False, 200, GarbledError("answered before it had read"), UNKNOWN),
        (True, 200, IN_BAND, UNKNOWN),
        (True, 200, KeyError("a bug of ours"), UNKNOWN),
    ],
)
def test_failures_before_the_first_word(streamed, sent, status, error, expected):
    """Not written, or refused: free. Anything else: nobody knows what it cost."""
    attempt = attempt_of(Script(sent=sent, status=status, error=error, stream=streamed))
    assert ends(attempt)[:3] == expected
    assert attempt.error_type == {KeyError: "internal_error", asyncio.CancelledError: "cancelled"}.get(
        type(error), getattr(error, "code", None)
    )
    assert attempt.price_table is None


def test_cancelled_while_the_provider_works():
    """A stream has cost its input at least; of a whole answer nobody knows."""
    gone = asyncio.CancelledError()
    attempt = attempt_of(Script(status=None, error=gone, stream=True))
    assert ends(attempt) == (Settled.BILLED, Basis.COUNTED, 11 * 100_000, "cancelled")
    attempt = attempt_of(Script(status=None, error=gone))
    assert ends(attempt) == (*UNKNOWN, "cancelled")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit, SystemExit])
def test_the_end_of_the_program_is_on_the_books(kind):
    """Whatever flies through is settled and goes on flying."""
    journal = MemoryJournal()
    call = msgspec.structs.replace(CALL, trail=[])

    async def provider(call):
        call.attempt.sent = True
        raise kind

    going = Budget(journal, PRICES, VirtualClock())(call, provider)

    async def story():
        with pytest.raises(kind):
            going.send(None)

    run(story())
    assert call.attempt.settled is Settled.UNKNOWN
    assert len(journal.read(0).records) == 2


def test_a_price_that_cannot_be_found_out_loses_no_outcome():
    """If pricing itself breaks, the outcome is written all the same, without a cost."""

    class Broken(Prices):
        def cost(self, *_args, **_facts):
            raise ConfigError("broken")

    journal = MemoryJournal()
    call = msgspec.structs.replace(CALL, trail=[])
    with pytest.raises(ConfigError):
        run(Budget(journal, Broken(), VirtualClock())(call, Script(events=[whole(usage=USAGE)])))
    assert journal.read(0).records[1].settled is Settled.BILLED
    assert journal.read(0).records[1].cost is None


FAULTS = [
    None, None, None, None,
    Fault(kind="status", status=500), Fault(kind="status", status=429), Fault(kind="reset"),
    Fault(kind="silence", delay=100), Fault(kind="cut", after_tokens=3), Fault(kind="stall", after_tokens=2),
    Fault(kind="malformed", after_tokens=2), Fault(kind="error_event", after_tokens=2), Fault(kind="no_done"),
    Fault(kind="no_usage"),
]  # fmt: skip


EVERYTHING = list(itertools.product(FAULTS, [False, True], [False, True], [False, True]))


async def simulate(mixture, journal):
    """Ask a simulator a mixture of questions: the attempts, and the lines of its bill, by the name of the attempt."""
    clock = VirtualClock()
    simulator = Simulator(clock=clock, seed=3)
    provider = Hosted(
        "sim", SimulatorTransport(simulator), clock=clock, base_url="http://simulator/v1", api_key=Secret(""),
        headers={}, responses=True, timeouts=Timeouts(), simulated=True, hop="h",
    )  # fmt: skip
    budget = Budget(journal, PRICES, clock)
    attempts = {}
    for number, (fault, streamed, responses, leaving) in enumerate(mixture):
        question = f"Tell me about {number}."
        asked = {"model": "gpt-6-luna", "stream": streamed}
        asked |= {"input": question} if responses else {"messages": [{"role": "user", "content": question}]}
        call = msgspec.structs.replace(
            CALL,
            id=f"c{number}",
            operation=Operation.RESPONSES if responses else Operation.CHAT,
            body=Body(json.dumps(asked).encode()),
            stream=streamed,
            headers={} if fault is None else {"x-simulate-fault": msgspec.json.encode(fault).decode()},
            trail=[],
        )
        with suppress(HeadgateError):
            async with await budget(call, provider) as reply:
                async for event in reply:
                    if leaving and event.kind is Kind.CONTENT:
                        break
        attempts[f"c{number}-1"] = call.attempt
    bill = {line.client_request_id: line for line in simulator.bill.lines}
    assert len(bill) == len(simulator.bill.lines)
    return attempts, bill


@given(st.lists(st.sampled_from(EVERYTHING), max_size=12))
@example(EVERYTHING)
@settings(max_examples=60)
def test_the_books_agree_with_the_providers_bill(mixture):
    """Over the simulator: each reported attempt costs its line of the bill to the last picodollar, exactly once.

    What was charged and not reported is counted or unknown, never free; what is free on the books is not on the bill.
    """
    journal = MemoryJournal()
    attempts, bill = run(simulate(mixture, journal))
    for name, attempt in attempts.items():
        if attempt.basis is Basis.REPORTED:
            assert attempt.usage == bill[name].usage
            assert Fraction(attempt.cost, PICO) == bill[name].amount
        assert name not in bill or attempt.settled is not Settled.NOT_BILLED
        assert attempt.settled is not None
    if len(mixture) == len(EVERYTHING):
        kinds = {attempt.basis or attempt.settled for attempt in attempts.values()}
        assert kinds == {Basis.REPORTED, Basis.COUNTED, Settled.UNKNOWN, Settled.NOT_BILLED}
    written = sorted((type(record).__name__, record.call_id) for record in journal.read(0).records)
    assert written == sorted((kind, name.removesuffix("-1")) for name in attempts for kind in ("Intent", "Outcome"))


def test_the_date_of_a_price_is_today():
    """Prices are asked for as of now, on the wall clock."""
    asked = []

    class Noting(Prices):
        def cost(self, *_args, at, **_facts):
            asked.append(datetime.fromtimestamp(at, UTC).date().isoformat())
            return 1, "t"

    call = msgspec.structs.replace(CALL, trail=[])
    run(Budget(MemoryJournal(), Noting(), VirtualClock())(call, Script(events=[whole(usage=USAGE)])))
    assert asked == ["2027-01-15"]


@pytest.mark.parametrize(
    ("path", "prepaid", "sent", "expected"),
    [("/batches", False, True, UNKNOWN), ("/batches", False, False, NOT_BILLED), ("/batches", True, True, NOT_BILLED),
     ("/batches/batch_1/cancel", False, True, NOT_BILLED)],
)  # fmt: skip
def test_a_batch_whose_making_was_lost_may_cost(path, prepaid, sent, expected):
    """Nobody knows whether it runs; unless whoever made it has set its cost aside, and finds it again."""
    call = msgspec.structs.replace(
        CALL, trail=[], operation=Operation.BATCHES, address=Address("POST", path), prepaid=prepaid
    )

    async def provider(call):
        call.attempt.sent = sent
        raise UnreachableError("reset")

    async def story():
        with suppress(UnreachableError):
            await Budget(MemoryJournal(), PRICES, VirtualClock())(call, provider)

    virtual_time(story())
    assert ends(call.trail[0])[:3] == expected
