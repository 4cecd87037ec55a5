"""Copies of a PostgreSQL database by the server's own `pg_dump` and `psql`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from sqlalchemy.engine import URL, make_url

from .errors import BackupRefused

_Counts = TypeVar("_Counts")
#: Between the loading of a copy and its repair the database is bound to no deployment, so that no node starts on it.
RESTORING = "restoring:"
_MARK = f"UPDATE public.fact SET value = '{RESTORING}' || value WHERE name = 'deployment'"


def dump(
    url: str,
    target: Path,
    counted: Mapping[str, Sequence[str]],
    counts: Callable[..., _Counts],
    binaries: Path | None = None,
) -> _Counts:
    """Write the database as SQL, and count `counted` tables in the same snapshot. Raises BackupRefused."""
    import psycopg

    parsed, environment = _connection(url)
    try:
        with psycopg.connect(_libpq(parsed), password=parsed.password) as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            (snapshot,) = connection.execute("SELECT pg_export_snapshot()").fetchone() or ("",)
            found = {
                what: sum(_count(connection, table) for table in tables) for what, tables in counted.items()
            }
            command = [
                _tool("pg_dump", binaries), "--no-owner", "--no-privileges", f"--snapshot={snapshot}", "--file", str(target), _libpq(parsed),
            ]  # fmt: skip
            _run(command, environment)
    except psycopg.Error as error:
        raise BackupRefused(f"the database cannot be copied: {' '.join(str(error).split())}") from error
    return counts(**found)


def load(url: str, source: Path, binaries: Path | None = None) -> None:
    """Into an empty database, wholly or not at all, and marked as not usable yet. Raises BackupRefused."""
    parsed, environment = _connection(url)
    command = [
        _tool("psql", binaries), "--no-psqlrc", "--quiet", "--single-transaction", "--set", "ON_ERROR_STOP=1", "--output", os.devnull,
        "--file", str(source), "--command", _MARK, _libpq(parsed),
    ]  # fmt: skip
    _run(command, environment)


def state_of(url: str) -> str:
    """ "empty", "restoring" (a copy was loaded, and the restore was interrupted) or "used". Raises BackupRefused."""
    import psycopg

    parsed, _ = _connection(url)
    try:
        with psycopg.connect(_libpq(parsed), password=parsed.password) as connection:
            tables = connection.execute(
                "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
            ).fetchone()
            if tables is None or not tables[0]:
                return "empty"
            if not _exists(connection, "fact"):
                return "used"
            bound = connection.execute("SELECT value FROM fact WHERE name = 'deployment'").fetchone()
            return "restoring" if bound is not None and str(bound[0]).startswith(RESTORING) else "used"
    except psycopg.Error as error:
        raise BackupRefused(f"the database does not answer: {' '.join(str(error).split())}") from error


def _exists(connection: object, table: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s)", (table,)).fetchone()  # type: ignore[attr-defined]
    return row is not None and row[0] is not None


def _count(connection: object, table: str) -> int:
    if not _exists(connection, table):
        return 0
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # type: ignore[attr-defined]


def _connection(url: str) -> tuple[URL, dict[str, str]]:
    parsed = make_url(url)
    return parsed, {} if parsed.password is None else {"PGPASSWORD": str(parsed.password)}


def _libpq(parsed: URL) -> str:
    """As libpq takes it, without the password: a command line is seen by everybody on the machine."""
    return parsed.set(drivername="postgresql", password=None).render_as_string(hide_password=False)


def _tool(name: str, binaries: Path | None) -> str:
    found = shutil.which(name, path=None if binaries is None else str(binaries))
    if found is None:
        raise BackupRefused(
            f"{name} is not found; install PostgreSQL's client programs of the server's version, or name their folder with "
            "--postgres-bin"
        )
    return found


def _run(command: Sequence[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(command, env=os.environ | dict(environment), capture_output=True, text=True)
    if done.returncode:
        raise BackupRefused(f"{Path(command[0]).name} failed: {' '.join(done.stderr.split())[-500:]}")
