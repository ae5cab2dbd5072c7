"""The Gate: what all three doors talk to.

Decides how a configuration becomes a running gate, how a door's bytes become a Call, and how the gate ends. Refuses to
know any door and any rule: rules are policies, in the order of `stack.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from headgate.catalog.names import LONGEST
from headgate.catalog.prices import Prices
from headgate.catalog.tokens import Tokens
from headgate.core.call import ANONYMOUS, MODELLESS, NO_TAGS, Call, Caller, Operation, Timeouts, Unsupported
from headgate.core.caps import known
from headgate.core.clock import Chance, Clock
from headgate.core.errors import BadRequestError, NotAllowedError, StoppingError, UnknownModelError
from headgate.core.reply import Reply
from headgate.core.upload import Form, Upload
from headgate.core.wish import Wish
from headgate.dialects.endpoints import Found
from headgate.dialects.registry import DIALECTS
from headgate.gate import made, story, wiring
from headgate.gate.alerts import Alerts
from headgate.gate.coherence import auth
from headgate.gate.config import Config
from headgate.gate.ids import Ids
from headgate.gate.issuing import Who
from headgate.gate.keyring import Keyring
from headgate.gate.made import Ground, Made, check_staying
from headgate.gate.offers import Offer
from headgate.gate.ports import SystemChance, SystemClock
from headgate.gate.spending import Spending
from headgate.gate.spool import Spool
from headgate.gate.statements import Statements
from headgate.gate.summary import Summaries
from headgate.gate.targets import States, resting, shown, states
from headgate.gate.tasks import Tasks
from headgate.policies.meter import Meter
from headgate.policies.pace.gauges import Gauges
from headgate.policies.route import ANY
from headgate.providers.provider import Provider
from headgate.stores.balance import Balance
from headgate.stores.drain import Drain
from headgate.stores.journal import FileJournal, MemoryJournal
from headgate.stores.keys import KeyBook
from headgate.stores.money import Cap
from headgate.stores.protocols import Ledger, Query, Usage
from headgate.stores.purse import Purses
from headgate.stores.rates import Rates
from headgate.stores.records import AttemptRow

TALKS = frozenset((Operation.CHAT, Operation.RESPONSES, Operation.INPUT_TOKENS))
"""Operations that the default model is for."""
MODERATION = "omni-moderation-latest"
"""The model of a moderation that names none, as OpenAI has it."""
FAREWELL = 1.0
"""Seconds that calls in flight have to end when the gate is closed, so that their ends are booked."""
_FAREWELL_STEP = 0.01


class Gate:
    """One gate. `open` makes it; `async with` closes it.

    Attributes:
        config: what it is made of now; `change` exchanges it.
        instance: an unguessable name of this very gate; it travels upstream so that a loop is noticed.
        meter: counts of this process since its start.
        once: calls that are made once; they may outlive their callers.
        cache: answers that are kept.
        simulators: the simulators inside, by provider name.
        tokens: counts tokens, where somebody asks.
        configured: the targets that the configuration names, as provider and model.
        keys: the book of keys in the store, and of what was done by hand.
        keyring: who may call, where keys are asked for.
        issuer: makes and ends keys.
        statements: what the holder of a key is told of its own use.
        spending: how budgets stand, and what is put right by hand.
        alerts: who tells of budgets that are nearly used up.
        batching: the accounts of batches.
    """

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        chance: Chance,
        journal: FileJournal | MemoryJournal,
        ledger: Ledger,
        prices: Prices,
    ) -> None:
        self.instance = chance.token()
        ids = Ids(clock, chance)
        self.new_id, self._today = ids.new, ids.today
        self.meter = Meter(journal, clock, story.tell_call)
        self.tokens = Tokens()
        self.keys = KeyBook(ledger)
        self.keyring = Keyring(config.keys, self.keys, clock)
        self.summaries = Summaries(ledger, self._book, clock)
        self._clock = clock
        self._chance = chance
        self._journal = journal
        self._ledger = ledger
        self._drain = Drain(journal, ledger, clock)
        self._tasks = Tasks()
        self._following = False
        self._stopping = False
        self._changing = asyncio.Lock()
        self._closing = asyncio.Lock()
        self._closed = False
        self._left: set[Provider] = set()
        """Providers of former configurations that are still answering."""
        self._purses = Purses(ledger, self._owner, self._tasks.start, clock)
        self._rates: Rates = wiring.rates(config, clock, chance, self._tasks.start)
        self._blobs = wiring.blobs(config, clock, self._tasks.start)
        self.once = wiring.once(config, self._blobs, clock, chance, self._tasks.start)
        self._gauges = Gauges(self._rates, clock)
        self.alerts = Alerts(
            ledger, named=self._named, used=self._purses.caps, clock=clock,
            webhook=wiring.webhook(config, clock, chance, self._tasks.start),
        )  # fmt: skip
        self._ground = Ground(
            clock, chance, journal, ledger, self.keys, self.tokens, self.meter, self.once, self._blobs, self._purses,
            self._rates, self._gauges, self._tasks.start, self.instance, self.alerts.over,
        )  # fmt: skip
        self._become(Made(config, prices, self._ground))

    def _named(self) -> Sequence[Cap]:
        return self._made.caps.named()

    def _become(self, new: Made) -> None:
        """Be what was made of a configuration, from the next call on."""
        self._made = new
        self.config = new.config
        self.simulators, self.configured, self.cache = new.simulators, new.configured, new.cache
        self.issuer, self.batching = new.issuer, new.batching
        self._plans, self._default, self._offers = new.plans, new.default, new.offers
        self._providers, self._stack = new.providers, new.stack
        self.statements = Statements(self.usage, self._ledger, new.caps, self._clock)
        self.spending = Spending(
            self._ledger, self.keys, new.caps, booked=self._book, owner=self._owner,
            journals=Path(new.config.journal.path), clock=self._clock,
        )  # fmt: skip

    async def change(self, config: Config) -> None:
        """Go on with another configuration: calls under way end as they began, the next one passes the new rules.

        What is used of limits and budgets stays used, targets that rest go on resting, and connections to providers
        whose settings are the same stay open.

        Raises:
            ConfigError: something changes that cannot change while the gate runs, or cannot be used; nothing changes.
            StoppingError: the gate is closed.
        """
        async with self._changing:
            self._must_be_open()
            check_staying(self.config, config)
            prices = made.prices(config)
            await asyncio.to_thread(prices.load)
            self._must_be_open()
            before, after = self._made, Made(config, prices, self._ground, self._made)
            self._gauges.renew()
            self.keyring.renew(config.keys)
            self.once.renew(wiring.idempotency(config))
            self._become(after)
            for provider, seconds in before.left(after):
                self._left.add(provider)
                self._tasks.start(self._leave(provider, seconds), "provider")
            # What was borrowed of a cap that is lower now must not be spent unasked.
            await self._purses.give_back()

    async def _leave(self, provider: Provider, seconds: float) -> None:
        """Close a provider when its last answer must have ended."""
        await self._clock.sleep(seconds)
        await provider.close()
        self._left.discard(provider)

    @classmethod
    async def open(cls, config: Config, *, clock: Clock | None = None, chance: Chance | None = None) -> Self:
        """Make a gate and start its books. Calls no provider.

        Raises:
            ConfigError: the store or the journal cannot be used.
        """
        clock, chance = clock or SystemClock(), chance or SystemChance()
        prices, journal = made.prices(config), made.journal(config, chance)
        if config.store == wiring.MEMORY:
            prices.load()
            ledger = wiring.ledger(config.store, config.retention_days)
        else:
            # The price data, and a driver, take a while to import; the loop goes on meanwhile.
            await asyncio.to_thread(prices.load)
            ledger = await asyncio.to_thread(wiring.ledger, config.store, config.retention_days)
        gate = cls(config, clock=clock, chance=chance, journal=journal, ledger=ledger, prices=prices)
        try:
            await gate._rates.open()
            await gate._blobs.open()
            await gate._drain.adopt()
        except BaseException:
            await gate.close()
            raise
        gate._tasks.start(gate._drain.run(), "drain")
        gate._tasks.start(gate._purses.tend(), "purses")
        if config.providers:
            # Who only reads the books tells nobody of what stands there.
            gate._tasks.start(gate.alerts.watch(), "alerts")
        return gate

    def _owner(self) -> str:
        """Who borrows: the name of our journal, which tells whoever adopts it whose loans end."""
        if not self._journal.token:
            self._journal.open()
        return self._journal.token

    async def follow_keys(self) -> None:
        """Know the keys of the store, and from now on what becomes of them: for doors that may ask for keys."""
        if auth(self.config) == "keys" and not self._following:
            self._following = True
            await self.keyring.refresh()
            self._tasks.start(self.keyring.follow(), "keys")

    def call(
        self,
        operation: Operation,
        raw: bytes | Upload,
        *,
        found: Found | None = None,
        caller: Caller = ANONYMOUS,
        tags: Mapping[str, str] = NO_TAGS,
        headers: Mapping[str, str] = NO_TAGS,
        timeout: float | None = None,
        timeouts: Timeouts | None = None,
        priority: int = 5,
        unsupported: Unsupported = "pass",
        idempotency_key: str | None = None,
        cache: Wish | None = None,
    ) -> Call:
        """Read a caller's request.

        Args:
            operation: what is asked for.
            raw: the body as it came; an upload is closed by whoever received it.
            found: the address, where it is not the operation's own path.
            caller: who asks.
            tags: the call's own tags; those that the key pins win.
            headers: the caller's headers that travel upstream, lower-case.
            timeout: seconds from now after which the answer is of no use.
            timeouts: the caller's own limits for one attempt.
            priority: 0 to 9; 9 goes first.
            unsupported: what becomes of parameters that the model does not take, where the configuration does not say.
            idempotency_key: the caller's name for the call, under which it is made once.
            cache: what the caller wants of the cache.

        Raises:
            BadRequestError: the body is malformed, or names no model and there is no default, or there is no time.
            UnknownModelError: no model has such a name.
            NotAllowedError: the key may not ask for that model.
        """
        facts = DIALECTS[operation].read_request(b"" if isinstance(raw, Upload) and not isinstance(raw, Form) else raw)
        model = "" if operation in MODELLESS else self._model(facts.model, operation, caller)
        stream, opaque, names, address = facts.stream, facts.opaque, facts.names, None
        if found is not None and found.address is not None:
            stream, opaque, address = found.stream, found.endpoint.opaque, found.address
            names = (*found.names, *names)
        # Written so that NaN fails it.
        if timeout is not None and not timeout > 0:
            raise BadRequestError(f"The timeout is {timeout} s; it must be more than 0.", param="timeout")
        now = self._clock.monotonic()
        # By position, in the order of the fields: see `Call`.
        return Call(
            self.new_id(),
            operation,
            model,
            known(raw, facts.fields, plain=facts.plain) if isinstance(raw, bytes) else raw,
            now,
            self._today(),
            address,
            opaque,
            names,
            None,
            stream,
            facts.usage_wanted,
            caller,
            facts.user,
            {**tags, **caller.tags} if caller.tags else tags,
            headers,
            None if timeout is None else now + timeout,
            timeouts,
            priority,
            unsupported=unsupported,
            idempotency_key=idempotency_key,
            cache=cache,
        )

    def _model(self, asked: str | None, operation: Operation, caller: Caller) -> str:
        """The model that a call asks for. Our default is one that talks: it neither embeds nor paints."""
        if asked is not None and len(asked) > LONGEST:
            # Much is remembered by it, where a route takes any name.
            message = f"No model is called {asked[:80]!r}…: a name has at most {LONGEST} characters."
            raise UnknownModelError(message, param="model")
        talks = operation in TALKS
        model = asked or (self._default if talks else MODERATION if operation is Operation.MODERATIONS else None)
        if not model:
            what = "and no default model is set" if talks else "and there is no default for that"
            hint = "Send `model`, or set `models.default` or `OPENAI_MODEL`." if talks else "Send `model`."
            raise BadRequestError(f"The call names no model, {what}.", code="missing_field", param="model", hint=hint)
        if caller.models is not None and model not in caller.models:
            hint = "`GET /v1/models` lists the names that it may ask for."
            raise NotAllowedError(f"This key may not ask for the model {model!r}.", param="model", hint=hint)
        return model

    async def __call__(self, call: Call) -> Reply:
        """Send a call through the stack.

        Raises:
            HeadgateError: see `core.errors` for all that can go wrong before the first word.
        """
        self._must_be_open()
        return await self._stack(call)

    def combining(self) -> None:
        """Let calls be put together that ask for it; see `core.together`."""
        self._stack.combining()

    def spool(self, content_type: str) -> Spool:
        """Where a large body is received; `call` takes what it gives, and who asked for it closes it.

        Raises:
            MediaTypeError: it calls itself a form and names no boundary.
        """
        limit = int(self.config.server.max_upload_mb * 1_000_000)
        return Spool(content_type, chance=self._chance, limit=limit, limit_name="server.max_upload_mb")

    def models(self, caller: Caller = ANONYMOUS) -> list[str]:
        """The names that a caller may ask for."""
        names = {name for name in self._plans if name != ANY}
        if self._default:
            names.add(self._default)
        return sorted(names if caller.models is None else caller.models.intersection(names) | self._any(caller.models))

    def _any(self, wanted: frozenset[str]) -> frozenset[str]:
        return wanted if ANY in self._plans else frozenset()

    def offer(self, name: str, caller: Caller = ANONYMOUS) -> Offer:
        """What a name leads to, as far as it is known today. Where `*` takes every name, it may be any.

        Raises:
            UnknownModelError: it is none that the caller may ask for.
        """
        known = name in self._plans or ANY in self._plans or name == self._default
        if not known or (caller.models is not None and name not in caller.models):
            message = f"The model {name[:80]!r} does not exist here."
            hint = "`GET /v1/models` and `headgate models` list the names that do."
            raise UnknownModelError(message, param="model", hint=hint)
        return self._offers.of(name, self._clock.time())

    def fates(self) -> list[str]:
        """The models behind those names that are gone, or go soon: a sentence for each."""
        return [found.told(name) for name, found in self._offers.fates(self.models(), self._clock.time())]

    def speaks(self, model: str | None, operation: Operation) -> bool:
        """Whether every target of a model has an operation."""
        plan = self._plans.get(model or self._default or "") or self._plans.get(ANY)
        return plan is not None and all(self._providers[t.provider].speaks(operation) for t in plan.targets)

    def lacks(self, model: str | None, capability: str) -> bool:
        """Whether every target of a model is known not to have a capability, as the catalog calls it."""
        return self._offers.lacks(model or self._default or "", capability)

    @property
    def default_model(self) -> str | None:
        """The model of a call that names none."""
        return self._default

    @property
    def simulated(self) -> bool:
        """Whether any answer may be made up."""
        return bool(self.simulators)

    async def health(self) -> dict[str, Any]:
        """The state of providers, targets and stores, as `/health` shows it.

        Raises:
            StoppingError: the gate is closed.
        """
        self._must_be_open()
        names = list(self._providers)
        found = await asyncio.gather(*(self._providers[name].health() for name in names))
        store, journal = dict(await self._ledger.health()), dict(self._drain.health())
        answering = [state.state == "ok" for state in found]
        targets, shared = self.targets(), self.shared()
        up = store["status"] == "ok" and any(answering)
        well = all(answering) and journal["status"] == shared["status"] == "ok" and not resting(targets)
        return {
            "status": "ok" if up and well else "degraded" if up else "down",
            "simulated": self.simulated,
            "providers": {name: msgspec.to_builtins(state) for name, state in zip(names, found, strict=True)},
            "targets": {shown(name): policies for name, policies in targets.items()},
            "shared": shared,
            "store": store,
            "journal": journal,
            **({"keys": dict(self.keyring.health())} if self._following else {}),
        }

    def targets(self) -> States:
        """How each target that was asked so far stands: what its policies say of themselves."""
        return states(self._stack.targets())

    def shared(self) -> dict[str, Any]:
        """How the store of rates stands."""
        return dict(self._rates.health())

    async def ready(self) -> bool:
        """Whether calls can be taken and booked."""
        if self._stopping or self._journal.health()["error"] is not None:
            return False
        if self._following and not self.keyring.known:
            return False
        store = await self._ledger.health()
        return bool(store["status"] == "ok")

    async def usage(self, query: Query) -> tuple[Usage, list[Usage]]:
        """What was used and what it cost, all settled attempts of this process included.

        Raises:
            BadRequestError: there is no such dimension.
            StoppingError: the gate is closed.
        """
        await self._book()
        return await self._ledger.usage(query)

    async def rows(self, query: Query) -> AsyncIterator[AttemptRow]:
        """The attempts, oldest first, all settled ones of this process included.

        Raises:
            BadRequestError: there is no such dimension.
            StoppingError: the gate is closed.
        """
        await self._book()
        async for row in self._ledger.rows(query):
            yield row

    async def budgets(self) -> list[Balance]:
        """How every budget stands; see `Spending.budgets`."""
        return await self.spending.budgets()

    async def resolve(self, call: str, number: int | None, cost: int | None, who: Who) -> AttemptRow:
        """Say how an attempt has ended, of which nobody knew; see `Spending.resolve`."""
        return await self.spending.resolve(call, number, cost, who)

    async def _book(self) -> None:
        """Book everything that has ended by now."""
        self._must_be_open()
        await self._drain.once()

    def _must_be_open(self) -> None:
        if self._stopping:
            raise StoppingError("The gate is closed.")

    async def close(self) -> None:
        """Take no more calls, book everything, give everything back. Safe to call twice.

        Calls in flight lose their connections and end with an error; those with an `Idempotency-Key` have
        `server.shutdown_grace` before that. What is not over after `FAREWELL` is booked as
        unknown by the next start.
        """
        self._stopping = True
        async with self._changing, self._closing:
            if self._closed:
                return
            await self.once.outlive.finish(self.config.server.shutdown_grace)
            for provider in (*self._providers.values(), *self._left):
                await provider.close()
            self._gauges.close()
            await self._farewell()
            await self.once.close()
            await self._rates.close()
            await self._tasks.close()
            await self._blobs.close()
            await self._drain.finish()
            await self.alerts.close()
            await self._ledger.close()
            self.tokens.close()
            self._closed = True

    async def _farewell(self) -> None:
        until = self._clock.monotonic() + FAREWELL
        while self.meter.counters.in_flight and self._clock.monotonic() < until:
            await self._clock.sleep(_FAREWELL_STEP)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
