"""Which call meets which scripted fault. Decided by the seed and the number of the call, and by nothing else."""

from collections.abc import Sequence

import msgspec

from headgate.providers.simulator.dice import Dice
from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.settings import Fault

_ONE_FAULT = msgspec.json.Decoder(Fault)


class Faults:
    """The script: the first fault that a call meets is the one that happens."""

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self._faults = tuple(faults)
        self._met = [0] * len(self._faults)
        self._seed = seed

    def meet(self, model: str, number: int) -> Fault | None:
        """The fault of the call with this number, if it meets one."""
        for at, fault in enumerate(self._faults):
            if fault.model is not None and fault.model != model:
                continue
            if fault.times is not None and self._met[at] >= fault.times:
                continue
            if fault.rate < 1 and Dice(b"fault %d %d %d" % (self._seed, at, number)).share() >= fault.rate:
                continue
            self._met[at] += 1
            return fault
        return None


def asked_for(header: str) -> Fault:
    """The fault that a request asks for itself, in its header `x-simulate-fault`.

    Raises:
        Problem: 400; it cannot be read.

    Example:
        >>> asked_for('{"kind": "cut", "after_tokens": 3}').after_tokens
        3
    """
    try:
        return _ONE_FAULT.decode(header)
    except msgspec.DecodeError as error:
        message = f"The header x-simulate-fault holds {header!r}, which is not one fault: {error}."
        raise Problem(400, message, code="invalid_fault", param="x-simulate-fault") from None
