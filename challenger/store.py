"""The challenger's memory: cursors, batches, responses and their verdicts, games."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, LargeBinary, UniqueConstraint, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Field, Session, SQLModel, col, delete, select

from contracts.bindings.log_reader import Cursor
from contracts.protocol.response import ResponseFields

from .errors import StoreError

_KEPT_CURSORS = 256


class CursorRow(SQLModel, table=True):
    """A block up to which everything was handled."""

    __tablename__ = "challenger_cursor"

    number: int = Field(primary_key=True)
    hash: bytes = Field(sa_type=LargeBinary)


class BatchRow(SQLModel, table=True):
    """A posted batch. `state`: new, listed, closed (its challenge window is over)."""

    __tablename__ = "challenger_batch"

    batch_id: int = Field(primary_key=True)
    block_number: int = Field(index=True)
    provider: str
    model_id: bytes = Field(sa_type=LargeBinary)
    root: bytes = Field(sa_type=LargeBinary)
    salt: bytes = Field(sa_type=LargeBinary)
    count: int
    deadline: int
    state: str = Field(default="new", index=True)
    next_try_at: float = 0.0
    problem: str | None = None


class ResponseRow(SQLModel, table=True):
    """One response. `state`: pending, skipped, valid, invalid, unknown, withheld."""

    __tablename__ = "challenger_response"
    __table_args__ = (UniqueConstraint("batch_id", "index"),)

    id: int | None = Field(default=None, primary_key=True)
    batch_id: int = Field(foreign_key="challenger_batch.batch_id", index=True)
    index: int
    leaf: bytes = Field(sa_type=LargeBinary)
    fields_json: str
    path_json: str
    ids_json: str | None = None
    output_hash: bytes = Field(sa_type=LargeBinary, index=True)
    prompt_hash: bytes = Field(sa_type=LargeBinary)
    latency_s: float | None = None
    state: str = Field(default="pending", index=True)
    why: str = ""
    next_try_at: float = 0.0

    @property
    def fields(self) -> ResponseFields:
        stored: dict[str, Any] = {
            name: bytes.fromhex(value) if isinstance(value, str) else value
            for name, value in json.loads(self.fields_json).items()
        }
        return ResponseFields(**stored)

    @property
    def path(self) -> list[bytes]:
        return [bytes.fromhex(node) for node in json.loads(self.path_json)]

    @property
    def ids(self) -> tuple[list[int], list[int]] | None:
        if self.ids_json is None:
            return None
        prompt_ids, output_ids = json.loads(self.ids_json)
        return prompt_ids, output_ids


class GameRow(SQLModel, table=True):
    """A game that this challenger opened. `outcome` is None while it runs."""

    __tablename__ = "challenger_game"

    game_id: int = Field(primary_key=True)
    block_number: int = Field(index=True)
    batch_id: int
    index: int
    outcome: str | None = None
    reason: str | None = None
    ended_block: int | None = None


@dataclass(frozen=True)
class Ending:
    """How a game ended, and in which block."""

    outcome: str
    reason: str
    block_number: int


class FactRow(SQLModel, table=True):
    """Single values, such as the secret of the policy."""

    __tablename__ = "challenger_fact"

    name: str = Field(primary_key=True)
    value: bytes = Field(sa_type=LargeBinary)


_ROWS: tuple[Any, ...] = (CursorRow, BatchRow, ResponseRow, GameRow, FactRow)
_TABLES = [row.__table__ for row in _ROWS]


def encode_fields(fields: ResponseFields) -> str:
    return json.dumps({k: v.hex() if isinstance(v, bytes) else v for k, v in vars(fields).items()})


def open_engine(path: Path | None) -> Engine:
    """SQLite (WAL) in a file, or in memory for None. Raises `StoreError`."""
    from sqlalchemy.pool import StaticPool

    options: dict[str, Any] = {"connect_args": {"check_same_thread": False, "timeout": 30}}
    if path is None:
        engine = create_engine("sqlite://", poolclass=StaticPool, **options)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(f"sqlite:///{path}", **options)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    try:
        SQLModel.metadata.create_all(engine, tables=_TABLES)
    except SQLAlchemyError as error:
        raise StoreError(
            f"{path} cannot be used as the challenger's database ({error}); move it away"
        ) from error
    return engine


class Store:
    """Every method is one transaction."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def secret(self) -> bytes:
        """32 random bytes, the same for ever."""
        with Session(self.engine) as session:
            row = session.get(FactRow, "policy secret")
            if row is None:
                row = FactRow(name="policy secret", value=secrets.token_bytes(32))
                session.add(row)
                session.commit()
            return row.value

    def history(self) -> list[Cursor]:
        """Cursors, newest first."""
        with Session(self.engine) as session:
            rows = session.exec(select(CursorRow).order_by(col(CursorRow.number).desc())).all()
            return [Cursor(row.number, row.hash) for row in rows]

    def advance(
        self,
        cursor: Cursor,
        rewound_to: int | None,
        rows: Sequence[BatchRow | GameRow],
        ended: dict[int, Ending],
    ) -> None:
        """Take over what one reading of the chain said, together with its cursor."""
        with Session(self.engine) as session:
            if rewound_to is not None:
                self._drop_after(session, rewound_to)
            for row in rows:
                session.merge(row)
            for game_id, ending in ended.items():
                if (game := session.get(GameRow, game_id)) is not None:
                    game.outcome, game.reason = ending.outcome, ending.reason
                    game.ended_block = ending.block_number
            session.merge(CursorRow(number=cursor.number, hash=cursor.hash))
            oldest = cursor.number - _KEPT_CURSORS
            # Keep the oldest cursor too: a deep reorganisation then costs a re-reading, not a mistake.
            session.exec(
                delete(CursorRow).where(col(CursorRow.number) < oldest, col(CursorRow.number) % 64 != 0)
            )
            session.commit()

    def _drop_after(self, session: Session, block_number: int) -> None:
        lost = select(BatchRow.batch_id).where(BatchRow.block_number > block_number)
        session.exec(delete(ResponseRow).where(col(ResponseRow.batch_id).in_(lost)))
        session.exec(delete(BatchRow).where(col(BatchRow.block_number) > block_number))
        session.exec(delete(GameRow).where(col(GameRow.block_number) > block_number))
        session.exec(delete(CursorRow).where(col(CursorRow.number) > block_number))
        for game in session.exec(select(GameRow).where(col(GameRow.ended_block) > block_number)).all():
            game.outcome = game.reason = game.ended_block = None

    def batches(self, state: str, due: float) -> list[BatchRow]:
        with Session(self.engine) as session:
            query = select(BatchRow).where(BatchRow.state == state, BatchRow.next_try_at <= due)
            return list(session.exec(query.order_by(col(BatchRow.batch_id))).all())

    def batch(self, batch_id: int) -> BatchRow | None:
        with Session(self.engine) as session:
            return session.get(BatchRow, batch_id)

    def save_batch(self, batch: BatchRow, responses: Sequence[ResponseRow] = ()) -> None:
        """Update a batch and add the responses that are new."""
        with Session(self.engine) as session:
            known = set(
                session.exec(select(ResponseRow.index).where(ResponseRow.batch_id == batch.batch_id)).all()
            )
            session.merge(batch)
            session.add_all(row for row in responses if row.index not in known)
            session.commit()

    def responses(self, states: Sequence[str], due: float) -> list[ResponseRow]:
        """Responses in these states whose next try is due, oldest first."""
        with Session(self.engine) as session:
            query = select(ResponseRow).where(
                col(ResponseRow.state).in_(states), ResponseRow.next_try_at <= due
            )
            return list(session.exec(query.order_by(col(ResponseRow.id))).all())

    def all_responses(self) -> list[ResponseRow]:
        with Session(self.engine) as session:
            return list(session.exec(select(ResponseRow).order_by(col(ResponseRow.id))).all())

    def response(self, batch_id: int, index: int) -> ResponseRow | None:
        with Session(self.engine) as session:
            query = select(ResponseRow).where(ResponseRow.batch_id == batch_id, ResponseRow.index == index)
            return session.exec(query).first()

    def save_response(self, row: ResponseRow) -> None:
        with Session(self.engine) as session:
            session.merge(row)
            session.commit()

    def repeats(self, row: ResponseRow) -> int:
        """Other responses with the same output for another prompt."""
        with Session(self.engine) as session:
            query = select(ResponseRow.prompt_hash).where(
                ResponseRow.output_hash == row.output_hash, ResponseRow.prompt_hash != row.prompt_hash
            )
            return len(set(session.exec(query).all()))

    def games(self, *, open_only: bool = False) -> list[GameRow]:
        with Session(self.engine) as session:
            query = select(GameRow).order_by(col(GameRow.game_id))
            if open_only:
                query = query.where(col(GameRow.outcome).is_(None))
            return list(session.exec(query).all())
