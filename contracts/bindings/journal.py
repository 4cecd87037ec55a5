"""What this program means to send, written down before it is sent."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from sqlalchemy import Engine, LargeBinary, UniqueConstraint, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Field, Session, SQLModel, col, delete, select

from . import lease
from .contract import Call
from .errors import JournalBusy, Overtaken
from .lease import Lease, LeaseRow, Leases, changed_rows, fence

#: Without a sign of life for so long, the lease on signing passes on, or a person's command counts as interrupted.
SIGNING_S = 5.0
COMMAND_S = 5.0


class IntentStatus(StrEnum):
    """planned -> signed -> mined -> confirmed | reverted; or planned -> refused (nothing was sent)."""

    PLANNED = "planned"  # written down, no nonce yet
    SIGNED = "signed"  # has a nonce and a signed transaction; sent or about to be
    MINED = "mined"  # in a block that may still be reorganised away
    CONFIRMED = "confirmed"
    REVERTED = "reverted"  # mined, but the contract said no
    REFUSED = "refused"  # would revert: never sent


FINISHED = frozenset({IntentStatus.CONFIRMED, IntentStatus.REVERTED, IntentStatus.REFUSED})


@dataclass(frozen=True)
class Attempt:
    """One signed transaction of an intent; replacements share its nonce."""

    hash: bytes
    raw: bytes
    max_fee_wei: int
    priority_fee_wei: int
    signed_at: float


@dataclass(frozen=True)
class Intent:
    """One transaction that shall happen exactly once. `key` is the caller's name for it."""

    id: int
    key: str
    call: Call
    status: IntentStatus
    nonce: int | None
    attempts: tuple[Attempt, ...]
    mined_hash: bytes | None
    mined_block: int | None
    error: str | None


class Journal(Protocol):
    """Durable memory of a sender. Every method is one atomic, durable step.

    Several processes may use one journal. What decides over signatures and nonces needs the signing lease; a
    change of an intent happens only if it still is as the caller saw it (`Overtaken` otherwise).
    """

    @property
    def leases(self) -> Leases: ...

    def plan(self, key: str, call: Call) -> Intent:
        """The intent of this key: the existing one, unless it had no effect (refused or reverted), else new."""
        ...

    def plan_next(self, name: str, call: Call) -> Intent:
        """The intent under way with this name, else a new one with the name's next number."""
        ...

    def plan_by_hand(
        self, name: str, call: Call, is_long_over: Callable[[Intent], bool]
    ) -> tuple[Intent, Lease, bool]:
        """A new intent of a person's command, or the one that an interrupted, equal command left behind (True), unless
        that is finished and long over."""
        ...

    def told(self, lease: Lease) -> None:
        """The person knows how this command ended: an equal one is a new one from now on."""
        ...

    def get(self, intent_id: int) -> Intent: ...

    def find(self, key: str) -> Intent | None: ...

    def unfinished(self) -> list[Intent]: ...

    def highest_nonce(self) -> int | None:
        """Of the unfinished intents."""
        ...

    def take_signing_lease(self) -> Lease:
        """Raises `JournalBusy`."""
        ...

    def release_signing_lease(self, lease: Lease) -> None: ...

    def add_attempt(self, intent: Intent, nonce: int, attempt: Attempt, lease: Lease) -> Intent: ...

    def set_mined(self, intent: Intent, transaction_hash: bytes, block_number: int) -> Intent: ...

    def set_unmined(self, intent: Intent) -> Intent:
        """The block was reorganised away: back to signed."""
        ...

    def finish(self, intent: Intent, status: IntentStatus, error: str | None = None) -> Intent: ...

    def finished_at(self, nonce: int) -> Intent | None:
        """The newest intent that was mined with this nonce, whatever became of it."""
        ...

    def reopen(self, intent: Intent) -> Intent:
        """A finished intent whose block was reorganised away: back to signed."""
        ...

    def release_nonce(self, intent: Intent, lease: Lease) -> Intent:
        """Something else used the nonce: back to planned, attempts forgotten."""
        ...


class TransactionIntent(SQLModel, table=True):
    """Row of an intent. `scope` keeps chains (id and genesis) and senders apart."""

    __tablename__ = "transaction_intent"
    __table_args__ = (UniqueConstraint("scope", "key"),)

    id: int | None = Field(default=None, primary_key=True)
    scope: str = Field(index=True)
    key: str
    target: str | None = None
    data: bytes = Field(sa_type=LargeBinary)
    value_wei: str  # wei do not fit an SQL integer
    description: str = ""
    status: str = Field(default=IntentStatus.PLANNED, index=True)
    nonce: int | None = None
    mined_hash: bytes | None = Field(default=None, sa_type=LargeBinary)
    mined_block: int | None = None
    error: str | None = None
    planned_at: float = Field(default_factory=time.time)


class TransactionAttempt(SQLModel, table=True):
    """Row of one signed transaction of an intent."""

    __tablename__ = "transaction_attempt"

    id: int | None = Field(default=None, primary_key=True)
    intent_id: int = Field(foreign_key="transaction_intent.id", index=True)
    hash: bytes = Field(sa_type=LargeBinary)
    raw: bytes = Field(sa_type=LargeBinary)
    max_fee_wei: str
    priority_fee_wei: str
    signed_at: float


JOURNAL_TABLES = [TransactionIntent.__table__, TransactionAttempt.__table__]  # type: ignore[attr-defined]


class SqlJournal:
    """The journal in any SQLAlchemy database. `scope` names chain and sender."""

    def __init__(
        self, engine: Engine, scope: str, *, create_tables: bool = True, signing_s: float | None = None
    ) -> None:
        """`signing_s`: so long a process may keep the signing lease without a sign of life."""
        self._engine = engine
        self._scope = scope
        self._signing_s = SIGNING_S if signing_s is None else signing_s
        if create_tables:
            lease.create_tables(engine, JOURNAL_TABLES)
        self.leases = Leases(engine, scope)

    # --- planning

    def plan(self, key: str, call: Call) -> Intent:
        while True:
            with Session(self._engine) as session:
                row = self._row_of_key(session, key)
                if row is None:
                    if (planned := self._insert(session, key, call)) is not None:
                        return planned
                    continue  # another process was faster: look again
                seen = self._intent(session, row)
            if seen.status not in (IntentStatus.REFUSED, IntentStatus.REVERTED):
                return seen
            try:
                return self._change(
                    seen, forget=True, status=IntentStatus.PLANNED, error=None, **_columns(call)
                )
            except Overtaken:
                continue

    def plan_next(self, name: str, call: Call) -> Intent:
        number = 0
        while True:
            intent = self.plan(f"{name}#{number}", call)
            if intent.status is not IntentStatus.CONFIRMED:
                return intent
            number += 1

    def plan_by_hand(
        self, name: str, call: Call, is_long_over: Callable[[Intent], bool]
    ) -> tuple[Intent, Lease, bool]:
        for slot in self._open_commands(name):
            lease = self.leases.take(
                slot, duration_s=COMMAND_S, patience_s=2 * COMMAND_S, leave_living=True, create=False
            )
            intent = self.find(slot)
            if lease is None or intent is None:
                continue  # another person's (or terminal's) command, and alive
            if intent.status in FINISHED and is_long_over(intent):
                self.told(lease)
                continue
            return self.plan(slot, call), lease, True
        key, token = f"{name} by hand {secrets.token_hex(8)}", secrets.token_hex(16)
        with Session(self._engine) as session:
            session.add(LeaseRow(scope=self._scope, name=key, holder=token))
            planned = self._insert(session, key, call)
        assert planned is not None  # the key is random
        return planned, Lease(self._scope, key, token), False

    def told(self, lease: Lease) -> None:
        with Session(self._engine) as session:
            ours = (
                col(LeaseRow.scope) == lease.scope,
                col(LeaseRow.name) == lease.name,
                col(LeaseRow.holder) == lease.token,
            )
            session.exec(delete(LeaseRow).where(*ours))  # another one's by now: then that one tells
            session.commit()

    def _open_commands(self, name: str) -> list[str]:
        query = (
            select(LeaseRow.name)
            .where(LeaseRow.scope == self._scope)
            .where(col(LeaseRow.name).startswith(f"{name} by hand ", autoescape=True))
            .order_by(LeaseRow.name)
        )
        with Session(self._engine) as session:
            return list(session.exec(query).all())

    def _insert(self, session: Session, key: str, call: Call) -> Intent | None:
        row = TransactionIntent(
            scope=self._scope, key=key, status=IntentStatus.PLANNED.value, **_columns(call)
        )
        session.add(row)
        try:
            session.commit()
        except IntegrityError:
            session.rollback()
            return None
        return self._intent(session, row)

    # --- reading

    def get(self, intent_id: int) -> Intent:
        with Session(self._engine) as session:
            return self._intent(session, self._row(session, intent_id))

    def find(self, key: str) -> Intent | None:
        with Session(self._engine) as session:
            row = self._row_of_key(session, key)
            return None if row is None else self._intent(session, row)

    def unfinished(self) -> list[Intent]:
        with Session(self._engine) as session:
            return [self._intent(session, row) for row in self._unfinished_rows(session)]

    def highest_nonce(self) -> int | None:
        with Session(self._engine) as session:
            nonces = [row.nonce for row in self._unfinished_rows(session) if row.nonce is not None]
            return max(nonces, default=None)

    # --- who may sign

    def take_signing_lease(self) -> Lease:
        patience_s = 4 * self._signing_s
        lease = self.leases.take("sign", duration_s=self._signing_s, patience_s=patience_s)
        if lease is None:
            raise JournalBusy(
                f"Other programs of this account have been signing for {patience_s:.0f} s; try again later."
            )
        return lease

    def release_signing_lease(self, lease: Lease) -> None:
        self.leases.release(lease)

    # --- changing

    def add_attempt(self, intent: Intent, nonce: int, attempt: Attempt, lease: Lease) -> Intent:
        row = TransactionAttempt(
            intent_id=intent.id,
            hash=attempt.hash,
            raw=attempt.raw,
            max_fee_wei=str(attempt.max_fee_wei),
            priority_fee_wei=str(attempt.priority_fee_wei),
            signed_at=attempt.signed_at,
        )
        return self._change(intent, lease, new=row, nonce=nonce, status=IntentStatus.SIGNED)

    def set_mined(self, intent: Intent, transaction_hash: bytes, block_number: int) -> Intent:
        return self._change(
            intent, status=IntentStatus.MINED, mined_hash=transaction_hash, mined_block=block_number
        )

    def set_unmined(self, intent: Intent) -> Intent:
        return self._change(intent, status=IntentStatus.SIGNED, mined_hash=None, mined_block=None)

    def finish(self, intent: Intent, status: IntentStatus, error: str | None = None) -> Intent:
        return self._change(intent, status=status, error=error)

    def finished_at(self, nonce: int) -> Intent | None:
        query = (
            select(TransactionIntent)
            .where(TransactionIntent.scope == self._scope, TransactionIntent.nonce == nonce)
            .where(TransactionIntent.status.in_([status.value for status in FINISHED]))  # type: ignore[attr-defined]
            .order_by(col(TransactionIntent.id).desc())
        )
        with Session(self._engine) as session:
            row = session.exec(query).first()
            return None if row is None else self._intent(session, row)

    def reopen(self, intent: Intent) -> Intent:
        return self._change(intent, status=IntentStatus.SIGNED, mined_hash=None, mined_block=None, error=None)

    def release_nonce(self, intent: Intent, lease: Lease) -> Intent:
        return self._change(intent, lease, forget=True, status=IntentStatus.PLANNED)

    def _change(
        self,
        seen: Intent,
        lease: Lease | None = None,
        *,
        new: TransactionAttempt | None = None,
        forget: bool = False,
        **values: Any,
    ) -> Intent:
        """Compare and set: the row changes only if status, nonce and block are what the caller saw."""
        if forget:
            values |= {"nonce": None, "mined_hash": None, "mined_block": None}
        values["status"] = values["status"].value
        with Session(self._engine) as session:
            if lease is not None:
                fence(session, lease)
            row = TransactionIntent
            change = (
                update(row)
                .where(col(row.id) == seen.id, col(row.status) == seen.status.value)
                .where(col(row.nonce).is_not_distinct_from(seen.nonce))
                .where(col(row.mined_hash).is_not_distinct_from(seen.mined_hash))
                .values(values)
            )
            if changed_rows(session, change) != 1:
                session.rollback()
                raise Overtaken(f"Another process carried on {seen.call.description or seen.key} meanwhile.")
            if forget:
                session.exec(delete(TransactionAttempt).where(col(TransactionAttempt.intent_id) == seen.id))
            if new is not None:
                session.add(new)
            session.commit()
            return self._intent(session, self._row(session, seen.id))

    # --- rows

    def _row(self, session: Session, intent_id: int) -> TransactionIntent:
        return session.get_one(TransactionIntent, intent_id)

    def _row_of_key(self, session: Session, key: str) -> TransactionIntent | None:
        where = (TransactionIntent.scope == self._scope, TransactionIntent.key == key)
        return session.exec(select(TransactionIntent).where(*where)).first()

    def _unfinished_rows(self, session: Session) -> Sequence[TransactionIntent]:
        open_statuses = [status.value for status in IntentStatus if status not in FINISHED]
        query = (
            select(TransactionIntent)
            .where(TransactionIntent.scope == self._scope)
            .where(TransactionIntent.status.in_(open_statuses))  # type: ignore[attr-defined]
            .order_by(TransactionIntent.id)  # type: ignore[arg-type]
        )
        return session.exec(query).all()

    def _attempts(self, session: Session, intent_id: int) -> Sequence[TransactionAttempt]:
        query = (
            select(TransactionAttempt)
            .where(TransactionAttempt.intent_id == intent_id)
            .order_by(TransactionAttempt.id)  # type: ignore[arg-type]
        )
        return session.exec(query).all()

    def _intent(self, session: Session, row: TransactionIntent) -> Intent:
        assert row.id is not None  # it came from the database
        return Intent(
            id=row.id,
            key=row.key,
            call=Call(row.target, row.data, int(row.value_wei), row.description),
            status=IntentStatus(row.status),
            nonce=row.nonce,
            attempts=tuple(
                Attempt(a.hash, a.raw, int(a.max_fee_wei), int(a.priority_fee_wei), a.signed_at)
                for a in self._attempts(session, row.id)
            ),
            mined_hash=row.mined_hash,
            mined_block=row.mined_block,
            error=row.error,
        )


def _columns(call: Call) -> dict[str, Any]:
    return {
        "target": call.to,
        "data": call.data,
        "value_wei": str(call.value_wei),
        "description": call.description,
    }
