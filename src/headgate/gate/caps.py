"""Which budgets a call counts against, and in which window of each.

Decides whom a budget is for and where its days, weeks and months begin; refuses to know what is spent.

A budget of a scope that names nobody is one for each: `scope: user` without `user` gives every end user a sum of its
own. A call that has no such name (no key, no user) does not count against it. A key's own budget is named `key:NAME`;
no budget of the configuration has a colon in its name.

Callers say themselves who their end users are. So a user is one of a tenant (the key's project, else the key): nobody
can use up what another tenant's user of the same name has. What callers make up is clipped to what a database takes.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from math import inf
from zoneinfo import ZoneInfo

from headgate.core.call import Call, Caller
from headgate.core.clock import Clock
from headgate.core.money import from_usd
from headgate.gate.config import Budget
from headgate.stores.money import Cap

TOTAL = "total"
OWN = "key"
"""What the name of a key's own budget begins with, before a colon."""
ALERT_AT = (0.8,)
"""The shares at which a key's own budget alerts, as those of the configuration do by default."""
LONGEST = 256
"""Characters of a name that a caller made up, in the name of a sum."""


class Window:
    """A kind of window in a time zone; knows which one it is now.

    Example:
        >>> Window("day", "Europe/Berlin").at(1_800_000_000.0), Window("week").at(1_800_000_000.0)
        ('2027-01-15', '2027-W02')
    """

    def __init__(self, kind: str, zone: str = "UTC") -> None:
        self._kind = kind
        self._zone = ZoneInfo(zone)
        self._since = self._until = -inf
        self._label = TOTAL
        if kind == TOTAL:
            self._until = inf

    def at(self, time: float) -> str:
        """Its name at a time, in seconds since 1970: `2027-01-15`, `2027-W02`, `2027-01` or `total`."""
        if not self._since <= time < self._until:
            # The calendar is asked once a window, not once a call.
            self._turn(datetime.fromtimestamp(time, UTC).astimezone(self._zone).date())
        return self._label

    def _turn(self, today: date) -> None:
        if self._kind == "week":
            first = today - timedelta(days=today.weekday())
            after = first + timedelta(days=7)
            year, week, _ = today.isocalendar()
            self._label = f"{year}-W{week:02}"
        elif self._kind == "month":
            first = today.replace(day=1)
            after = (first + timedelta(days=32)).replace(day=1)
            self._label = f"{today:%Y-%m}"
        else:
            first, after = today, today + timedelta(days=1)
            self._label = today.isoformat()
        self._since, self._until = self._midnight(first), self._midnight(after)

    def _midnight(self, day: date) -> float:
        return datetime(day.year, day.month, day.day, tzinfo=self._zone).timestamp()


class Caps:
    """The budgets of a configuration.

    Args:
        budgets: of the configuration.
        clock: tells which day it is.
    """

    def __init__(self, budgets: Sequence[Budget], clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[tuple[str, str], Window] = {}
        self._budgets = [
            (
                budget,
                from_usd(budget.limit_usd),
                tuple(sorted(budget.alert_at)),
                Window(budget.window, budget.time_zone),
            )
            for budget in budgets
        ]

    def __call__(self, call: Call, model: str) -> list[Cap]:
        """What a call for a model counts against: its key's own budget, then in the order of the configuration."""
        now = self._clock.time()
        found = [] if call.caller.budget is None else self._key(call.caller, now)
        for budget, limit, alert_at, window in self._budgets:
            whose = _whose(budget, call, model)
            if whose is not None:
                found.append(Cap(_named(budget, whose), window.at(now), limit, alert_at))
        return found

    def of(self, caller: Caller) -> list[Cap]:
        """What all calls of a caller count against, and nobody's but its project's: what it may know of."""
        now = self._clock.time()
        found = self._key(caller, now)
        for budget, limit, alert_at, window in self._budgets:
            whose = _mine(budget, caller) if budget.scope in {"key", "project"} else None
            if whose is not None:
                found.append(Cap(_named(budget, whose), window.at(now), limit, alert_at))
        return found

    def named(self) -> list[Cap]:
        """The budgets that are one sum: those that name somebody, or are for all."""
        return [self._cap(number) for number, (budget, *_) in enumerate(self._budgets) if not _is_each(budget)]

    def each(self) -> list[Cap]:
        """The budgets of which everybody has one; their sums are named `NAME:WHOSE`."""
        return [self._cap(number) for number, (budget, *_) in enumerate(self._budgets) if _is_each(budget)]

    def _cap(self, number: int) -> Cap:
        budget, limit, alert_at, window = self._budgets[number]
        return Cap(budget.name, window.at(self._clock.time()), limit, alert_at)

    def _key(self, caller: Caller, now: float) -> list[Cap]:
        budget = caller.budget
        if budget is None:
            return []
        window = self._windows.get((budget.window, budget.zone))
        if window is None:
            window = self._windows[budget.window, budget.zone] = Window(budget.window, budget.zone)
        return [Cap(f"{OWN}:{caller.key}", window.at(now), budget.limit, ALERT_AT)]


def _named(budget: Budget, whose: str) -> str:
    return f"{budget.name}:{whose}" if whose else budget.name


def _plain(name: str) -> str:
    """A name that a caller made up, as it may stand in a database: two different ones stay different."""
    if len(name) <= LONGEST and name.isprintable():
        return name
    return "#" + blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _user(call: Call, user: str) -> str:
    """An end user of a tenant. The last colon that is not the user's own stands before its name."""
    tenant = call.caller.tenant
    if tenant is None:
        return _plain(user)
    kind, _, name = tenant.partition(":")
    return f"{kind}:{name.replace('%', '%25').replace(':', '%3A')}:{_plain(user)}"


def _is_each(budget: Budget) -> bool:
    if budget.scope == "tag":
        return not (budget.tag or "").partition("=")[2]
    return budget.scope != "gateway" and getattr(budget, budget.scope) is None


def _whose(budget: Budget, call: Call, model: str) -> str | None:
    """Whose sum it is: "" for the budget's own; None where the call is none of its business."""
    if budget.scope == "gateway":
        return ""
    if budget.scope == "model":
        # By whichever of its names.
        return _plain(model) if not budget.model else "" if budget.model in (call.model, model) else None
    if budget.scope == "tag":
        name, _, value = (budget.tag or "").partition("=")
        given = _one(value or None, call.tags.get(name))
        return given and _plain(given)
    if budget.scope == "user":
        given = _one(budget.user, call.user or None)
        return given and _user(call, given)
    return _mine(budget, call.caller)


def _mine(budget: Budget, caller: Caller) -> str | None:
    """The same for a budget of keys or projects."""
    return _one(getattr(budget, budget.scope), getattr(caller, budget.scope))


def _one(wanted: str | None, given: str | None) -> str | None:
    """Who it is, where it is for anybody; "" for the one who is wanted, None for somebody else."""
    if wanted is None:
        return given
    return "" if wanted == given else None
