"""Leases in the journal's database: one holder at a time, freed when the holder no longer shows life.

No clocks are compared. A holder raises its lease's `beat` with everything it writes; a lease whose beat stands
still for `duration_s` *by the watcher's own monotonic clock* may be taken over. A holder that slept through this
is fenced off: everything it writes names its token, and is refused in the same transaction once that is not the
lease's any more.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CursorResult, Engine, Table, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlmodel import Field, Session, SQLModel, col

from .errors import AlreadyRunning, LeaseLost

_POLL_S = 0.02
_CREATE_TRIES = 5


class LeaseRow(SQLModel, table=True):
    """`holder` is the token of the present holder, None when it is free."""

    __tablename__ = "sender_lease"

    scope: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    holder: str | None = None
    beat: int = 0


@dataclass(frozen=True)
class Lease:
    """A lease that was taken, and the token that says so."""

    scope: str
    name: str
    token: str


class Leases:
    """The leases of one scope (a chain and an account) in a database."""

    def __init__(self, engine: Engine, scope: str) -> None:
        self._engine, self._scope = engine, scope
        create_tables(engine, [LeaseRow.__table__])  # type: ignore[attr-defined]

    def take(
        self,
        name: str,
        *,
        duration_s: float,
        patience_s: float = 0.0,
        leave_living: bool = False,
        create: bool = True,
    ) -> Lease | None:
        """The lease, as soon as it is free or its holder has shown no life for `duration_s`.

        None when that takes longer than `patience_s`; with `leave_living` as soon as its holder shows life.
        Without `create` only a lease that exists is taken.
        """
        token, until = secrets.token_hex(16), time.monotonic() + patience_s
        seen: tuple[str | None, int] | None = None
        since = time.monotonic()
        while True:
            now = time.monotonic()
            with Session(self._engine) as session:
                row = session.get(LeaseRow, (self._scope, name))
                state = None if row is None else (row.holder, row.beat)
            if state is None:
                if not create:
                    return None
                if self._insert(name, token):
                    return Lease(self._scope, name, token)
                continue
            if seen is not None and state[0] == seen[0] and state[1] != seen[1] and leave_living:
                return None
            if state != seen:
                seen, since = state, now
            if state[0] is None or now - since >= duration_s:
                if self._replace(name, state, token):
                    return Lease(self._scope, name, token)
                continue
            if now >= until:
                return None
            time.sleep(_POLL_S * random.uniform(0.5, 1.5))

    def renew(self, lease: Lease) -> None:
        """Show life. Raises `LeaseLost`."""
        with Session(self._engine) as session:
            fence(session, lease)
            session.commit()

    def release(self, lease: Lease) -> None:
        """Let others have it; nothing happens when it was lost."""
        with Session(self._engine) as session:
            change = update(LeaseRow).where(*_is_ours(lease)).values(holder=None, beat=col(LeaseRow.beat) + 1)
            session.connection().execute(change)
            session.commit()

    def _insert(self, name: str, token: str) -> bool:
        with Session(self._engine) as session:
            session.add(LeaseRow(scope=self._scope, name=name, holder=token))
            try:
                session.commit()
            except IntegrityError:
                return False
            return True

    def _replace(self, name: str, seen: tuple[str | None, int], token: str) -> bool:
        with Session(self._engine) as session:
            change = (
                update(LeaseRow)
                .where(col(LeaseRow.scope) == self._scope, col(LeaseRow.name) == name)
                .where(col(LeaseRow.holder).is_not_distinct_from(seen[0]), col(LeaseRow.beat) == seen[1])
                .values(holder=token, beat=seen[1] + 1)
            )
            taken = changed_rows(session, change) == 1
            session.commit()
            return taken


def fence(session: Session, lease: Lease) -> None:
    """Part of a transaction that only the holder may make: locks the lease's row until it is committed, and
    raises `LeaseLost` (roll back then) when somebody else has taken it over."""
    change = update(LeaseRow).where(*_is_ours(lease)).values(beat=col(LeaseRow.beat) + 1)
    if changed_rows(session, change) != 1:
        session.rollback()
        raise LeaseLost(
            f"Another program took over {lease.name!r} while this one did not answer; nothing was written."
        )


def changed_rows(session: Session, statement: Any) -> int:
    result = session.connection().execute(statement)
    assert isinstance(result, CursorResult)
    return int(result.rowcount)


@contextmanager
def heartbeat(leases: Leases, lease: Lease, every_s: float, on_loss: Callable[[], None]) -> Iterator[None]:
    """Show life from a thread of its own; afterwards the lease is free. `on_loss` is called when another program
    has taken it."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(every_s):
            try:
                leases.renew(lease)
            except LeaseLost:
                on_loss()
                return
            except Exception:
                # The database does not answer now (a program's own engine gives that a name of its own); the lease is
                # ours until somebody takes it, and a thread that ended here would let somebody take it.
                continue

    thread = threading.Thread(target=beat, name=f"lease {lease.name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        with suppress(Exception):
            leases.release(lease)


@contextmanager
def running_alone(leases: Leases, program: str, account: str, *, duration_s: float = 10.0) -> Iterator[None]:
    """Only one `program` of an account at a time, while the context lasts.

    After a crash it waits until the dead one's time is over, at most `duration_s`. Raises `AlreadyRunning` as soon
    as the other shows life. Should another one take over all the same (this process slept), this one ends itself.
    """
    lease = leases.take(
        f"running {program}", duration_s=duration_s, patience_s=2 * duration_s, leave_living=True
    )
    if lease is None:
        raise AlreadyRunning(
            f"another `gainsay {program} run` works for {account} on this database; stop it first, or give this one "
            "an account of its own"
        )

    def end() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with heartbeat(leases, lease, duration_s / 5, end):
        yield


def _is_ours(lease: Lease) -> tuple[Any, ...]:
    return (
        col(LeaseRow.scope) == lease.scope,
        col(LeaseRow.name) == lease.name,
        col(LeaseRow.holder) == lease.token,
    )


def create_tables(engine: Engine, tables: Sequence[Table]) -> None:
    """Make what is missing. Several programs may start at once on a new database: each of them may be the first."""
    for attempt in range(_CREATE_TRIES):
        try:
            with engine.begin() as connection:
                for table in tables:
                    connection.execute(CreateTable(table, if_not_exists=True))
                    for index in table.indexes:
                        connection.execute(CreateIndex(index, if_not_exists=True))
            return
        except SQLAlchemyError:  # PostgreSQL may lose this race in spite of IF NOT EXISTS
            if attempt + 1 == _CREATE_TRIES:
                raise
            time.sleep(_POLL_S * 2**attempt)
