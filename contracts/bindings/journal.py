"""What this program means to send, written down before it is sent."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from sqlalchemy import Engine, LargeBinary, UniqueConstraint
from sqlmodel import Field, Session, SQLModel, select

from .contract import Call


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
    """Durable memory of a sender. Every method is one atomic, durable step."""

    def plan(self, key: str, call: Call) -> Intent:
        """The intent of this key: the existing one, unless it had no effect (refused or reverted), else new."""
        ...

    def get(self, intent_id: int) -> Intent: ...

    def find(self, key: str) -> Intent | None: ...

    def unfinished(self) -> list[Intent]: ...

    def highest_nonce(self) -> int | None:
        """Of the unfinished intents."""
        ...

    def add_attempt(self, intent_id: int, nonce: int, attempt: Attempt) -> Intent: ...

    def set_mined(self, intent_id: int, transaction_hash: bytes, block_number: int) -> Intent: ...

    def set_unmined(self, intent_id: int) -> Intent:
        """The block was reorganised away: back to signed."""
        ...

    def finish(self, intent_id: int, status: IntentStatus, error: str | None = None) -> Intent: ...

    def release_nonce(self, intent_id: int) -> Intent:
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

    def __init__(self, engine: Engine, scope: str, *, create_tables: bool = True) -> None:
        self._engine = engine
        self._scope = scope
        if create_tables:
            SQLModel.metadata.create_all(engine, tables=JOURNAL_TABLES)

    def plan(self, key: str, call: Call) -> Intent:
        with Session(self._engine) as session:
            row = self._row_of_key(session, key)
            if row is None:
                row = TransactionIntent(scope=self._scope, key=key, data=b"", value_wei="0")
            elif row.status not in (IntentStatus.REFUSED, IntentStatus.REVERTED):
                return self._intent(session, row)
            elif row.id is not None:
                self._forget_attempts(session, row)
            row.target, row.data = call.to, call.data
            row.value_wei, row.description = str(call.value_wei), call.description
            row.status, row.error = IntentStatus.PLANNED, None
            return self._save(session, row)

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

    def add_attempt(self, intent_id: int, nonce: int, attempt: Attempt) -> Intent:
        with Session(self._engine) as session:
            row = self._row(session, intent_id)
            row.nonce, row.status = nonce, IntentStatus.SIGNED
            session.add(
                TransactionAttempt(
                    intent_id=intent_id,
                    hash=attempt.hash,
                    raw=attempt.raw,
                    max_fee_wei=str(attempt.max_fee_wei),
                    priority_fee_wei=str(attempt.priority_fee_wei),
                    signed_at=attempt.signed_at,
                )
            )
            return self._save(session, row)

    def set_mined(self, intent_id: int, transaction_hash: bytes, block_number: int) -> Intent:
        with Session(self._engine) as session:
            row = self._row(session, intent_id)
            row.status = IntentStatus.MINED
            row.mined_hash, row.mined_block = transaction_hash, block_number
            return self._save(session, row)

    def set_unmined(self, intent_id: int) -> Intent:
        with Session(self._engine) as session:
            row = self._row(session, intent_id)
            row.status, row.mined_hash, row.mined_block = (IntentStatus.SIGNED, None, None)
            return self._save(session, row)

    def finish(self, intent_id: int, status: IntentStatus, error: str | None = None) -> Intent:
        with Session(self._engine) as session:
            row = self._row(session, intent_id)
            row.status, row.error = status, error
            return self._save(session, row)

    def release_nonce(self, intent_id: int) -> Intent:
        with Session(self._engine) as session:
            row = self._row(session, intent_id)
            row.status = IntentStatus.PLANNED
            self._forget_attempts(session, row)
            return self._save(session, row)

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

    def _forget_attempts(self, session: Session, row: TransactionIntent) -> None:
        assert row.id is not None  # it came from the database
        for attempt in self._attempts(session, row.id):
            session.delete(attempt)
        row.nonce, row.mined_hash, row.mined_block = None, None, None

    def _save(self, session: Session, row: TransactionIntent) -> Intent:
        session.add(row)
        session.commit()
        return self._intent(session, row)

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
