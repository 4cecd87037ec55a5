"""Every write of the provider, one transaction each.

A crash between two calls leaves a state from which the next start goes on: an OPEN or SEALED batch is posted, a
response without a signature is signed, and nothing that has been handed out is ever forgotten.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, delete, func, or_, update
from sqlmodel import Session, col, select

from contracts.bindings.log_reader import ReadRange, Unsettled

from ..errors import DatabaseError, UnknownReceiptError
from .database import impatient_engine, relaxed_engine
from .payment_book import settle_hold
from .tables import (
    BatchRow,
    BatchState,
    ChainEventRow,
    CursorRow,
    FactRow,
    RangeRow,
    ResponseRow,
    ResponseState,
)

_DEPLOYMENT = "deployment"
_LAST_SEEN = "last seen"
_PROBED = "probed"
# Cursors that are kept: a reorganisation deeper than these reads all events again.
_CURSORS_KEPT = 128
# Those who place answers look at the clock before they wait for each other: so far apart may they be.
_CALLERS_APART_S = 5


@dataclass(frozen=True)
class BatchTerms:
    """How long a batch stays open and what its receipts promise, in seconds of the chain."""

    interval_s: int
    posting_window_s: int
    largest: int


@dataclass(frozen=True)
class ReceiptNames:
    """The two hashes that follow from a response's place in its batch, 0x-hex."""

    leaf: str
    receipt_id: str


class Journal:
    """Reads and writes of one database. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self._engine, self._relaxed = engine, engine, relaxed_engine(engine)
        # Readings of this process that had events of blocks which others may have looked at before.
        self.late_readings = 0
        self._placing = threading.Lock()

    @property
    def file(self) -> Path | None:
        """The database's file; None on a server or in memory."""
        name = self._engine.url.database
        is_file = self._engine.url.get_backend_name() == "sqlite" and name not in (None, "", ":memory:")
        return Path(str(name)) if is_file else None

    def _session(self) -> Session:
        return Session(self._engine, expire_on_commit=False)

    def bind_deployment(self, identity: str) -> None:
        """Tie an empty database to a deployment. Raises DatabaseError when it belongs to another one."""
        with self._session() as session:
            fact = session.get(FactRow, _DEPLOYMENT)
            if fact is None:
                session.add(FactRow(name=_DEPLOYMENT, value=identity))
                session.commit()
            elif fact.value != identity:
                raise DatabaseError(
                    "the database holds the responses of another chain, contract or account; "
                    "set GAINSAY_DATABASE_URL to another database or move this one away"
                )

    def touch(self, now: int) -> None:
        """Write something small, without waiting for the disk. Raises DatabaseError when nothing can be written."""
        with Session(self._relaxed) as session:
            session.merge(FactRow(name=_LAST_SEEN, value=str(now)))
            session.commit()

    def probe(self, patience_s: float) -> Callable[[], None]:
        """What writes something small, as `touch`, but never waits longer for anybody else."""
        engine = impatient_engine(self._engine, patience_s)

        def write() -> None:
            with Session(engine) as session:
                session.merge(FactRow(name=_PROBED, value=str(time.time())))
                session.commit()

        return write

    # --- responses

    def place(
        self,
        response: ResponseRow,
        *,
        model_id: str,
        now: int,
        terms: BatchTerms,
        draw_salt: Callable[[], str],
        name: Callable[[BatchRow, ResponseRow], ReceiptNames],
        hold: str | None = None,
    ) -> tuple[BatchRow, ResponseRow]:
        """Give an answer the next index of the open batch, or of a new batch, and write it down unsigned.

        An open batch that is full, due (see `seal_due`) or of another model is sealed on the way. `hold` names the payment that the
        answer uses up, in the same transaction. Raises NotReadyError when that went back to the payer before.
        """
        with self._placing, self._session() as session:
            batch = session.exec(
                select(BatchRow).where(BatchRow.state == BatchState.OPEN).with_for_update()
            ).first()
            if batch is not None and (
                batch.model_id != model_id or batch.count >= terms.largest or _is_due(batch, now)
            ):
                batch.state = BatchState.SEALED
                session.add(batch)
                batch = None
            if batch is None:
                batch = BatchRow(
                    salt=draw_salt(),
                    model_id=model_id,
                    state=BatchState.OPEN,
                    opened_at=now,
                    post_at=now + terms.interval_s,
                    posting_deadline=now + terms.posting_window_s,
                )
                session.add(batch)
                session.flush()
            assert batch.id is not None
            response.batch_id, response.index_in_batch = batch.id, batch.count
            names = name(batch, response)
            response.leaf, response.receipt_id = names.leaf, names.receipt_id
            batch.count += 1
            session.add(batch)
            session.add(response)
            if hold is not None:
                settle_hold(session, hold)
            session.commit()
            return batch, response

    def sign(self, response_id: str, signature: str) -> None:
        """Write the signature of a placed response. One lost in a power cut, or by a server that crashed, is made again (receipts.py)."""
        with Session(self._relaxed, expire_on_commit=False) as session:
            row = session.get(ResponseRow, response_id)
            if row is None:
                raise UnknownReceiptError(f"no response {response_id} is stored")
            row.signature = signature
            session.add(row)
            session.commit()

    def unsigned(self) -> list[tuple[BatchRow, ResponseRow]]:
        """Responses that were placed but not signed before the last stop."""
        with self._session() as session:
            rows = session.exec(
                select(BatchRow, ResponseRow)
                .where(ResponseRow.batch_id == BatchRow.id)
                .where(col(ResponseRow.signature).is_(None))
            )
            return [(batch, response) for batch, response in rows]

    def find_response(self, key: str) -> ResponseRow | None:
        """A response by its id, its receipt's id or its leaf."""
        with self._session() as session:
            columns = (
                (ResponseRow.receipt_id, ResponseRow.leaf) if key.startswith("0x") else (ResponseRow.id,)
            )
            for column in columns:
                if row := session.exec(select(ResponseRow).where(column == key)).first():
                    return row
            return None

    def response_at(self, chain_batch_id: int, index: int) -> tuple[BatchRow, ResponseRow] | None:
        """The response with this index in a batch of the chain."""
        with self._session() as session:
            found = session.exec(
                select(BatchRow, ResponseRow)
                .where(ResponseRow.batch_id == BatchRow.id)
                .where(BatchRow.chain_batch_id == chain_batch_id)
                .where(ResponseRow.index_in_batch == index)
            ).first()
            return (found[0], found[1]) if found else None

    def responses_of(self, batch_id: int, only: Iterable[int] | None = None) -> list[ResponseRow]:
        """All responses of a batch (by its number in this database), or those at some indices, in the order of their indices."""
        wanted = select(ResponseRow).where(ResponseRow.batch_id == batch_id)
        if only is not None:
            wanted = wanted.where(col(ResponseRow.index_in_batch).in_(list(only)))
        with self._session() as session:
            return list(session.exec(wanted.order_by(col(ResponseRow.index_in_batch))))

    def set_response_states(
        self, batch_id: int, state: ResponseState, only: Iterable[int] | None = None, but: Iterable[int] = ()
    ) -> None:
        """Of a batch (by its number in this database) all responses, those at the indices `only`, or all `but` some, in one statement."""
        index = col(ResponseRow.index_in_batch)
        which: list[Any] = [
            ResponseRow.batch_id == batch_id,
            col(ResponseRow.state) != state,
            index.not_in(list(but)),
        ]
        if only is not None:
            which.append(index.in_(list(only)))
        with self._session() as session:
            # Looked for first: a statement that changes nothing would still wait for those that write receipts, and they for it.
            if session.exec(select(ResponseRow.id).where(*which).limit(1)).first() is not None:
                session.execute(update(ResponseRow).where(*which).values(state=state))
                session.commit()

    def pending_response_count(self) -> int:
        """Responses that are answered but whose stake the chain has not locked yet."""
        with self._session() as session:
            waiting = select(func.coalesce(func.sum(BatchRow.count), 0)).where(
                col(BatchRow.state).in_([BatchState.OPEN, BatchState.SEALED])
            )
            return int(session.exec(waiting).one())

    def unlocked_count(self, locked: Iterable[int]) -> int:
        """Responses that are answered and not final, except those of the batches in `locked`."""
        with self._session() as session:
            counted = (
                select(func.coalesce(func.sum(BatchRow.count), 0))
                .where(col(BatchRow.state) != BatchState.FINAL)
                .where(col(BatchRow.id).not_in(list(locked)))
            )
            return int(session.exec(counted).one())

    def next_posting_deadline(self) -> int | None:
        """The earliest deadline that receipts of batches not on chain yet promise."""
        with self._session() as session:
            waiting = select(func.min(BatchRow.posting_deadline)).where(
                col(BatchRow.state).in_([BatchState.OPEN, BatchState.SEALED])
            )
            return session.exec(waiting).one()

    def response_count(self) -> int:
        with self._session() as session:
            return int(session.exec(select(func.count()).select_from(ResponseRow)).one())

    # --- batches

    def posted_count(self) -> int:
        """Batches that are on the chain."""
        with self._session() as session:
            posted = col(BatchRow.state).in_([BatchState.POSTED, BatchState.FINAL])
            return int(session.exec(select(func.count()).select_from(BatchRow).where(posted)).one())

    def seal_due(self, now: int) -> None:
        """Close open batches whose time to post has come, and those that were opened at a time that is still to come.

        A clock was ahead then, and is right again: such a batch would stay open, and take every answer, until that time.
        Its receipts keep the deadline that they promise. A reorganisation that takes the chain's time back does the
        same for once, and a batch is posted a little early.
        """
        with self._placing, self._session() as session:
            for batch in session.exec(select(BatchRow).where(BatchRow.state == BatchState.OPEN)).all():
                if _is_due(batch, now):
                    batch.state = BatchState.SEALED
                    session.add(batch)
            session.commit()

    def batches(self, states: Iterable[BatchState] | None = None, limit: int | None = None) -> list[BatchRow]:
        """Batches in the order in which they were opened; with a limit, the newest."""
        with self._session() as session:
            query = select(BatchRow).order_by(col(BatchRow.id).desc())
            if states is not None:
                query = query.where(col(BatchRow.state).in_(list(states)))
            if limit is not None:
                query = query.limit(limit)
            return list(session.exec(query))[::-1]

    def batch(self, batch_id: int) -> BatchRow | None:
        with self._session() as session:
            return session.get(BatchRow, batch_id)

    def find_batch(
        self, *, root: str | None = None, salt: str | None = None, chain_batch_id: int | None = None
    ) -> BatchRow | None:
        """The batch with this root, salt or number on the chain."""
        with self._session() as session:
            query = select(BatchRow)
            if root is not None:
                query = query.where(BatchRow.root == root.lower())
            if salt is not None:
                query = query.where(BatchRow.salt == salt.lower())
            if chain_batch_id is not None:
                query = query.where(BatchRow.chain_batch_id == chain_batch_id)
            return session.exec(query).first()

    def update_batch(self, batch_id: int, **changes: object) -> None:
        """Change columns of a batch. Never touches its salt, its count or what its receipts promise."""
        forbidden = changes.keys() - {
            "state",
            "root",
            "chain_batch_id",
            "posted_at",
            "challenge_deadline",
            "failure",
        }
        assert not forbidden, forbidden
        with self._session() as session:
            row = session.get(BatchRow, batch_id)
            if row is None:
                raise UnknownReceiptError(f"no batch {batch_id} is stored")
            for name, value in changes.items():
                setattr(row, name, value)
            session.add(row)
            session.commit()

    # --- events of the chain

    def cursors(self) -> list[tuple[int, str]]:
        """Number and hash of the blocks last worked through, newest first."""
        with self._session() as session:
            newest = session.exec(select(CursorRow).order_by(col(CursorRow.block_number).desc()))
            return [(row.block_number, row.block_hash) for row in newest]

    def unsettled(self) -> list[ReadRange]:
        """Ranges of blocks that are to be read again, in order."""
        with self._session() as session:
            rows = session.exec(select(RangeRow).order_by(col(RangeRow.end_block)))
            return [ReadRange(row.start_block, row.end_block, row.logs) for row in rows]

    def places_after(self, block: int) -> set[tuple[int, int]]:
        """Block and log index of the events behind a block."""
        with self._session() as session:
            places = select(ChainEventRow.block_number, ChainEventRow.log_index)
            return set(session.exec(places.where(col(ChainEventRow.block_number) > block)).all())

    def record_reading(
        self,
        events: Sequence[ChainEventRow],
        cursor: tuple[int, str],
        *,
        rewound_to: int | None = None,
        is_late: bool = False,
        unsettled: Unsettled | None = None,
    ) -> None:
        """Store events and move the cursor in one transaction, so that none is seen twice or left out.

        With `rewound_to`, events and cursors after that block are dropped first: a reorganisation removed them. A final batch
        that such an event was about is settled again: what released its locks may be gone, and nobody sends it anew.
        `is_late`: some of the events have their place among those that are known.
        """
        number, block_hash = cursor
        with self._session() as session:
            if rewound_to is not None:
                gone = select(ChainEventRow.batch_id).where(col(ChainEventRow.block_number) > rewound_to)
                session.execute(
                    update(BatchRow)
                    .where(col(BatchRow.state) == BatchState.FINAL, col(BatchRow.chain_batch_id).in_(gone))
                    .values(state=BatchState.POSTED)
                )
                session.execute(delete(ChainEventRow).where(col(ChainEventRow.block_number) > rewound_to))
                session.execute(delete(CursorRow).where(col(CursorRow.block_number) > rewound_to))
            for event in events:
                session.merge(event)
            session.merge(CursorRow(block_number=number, block_hash=block_hash))
            session.flush()
            kept = session.exec(
                select(CursorRow.block_number)
                .order_by(col(CursorRow.block_number).desc())
                .limit(_CURSORS_KEPT)
            ).all()
            session.execute(delete(CursorRow).where(col(CursorRow.block_number) < kept[-1]))
            if unsettled is not None:
                end = col(RangeRow.end_block)
                session.execute(
                    delete(RangeRow).where(or_(end > unsettled.after, end.in_(unsettled.settled)))
                )
                session.add_all(
                    RangeRow(start_block=one.start, end_block=one.end, logs=one.logs)
                    for one in unsettled.ranges
                )
            session.commit()
        self.late_readings += is_late

    def events(
        self,
        *,
        names: Iterable[str] | None = None,
        game_id: int | None = None,
        batch_id: int | None = None,
        since: int | None = None,
        limit: int | None = None,
    ) -> list[ChainEventRow]:
        """Events in the order of the chain, of blocks from the time `since` on; with a limit, the newest."""
        with self._session() as session:
            query = select(ChainEventRow)
            if names is not None:
                query = query.where(col(ChainEventRow.name).in_(list(names)))
            if game_id is not None:
                query = query.where(ChainEventRow.game_id == game_id)
            if batch_id is not None:
                query = query.where(ChainEventRow.batch_id == batch_id)
            if since is not None:
                query = query.where(ChainEventRow.timestamp >= since)
            order = (col(ChainEventRow.block_number), col(ChainEventRow.log_index))
            if limit is not None:
                newest = session.exec(query.order_by(*(c.desc() for c in order)).limit(limit))
                return list(newest)[::-1]
            return list(session.exec(query.order_by(*order)))

    def open_games(self) -> list[ChainEventRow]:
        """The opening events of games that are not resolved."""
        with self._session() as session:
            resolved = select(ChainEventRow.game_id).where(ChainEventRow.name == "GameResolved")
            opened = (
                select(ChainEventRow)
                .where(ChainEventRow.name == "GameOpened")
                .where(col(ChainEventRow.game_id).not_in(resolved))
                .order_by(col(ChainEventRow.block_number), col(ChainEventRow.log_index))
            )
            return list(session.exec(opened))


def _is_due(batch: BatchRow, now: int) -> bool:
    return batch.post_at <= now or batch.opened_at > now + _CALLERS_APART_S
