"""Databases for tests: SQLite, and a PostgreSQL server of the test run."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from devnet.anvil import free_port


class PostgresServer:
    """A fresh server of the PostgreSQL that `pgserver` brings. It can be killed, and started again on its data."""

    def __init__(self) -> None:
        package = find_spec("pgserver")  # importing it would look for servers to adopt
        if package is None or package.origin is None:
            raise RuntimeError(
                "pgserver has no build for this Python: set GAINSAY_TEST_POSTGRES_URL to a server"
            )
        packages = Path(package.origin).parent.parent
        self._folder = Path(tempfile.mkdtemp(prefix="gainsay-postgres-"))
        self._user = None
        if os.geteuid() == 0:  # the server refuses to run as root, and nobody may not read every checkout
            self._user = "nobody"
            for part in ("pgserver", "pgserver.libs"):
                shutil.copytree(packages / part, self._folder / part)
            packages = self._folder
            shutil.chown(self._folder, self._user)
        self.binaries = packages / "pgserver" / "pginstall" / "bin"
        self.port, data = free_port(), self._folder / "data"
        subprocess.run(
            [str(self.binaries / "initdb"), "-D", str(data), "-U", "gainsay", "-A", "trust", "--no-sync"],
            check=True, capture_output=True, user=self._user, cwd=self._folder,
        )  # fmt: skip
        self.url = f"postgresql://gainsay@127.0.0.1:{self.port}/postgres"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Raises RuntimeError when it does not come up."""
        server = [str(self.binaries / "postgres"), "-D", str(self._folder / "data"), "-p", str(self.port)]
        self._process = process = subprocess.Popen(
            [*server, "-k", str(self._folder), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"],
            user=self._user, cwd=self._folder, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        ready = [str(self.binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-t", "1"]
        for _ in range(100):
            if subprocess.run(ready, capture_output=True).returncode == 0:
                return
            if process.poll() is not None:
                break
        raise RuntimeError("PostgreSQL did not start")

    def stop(self, number: int = signal.SIGINT) -> None:
        """SIGINT does not wait for clients, SIGQUIT does not even write down what is in memory."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(10)

    def new_database(self) -> str:
        """The URL of an empty one."""
        database = f"gainsay_{secrets.token_hex(6)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database}".encode())
        return self.url.rpartition("/")[0] + f"/{database}"

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A fresh server, or the one of GAINSAY_TEST_POSTGRES_URL."""
    if given := os.environ.get("GAINSAY_TEST_POSTGRES_URL"):
        yield given
        return
    server = PostgresServer()
    try:
        yield server.url
    finally:
        server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return new_database(request, tmp_path)


def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of the kind that the fixture's parameter names."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.sqlite"
    server = str(request.getfixturevalue("postgres_url"))
    database = f"gainsay_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database}".encode())
    return server.rpartition("/")[0] + f"/{database}"
