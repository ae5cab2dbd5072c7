"""For tests, ours and yours: time that costs nothing.

Under `virtual_time` a coroutine runs on an event loop whose clock jumps ahead whenever everything waits. An hour of
backoff passes in a millisecond, and timings are exact. Only for code without sockets and threads: the simulator in
process needs neither.
"""

from headgate.gate.virtual import EPOCH, VirtualClock, VirtualLoop, virtual_time

__all__ = ["EPOCH", "VirtualClock", "VirtualLoop", "virtual_time"]
