"""The provider in front of a model on this machine.

Decides what the model can be asked for and how long a call waits for its process; refuses to know how the process is
kept (`process.py`) and how a call is spoken (it is a hosted provider like any other, once somebody listens).

llama.cpp's server has more than chat, but does not keep what the OpenAI API promises there: an answer of its Responses
API that was cut by `max_output_tokens` calls itself `completed`, and embeddings of a chat model mean nothing.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from headgate.core.call import Call, Operation, Timeouts
from headgate.core.clock import Clock
from headgate.core.errors import HeadgateError
from headgate.core.reply import Reply
from headgate.providers.local.process import Address, Process
from headgate.providers.provider import Health, Provider

HEALTH_SECONDS = 5.0
"""How long a health check, or a look at the models, waits for the process."""


class Local:
    """The provider.

    Args:
        name: its name in the configuration.
        process: runs the model; closed with the provider.
        speaker: makes the provider that talks to a process that listens; one for each process.
        clock: for deadlines.
        timeouts: how long one attempt may take, the start of the process included; the call's own win.
    """

    simulated = False

    def __init__(
        self, name: str, process: Process, speaker: Callable[[Address], Provider], *, clock: Clock, timeouts: Timeouts
    ) -> None:
        self.name = name
        self._process = process
        self._speaker = speaker
        self._clock = clock
        self._timeouts = timeouts
        self._at: Address | None = None
        self._speaking: Provider | None = None

    def speaks(self, operation: Operation) -> bool:
        """Whether the model can be asked for it."""
        return operation is Operation.CHAT

    async def __call__(self, call: Call) -> Reply:
        """Answer a call; see `providers.provider.Provider`."""
        at = self._process.address
        if at is None:
            limits = call.timeouts or self._timeouts
            now = self._clock.monotonic()
            end = now + limits.total if call.deadline is None else min(call.deadline, now + limits.total)
            at = await self._process.start(min(end, now + limits.first_token) if call.stream else end)
            call = replace(call, deadline=end)
        return await (await self._speaker_at(at))(call)

    async def _speaker_at(self, at: Address) -> Provider:
        speaking = self._speaking
        if speaking is not None and self._at is at:
            return speaking
        self._at, self._speaking = at, self._speaker(at)
        if speaking is not None:
            await speaking.close()
        return self._speaking

    async def _soon(self) -> Provider:
        return await self._speaker_at(await self._process.start(self._clock.monotonic() + HEALTH_SECONDS))

    async def health(self) -> Health:
        """Ask for the list of models, of a process that is started for it if there is none; never raises."""
        try:
            speaking = await self._soon()
        except HeadgateError as error:
            return Health(state="unreachable", error=error.message)
        return await speaking.health()

    async def models(self) -> Sequence[str]:
        """The name of the model.

        Raises:
            ProviderError: the process cannot be started, or did not say.
        """
        return await (await self._soon()).models()

    async def close(self) -> None:
        """End the process and close every connection to it."""
        await self._process.close()
        if self._speaking is not None:
            await self._speaking.close()
