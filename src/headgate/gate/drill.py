"""A drill: the configured policies against failures that are made up, in made-up time.

Decides what is tried and what has to come of it; refuses to know who is told. Every provider is replaced by a
simulator that fails as it is told; nothing is asked, booked, kept or written, and minutes take milliseconds.
"""

import msgspec

from headgate.core.call import Operation
from headgate.core.clock import Clock
from headgate.core.errors import GuardError, HeadgateError, RestingError
from headgate.gate.config import Alerts, Config, GuardSettings, Route
from headgate.gate.config_providers import Provider
from headgate.gate.gate import Gate
from headgate.gate.virtual import VirtualClock
from headgate.gate.wiring import MEMORY
from headgate.policies.route import ANY

MODEL = "gpt-6-luna"
MATRIX = (
    ({"kind": "status", "status": 400}, 400),
    ({"kind": "status", "status": 401}, 500),
    ({"kind": "status", "status": 429}, 429),
    ({"kind": "status", "status": 500}, 502),
    ({"kind": "status", "status": 503}, 502),
    ({"kind": "silence"}, 504),
    ({"kind": "reset"}, 502),
)
"""Faults of a provider, and what a caller has to see (requirement G4)."""
HARMLESS = "The weather is fine today."
SAMPLES = {
    "secrets": "My key is AKIAIOSFODNN7EXAMPLE.",
    "personal": "Write to anna@example.com.",
    "manipulative_language": "Act now and get rich quick, guaranteed: only a few places are left!",
    "moderation": "I will kill you.",
}
"""What a rule of each kind has to find."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a drill."""

    good: bool
    found: str


def _practice(config: Config, *, guarded: bool = False, **settings: object) -> Config:
    """The same policies, one simulator, and nothing that is kept."""
    provider = Provider.model_validate({"type": "simulator", "max_retries": 0, **settings})
    route = Route.model_validate({"targets": [{"provider": "drill"}]})
    policies = config.policies if guarded else config.policies.model_copy(update={"guard": GuardSettings()})
    return config.model_copy(
        update={
            "providers": {"drill": provider},
            "models": {ANY: route},
            "policies": policies,
            "budgets": [],
            "keys": [],
            "alerts": Alerts(),
            "store": MEMORY,
            "shared": MEMORY,
            "retention_days": None,
        }
    )


async def _ask(gate: Gate, words: str = HARMLESS) -> HeadgateError | None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": words}]}
    try:
        call = gate.call(Operation.CHAT, msgspec.json.encode(body))
        async with await gate(call) as reply:
            await reply.read()
    except HeadgateError as error:
        return error
    return None


async def breaker(config: Config, clock: Clock | None = None) -> Found:
    """Whether a target that fails again and again rests, and comes back. To be run in virtual time."""
    settings = config.policies.breaker
    clock = clock or VirtualClock()
    faults = [{"kind": "status", "status": 503, "times": settings.failures}]
    async with await Gate.open(_practice(config, faults=faults), clock=clock) as gate:
        failed = [await _ask(gate) for _ in range(settings.failures)]
        rests = isinstance(await _ask(gate), RestingError)
        await clock.sleep(settings.rest * 1.3)
        back = [await _ask(gate) for _ in range(settings.probes + 1)]
    if all(failed) and rests and not any(back):
        times = f"{settings.failures} failures in {settings.window:g} s"
        return Found(good=True, found=f"after {times} a target rests for {settings.rest:g} s, then comes back")
    return Found(good=False, found="a target that failed again and again was asked on, or did not come back")


async def errors(config: Config, clock: Clock | None = None) -> Found:
    """Whether each failure of a provider becomes the status that it has to be. To be run in virtual time."""
    clock = clock or VirtualClock()
    wrong = []
    for fault, expected in MATRIX:
        async with await Gate.open(_practice(config, faults=[fault], timeout=30), clock=clock) as gate:
            error = await _ask(gate)
        if error is None or error.http_status != expected:
            wrong.append(f"{fault} became {error.http_status if error else 200}, not {expected}")
    if wrong:
        return Found(good=False, found=f"{'; '.join(wrong)}")
    return Found(good=True, found=f"{len(MATRIX)} kinds of failure become the status that they should")


async def guard(config: Config, clock: Clock | None = None) -> Found:
    """Whether the guard's input rules find what they look for, and pass what is harmless. To be run in virtual time.

    Only rules that hold for every model and whose words can be known beforehand are tried.
    """
    clock = clock or VirtualClock()
    rules = [rule for rule in config.policies.guard.input if rule.models is None]
    tried, missed = 0, []
    async with await Gate.open(_practice(config, guarded=True), clock=clock) as gate:
        if await _ask(gate) is not None:
            return Found(good=False, found=f"{HARMLESS!r} was refused")
        for number, rule in enumerate(rules):
            words = rule.words[0] if rule.words else SAMPLES.get(rule.kind)
            if words is None:
                continue
            tried += 1
            name = rule.name or f"{rule.kind} {number + 1}"
            if not await _found(gate, words):
                missed.append(name)
    if missed:
        return Found(good=False, found=f"{', '.join(missed)} did not find what it looks for")
    return Found(good=True, found=f"{tried} of {len(rules)} rules for input found what they look for")


async def _found(gate: Gate, words: str) -> bool:
    """Whether any rule says anything of the words."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": words}]}
    call = gate.call(Operation.CHAT, msgspec.json.encode(body))
    try:
        async with await gate(call) as reply:
            await reply.read()
    except GuardError:
        return True
    except HeadgateError:
        pass
    return bool(call.verdicts)
