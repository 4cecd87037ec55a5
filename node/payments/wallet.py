"""What a payer has signed, in a file that any number of its programs share.

Of a provider's contract, chain, token and payer:    signed  the largest cumulative amount ever put under a voucher
                                                     unused  how much of it pays for no answer yet
A larger amount reaches the disk before its voucher is signed; so whatever is killed, no amount is promised twice by
mistake, and limits hold over all programs together.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contracts.bindings.payments import LARGEST_CUMULATIVE

from ..errors import SpendingLimitError, WalletError
from .wire import Terms

_BUSY_S = 30.0


@dataclass(frozen=True)
class Balance:
    """Amounts in the token's smallest unit; `base` is what was signed before the limit in sum began to count."""

    signed: int
    unused: int
    base: int


class Wallet:
    """One payer's sums with one provider. Any number of threads and processes may use one file."""

    def __init__(self, file: Path, payer: str, terms: Terms, most_in_all: int) -> None:
        """`most_in_all`: what all vouchers of this file may promise to this provider. Raises WalletError."""
        self._file, self._most_in_all = file, most_in_all
        self._name = f"{terms.chain_id}:{terms.payments}:{payer}:{terms.provider}:{terms.token}".lower()
        with self._writing() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS signed "
                "(name TEXT PRIMARY KEY, signed TEXT NOT NULL, unused TEXT NOT NULL, base TEXT NOT NULL)"
            )

    def balance(self) -> Balance:
        with self._writing() as connection:
            return self._read(connection)

    def next(self, price: int) -> tuple[int, int]:
        """(cumulative amount for one more answer, how much of it is new). Raises SpendingLimitError."""
        with self._writing() as connection:
            now = self._read(connection)
            new = max(0, price - now.unused)
            return self._sign(connection, now, new, now.unused + new - price), new

    def raise_to(self, due: int, most: int) -> tuple[int, int]:
        """(cumulative amount, how much of it is new) where the provider says that `due` is due; at most `most` is new.

        What was signed already is offered whole: other programs of this payer may have been faster. Raises SpendingLimitError.
        """
        with self._writing() as connection:
            now = self._read(connection)
            new = max(0, due - now.signed)
            if new > most:
                raise SpendingLimitError(
                    f"the provider asks for a voucher over {due}, {new} more than was ever signed in {self._file}, and only "
                    f"{most} more are allowed for this answer; if it is owed for earlier answers, `gainsay pay voucher "
                    f"--already-owed {due}` says so"
                )
            return self._sign(connection, now, new, now.unused), new

    def put_back(self, price: int) -> None:
        """No answer came: the price pays for the next one."""
        with self._writing() as connection:
            now = self._read(connection)
            self._write(connection, Balance(now.signed, min(now.signed, now.unused + price), now.base))

    def adopt(self, cumulative: int) -> None:
        """What was signed elsewhere counts as signed and used up, and not against the limit in sum."""
        with self._writing() as connection:
            now = self._read(connection)
            more = max(0, cumulative - now.signed)
            if now.signed + more > LARGEST_CUMULATIVE:
                raise SpendingLimitError("no channel holds 2^112 or more")
            self._write(connection, Balance(now.signed + more, now.unused, now.base + more))

    def _sign(self, connection: sqlite3.Connection, now: Balance, new: int, unused: int) -> int:
        signed = now.signed + new
        if signed - now.base > self._most_in_all or signed > LARGEST_CUMULATIVE:
            raise SpendingLimitError(
                f"this voucher would bring what was promised to the provider to {signed - now.base}, more than the limit of "
                f"{self._most_in_all}; raise the limit, or stop"
            )
        self._write(connection, Balance(signed, unused, now.base))
        return signed

    def _read(self, connection: sqlite3.Connection) -> Balance:
        row = connection.execute(
            "SELECT signed, unused, base FROM signed WHERE name = ?", (self._name,)
        ).fetchone()
        return Balance(0, 0, 0) if row is None else Balance(*(int(text) for text in row))

    def _write(self, connection: sqlite3.Connection, balance: Balance) -> None:
        connection.execute(
            "INSERT OR REPLACE INTO signed VALUES (?, ?, ?, ?)",
            (self._name, str(balance.signed), str(balance.unused), str(balance.base)),
        )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that nobody else's comes between; on disk when it ends. Raises WalletError."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._file, timeout=_BUSY_S, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error
        try:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        finally:
            connection.close()  # rolls back what was not committed

    def _unusable(self, error: Exception) -> WalletError:
        return WalletError(
            f"the wallet {self._file} cannot be used ({error}); make its folder writable, or name another file"
        )
