"""`headgate serve` and `headgate simulate`: the gate, or a provider to practise with, until somebody stops it."""

from functools import partial
from pathlib import Path
from typing import Annotated, get_args

import msgspec
import typer

from headgate.cli.voice import ConfigFile, LocalModel, Simulate, configuration
from headgate.core.errors import ConfigError


def serve(
    config: ConfigFile = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on; wins over the file.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", "-p", min=0, max=65535, help="Port; 0 picks a free one; wins over the file.")
    ] = None,
    simulate: Simulate = False,
    local: LocalModel = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Read the configuration again when its file changes; SIGHUP always does.")
    ] = False,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C."""
    overrides = {f"server.{name}": value for name, value in (("host", host), ("port", port)) if value is not None}
    read = partial(configuration, config, simulate=simulate, local=local, overrides=overrides)
    loaded = read()
    if watch and not (watched := Path(loaded.source)).is_file():
        text = f"--watch: there is no file to watch, the configuration comes from `{loaded.source}`."
        raise ConfigError(text, hint="Write a `headgate.yaml`, or name a file with `--config`.")
    from headgate.server.reloading import Source
    from headgate.server.serve import serve as run

    run(loaded.config, source=Source(lambda: read().config, watched if watch else None))


def simulate(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="Port; 0 picks a free one.")] = 4010,
    seed: Annotated[int, typer.Option("--seed", help="Equal seeds answer equally.")] = 0,
    first_token: Annotated[float, typer.Option("--first-token", min=0, help="Seconds until the first token.")] = 0.0,
    per_token: Annotated[float, typer.Option("--per-token", min=0, help="Seconds for each further token.")] = 0.0,
    requests_per_minute: Annotated[
        int | None, typer.Option("--requests-per-minute", min=1, help="Limit, per model.")
    ] = None,
    tokens_per_minute: Annotated[
        int | None, typer.Option("--tokens-per-minute", min=1, help="Limit, per model.")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option("--fault", help='What goes wrong, as JSON, such as \'{"kind": "cut", "rate": 0.1}\'.'),
    ] = None,
    api_key: Annotated[str | None, typer.Option("--api-key", help="Take no other key.")] = None,
    log: Annotated[Path | None, typer.Option("--log", help="Append a line per request that arrives.")] = None,
) -> None:
    """Run a made-up OpenAI to practise with, until SIGTERM or Ctrl-C."""
    from headgate.gate.ports import SystemClock
    from headgate.providers.simulator import Fault, Latency, Limits, Simulator
    from headgate.providers.simulator.settings import FaultKind
    from headgate.server.serve import simulate as run

    faults = []
    for text in fault or []:
        try:
            faults.append(msgspec.json.decode(text, type=Fault))
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            kinds = ", ".join(get_args(FaultKind))
            hint = f'Write it as \'{{"kind": "status", "status": 503}}\'; kinds are {kinds}.'
            raise ConfigError(f"--fault {text!r}: {error}.", hint=hint) from None
    limits = Limits(requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute)
    try:
        simulator = Simulator(
            clock=SystemClock(),
            seed=seed,
            latency=Latency(first_token=first_token, per_token=per_token),
            limits=limits,
            faults=faults,
            api_key=api_key,
            log_path=log,
        )
    except OSError as error:
        raise ConfigError(
            f"--log '{log}' cannot be written: {error.strerror}.", hint="Name a file in a folder that exists."
        ) from None
    run(simulator, host=host, port=port)
