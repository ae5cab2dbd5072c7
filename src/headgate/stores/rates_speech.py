"""What a process says to the shared store, and what it has still to say.

Decides how decisions, settlements, renewals, heartbeats and hints are written down for the scripts of `rates_lua.py`,
and how names become keys. Refuses to know when anything is said.
"""

import asyncio
import struct
from hashlib import blake2b

from headgate.core.limits import Demand
from headgate.stores.courier import Message
from headgate.stores.rates import Grant, Rule, most_in_a_minute, steps
from headgate.stores.rates_lua import BEAT, RENEW, REST, SETTLE, TAKE
from headgate.stores.slices import Slice

SCRIPTS = (TAKE, SETTLE, RENEW, BEAT, REST)
_TAKE, _SETTLE, _RENEW, _BEAT, _REST = range(5)
MOST_MEMBERS = 1000
"""Places that one message names."""
_LONGEST_NAME = 200
_RUN, _PROCESSES, _RESTING = "headgate:run", "headgate:processes", "headgate:resting"
_take, _settle = struct.Struct("<9d"), struct.Struct("<5d")


class Known:
    """What a process knows of one name.

    Attributes:
        asking: decisions that have not come back.
        held: places by number, and whether the store may know of them.
        unsaid: whether there is anything to be said of the next three.
        owed: corrections of the cell clocks, in seconds.
        ended: places that are free again.
        forgotten: takes that never left, for the log of the sliding minute.
        slice: what may be spent without asking.
    """

    __slots__ = ("asking", "ended", "forgotten", "held", "keys", "owed", "slice", "unsaid")

    def __init__(self, name: str) -> None:
        at = f"headgate:{{{short(name)}}}:"
        self.keys = (at + "clocks", at + "log", at + "permits", at + "waiting", _RUN)
        self.asking = 0
        self.held: dict[int, bool] = {}
        self.unsaid = False
        self.owed = [0.0, 0.0, 0.0, 0.0]
        self.ended: list[str] = []
        self.forgotten: list[str] = []
        self.slice: Slice | None = None

    def idle(self) -> bool:
        """Whether forgetting it would lose nothing."""
        return not (self.asking or self.held or self.unsaid or self.slice)


class Ask:
    """A decision that somebody waits for.

    Attributes:
        moves: how far the cell clocks would go.
        sliced: seconds that are wanted beyond that, to be spent without asking.
        answer: the grant; None where the store was lost.
    """

    __slots__ = ("answer", "demand", "known", "moves", "number", "rule", "sliced")

    def __init__(self, known: Known, number: int, rule: Rule, demand: Demand) -> None:
        self.known = known
        self.number = number
        self.rule = rule
        self.demand = demand
        self.moves = steps(rule.limits, demand)
        self.sliced = 0.0
        self.answer: asyncio.Future[Grant | None] = asyncio.get_running_loop().create_future()


class Speech:
    """The words of one process.

    Args:
        process: its name, as others see it.
        lease: seconds for which a place is kept, and the process counted, without another word.

    Attributes:
        run: the run of the server that is spoken to.
    """

    def __init__(self, process: str, lease: float) -> None:
        self.run = ""
        self._process = process
        self._lease = lease

    def member(self, number: int) -> str:
        """A place, or a take, of this process."""
        return f"{self._process}.{number}"

    def take(self, ask: Ask) -> Message:
        """May this call go on?"""
        rule, limits = ask.rule, ask.rule.limits
        far = [-1.0, -1.0, -1.0, -1.0]
        for kind, step in ask.moves:
            far[kind] = step
        most = most_in_a_minute(limits)
        packed = _take.pack(
            *far,
            0.0 if limits.spread else rule.burst,
            -1.0 if most is None else most,
            -1.0 if limits.concurrency is None else limits.concurrency,
            self._lease,
            ask.sliced,
        )
        return Message(_TAKE, ask.known.keys, (packed, self._process, str(ask.number), self.run))

    def settle(self, known: Known) -> list[Message]:
        """All that is unsaid of a name; it counts as said."""
        found: list[Message] = []
        ended, forgotten, owed = known.ended, known.forgotten, known.owed
        for first in range(0, max(len(ended), len(forgotten), 1), MOST_MEMBERS):
            free, forget = ended[first : first + MOST_MEMBERS], forgotten[first : first + MOST_MEMBERS]
            packed = _settle.pack(*(owed if first == 0 else (0, 0, 0, 0)), len(free))
            found.append(Message(_SETTLE, known.keys[:3], (packed, *free, *forget)))
        known.ended, known.forgotten, known.owed = [], [], [0.0, 0.0, 0.0, 0.0]
        known.unsaid = False
        return found

    def renew(self, known: Known) -> list[Message]:
        """These places are held; the store may know of all of them now."""
        numbers = list(known.held)
        known.held = dict.fromkeys(numbers, True)
        return [
            Message(
                _RENEW,
                known.keys[2:3],
                (repr(self._lease), *(self.member(number) for number in numbers[first : first + MOST_MEMBERS])),
            )
            for first in range(0, len(numbers), MOST_MEMBERS)
        ]

    def beat(self, *, farewell: bool = False) -> Message:
        """This process is alive, or leaves; who else is, and what rests?"""
        seconds = "0" if farewell else repr(self._lease)
        return Message(_BEAT, (_PROCESSES, _RESTING, _RUN), (self._process, self.run, seconds))

    def rest(self, name: str, seconds: float) -> Message:
        """A target shall rest."""
        return Message(_REST, (_RESTING,), (short(name), repr(max(seconds, 0.0)), self._process))


def short(name: str) -> str:
    """A name for the store. Callers can make names up, of any length and of anything."""
    if len(name) <= _LONGEST_NAME and name.isascii():
        return name
    return "#" + blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
