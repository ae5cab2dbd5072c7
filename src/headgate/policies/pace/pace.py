"""Pace: calls wait here until the provider will take them.

Decides what a call is expected to use, and tells the gauge what became of it; refuses to know how long anybody waits
and who goes first (`gauge.py`), and what is done about a failure.

How a call is given back, on every way out, exactly once:

    | what happened                              | the request | its tokens                                   |
    |--------------------------------------------|-------------|----------------------------------------------|
    | refused below, or it never left            | given back  | given back                                   |
    | 429                                        | stays       | given back: nothing was generated            |
    | another failure, or nobody knows the usage | stays       | stay as expected                             |
    | an answer, whole or in part                | stays       | as told, or as counted for one that was cut  |

The request of a 429 stays, because OpenAI counts refused requests too; where a provider does not, the next header says
so.
"""

from functools import partial

from headgate.catalog.forecast import Forecast
from headgate.core.attempt import Attempt, Basis
from headgate.core.call import Call
from headgate.core.counts import Spread
from headgate.core.errors import OversizeError, RateLimitError
from headgate.core.limits import Demand
from headgate.core.policy import Handler
from headgate.core.reply import Reply
from headgate.policies.pace.gauge import NOTHING, Gauge
from headgate.policies.pace.told import Ticket


class Pace:
    """The policy, one per target.

    Args:
        gauge: the limit, which other targets may share.
        forecast: what a call to this model will use.
        waited: where waits are counted.
    """

    def __init__(self, gauge: Gauge, forecast: Forecast, waited: Spread | None = None) -> None:
        self.gauge = gauge
        self.forecast = forecast
        self._waited = Spread() if waited is None else waited

    def carry(self, former: "Pace") -> None:
        """Expect what the one before has learned to expect; the gauge belongs to the gate and goes on by itself."""
        self.forecast = former.forecast

    async def __call__(self, call: Call, next: Handler) -> Reply:  # noqa: A002  the field's word
        """Wait, ask, and give back what was not used.

        Raises:
            DeadlineError: the limits would let it through only after its deadline; nothing has left.
            NoTargetError: the provider's quota is used up; nothing has left.
            SharedStoreError: the store of rates is away, and limits are closed meanwhile.
            HeadgateError: what the attempt failed with.
        """
        gauge = self.gauge
        demand = self.forecast.expect(call) if gauge.counts_tokens else NOTHING
        ticket = gauge.at_once(demand)
        if ticket is None:
            came = gauge.now()
            ticket = await gauge.admit(call, demand)
            self._waited.add(ticket.at - came)
        else:
            self._waited.at_once()
        tried = len(call.trail)
        try:
            reply = await next(call)
        except BaseException as error:
            self._failed(ticket, call.attempt if len(call.trail) > tried else None, error)
            raise
        attempt = call.attempt
        gauge.hear(ticket, attempt.headers)
        gauge.answered(ticket)
        if not ticket.settled:
            reply.watch(None, partial(self._ended, call, attempt, ticket))
        return reply

    def _failed(self, ticket: Ticket, attempt: Attempt | None, error: BaseException) -> None:
        gauge = self.gauge
        used: Demand | None = ticket.demand
        if attempt is None or not (attempt.sent or attempt.status):
            used = None
        elif isinstance(error, RateLimitError):
            gauge.refused(ticket, attempt.headers, error)
            used = NOTHING
        else:
            gauge.hear(ticket, attempt.headers)
            if isinstance(error, OversizeError):
                # It says nothing of the pace: whoever asks for too much slows nobody else down.
                used = NOTHING
        gauge.settle(ticket, used)

    def _ended(self, call: Call, attempt: Attempt, ticket: Ticket, _outcome: BaseException | None) -> None:
        # Budget, below, was told first: what it did not believe is not here, and what it had to count is.
        usage, used = attempt.usage, ticket.demand
        if usage is not None:
            used = Demand(usage.prompt_tokens, usage.completion_tokens)
            if self.gauge.counts_tokens and attempt.basis is Basis.REPORTED:
                self.forecast.learn(call, usage)
        self.gauge.settle(ticket, used)

    def state(self) -> dict[str, object]:
        """How it stands, for `/health`."""
        return self.gauge.state()
