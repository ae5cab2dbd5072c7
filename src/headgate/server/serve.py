"""Listening: sockets, signals, start and end of a server.

Decides how a server comes up, what it says then, and how it goes down: it stops accepting, lets answers in flight end
within `server.shutdown_grace`, and closes the gate. Refuses to know what is answered.

    serve(config)                               until SIGTERM or Ctrl-C, in a loop of its own (`headgate serve`)
    work(config, port, number, …)               the same in one of the processes at one address (`worker.py`)
    simulate(simulator, …)                      the same for a simulator (`headgate simulate`)
    async with running(gate, …) as address      beside other work in a running loop (`headgate demo`, tests)
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import Any

from headgate.core.errors import ConfigError, HeadgateError
from headgate.gate.coherence import auth, is_loopback
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemClock
from headgate.gate.tasks import Tasks
from headgate.jobs.batch.clerk import Clerk
from headgate.providers.simulator import Simulator, simulator_app
from headgate.server.asgi import ASGIApp
from headgate.server.head import Hosts
from headgate.server.listener import Listener
from headgate.server.logs import logging_to
from headgate.server.protocol import connections
from headgate.server.reloading import Source, reloading
from headgate.server.worker import Orders
from headgate.server.workers import Workers

log = logging.getLogger("headgate.server")
BACKLOG = 2048
SIMULATOR_GRACE = 2.0
STOPPED = "headgate has stopped; the books are closed"

Say = Callable[[str], None]


def say(text: str) -> None:
    """Tell a person: a line on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def serve(config: Config, *, source: Source | None = None, say: Say = say) -> None:
    """Run the server until SIGTERM or Ctrl-C. A second Ctrl-C exits at once, with 130.

    Args:
        config: what to serve, and where (`server.host`, `server.port`).
        source: where the configuration comes from: SIGHUP reads it again.
        say: told what a person should know, line by line.

    Raises:
        ConfigError: the address cannot be listened on, or the store or the journal cannot be used.
        HeadgateError: there are several processes (`server.workers`), and they die again and again.
    """
    _run(_serve(config, source, say) if config.server.workers == 1 else _watch(config, source, say))


def work(config: Config, port: int, number: int, *, up: Say) -> None:
    """Run one of several processes until SIGTERM, or until stdin ends: then nobody watches over it any more.

    Args:
        config: what to serve.
        port: the one that they share.
        number: which of them this is, from 1.
        up: told the banner.

    Raises:
        ConfigError: the address cannot be listened on, or the store or the journal cannot be used.
    """
    _run(_work(config, port, number, up))


def simulate(simulator: Simulator, *, host: str = "127.0.0.1", port: int = 4010, say: Say = say) -> None:
    """Run a simulator as a server until SIGTERM or Ctrl-C.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    _run(_simulate(simulator, host, port, say))


@asynccontextmanager
async def running(
    gate: Gate,
    *,
    port: int | None = None,
    grace: float | None = None,
    worker: int | None = None,
) -> AsyncIterator[str]:
    """Serve a gate in the running loop; gives the address, such as `http://127.0.0.1:4000`. Leaves the gate open.

    Args:
        gate: answers.
        port: where to listen at `server.host` (default: `server.port`); 0 picks a free one.
        grace: seconds that answers in flight may take at the end (default: `server.shutdown_grace`).
        worker: which of several processes at this address it is, from 1; None for the only one.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    # FastAPI takes a while to import, and is of use to servers only.
    from headgate.server.app import admin_application, application  # noqa: PLC0415

    server = gate.config.server
    grace = server.shutdown_grace if grace is None else grace
    doors = [(application(gate, worker=worker or 1), server.port if port is None else port)]
    if server.admin_port is not None:
        doors.append((admin_application(gate), server.admin_port))
    await gate.follow_keys()
    async with AsyncExitStack() as stack:
        addresses = []
        for app, place in doors:
            listener = Listener(
                app,
                header_timeout=server.header_timeout,
                body_timeout=server.body_timeout,
                hosts=hosts(gate.config),
                new_id=gate.new_id,
            )
            listens = listening(listener, host=server.host, port=place, grace=grace, shared=worker is not None)
            addresses.append(await stack.enter_async_context(listens))
        if worker in {None, 1}:
            # Of several processes at one address, one looks after the batches that callers have made.
            tasks = Tasks()
            stack.push_async_callback(tasks.close)
            tasks.start(Clerk(gate).run(), "clerk")
        # This runs first: from here on, those that go on without their callers have the same grace.
        stack.callback(gate.once.outlive.stop, grace)
        yield addresses[0]


def hosts(config: Config) -> Hosts:
    """The names by which the server may be called: any, or those of this machine where nobody is asked for a key."""
    server = config.server
    if server.allowed_hosts is None and not (auth(config) == "none" and is_loopback(server.host)):
        return Hosts()
    return Hosts([server.host, *(server.allowed_hosts or ())])


@asynccontextmanager
async def listening(
    app: ASGIApp | Listener, *, host: str, port: int, grace: float, shared: bool = False
) -> AsyncIterator[str]:
    """Take connections in the running loop; gives the address.

    Args:
        app: answers; or a listener, which knows more about how.
        host: the address, or a name for it.
        port: 0 picks a free one.
        grace: seconds that answers in flight may take at the end.
        shared: other processes of this user may listen there too; each connection goes to one of them.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    listener = app if isinstance(app, Listener) else Listener(app)
    bound = _bind(host, port, shared=shared)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(connections(listener), sock=bound, backlog=BACKLOG)
    # Read before anything can close the socket.
    port = bound.getsockname()[1]
    with listener.ticking():
        try:
            yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        finally:
            server.close()
            await listener.finish(grace)
            await server.wait_closed()


def _bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        place = (str(address[0]), int(address[1]))
        return socket.create_server(place, family=family, backlog=BACKLOG, reuse_port=shared)
    except OSError as error:
        # Python adds the address to some reasons; here it stands in front. Names that lead nowhere have no errno.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
        raise ConfigError(
            f"server.host, server.port: cannot listen on {host}:{port}: {reason}.",
            hint="Take another address or port; port 0 picks a free one.",
        ) from None


def _run(story: Coroutine[Any, Any, None]) -> None:
    factory = None
    if sys.platform != "win32":
        import uvloop  # noqa: PLC0415  not there on Windows

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(story)


async def _serve(config: Config, source: Source | None, say: Say) -> None:
    with logging_to(config.server.log_format, config.server.log_level) as log:
        async with (
            _stop_signal() as stop,
            await Gate.open(config) as gate,
            running(gate) as address,
            reloading(source, gate.change, say=say, clock=SystemClock()),
        ):
            gate.meter.tell = log.add
            say(banner(gate, address))
            _settle()
            await stop.wait()
            say(f"headgate stops; answers in flight have {config.server.shutdown_grace:g} s")
    say(STOPPED)


async def _watch(config: Config, source: Source | None, say: Say) -> None:
    """Be the process that serves nobody and keeps those alive that do."""
    server = config.server
    if not hasattr(socket, "SO_REUSEPORT"):
        message = f"server.workers is {server.workers}, but processes cannot share an address on this system."
        raise ConfigError(message, hint="Leave `server.workers` out.")
    # Alone at first: nobody else, not even another headgate, may listen there.
    with _bind(server.host, server.port) as bound:
        family, place = bound.family, bound.getsockname()
    with socket.socket(family) as held:
        # Bound and not listening: it gets no connections, and keeps the port while no worker lives.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(place)
        workers = Workers(config, place[1], say=say, clock=SystemClock())
        async with (
            _stop_signal(workers.kill) as stop,
            reloading(source, workers.change, say=say, clock=SystemClock()),
        ):
            await workers.run(stop)
    say(STOPPED)


async def _work(config: Config, port: int, number: int, up: Say) -> None:
    with logging_to(config.server.log_format, config.server.log_level) as log:
        async with (
            _stop_signal() as stop,
            await Gate.open(config) as gate,
            running(gate, port=port, worker=number) as address,
        ):
            gate.meter.tell = log.add
            loop, tasks, orders = asyncio.get_running_loop(), Tasks(), Orders()

            def heard() -> None:
                data = os.read(0, 1 << 16)
                if not data:
                    loop.remove_reader(0)
                    stop.set()
                for order in orders.take(data):
                    tasks.start(_go_on(gate, order.config), "change")

            loop.add_reader(0, heard)
            up(banner(gate, address))
            _settle()
            await stop.wait()
            loop.remove_reader(0)
            await tasks.close()


async def _go_on(gate: Gate, config: Config) -> None:
    """With another configuration; the process that watches over us has found nothing wrong with it."""
    try:
        await gate.change(config)
    except HeadgateError as error:
        log.warning("This worker stays with its configuration: %s", error.message)


def _settle() -> None:
    """What has been made by now stays: the collector need not look at it again."""
    gc.collect()
    gc.freeze()


async def _simulate(simulator: Simulator, host: str, port: int, say: Say) -> None:
    async with _stop_signal() as stop:
        app = simulator_app(simulator)
        async with listening(app, host=host, port=port, grace=SIMULATOR_GRACE) as address:
            say(f"the simulator listens on {address}/v1 (its answers are made up; any key will do)")
            await stop.wait()


def banner(gate: Gate, address: str) -> str:
    """What a person should know when the server is up."""
    config = gate.config
    names = gate.models()
    who = "holders of a key" if auth(config) == "keys" else "anybody who reaches this address"
    lines = [
        f"headgate {version('headgate')} listens on {address}",
        f"  providers  {', '.join(config.providers)}",
        f"  models     {', '.join(names) if names else 'any name'}",
        f"  callers    {who}",
    ]
    if config.server.workers > 1:
        lines.append(f"  workers    {config.server.workers}")
    if auth(config) == "keys" and gate.keyring.known and not gate.keyring.health()["keys"]:
        lines.append("  NO KEYS    nobody can call yet: `headgate keys create NAME` makes a key")
    lines += [f"  RETIRING   {told}" for told in gate.fates()]
    if gate.simulated:
        lines.append(
            f"  SIMULATED  answers of {', '.join(gate.simulators)} are made up; none of them comes from a model"
        )
    return "\n".join(lines)


@asynccontextmanager
async def _stop_signal(at_once: Callable[[], None] = lambda: None) -> AsyncIterator[asyncio.Event]:
    """An event that SIGTERM and Ctrl-C set. Ctrl-C when it is set already exits at once, after `at_once`."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        if stop.is_set():
            # The journal is written as things happen: nothing is lost but the answers in flight.
            at_once()
            os._exit(130)
        stop.set()

    with contextlib.suppress(NotImplementedError):
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        with contextlib.suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGTERM)
            loop.remove_signal_handler(signal.SIGINT)
