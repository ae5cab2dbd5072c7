"""`headgate worker`: does durable jobs, until somebody stops it."""

import asyncio
import signal

from headgate.cli.voice import ConfigFile, LocalModel, Simulate, configuration, say
from headgate.gate.config import Config
from headgate.gate.ports import SystemChance, SystemClock
from headgate.jobs.durable.serving import folder, serve


def worker(config: ConfigFile = None, simulate: Simulate = False, local: LocalModel = False) -> None:
    """Do the jobs that were submitted, until SIGTERM or Ctrl-C.

    As many workers as you like, on as many machines as share the store and the limits (`store: postgresql://…`,
    `shared: redis://…`). Another one goes on with what a worker had that was lost.
    """
    loaded = configuration(config, simulate=simulate, local=local).config
    asyncio.run(_work(loaded))
    say("The worker has ended; others, or the next one, go on.")


async def _work(config: Config) -> None:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, ending.set)
    say(f"The worker begins; what it works on lies in `{folder(config)}`. Ctrl-C ends it.")
    await serve(config, ending, clock=SystemClock(), chance=SystemChance())
