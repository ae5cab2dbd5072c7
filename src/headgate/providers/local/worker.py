"""What runs in the child process: llama.cpp's own server around one model file.

    python -m headgate.providers.local.worker --model FILE --name NAME

Decides how llama.cpp is set up; refuses to know the gate. Once it listens it says where, and which key it demands, in
one line on stdout; whatever the library has to say goes to stderr. It ends as soon as its stdin does: the gate holds
the other end, so that this process dies with the gate, however that dies.
"""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

MARK = "headgate-local "
"""What the announcement begins with; `{"port": …, "key": …}` and a line end follow."""
CONTEXT = 2048
"""Tokens of question and answer together."""
SLOTS = 2
"""Answers that are made at the same time; further calls wait."""
HTTP_THREADS = 64
"""Each connection keeps one, idle ones too: with too few of them calls wait although the model is free."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--name", required=True)
    options = parser.parse_args(arguments)
    # Ctrl-C and a service manager's SIGTERM reach the whole group; when this process ends is the gate's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    told = os.dup(1)
    os.dup2(2, 1)  # stdout is for the announcement alone
    # Nobody else on this machine may use the model.
    key = os.urandom(32).hex()
    try:
        server = _serve(options.model, options.name, key)
    except Exception as error:  # noqa: BLE001  the library's own words are told above; a traceback would bury them
        sys.exit(f"'{options.model}' cannot be served: {error}")
    port = urlsplit(server.listening_address).port
    os.write(told, f'{MARK}{{"port":{port},"key":"{key}"}}\n'.encode())
    os.close(told)
    threading.Event().wait()


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    # Not by an exception: the library's threads are in the middle of something.
    os._exit(0)


def _serve(model: str, name: str, key: str) -> Any:
    import xllamacpp  # noqa: PLC0415  an extra, and only for this process

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.model_alias = {name}
    params.n_ctx = CONTEXT * SLOTS
    params.n_parallel = SLOTS
    params.cpuparams.n_threads = _cores()
    params.hostnames = ["127.0.0.1"]
    params.port = 0  # a free one
    params.n_threads_http = HTTP_THREADS
    params.api_keys = [key]
    params.ui = False
    params.endpoint_slots = False
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main(sys.argv[1:])
