"""Audits in the provider's database: written down when asked for, with their evidence when proven."""

from __future__ import annotations

import uuid

from sqlalchemy import Engine
from sqlmodel import Session, col, select

from .tables import AuditRow, AuditState

_OPEN = (AuditState.WAITING, AuditState.PROVING)


class AuditBook:
    """Reads and writes of audits. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def _session(self) -> Session:
        return Session(self._engine, expire_on_commit=False)

    def take(self, response_id: str, items: str, now: int) -> AuditRow:
        """Write an audit down."""
        row = AuditRow(id=uuid.uuid4().hex, response_id=response_id, items=items, asked_at=now)
        with self._session() as session:
            session.add(row)
            session.commit()
        return row

    def find(self, audit_id: str) -> AuditRow | None:
        with self._session() as session:
            return session.get(AuditRow, audit_id)

    def of_response(self, response_id: str) -> AuditRow | None:
        with self._session() as session:
            return session.exec(select(AuditRow).where(AuditRow.response_id == response_id)).first()

    def waiting(self) -> list[AuditRow]:
        """Audits that are not answered yet."""
        with self._session() as session:
            return list(session.exec(select(AuditRow).where(col(AuditRow.state).in_(_OPEN))))

    def next_waiting(self) -> AuditRow | None:
        """The one that waits longest, one that a stop cut off included."""
        with self._session() as session:
            return session.exec(
                select(AuditRow)
                .where(col(AuditRow.state).in_(_OPEN))
                .order_by(col(AuditRow.asked_at), col(AuditRow.id))
            ).first()

    def progress(self, audit_id: str, done: int) -> None:
        self._update(audit_id, state=AuditState.PROVING, done=done)

    def finish(self, audit_id: str, evidence: bytes) -> None:
        self._update(audit_id, state=AuditState.PROVEN, evidence=evidence)

    def fail(self, audit_id: str, why: str) -> None:
        self._update(audit_id, state=AuditState.FAILED, failure=why)

    def _update(self, audit_id: str, **changes: object) -> None:
        with self._session() as session:
            row = session.get(AuditRow, audit_id)
            if row is None:
                return
            for name, value in changes.items():
                setattr(row, name, value)
            session.add(row)
            session.commit()


__all__ = ["AuditBook", "AuditRow", "AuditState"]
