"""What providers charge for a model: from its name, at a time, in a tier.

Decides which price list holds for a name and what is said where none does; refuses to know who used the tokens. In this
order: what the user's configuration says, what our own data file says (models that the published lists lack), what
`genai-prices` says. Rates are turned into integers once per model and minute, because prices may change by date and by
hour. A price that is not known is None, never 0; it may be estimated, and then says so.

The figures cover tokens and flat fees per request; what providers charge for hosted tools, for hours of sound, and by
region is not among the tokens.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from headgate.catalog.models import NOTHING, Catalog, Own
from headgate.catalog.names import spellings
from headgate.catalog.published import STANDARD, Published
from headgate.catalog.rates import Figures, Ladder, Rates, cost, ladder
from headgate.core.usage import TokenUsage

OWN = "own"
"""The price list of models that run on our own machines: nobody charges for their tokens."""
ELSEWHERE = "elsewhere"
"""The price list of an address that no published list claims: OpenAI's, as far as only OpenAI serves a model."""
CONFIGURED = "configuration"
"""The table of prices that the user has given."""
MOST = 1000
"""Models whose rates, and unknown names whose warnings, are remembered."""
LONGEST = 256
"""Characters that the name of a model and its tier may have together."""

_MAKERS = frozenset(("openai", "anthropic", "google"))
_OPEN = ("gpt-oss",)
"""Models whose weights are public: somebody else's price for them is not OpenAI's."""
_TIERS = (None, "priority", "fast", "flex", "batch")
_WORDS = re.compile(r"[-.:/]")
_log = logging.getLogger("headgate.catalog")

Unknown = Literal["refuse", "estimate", "allow"]
"""What is done about a call whose price is not known."""


class Priced(NamedTuple):
    """What one model costs.

    Attributes:
        rates: of its steps.
        table: who says so, as the rows of the ledger have it.
    """

    rates: Ladder
    table: str


class Prices:
    """The price table.

    Attributes:
        catalog: which models there are.

    Args:
        catalog: it brings the prices of our data file and the user's, and the families of estimates.
        unknown: `estimate`: a model without a price costs what the dearest known model of its family does.

    Example:
        >>> prices = Prices()
        >>> prices.cost("gpt-6-luna", TokenUsage(prompt_tokens=1000), at=1_800_000_000)[0]
        100000000
    """

    def __init__(self, catalog: Catalog | None = None, *, unknown: Unknown = "allow") -> None:
        self.catalog = catalog or Catalog()
        self._own: Mapping[str, Own] = self.catalog.own if catalog else NOTHING
        self._unknown = unknown
        self._published = Published()
        # By provider, model and tier: the minute of which the rates are, and the rates.
        self._known: dict[tuple[str, str, str | None], tuple[int, Priced | None]] = {}
        self._warned: set[tuple[str, str, str | None]] = set()
        # By maker: the hour of which they are, and its living models with their prices.
        self._dear: dict[str, tuple[int, Mapping[str, Priced]]] = {}

    def load(self) -> None:
        """Import the price data. Takes about a second; may be called from a thread before the first `cost`."""
        self._published.load()
        self.catalog.load()

    def list_at(self, address: str) -> str:
        """Whose price list holds at a provider's address; `ELSEWHERE` where none claims it."""
        return self._published.at(address) or ELSEWHERE

    def cost(
        self,
        model: str,
        usage: TokenUsage,
        *,
        at: float,
        provider: str = "openai",
        tier: str | None = None,
        asked: str | None = None,
        kept_long: bool = False,
    ) -> tuple[int | None, str | None]:
        """What tokens cost, in picodollars, and which price table says so; (None, None) where no price is known.

        Args:
            model: the model's name as the answer has it, dated or not.
            usage: the tokens.
            at: when, in seconds since 1970 UTC.
            provider: whose price list, by its id in `genai-prices`; or `OWN`, or `ELSEWHERE`.
            tier: the service tier that served, as the answer names it; None for the standard one.
            asked: the name that was asked for; what the user says of it wins over what the answer calls itself.
            kept_long: what was written to the provider's cache is kept for twelve hours, which costs twice as much.
        """
        if provider == OWN:
            return 0, OWN
        if asked is not None and asked in self._own:
            model = asked
        found = self._lookup(provider, model, tier, int(at) // 60)
        if found is None:
            return None, None
        sum_ = cost(found.rates, usage, kept_long=kept_long)
        if sum_ is None:
            self._warn((provider, model[:LONGEST], tier), "for these tokens")
            return None, None
        return sum_, found.table

    def worst(
        self,
        model: str,
        *,
        prompt: int,
        completion: int,
        at: float,
        provider: str = "openai",
        tier: str | None = None,
        kept_long: bool = False,
        only: bool = False,
    ) -> int | None:
        """What so many tokens cost at most, in picodollars, whatever kinds they turn out to be; None: nobody knows.

        Args:
            model: the name to ask for.
            prompt: tokens, fresh, cached or written to the cache; pictures and sound are not among them.
            completion: tokens, thought or said.
            at: as in `cost`.
            provider: as in `cost`.
            tier: the service tier that the request asks for. It may be served in the ordinary one instead.
            kept_long: as in `cost`.
            only: it is served in no other tier.
        """
        if provider == OWN:
            return 0
        most: int | None = None
        for asked in (None,) if tier in STANDARD else (tier,) if only else (None, tier):
            found = self._lookup(provider, model, asked, int(at) // 60)
            if found is None:
                return None
            for rates in found.rates:
                # A longer request may be on a dearer step; a bound is on all steps up to its own.
                if rates.above and prompt <= rates.above:
                    continue
                sum_ = rates.worst(prompt, completion, kept_long=kept_long)
                if sum_ is None:
                    return None
                most = sum_ if most is None else max(most, sum_)
        return most

    def known(self, model: str, *, at: float, provider: str = "openai") -> bool:
        """Whether there is a price for what goes into a model, in the ordinary tier; an estimate is none."""
        if provider == OWN:
            return True
        found = self._lookup(provider, model, None, int(at) // 60)
        return found is not None and not found.table.startswith("estimate") and found.rates[-1].input is not None

    def rates(self, model: str, *, at: float, provider: str = "openai") -> tuple[Rates, str] | None:
        """The rates of an ordinary request and the table that says so; None where none are known.

        For whoever wants to see them: nothing is remembered, estimated or warned of.
        """
        if provider == OWN:
            return Rates(0, 0, 0, 0, 0, 0, 0), OWN
        found = self._find(provider, model[:LONGEST], None, int(at) // 60)
        return None if found is None else (found.rates[-1], found.table)

    def _lookup(self, provider: str, model: str, tier: str | None, minute: int) -> Priced | None:
        key = (provider, model, tier)
        kept = self._known.get(key)
        if kept is not None and kept[0] == minute:
            return kept[1]
        # Names come from outside. Endless ones are unknown, and many of them empty the table rather than grow it:
        # models that are in use are back at once.
        if len(model) + len(tier or "") > LONGEST:
            key = (provider, model[:LONGEST], "…")
        found = self._find(*key, minute)
        if found is None:
            self._warn(key, "")
            found = self._estimate(*key, minute) if self._unknown == "estimate" else None
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[key] = (minute, found)
        return found

    def _find(self, provider: str, model: str, tier: str | None, minute: int) -> Priced | None:
        """What the first of the three tables says that says anything."""
        names = list(spellings(model))
        if any(name.startswith("ft:") for name in names):
            # A tuned model costs more than its base.
            names = [name for name in names if "ft:" in name]
        for name in names:
            own = self._own.get(name)
            if own is not None and (own.input, own.cached, own.output) != (None, None, None):
                figures = Figures(input=own.input, cached=own.cached, output=own.output)
                return Priced(ladder((figures,)), CONFIGURED)
            if own is not None and own.base is not None:
                return self._based(provider, own.base, tier, minute)
        return self._public(provider, names, tier, minute)

    def _based(self, provider: str, base: str, tier: str | None, minute: int) -> Priced | None:
        """What the base costs that the user names, at the address if it has a list, else at its maker."""
        known = self.catalog.shipped(base)
        if provider == ELSEWHERE:
            provider = known.maker if known is not None else "openai"
        found = self._public(provider, list(spellings(base)), tier, minute)
        return found and Priced(found.rates, f"{found.table}, as {base}")

    def _public(self, provider: str, names: Sequence[str], tier: str | None, minute: int) -> Priced | None:
        """What our data file says of the first of a model's spellings of which it says anything; else the list."""
        mark = ""
        if provider == ELSEWHERE:
            names = [name for name in names if not name.startswith(_OPEN)]
            provider, mark = "openai", ", as if at openai"
        facts = self.catalog.facts
        if provider in {"openai", "azure"}:
            ours = next((facts.prices[name] for name in names if name in facts.prices), None)
            if ours is not None:
                steps = ours.tiers.get("standard" if tier in STANDARD else str(tier))
                return None if steps is None else Priced(ladder(steps), f"headgate {facts.date}: {ours.source}{mark}")
        for name in names:
            found = self._published.figures(provider, name, minute=minute, tier=None)
            if found is not None:
                # Whatever the name means, its own tiers hold: a dated one may have others than its base.
                found = self._published.figures(provider, name, minute=minute, tier=tier)
                return None if found is None else Priced(ladder(found), self._published.table + mark)
        return None

    def _estimate(self, provider: str, model: str, tier: str | None, minute: int) -> Priced | None:
        """The dearest that it can be taken for: the same model in another tier, else a model of its family."""
        tiers = ((other, self._find(provider, model, other, minute)) for other in _TIERS if tier not in STANDARD)
        of_tiers = {f"{model}, {other or 'standard'} tier": found for other, found in tiers if found is not None}
        found = _dearest(of_tiers or self._family(provider, model, minute))
        return found and Priced(found[1].rates, f"estimate: {found[0]}, {found[1].table}")

    def _family(self, provider: str, model: str, minute: int) -> Mapping[str, Priced]:
        """The living models whose names begin with as many of its words as possible; the chat models, if with none."""
        living = self._living(provider if provider in _MAKERS else "openai", minute)
        *names, name = spellings(model)
        words = _WORDS.split(name)
        # A tuned model costs more than its base, and so counts as one that is only like it.
        tuned = any("ft:" in other for other in names)
        for most in range(len(words) - tuned, 0, -1):
            found = {other: priced for other, priced in living.items() if _WORDS.split(other)[:most] == words[:most]}
            if found:
                return found
        kinds = self.catalog.facts.models
        return {other: priced for other, priced in living.items() if kinds[other].kind == "chat"}

    def _living(self, maker: str, minute: int) -> Mapping[str, Priced]:
        hour = minute // 60
        kept = self._dear.get(maker)
        if kept is None or kept[0] != hour:
            day = datetime.fromtimestamp(minute * 60, UTC).date()
            kept = self._dear[maker] = (hour, dict(self._all(maker, minute, day.toordinal())))
        return kept[1]

    def _all(self, maker: str, minute: int, day: int) -> Iterator[tuple[str, Priced]]:
        for name, facts in self.catalog.facts.models.items():
            if facts.maker == maker and (facts.retires is None or facts.retires.toordinal() > day):
                found = self._public(maker, [name], None, minute)
                if found is not None and found.rates[-1].input is not None:
                    yield name, found

    def _warn(self, key: tuple[str, str, str | None], what: str) -> None:
        if key in self._warned or len(self._warned) >= MOST:
            return
        self._warned.add(key)
        provider, model, tier = key
        _log.warning(
            "No price is known%s for model %r of %r (tier %r): its cost is %s. Say it in `catalog.models`.",
            what and f" {what}",
            model,
            provider,
            tier,
            "estimated" if self._unknown == "estimate" and not what else "booked as unknown",
        )


def _dearest(found: Mapping[str, Priced]) -> tuple[str, Priced] | None:
    def price(entry: tuple[str, Priced]) -> int:
        rates = entry[1].rates[-1]
        return (rates.input or 0) + (rates.output or 0)

    return max(found.items(), key=price, default=None)
