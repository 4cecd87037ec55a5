"""The challenger's memory. Every method is one transaction, and writes only its caller's columns (see tables.py)."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, and_, case, func, insert, or_, update
from sqlmodel import Session, col, select

from contracts.bindings.lease import changed_rows

from .ask_store import AskStore
from .chain_record import SHOWN_AGAIN_S, ChainRecord, ChainRow, Ending, Turn
from .pace import is_due, next_try
from .schedule import Demand
from .tables import (
    BatchRow,
    DisputeRow,
    FactRow,
    GameRow,
    OpeningRow,
    ResponseRow,
    open_engine,
)
from .tend_store import TendStore

__all__ = [
    "BatchRow",
    "ChainRow",
    "Ending",
    "GameRow",
    "ResponseRow",
    "Store",
    "Turn",
    "Unjudged",
    "open_engine",
]

#: Short transactions, because the sender's journal of moves is in the same database.
_ROWS_PER_TRANSACTION = 500
#: Said of what was not decided before its window closed, or before it was void.
_CLOSED = "; its challenge window is over"
_WITH_DISPUTE = and_(
    col(DisputeRow.batch_id) == ResponseRow.batch_id, col(DisputeRow.index) == ResponseRow.index
)
_LIMIT = func.max(ResponseRow.deadline, func.coalesce(DisputeRow.challenge_deadline, 0))
_IS_VOID = func.coalesce(DisputeRow.is_void, False)


@dataclass(frozen=True)
class OpeningDue:
    """A game to open: what became of it so far, and until when no place is free."""

    row: ResponseRow
    opening: OpeningRow
    empty_until: int


class Unjudged(StrEnum):
    """Why the window of a drawn response closed without a verdict, though somebody looked."""

    UNDECIDED = "undecided"  # tried, and failed on this machine
    WITHHELD = "ids withheld"
    MODEL_NOT_HERE = "model not here"


class Store(ChainRecord):
    """All loops share it; it may be used from several threads when it lives in a file."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.asks, self.left = AskStore(engine), TendStore(engine)

    def secret(self) -> bytes:
        """32 random bytes, the same for ever."""
        with Session(self.engine) as session:
            row = session.get(FactRow, "policy secret")
            if row is None:
                row = FactRow(name="policy secret", value=secrets.token_bytes(32))
                session.add(row)
                session.commit()
            return row.value

    # --- the lister's

    def batches(self, state: str) -> list[BatchRow]:
        with Session(self.engine) as session:
            query = select(BatchRow).where(BatchRow.state == state)
            return list(session.exec(query.order_by(col(BatchRow.batch_id))).all())

    def batch(self, batch_id: int) -> BatchRow | None:
        with Session(self.engine) as session:
            return session.get(BatchRow, batch_id)

    def set_batch(self, batch_id: int, root: bytes, state: str, problem: str | None) -> None:
        """Nothing happens when a reorganisation put another batch in its place."""
        with Session(self.engine) as session:
            where = (col(BatchRow.batch_id) == batch_id, col(BatchRow.root) == root)
            # A batch that one URL showed whole stays listed, whatever another one says.
            keep = col(BatchRow.state) == "new"
            session.execute(update(BatchRow).where(*where, keep).values(state=state, problem=problem))
            session.commit()

    def known_responses(self, batch_id: int) -> dict[int, bool]:
        """Index -> whether the token ids are known, too."""
        with Session(self.engine) as session:
            query = select(ResponseRow.index, col(ResponseRow.prompt_packed).is_not(None))
            return dict(session.exec(query.where(ResponseRow.batch_id == batch_id)).all())

    def add_responses(self, batch: BatchRow, rows: Sequence[ResponseRow]) -> None:
        """Add those that are new, and ids that were withheld; both are `pending` then unless they say otherwise."""
        for start in range(0, len(rows), _ROWS_PER_TRANSACTION):
            part = rows[start : start + _ROWS_PER_TRANSACTION]
            with Session(self.engine) as session:
                there = session.get(BatchRow, batch.batch_id)
                if there is None or there.root != batch.root:
                    return
                indices = [row.index for row in part]
                query = select(ResponseRow.index, col(ResponseRow.prompt_packed).is_not(None))
                query = query.where(
                    ResponseRow.batch_id == batch.batch_id, col(ResponseRow.index).in_(indices)
                )
                known = dict(session.exec(query).all())
                new = [row.model_dump(exclude={"id"}) for row in part if row.index not in known]
                if new:
                    session.execute(insert(ResponseRow), new)
                for row in part:
                    if row.prompt_packed is not None and known.get(row.index) is False:
                        where = (
                            col(ResponseRow.batch_id) == batch.batch_id,
                            col(ResponseRow.index) == row.index,
                        )
                        ids = {"prompt_packed": row.prompt_packed, "output_packed": row.output_packed}
                        session.execute(update(ResponseRow).where(*where).values(**ids))
                        again = {"state": row.state, "why": "", "tries": 0, "next_try_at": 0.0}
                        withheld = col(ResponseRow.state) == "withheld"
                        session.execute(update(ResponseRow).where(*where, withheld).values(**again))
                session.commit()

    def repeats(self, output_hash: bytes, prompt_hash: bytes) -> int:
        """Other responses with the same output for another prompt."""
        with Session(self.engine) as session:
            query = select(ResponseRow.prompt_hash).where(
                ResponseRow.output_hash == output_hash, ResponseRow.prompt_hash != prompt_hash
            )
            return len(set(session.exec(query.limit(1000)).all()))

    # --- the judge's

    def demands(self) -> list[Demand]:
        """Positions of never-judged responses by provider, model and last moment."""
        with Session(self.engine) as session:
            query: Any = (
                select(  # type: ignore[call-overload]
                    ResponseRow.provider,
                    ResponseRow.model_id,
                    _LIMIT,
                    func.sum(ResponseRow.positions),
                    func.count(),
                )
                .join(DisputeRow, _WITH_DISPUTE, isouter=True)
                .where(ResponseRow.state == "pending", _IS_VOID == False)  # noqa: E712
                .group_by(col(ResponseRow.provider), col(ResponseRow.model_id), _LIMIT)
            )
            return [Demand(*row) for row in session.exec(query).all()]

    def next_pending(
        self,
        provider: str,
        *,
        by_ticket: bool,
        most_positions: int,
        without: Collection[int],
        together: int = 1,
        rows_together: int = 0,
    ) -> list[ResponseRow]:
        """The provider's never-judged response that is first due, or first in the secret order, and those of the same model
        that come next: at most `together`, with `rows_together` positions in all. Void ones are
        left out, and those longer than `most_positions` unless there is nothing else."""
        order = col(ResponseRow.ticket) if by_ticket else _LIMIT
        with Session(self.engine) as session:
            query = (
                select(ResponseRow)
                .join(DisputeRow, _WITH_DISPUTE, isouter=True)
                .where(ResponseRow.state == "pending", ResponseRow.provider == provider)
                .where(_IS_VOID == False, col(ResponseRow.id).not_in(list(without)))  # noqa: E712
                .order_by(order, col(ResponseRow.ticket))
                .limit(together)
            )
            found = list(session.exec(query.where(ResponseRow.positions <= most_positions)).all())
            found = found or list(session.exec(query.limit(1)).all())
        taken, positions = found[:1], sum(row.positions for row in found[:1])
        for row in found[1:]:
            # Whoever is passed over is the first of the next ones.
            fits = positions + row.positions <= min(rows_together, most_positions)
            if fits and row.model_id == taken[0].model_id:
                taken.append(row)
                positions += row.positions
        return taken

    def due_again(self, now_s: float) -> ResponseRow | None:
        """An undecided response whose next try is due."""
        with Session(self.engine) as session:
            query = select(ResponseRow).where(
                ResponseRow.state == "unknown",
                ResponseRow.next_try_at > 0,
                is_due(ResponseRow.next_try_at, now_s),
            )
            return session.exec(query.order_by(col(ResponseRow.next_try_at)).limit(1)).first()

    def set_verdict(
        self, response_id: int | None, state: str, why: str, *, tries: int = 0, next_try_at: float = 0.0
    ) -> None:
        with Session(self.engine) as session:
            values = {"state": state, "why": why, "tries": tries, "next_try_at": next_try_at}
            session.execute(update(ResponseRow).where(col(ResponseRow.id) == response_id).values(**values))
            session.commit()

    def set_foreign(self, model_id: bytes, why: str) -> None:
        """Nothing of this model can be judged here; until a restart nothing is tried again."""
        with Session(self.engine) as session:
            waiting = and_(col(ResponseRow.state) == "pending", col(ResponseRow.model_id) == model_id)
            session.execute(update(ResponseRow).where(waiting).values(state="unknown", why=why))
            session.commit()

    def unjudged_late(self, now: int) -> dict[Unjudged, int]:
        """Responses that the policy drew and nobody judged here, whose window is over by now, by why: `close_windows` gives them up."""
        state, tries = col(ResponseRow.state), col(ResponseRow.tries)
        why = case(
            (state == "withheld", Unjudged.WITHHELD),
            (tries > 0, Unjudged.UNDECIDED),
            else_=Unjudged.MODEL_NOT_HERE,
        )
        with Session(self.engine) as session:
            late = (
                select(why, func.count())
                .select_from(ResponseRow)
                .join(DisputeRow, _WITH_DISPUTE, isouter=True)
                .where(state.in_(("unknown", "withheld")), now > _LIMIT, _IS_VOID == False)  # noqa: E712
                .group_by(why)
            )
            return {Unjudged(reason): int(number) for reason, number in session.exec(late).all()}

    def close_windows(self, now: int) -> list[tuple[int, int]]:
        """Give up what can no longer be disputed: (batch, number of drawn responses that nobody looked at here).

        Those become `missed`; what was looked at, or is void anyway, becomes `skipped`.
        """
        over = select(ResponseRow.id).join(DisputeRow, _WITH_DISPUTE, isouter=True)
        late = over.where(or_(now > _LIMIT, _IS_VOID))
        missed: list[tuple[int, int]] = []
        with Session(self.engine) as session:
            count = (
                select(ResponseRow.batch_id, func.count())
                .where(col(ResponseRow.id).in_(late.where(ResponseRow.state == "pending", _IS_VOID == False)))  # noqa: E712
                .group_by(col(ResponseRow.batch_id))
            )
            missed = [(batch_id, number) for batch_id, number in session.exec(count).all()]
            lost = update(ResponseRow).where(
                col(ResponseRow.id).in_(late.where(ResponseRow.state == "pending", _IS_VOID == False))  # noqa: E712
            )
            if missed:
                session.execute(
                    lost.values(state="missed", why="its window closed before it could be re-run")
                )
            states = ("pending", "unknown", "withheld")
            rest = late.where(col(ResponseRow.state).in_(states))
            if session.exec(rest.limit(1)).first() is not None:
                values = {"state": "skipped", "why": ResponseRow.why + _CLOSED}
                session.execute(update(ResponseRow).where(col(ResponseRow.id).in_(rest)).values(**values))
            session.commit()
        return missed

    def open_windows(self, now: int) -> int:
        """Take up again what was given up and can be disputed after all, because a place came free late or a reorganisation
        took back what made it void; how many."""
        given_up = or_(
            col(ResponseRow.state) == "missed",
            and_(col(ResponseRow.state) == "skipped", col(ResponseRow.why).endswith(_CLOSED)),
        )
        again = (
            select(ResponseRow.id)
            .join(DisputeRow, _WITH_DISPUTE, isouter=True)
            .where(given_up, now <= _LIMIT, _IS_VOID == False)  # noqa: E712
        )
        has_ids = col(ResponseRow.prompt_packed).is_not(None)
        with Session(self.engine) as session:
            if session.exec(again.limit(1)).first() is None:
                return 0
            values = {"state": case((has_ids, "pending"), else_="withheld"), "why": "", "tries": 0}
            where = col(ResponseRow.id).in_(again)
            number = changed_rows(session, update(ResponseRow).where(where).values(**values, next_try_at=0.0))
            session.commit()
        return number

    def note_risk(self, why: str, after_deadline: int | None) -> None:
        """Say of the waiting responses whose window closes from then on that they may not be reached in time."""
        with Session(self.engine) as session:
            waiting = update(ResponseRow).where(col(ResponseRow.state) == "pending")
            if after_deadline is not None:
                waiting = waiting.where(col(ResponseRow.deadline) >= after_deadline)
            session.execute(waiting.values(why=why))
            session.commit()

    def look_again_at_foreign_models(self) -> None:
        """At a start: other models may be here or trusted by now."""
        with Session(self.engine) as session:
            unknown = and_(col(ResponseRow.state) == "unknown", col(ResponseRow.next_try_at) == 0)
            session.execute(update(ResponseRow).where(unknown).values(state="pending", tries=0))
            session.commit()

    # --- the player's

    def games(self, *, open_only: bool = False) -> list[GameRow]:
        with Session(self.engine) as session:
            query = select(GameRow).order_by(col(GameRow.game_id))
            if open_only:
                query = query.where(col(GameRow.outcome).is_(None))
            return list(session.exec(query).all())

    def openings_due(
        self, now: int, now_s: float, limit: int, next_block: int | None = None
    ) -> list[OpeningDue]:
        """Responses to open a game about, the first window to close first. What is committed waits until the next block,
        of time `next_block` (default: now), may take a place that came free."""
        same = and_(
            col(OpeningRow.batch_id) == ResponseRow.batch_id, col(OpeningRow.index) == ResponseRow.index
        )
        may_open = func.coalesce(DisputeRow.empty_until, 0) < (now if next_block is None else next_block)
        with Session(self.engine) as session:
            query = (
                select(ResponseRow, OpeningRow, func.coalesce(DisputeRow.empty_until, 0))
                .join(OpeningRow, same, isouter=True)
                .join(DisputeRow, _WITH_DISPUTE, isouter=True)
                .where(ResponseRow.state == "invalid", now <= _LIMIT, _IS_VOID == False)  # noqa: E712
                .where(
                    or_(
                        col(OpeningRow.state).is_(None),
                        # A reorganisation may have made what came too late possible again.
                        and_(
                            col(OpeningRow.state).in_(("waiting", "missed")),
                            is_due(OpeningRow.next_try_at, now_s),
                        ),
                    )
                )
                .where(or_(col(OpeningRow.committed_in).is_(None), may_open))
                .order_by(_LIMIT)
                .limit(limit)
            )
            return [
                OpeningDue(row, opening or OpeningRow(batch_id=row.batch_id, index=row.index), empty_until)
                for row, opening, empty_until in session.exec(query).all()
            ]

    def joins_due(self, now_s: float, limit: int) -> list[tuple[ResponseRow, int]]:
        """Void responses that were found invalid here and have no game of this challenger's, with how many openings
        were lost."""
        same = and_(
            col(OpeningRow.batch_id) == ResponseRow.batch_id, col(OpeningRow.index) == ResponseRow.index
        )
        with Session(self.engine) as session:
            query = (
                select(ResponseRow, func.coalesce(OpeningRow.lost, 0))
                .join(OpeningRow, same, isouter=True)
                .join(DisputeRow, _WITH_DISPUTE)
                .where(ResponseRow.state == "invalid", _IS_VOID == True)  # noqa: E712
                .where(func.coalesce(OpeningRow.state, "waiting") == "waiting")
                .where(is_due(func.coalesce(OpeningRow.next_try_at, 0.0), now_s))
                .limit(limit)
            )
            return [(row, lost) for row, lost in session.exec(query).all()]

    def opening_is_lost(self, batch_id: int, index: int, problem: str) -> None:
        """Its commitment is not, or no longer, in the chain: it is committed again, as another one to the journal."""
        with Session(self.engine) as session:
            row = session.get(OpeningRow, (batch_id, index)) or OpeningRow(batch_id=batch_id, index=index)
            row.state, row.tries, row.problem, row.lost = "waiting", 0, problem, row.lost + 1
            row.committed_in = None
            row.next_try_at = next_try(SHOWN_AGAIN_S)
            session.add(row)
            session.commit()

    def opening(self, batch_id: int, index: int) -> OpeningRow:
        """What became of it so far."""
        with Session(self.engine) as session:
            return session.get(OpeningRow, (batch_id, index)) or OpeningRow(batch_id=batch_id, index=index)

    def set_committed(self, batch_id: int, index: int, block_number: int) -> None:
        """Its commitment is in this block."""
        with Session(self.engine) as session:
            row = session.get(OpeningRow, (batch_id, index)) or OpeningRow(batch_id=batch_id, index=index)
            if row.state == "missed":
                row.state = "waiting"
            row.committed_in = block_number
            session.add(row)
            session.commit()

    def set_opening(self, row: OpeningRow) -> None:
        """What became of it; its commitment, and how often it was lost, stay."""
        with Session(self.engine) as session:
            if (old := session.get(OpeningRow, (row.batch_id, row.index))) is not None:
                row.lost = old.lost
                row.committed_in = old.committed_in if row.committed_in is None else row.committed_in
            session.merge(row)
            session.commit()

    # --- anybody's

    def response(self, batch_id: int, index: int) -> ResponseRow | None:
        with Session(self.engine) as session:
            query = select(ResponseRow).where(ResponseRow.batch_id == batch_id, ResponseRow.index == index)
            return session.exec(query).first()

    def all_responses(self) -> Iterator[tuple[ResponseRow, OpeningRow | None]]:
        same = and_(
            col(OpeningRow.batch_id) == ResponseRow.batch_id, col(OpeningRow.index) == ResponseRow.index
        )
        with Session(self.engine) as session:
            query: Any = select(ResponseRow, OpeningRow).join(OpeningRow, same, isouter=True)
            yield from session.exec(query.order_by(col(ResponseRow.id))).all()
