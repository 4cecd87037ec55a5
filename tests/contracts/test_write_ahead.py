"""A new database that several programs open at once: whoever comes later waits, whichever program it is."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from challenger.store import open_engine as open_challengers
from contracts.bindings.journal_engine import open_journal_engine
from contracts.bindings.write_ahead import use_write_ahead_log
from node.store import open_engine as open_nodes

_OPENERS = {
    "node": lambda path: open_nodes(f"sqlite:///{path}"),
    "challenger": open_challengers,
    "journal": lambda path: open_journal_engine(f"sqlite:///{path}"),
}


@pytest.fixture
def busy(tmp_path: Path) -> sqlite3.Connection:
    """A fresh file in which another program reads: nobody can change to the write-ahead log meanwhile."""
    reader = sqlite3.connect(tmp_path / "store.db", isolation_level=None, check_same_thread=False)
    reader.execute("CREATE TABLE of_the_other (x)")
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM of_the_other").fetchall()
    return reader


@pytest.mark.parametrize("program", _OPENERS)
def test_a_program_waits_for_whoever_holds_a_fresh_file(
    program: str, busy: sqlite3.Connection, tmp_path: Path
) -> None:
    free = threading.Timer(0.3, busy.execute, ("COMMIT",))
    free.start()
    engine: Engine = _OPENERS[program](tmp_path / "store.db")
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
    free.join()
    engine.dispose()


def test_it_waits_where_sqlite_itself_does_not(busy: sqlite3.Connection, tmp_path: Path) -> None:
    """As between two that change the same file: the busy handler is not asked (here: there is none)."""
    free = threading.Timer(0.3, busy.execute, ("COMMIT",))
    free.start()
    with sqlite3.connect(tmp_path / "store.db", timeout=0) as connection:
        use_write_ahead_log(connection, 60)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    free.join()


def _told_by(function: Callable[[], None]) -> sqlite3.OperationalError:
    with pytest.raises(sqlite3.OperationalError) as raised:
        function()
    return raised.value


def test_patience_ends(busy: sqlite3.Connection, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "store.db", timeout=0) as connection:
        error = _told_by(lambda: use_write_ahead_log(connection, 0.05))
    assert error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    assert busy.in_transaction


def test_what_waiting_does_not_mend_is_told_at_once(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "store.db") as made:
        made.execute("CREATE TABLE t (x)")
    with sqlite3.connect(f"file:{tmp_path}/store.db?mode=ro", uri=True) as connection:
        error = _told_by(lambda: use_write_ahead_log(connection, 3600))
    assert error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY


def test_many_at_once_on_one_fresh_file(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def open_one(path: Path, together: threading.Barrier) -> None:
        together.wait()
        try:
            with open_journal_engine(f"sqlite:///{path}").connect() as connection:
                connection.execute(text("CREATE TABLE IF NOT EXISTS t (x)"))
        except BaseException as error:
            failures.append(error)

    for number in range(20):
        together = threading.Barrier(8)
        path = tmp_path / f"{number}.db"
        threads = [threading.Thread(target=open_one, args=(path, together)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures
