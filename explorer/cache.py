"""The raw logs of one deployment in a SQLite file, with the cursor up to which they were read.

A cache: everything in it can be read from the chain again. Logs stay undecoded, so that a release which knows more
of their fields decodes them anew, and nothing in the file is ever run.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.bindings.chain import RawLog
from contracts.bindings.log_reader import Cursor, ReadRange, Unsettled

from .errors import CacheUnusableError

# Reorganisations that reach behind all of these read the chain from the deployment on.
_CURSORS_KEPT = 256
_VERSION = 1
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE cursors (number INTEGER PRIMARY KEY, hash BLOB NOT NULL);
CREATE TABLE logs (
    block INTEGER NOT NULL, log_index INTEGER NOT NULL, block_hash BLOB NOT NULL, tx BLOB NOT NULL,
    address TEXT NOT NULL, topics BLOB NOT NULL, data BLOB NOT NULL,
    game INTEGER, batch INTEGER, place INTEGER,
    PRIMARY KEY (block, log_index)
);
CREATE INDEX logs_of_games ON logs (game) WHERE game IS NOT NULL;
CREATE INDEX logs_of_responses ON logs (batch, place) WHERE batch IS NOT NULL;
CREATE INDEX logs_of_transactions ON logs (tx);
CREATE TABLE names (name BLOB NOT NULL, kind TEXT NOT NULL, first INTEGER, second INTEGER, block INTEGER NOT NULL);
CREATE INDEX names_by_name ON names (name);
CREATE INDEX names_by_block ON names (block);
CREATE TABLE blocks (hash BLOB PRIMARY KEY, timestamp INTEGER NOT NULL);
CREATE TABLE gas (tx BLOB NOT NULL, block_hash BLOB NOT NULL, used INTEGER NOT NULL, PRIMARY KEY (tx, block_hash));
"""

# Not of the first schema: an index that lacks it is gone on from.
_RANGES = (
    'CREATE TABLE IF NOT EXISTS ranges ("end" INTEGER PRIMARY KEY, start INTEGER NOT NULL, logs INTEGER)'
)


@dataclass(frozen=True)
class FiledLog:
    """A log and what it is about: a game, a batch, a response's place in it."""

    log: RawLog
    game: int | None = None
    batch: int | None = None
    place: int | None = None


@dataclass(frozen=True)
class Name:
    """A hash that somebody may look for. kind: batch, response, transaction, model, receipt."""

    name: bytes
    kind: str
    first: int | None = None
    second: int | None = None


class Cache:
    """One connection, shared by threads. Every write is one transaction with the cursor that it belongs to."""

    def __init__(self, path: Path | None, identity: str) -> None:
        """`identity` names chain and deployment; None keeps everything in memory. Raises CacheUnusableError."""
        self._lock = threading.RLock()
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                ":memory:" if path is None else path,
                check_same_thread=False,
                isolation_level=None,
                timeout=0.1,
            )
            self._db.execute(
                "PRAGMA locking_mode = EXCLUSIVE"
            )  # a second program would miss what this one reads
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")  # lost writes are read from the chain again
            self._db.execute("BEGIN EXCLUSIVE")
            self._db.execute("COMMIT")
            self._prepare(identity, path)
        except (sqlite3.Error, OSError) as error:
            raise CacheUnusableError(
                f"the explorer's index {path} cannot be used ({error}); end the other program that uses it, "
                "name another file, or delete it: the chain has all of it"
            ) from error

    def _prepare(self, identity: str, path: Path | None) -> None:
        if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            self._db.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
            self._db.executemany(
                "INSERT INTO meta VALUES (?, ?)", [("version", str(_VERSION)), ("identity", identity)]
            )
        known = dict(self._db.execute("SELECT name, value FROM meta"))
        if known != {"version": str(_VERSION), "identity": identity}:
            raise CacheUnusableError(
                f"the explorer's index {path} is of another deployment or release ({known.get('identity')}); "
                "name another file with --index, or delete it"
            )
        self._db.execute(_RANGES)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # --- what the reader writes

    def cursors(self) -> list[Cursor]:
        """Newest first."""
        rows = self._all("SELECT number, hash FROM cursors ORDER BY number DESC")
        return [Cursor(number, hash_) for number, hash_ in rows]

    def unsettled(self) -> list[ReadRange]:
        """Ranges of blocks that are to be read again, in order."""
        rows = self._all('SELECT start, "end", logs FROM ranges ORDER BY "end"')
        return [ReadRange(*row) for row in rows]

    def places_after(self, block: int) -> set[tuple[int, int]]:
        """Block and log index of the logs behind a block."""
        return set(self._all("SELECT block, log_index FROM logs WHERE block > ?", (block,)))

    def store(
        self,
        logs: Iterable[FiledLog],
        names: Iterable[tuple[int, Name]],
        cursor: Cursor,
        rewound_to: int | None = None,
        unsettled: Unsettled | None = None,
    ) -> None:
        """Drop what is after `rewound_to`, add these (names with their block), and move the cursor: all or nothing."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                if rewound_to is not None:
                    self._db.execute("DELETE FROM logs WHERE block > ?", (rewound_to,))
                    self._db.execute("DELETE FROM names WHERE block > ?", (rewound_to,))
                    self._db.execute("DELETE FROM cursors WHERE number > ?", (rewound_to,))
                self._db.executemany(
                    "INSERT INTO logs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (_row(filed) for filed in logs)
                )
                self._db.executemany(
                    "INSERT INTO names VALUES (?, ?, ?, ?, ?)",
                    ((name.name, name.kind, name.first, name.second, block) for block, name in names),
                )
                self._db.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?)", (cursor.number, cursor.hash))
                self._db.execute(
                    "DELETE FROM cursors WHERE number NOT IN (SELECT number FROM cursors ORDER BY number DESC LIMIT ?)",
                    (_CURSORS_KEPT,),
                )
                if unsettled is not None:
                    self._db.execute('DELETE FROM ranges WHERE "end" > ?', (unsettled.after,))
                    settled = [(end,) for end in unsettled.settled]
                    self._db.executemany('DELETE FROM ranges WHERE "end" = ?', settled)
                    ranges = [(one.end, one.start, one.logs) for one in unsettled.ranges]
                    self._db.executemany("INSERT INTO ranges VALUES (?, ?, ?)", ranges)
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    # --- what pages read

    def logs(self) -> Iterator[RawLog]:
        """All of them, in the chain's order."""
        after = (-1, -1)
        while page := self._all(
            f"SELECT {_COLUMNS} FROM logs WHERE (block, log_index) > (?, ?) ORDER BY block, log_index LIMIT 5000",
            after,
        ):
            yield from map(_log, page)
            after = (page[-1][0], page[-1][1])

    def logs_of_game(self, game: int) -> list[RawLog]:
        return self._logs("game = ?", (game,))

    def logs_of_batch(self, batch: int) -> list[RawLog]:
        """Of the batch itself, not of its responses."""
        return self._logs("batch = ? AND place IS NULL", (batch,))

    def logs_of_response(self, batch: int, place: int) -> list[RawLog]:
        return self._logs("batch = ? AND place = ?", (batch, place))

    def logs_of_transaction(self, tx: bytes) -> list[RawLog]:
        return self._logs("tx = ?", (tx,))

    def find_names(self, prefix: bytes, half: int | None, limit: int) -> list[Name]:
        """Names that begin with these bytes, then with the half byte `half` (0 .. 15) if one is given."""
        low = prefix if half is None else prefix + bytes([half << 4])
        high = (prefix if half is None else prefix + bytes([half << 4 | 15])) + b"\xff" * 33
        rows = self._all(
            "SELECT DISTINCT name, kind, first, second FROM names WHERE name >= ? AND name <= ? LIMIT ?",
            (low, high, limit),
        )
        return [Name(*row) for row in rows]

    # --- facts that are asked of the chain once

    def timestamp(self, block_hash: bytes) -> int | None:
        row = self._all("SELECT timestamp FROM blocks WHERE hash = ?", (block_hash,))
        return row[0][0] if row else None

    def remember_timestamp(self, block_hash: bytes, timestamp: int) -> None:
        with self._lock:
            self._db.execute("INSERT OR IGNORE INTO blocks VALUES (?, ?)", (block_hash, timestamp))

    def gas_used(self, tx: bytes, block_hash: bytes) -> int | None:
        row = self._all("SELECT used FROM gas WHERE tx = ? AND block_hash = ?", (tx, block_hash))
        return row[0][0] if row else None

    def remember_gas(self, tx: bytes, block_hash: bytes, used: int) -> None:
        with self._lock:
            self._db.execute("INSERT OR IGNORE INTO gas VALUES (?, ?, ?)", (tx, block_hash, used))

    def _logs(self, where: str, values: Sequence[object]) -> list[RawLog]:
        rows = self._all(f"SELECT {_COLUMNS} FROM logs WHERE {where} ORDER BY block, log_index", values)
        return [_log(row) for row in rows]

    def _all(self, query: str, values: Sequence[object] = ()) -> list[tuple]:  # type: ignore[type-arg]
        with self._lock:
            return self._db.execute(query, values).fetchall()


_COLUMNS = "block, log_index, block_hash, tx, address, topics, data"


def _row(filed: FiledLog) -> tuple[object, ...]:
    log = filed.log
    return (
        log.block_number,
        log.log_index,
        log.block_hash,
        log.transaction_hash,
        log.address,
        b"".join(log.topics),
        log.data,
        filed.game,
        filed.batch,
        filed.place,
    )


def _log(row: tuple) -> RawLog:  # type: ignore[type-arg]
    block, log_index, block_hash, tx, address, topics, data = row
    return RawLog(
        address=address,
        topics=tuple(topics[i : i + 32] for i in range(0, len(topics), 32)),
        data=data,
        block_number=block,
        block_hash=block_hash,
        transaction_hash=tx,
        log_index=log_index,
    )
