"""What calls are called, and the day they are booked on.

Decides how an id is made; refuses to know what it names.
"""

from datetime import UTC, datetime
from itertools import count

from headgate.core.clock import Chance, Clock

_DAY = 86400


class Ids:
    """The ids of one gate.

    Args:
        clock: tells the time.
        chance: tells this gate from all others.
    """

    def __init__(self, clock: Clock, chance: Chance) -> None:
        self._clock = clock
        self._mark = chance.token()[:12]
        self._count = count()
        self._day = (0, "")

    def new(self) -> str:
        """An id, in hexadecimal digits: 48 bits of milliseconds since 1970, 48 bits of this gate, 32 bits that count.

        Ids grow with time (as ULIDs do), so that the ledger's rows are added at the end of its tables: half the work
        of booking them in random order. They name a call and open nothing, so they need not be unguessable.
        """
        return f"{int(self._clock.time() * 1000):012x}{self._mark}{next(self._count) & 0xFFFFFFFF:08x}"

    def today(self) -> str:
        """The day, in UTC, as `YYYY-MM-DD`. The calendar is asked once a day, not once a call."""
        number = int(self._clock.time() // _DAY)
        if self._day[0] != number:
            self._day = (number, datetime.fromtimestamp(number * _DAY, UTC).date().isoformat())
        return self._day[1]
