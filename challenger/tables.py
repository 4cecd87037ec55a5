"""The challenger's tables, and who writes each: one owner per table, so that no loop overwrites another's columns.

| table | written by |
| --- | --- |
| cursor, range, batch (but its listing columns), dispute, what a block said of one, game, others' game, join, asked, shown (but `taken`) | the watcher |
| batch's `state` and `problem`; new responses, and ids that were withheld; what is to be asked for; `taken` | the listers |
| a response's verdict | the judge |
| opening; what became of asking; spending | the game player |
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Index, LargeBinary, UniqueConstraint, create_engine, event, inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Field, SQLModel

from contracts.bindings.write_ahead import use_write_ahead_log
from contracts.protocol.response import ResponseFields
from contracts.protocol.token_ids import unpack_token_ids

from .errors import StoreError

#: SQLite's largest integer; what the chain holds beyond it is cut off there.
LARGEST_INTEGER = 2**63 - 1
_BUSY_S = 30.0  # how long a locked database is waited for; then the loop says so and tries again


class CursorRow(SQLModel, table=True):
    """A block up to which everything was handled."""

    __tablename__ = "challenger_cursor"

    number: int = Field(primary_key=True)
    hash: bytes = Field(sa_type=LargeBinary)


class RangeRow(SQLModel, table=True):
    """Blocks start + 1 .. end and how many logs they had (None: not known): they are to be read again, by the
    next life of the program if this one ends before."""

    __tablename__ = "challenger_range"

    end: int = Field(primary_key=True)
    start: int
    logs: int | None = None


class BatchRow(SQLModel, table=True):
    """A posted batch. `state`: new (something of it is not shown yet), listed, closed (its window is over)."""

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
    problem: str | None = None


class ResponseRow(SQLModel, table=True):
    """One response. `state`: pending, skipped, missed (drawn, but its window closed first), valid, invalid,
    unknown, withheld. `ticket` is its place in the secret order, `next_try_at` by this machine's clock (see pace.py)."""

    __tablename__ = "challenger_response"
    __table_args__ = (
        UniqueConstraint("batch_id", "index"),
        Index("challenger_response_by_deadline", "state", "provider", "deadline"),
        Index("challenger_response_by_ticket", "state", "provider", "ticket"),
    )

    id: int | None = Field(default=None, primary_key=True)
    batch_id: int = Field(foreign_key="challenger_batch.batch_id", index=True)
    index: int
    provider: str
    model_id: bytes = Field(sa_type=LargeBinary)
    deadline: int
    positions: int
    ticket: int
    leaf: bytes = Field(sa_type=LargeBinary)
    fields_json: str
    path_nodes: bytes = Field(sa_type=LargeBinary)
    prompt_packed: bytes | None = Field(default=None, sa_type=LargeBinary)
    output_packed: bytes | None = Field(default=None, sa_type=LargeBinary)
    output_hash: bytes = Field(sa_type=LargeBinary, index=True)
    prompt_hash: bytes = Field(sa_type=LargeBinary)
    latency_s: float | None = None
    state: str = Field(default="pending")
    why: str = ""
    tries: int = 0
    next_try_at: float = 0.0

    @property
    def fields(self) -> ResponseFields:
        return decode_fields(self.fields_json)

    @property
    def path(self) -> list[bytes]:
        return _nodes(self.path_nodes)

    @property
    def ids(self) -> tuple[list[int], list[int]] | None:
        if self.prompt_packed is None or self.output_packed is None:
            return None
        return unpack_token_ids(self.prompt_packed), unpack_token_ids(self.output_packed)


class DisputeRow(SQLModel, table=True):
    """A response that somebody disputed: until when it can be disputed now, until when a place that came free stays empty,
    and whether it is void. Made of its `DisputedRow`s; `block_number` is the last of them."""

    __tablename__ = "challenger_dispute"

    batch_id: int = Field(primary_key=True)
    index: int = Field(primary_key=True)
    block_number: int = Field(index=True)
    challenge_deadline: int = 0
    empty_until: int = 0
    is_void: bool = False


class DisputedRow(SQLModel, table=True):
    """What one block said of a disputed response: a reorganisation takes back those of its blocks, and leaves the rest."""

    __tablename__ = "challenger_disputed"

    batch_id: int = Field(primary_key=True)
    index: int = Field(primary_key=True)
    block_number: int = Field(primary_key=True, index=True)
    challenge_deadline: int = 0
    empty_until: int = 0
    is_void: bool = False


class GameRow(SQLModel, table=True):
    """A game that this challenger opened. `outcome` is None while it runs; `deadline` is that of its turn, and
    `touched_block` the last block in which something happened in it."""

    __tablename__ = "challenger_game"

    game_id: int = Field(primary_key=True)
    block_number: int = Field(index=True)
    batch_id: int
    index: int
    model_id: bytes = Field(sa_type=LargeBinary)
    deadline: int = 0
    touched_block: int = 0
    outcome: str | None = None
    reason: str | None = None
    ended_block: int | None = None


class OthersGameRow(SQLModel, table=True):
    """A game that somebody else opened; `deadline` is that of its turn, `touched_block` where it began."""

    __tablename__ = "challenger_others_game"
    __table_args__ = (Index("challenger_others_game_open", "ended_block", "deadline"),)

    game_id: int = Field(primary_key=True)
    block_number: int = Field(index=True)
    batch_id: int
    index: int
    deadline: int = 0
    touched_block: int = 0
    ended_block: int | None = None


class OpeningRow(SQLModel, table=True):
    """What became of opening a game about a response. `state`: waiting (committed or not; tried again), opened, joined
    (the response was void before the game was opened, and the opening was paid), missed (it was void too early for
    that), refused. `committed_in`: the block of its commitment, while it is in the chain. `lost`: openings that a
    reorganisation took back; each time the opening is another one to the journal."""

    __tablename__ = "challenger_opening"

    batch_id: int = Field(primary_key=True)
    index: int = Field(primary_key=True)
    state: str = "waiting"
    problem: str | None = None
    tries: int = 0
    next_try_at: float = 0.0
    committed_in: int | None = None
    lost: int = 0


class JoinedRow(SQLModel, table=True):
    """An opening of this challenger's that was paid on a void response."""

    __tablename__ = "challenger_joined"

    batch_id: int = Field(primary_key=True)
    index: int = Field(primary_key=True)
    block_number: int = Field(index=True)


class AskedRow(SQLModel, table=True):
    """Somebody asked for a response; `closed_block` is where it was shown, or void because it was not."""

    __tablename__ = "challenger_asked"

    batch_id: int = Field(primary_key=True)
    index: int = Field(primary_key=True)
    block_number: int = Field(index=True)
    asker: str
    show_deadline: int
    closed_block: int | None = None


class ShownRow(SQLModel, table=True):
    """A response that was shown on chain, whoever asked for it; `taken` when it is among the responses."""

    __tablename__ = "challenger_shown"

    batch_id: int = Field(primary_key=True)
    index: int = Field(primary_key=True)
    block_number: int = Field(index=True)
    leaf: bytes = Field(sa_type=LargeBinary)
    fields_json: str
    path_nodes: bytes = Field(sa_type=LargeBinary)
    prompt_packed: bytes = Field(sa_type=LargeBinary)
    output_packed: bytes = Field(sa_type=LargeBinary)
    taken: bool = Field(default=False, index=True)

    @property
    def path(self) -> list[bytes]:
        return _nodes(self.path_nodes)


class AskingRow(SQLModel, table=True):
    """A response to ask for. `state`: wanted, asked, others (somebody else was faster), refused, settled (its price
    is back). `asked_at` is the chain's time, `next_try_at` by this machine's clock (see pace.py)."""

    __tablename__ = "challenger_asking"

    batch_id: int = Field(primary_key=True)
    index: int = Field(primary_key=True)
    provider: str = ""
    deadline: int = 0
    ticket: int = 0
    state: str = Field(default="wanted", index=True)
    problem: str | None = None
    asked_at: int = 0
    tries: int = 0
    next_try_at: float = 0.0


class SpendingRow(SQLModel, table=True):
    """A bond by the journal key of its transaction, or the gas of a mined transaction by its hash; `at` is the chain's
    time, amounts are decimal numbers of wei. `game_id` is the game that holds the bond, once it is known."""

    __tablename__ = "challenger_spending"

    key: str = Field(primary_key=True)
    at: int = Field(index=True)
    bond_wei: str = "0"
    gas_wei: str = "0"
    game_id: int | None = None


class FactRow(SQLModel, table=True):
    """Single values, such as the secret of the policy."""

    __tablename__ = "challenger_fact"

    name: str = Field(primary_key=True)
    value: bytes = Field(sa_type=LargeBinary)


_OF_THE_CHAIN: tuple[Any, ...] = (
    CursorRow,
    RangeRow,
    BatchRow,
    ResponseRow,
    DisputeRow,
    DisputedRow,
    GameRow,
    OthersGameRow,
    OpeningRow,
    JoinedRow,
    AskedRow,
    ShownRow,
    AskingRow,
)
_TABLES = [row.__table__ for row in (*_OF_THE_CHAIN, SpendingRow, FactRow)]


def _nodes(packed: bytes) -> list[bytes]:
    return [packed[start : start + 32] for start in range(0, len(packed), 32)]


def encode_fields(fields: ResponseFields) -> str:
    return json.dumps({k: v.hex() if isinstance(v, bytes) else v for k, v in vars(fields).items()})


def decode_fields(text: str) -> ResponseFields:
    stored: dict[str, Any] = {
        name: bytes.fromhex(value) if isinstance(value, str) else value
        for name, value in json.loads(text).items()
    }
    return ResponseFields(**stored)


def open_engine(path: Path | None) -> Engine:
    """SQLite (WAL) in a file, or in memory for None. Raises `StoreError`."""
    from sqlalchemy.pool import StaticPool

    options: dict[str, Any] = {"connect_args": {"check_same_thread": False, "timeout": _BUSY_S}}
    options["hide_parameters"] = True  # an error's text is logged: it must not quote an answer
    try:
        if path is None:
            engine = create_engine("sqlite://", poolclass=StaticPool, **options)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            engine = create_engine(f"sqlite:///{path}", **options)

        @event.listens_for(engine, "connect")
        def _configure(connection: Any, _record: Any) -> None:
            use_write_ahead_log(connection, _BUSY_S)
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")

        _drop_older_tables(engine)
        SQLModel.metadata.create_all(engine, tables=_TABLES)
    except (SQLAlchemyError, OSError) as error:
        raise StoreError(
            f"{path} cannot be used as the challenger's database ({error}); move it away"
        ) from error
    return engine


def _drop_older_tables(engine: Engine) -> None:
    """An earlier version's tables lack columns. The chain and the providers still say all that they held, so they
    are read again; the policy's secret and the sender's journal, which nobody else holds, stay."""
    there = inspect(engine)
    older = [
        row.__table__
        for row in _OF_THE_CHAIN
        if there.has_table(row.__tablename__)
        and {column["name"] for column in there.get_columns(row.__tablename__)} != set(row.model_fields)
    ]
    if older:
        SQLModel.metadata.drop_all(engine, tables=[row.__table__ for row in _OF_THE_CHAIN])
