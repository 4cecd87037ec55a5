"""The challenger's memory of what is asked for and shown on chain. Every method is one transaction (see tables.py)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, and_, func, or_
from sqlmodel import Session, col, select

from .pace import is_due
from .tables import AskedRow, AskingRow, BatchRow, DisputeRow, ResponseRow, ShownRow

_SHOWN_AT_ONCE = 64
_WISHES_AT_ONCE = 512
_ROWS_PER_TRANSACTION = 500
_IS_VOID = func.coalesce(DisputeRow.is_void, False)


def _same_place(one: Any, other: Any) -> Any:
    return and_(col(one.batch_id) == other.batch_id, col(one.index) == other.index)


class AskStore:
    """Part of `Store`, on the same engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    # --- the listers': what was shown, what to ask for

    def shown(self) -> list[tuple[ShownRow, BatchRow | None]]:
        """What was shown on chain and is not among the responses yet, with its batch (None: not known here)."""
        with Session(self.engine) as session:
            query = (
                select(ShownRow, BatchRow)
                .join(BatchRow, col(BatchRow.batch_id) == ShownRow.batch_id, isouter=True)
                .where(col(ShownRow.taken) == False)  # noqa: E712
                .limit(_SHOWN_AT_ONCE)
            )
            return [(row, batch) for row, batch in session.exec(query).all()]

    def take_shown(self, shown: ShownRow, response: ResponseRow | None) -> None:
        """Put what the chain shows among the responses, or leave it out (None). Its window is open again, so what was
        not looked at for want of ids or time gets the state that it has now."""
        at = (col(ResponseRow.batch_id) == shown.batch_id, col(ResponseRow.index) == shown.index)
        with Session(self.engine) as session:
            known = session.exec(select(ResponseRow).where(*at)).first()
            if response is not None and known is None:
                session.add(response)
            elif response is not None and known is not None:
                known.prompt_packed, known.output_packed = response.prompt_packed, response.output_packed
                if known.state in ("withheld", "skipped", "missed", "unknown"):
                    known.state, known.why, known.tries, known.next_try_at = (
                        response.state,
                        response.why,
                        0,
                        0.0,
                    )
                session.add(known)
            if (row := session.get(ShownRow, (shown.batch_id, shown.index))) is not None:
                row.taken = True
                session.add(row)
            session.commit()

    def is_asked_for(self, batch_id: int, index: int) -> bool:
        """Whether this challenger drew it to be asked for."""
        with Session(self.engine) as session:
            return session.get(AskingRow, (batch_id, index)) is not None

    def withheld(self, now: int) -> list[ResponseRow]:
        """Drawn responses without ids that nobody thought of asking for yet."""
        with Session(self.engine) as session:
            query = (
                select(ResponseRow)
                .join(AskingRow, _same_place(AskingRow, ResponseRow), isouter=True)
                .where(ResponseRow.state == "withheld", ResponseRow.deadline >= now)
                .where(col(AskingRow.state).is_(None))
            )
            return list(session.exec(query).all())

    def add_wishes(self, rows: Sequence[AskingRow]) -> int:
        """Those that are not noted yet; how many."""
        added = 0
        for start in range(0, len(rows), _ROWS_PER_TRANSACTION):
            with Session(self.engine) as session:
                for row in rows[start : start + _ROWS_PER_TRANSACTION]:
                    if session.get(AskingRow, (row.batch_id, row.index)) is None:
                        session.add(row)
                        added += 1
                session.commit()
        return added

    # --- the game player's

    def wishes(self, now: int, now_s: float) -> list[tuple[AskingRow, bytes]]:
        """What is to be asked for and nobody has asked for or shown yet, with its batch's root: providers in turn."""
        shown = and_(_same_place(AskingRow, ResponseRow), col(ResponseRow.prompt_packed).is_not(None))
        turn = func.row_number().over(
            partition_by=col(AskingRow.provider), order_by=(col(AskingRow.deadline), col(AskingRow.ticket))
        )
        limit = func.max(AskingRow.deadline, func.coalesce(DisputeRow.challenge_deadline, 0))
        with Session(self.engine) as session:
            query: Any = (
                select(AskingRow, BatchRow.root)
                .join(BatchRow, col(BatchRow.batch_id) == AskingRow.batch_id)
                .join(AskedRow, _same_place(AskedRow, AskingRow), isouter=True)
                .join(DisputeRow, _same_place(DisputeRow, AskingRow), isouter=True)
                .join(ResponseRow, shown, isouter=True)
                .where(AskingRow.state == "wanted", is_due(AskingRow.next_try_at, now_s), now <= limit)
                .where(_IS_VOID == False, col(AskedRow.asker).is_(None), col(ResponseRow.id).is_(None))  # noqa: E712
                .order_by(turn, col(AskingRow.deadline))
                .limit(_WISHES_AT_ONCE)
            )
            return [(row, root) for row, root in session.exec(query).all()]

    def asked_since(self, time: int, own: str, show_window_s: int) -> Counter[str]:
        """How often this challenger asked each provider since then (chain time): what it noted, and what the chain
        says, which knows also what was sent before a kill or by hand."""
        with Session(self.engine) as session:
            noted = select(AskingRow.batch_id, AskingRow.index, AskingRow.provider).where(
                AskingRow.asked_at > time
            )
            seen = (
                select(AskedRow.batch_id, AskedRow.index, BatchRow.provider)
                .join(BatchRow, col(BatchRow.batch_id) == AskedRow.batch_id)
                .where(AskedRow.asker == own, AskedRow.show_deadline > time + show_window_s)
            )
            places = {(batch, index): provider for batch, index, provider in session.exec(noted).all()}
            places |= {(batch, index): provider for batch, index, provider in session.exec(seen).all()}
            return Counter(places.values())

    def unanswered(self, own: str, now: int, now_s: float, limit: int) -> list[tuple[AskedRow, bytes]]:
        """Own asks whose price can be fetched, with the batch's root: not shown in time, or void otherwise."""
        with Session(self.engine) as session:
            query: Any = (
                select(AskedRow, BatchRow.root)
                .join(BatchRow, col(BatchRow.batch_id) == AskedRow.batch_id)
                .join(AskingRow, _same_place(AskedRow, AskingRow), isouter=True)
                .join(DisputeRow, _same_place(DisputeRow, AskedRow), isouter=True)
                .where(AskedRow.asker == own, col(AskedRow.closed_block).is_(None))
                .where(or_(col(AskedRow.show_deadline) < now, _IS_VOID))
                .where(func.coalesce(AskingRow.state, "") != "settled")
                .where(is_due(func.coalesce(AskingRow.next_try_at, 0.0), now_s))
                .order_by(col(AskedRow.show_deadline))
                .limit(limit)
            )
            return [(row, root) for row, root in session.exec(query).all()]

    def set_asking(self, batch_id: int, index: int, **values: Any) -> None:
        """What became of asking; also of what was asked for by hand."""
        with Session(self.engine) as session:
            row = session.get(AskingRow, (batch_id, index)) or AskingRow(batch_id=batch_id, index=index)
            for name, value in values.items():
                setattr(row, name, value)
            session.add(row)
            session.commit()

    # --- anybody's

    def asked(self) -> list[AskedRow]:
        with Session(self.engine) as session:
            query = select(AskedRow).order_by(col(AskedRow.batch_id), col(AskedRow.index))
            return list(session.exec(query).all())
