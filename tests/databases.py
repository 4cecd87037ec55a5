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


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A fresh server of the PostgreSQL that `pgserver` brings, or the one of GAINSAY_TEST_POSTGRES_URL."""
    if given := os.environ.get("GAINSAY_TEST_POSTGRES_URL"):
        yield given
        return
    package = find_spec("pgserver")  # importing it would look for servers to adopt
    if package is None or package.origin is None:
        pytest.fail("pgserver has no build for this Python: set GAINSAY_TEST_POSTGRES_URL to a server")
    packages = Path(package.origin).parent.parent
    folder = Path(tempfile.mkdtemp(prefix="gainsay-postgres-"))
    user = None
    if os.geteuid() == 0:  # the server refuses to run as root, and nobody may not read every checkout
        user = "nobody"
        for part in ("pgserver", "pgserver.libs"):
            shutil.copytree(packages / part, folder / part)
        packages = folder
        shutil.chown(folder, user)
    initdb = packages / "pgserver" / "pginstall" / "bin" / "initdb"
    port, data = free_port(), folder / "data"
    subprocess.run(
        [str(initdb), "-D", str(data), "-U", "gainsay", "-A", "trust", "--no-sync"],
        check=True, capture_output=True, user=user, cwd=folder,
    )  # fmt: skip
    server = [str(initdb.with_name("postgres")), "-D", str(data), "-p", str(port), "-k", str(folder)]
    process = subprocess.Popen(
        [*server, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"],
        user=user, cwd=folder, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        ready = [str(initdb.with_name("pg_isready")), "-h", "127.0.0.1", "-p", str(port), "-t", "1"]
        for _ in range(100):
            if subprocess.run(ready, capture_output=True).returncode == 0:
                break
            if process.poll() is not None:
                pytest.fail("PostgreSQL did not start")
        yield f"postgresql://gainsay@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)  # fast shutdown: does not wait for clients
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


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
