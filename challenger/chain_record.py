"""What the chain said, and what follows from it for the challenger's own work when a part of it is taken back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, and_, or_
from sqlmodel import Session, col, delete, select

from contracts.bindings.log_reader import Cursor, ReadRange, Unsettled

from .pace import next_try
from .tables import (
    AskedRow,
    AskingRow,
    BatchRow,
    CursorRow,
    DisputedRow,
    DisputeRow,
    GameRow,
    JoinedRow,
    OpeningRow,
    OthersGameRow,
    RangeRow,
    ResponseRow,
    ShownRow,
)

#: What the watcher makes of events.
ChainRow = BatchRow | GameRow | OthersGameRow | DisputedRow | JoinedRow | AskedRow | ShownRow
Place = tuple[int, int]

_KEPT_CURSORS = 256
#: A reorganisation takes a block or a few to show again what it keeps.
SHOWN_AGAIN_S = 10.0


@dataclass(frozen=True)
class Ending:
    """How a game ended, and in which block."""

    outcome: str
    reason: str
    block_number: int


@dataclass(frozen=True)
class Turn:
    """Something happened in a game; `deadline` is None when no new turn began."""

    deadline: int | None
    block_number: int


class ChainRecord:
    """The watcher's part of `Store`: one reading of the chain is one transaction, with its cursor."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.rewinds = (
            0  # reorganisations that this process saw: what it holds in memory may be of another chain
        )

    def history(self) -> list[Cursor]:
        """Cursors, newest first."""
        with Session(self.engine) as session:
            rows = session.exec(select(CursorRow).order_by(col(CursorRow.number).desc())).all()
            return [Cursor(row.number, row.hash) for row in rows]

    def unsettled(self) -> list[ReadRange]:
        """Ranges of blocks that are to be read again, in order."""
        with Session(self.engine) as session:
            rows = session.exec(select(RangeRow).order_by(col(RangeRow.end))).all()
            return [ReadRange(row.start, row.end, row.logs) for row in rows]

    def advance(
        self,
        cursor: Cursor,
        rewound_to: int | None,
        rows: Sequence[ChainRow],
        ended: dict[int, Ending],
        turns: dict[int, Turn] | None = None,
        closed: dict[Place, int] | None = None,
        *,
        again: bool = False,
        unsettled: Unsettled | None = None,
    ) -> None:
        """Take over what one reading of the chain said, together with its cursor; `closed`: asks and the block
        in which they were answered or lost. `again`: it is all that these blocks say, and some of it is known:
        that stays, with the verdicts and moves that followed from it."""
        with Session(self.engine) as session:
            if rewound_to is not None and not again:
                _drop_after(session, rewound_to)
            for row in rows:
                if not (again and _is_known(session, row)):
                    _take(session, row)
            for game_id, turn in (turns or {}).items():
                game = _game(session, game_id)
                if game is not None and game.touched_block <= turn.block_number:
                    game.touched_block = turn.block_number
                    game.deadline = game.deadline if turn.deadline is None else turn.deadline
            for game_id, ending in ended.items():
                if (game := _game(session, game_id)) is not None:
                    game.ended_block = ending.block_number
                    if isinstance(game, GameRow):
                        game.outcome, game.reason = ending.outcome, ending.reason
            for place, block_number in (closed or {}).items():
                if (asked := session.get(AskedRow, place)) is not None:
                    asked.closed_block = block_number
            session.merge(CursorRow(number=cursor.number, hash=cursor.hash))
            oldest = cursor.number - _KEPT_CURSORS
            # Keep the oldest cursor too: a deep reorganisation then costs a re-reading, not a mistake.
            session.exec(
                delete(CursorRow).where(col(CursorRow.number) < oldest, col(CursorRow.number) % 64 != 0)
            )
            if unsettled is not None:
                gone = or_(col(RangeRow.end) > unsettled.after, col(RangeRow.end).in_(unsettled.settled))
                session.exec(delete(RangeRow).where(gone))
                session.add_all(
                    RangeRow(start=one.start, end=one.end, logs=one.logs) for one in unsettled.ranges
                )
            session.commit()
        self.rewinds += rewound_to is not None and not again


def _game(session: Session, game_id: int) -> GameRow | OthersGameRow | None:
    return session.get(GameRow, game_id) or session.get(OthersGameRow, game_id)


def _is_known(session: Session, row: ChainRow) -> bool:
    """Whether this event was taken over before. What came behind it in the same blocks (turns, endings) is said
    again."""
    match row:
        case DisputedRow():
            old = session.get(DisputedRow, (row.batch_id, row.index, row.block_number))
            return (
                old is not None
                and old.challenge_deadline >= row.challenge_deadline
                and old.empty_until >= row.empty_until
                and old.is_void >= row.is_void
            )
        case BatchRow():
            key: object = row.batch_id
        case GameRow() | OthersGameRow():
            key = row.game_id
        case _:
            key = row.batch_id, row.index
    there: Any = session.get(type(row), key)
    return there is not None and there.block_number == row.block_number


def _take(session: Session, row: ChainRow) -> None:
    if isinstance(row, DisputedRow):
        key = (row.batch_id, row.index, row.block_number)
        if (old := session.get(DisputedRow, key)) is not None:
            row.challenge_deadline = max(row.challenge_deadline, old.challenge_deadline)
            row.empty_until = max(row.empty_until, old.empty_until)
            row.is_void = row.is_void or old.is_void
    session.merge(row)
    if isinstance(row, DisputedRow):
        _sum_up(session, (row.batch_id, row.index))
        opening = session.get(OpeningRow, (row.batch_id, row.index))
        if opening is not None and opening.state == "waiting" and (row.empty_until or row.challenge_deadline):
            opening.tries, opening.next_try_at = 0, 0.0  # a place comes free, or the window is open again
    if isinstance(row, GameRow | JoinedRow):
        # It is in the chain (again), whatever was thought of it.
        opening = session.get(OpeningRow, (row.batch_id, row.index))
        if opening is not None and opening.state in ("waiting", "missed"):
            opening.state = "opened" if isinstance(row, GameRow) else "joined"


def _sum_up(session: Session, place: Place) -> None:
    """A disputed response is what all blocks that are left say of it."""
    batch_id, index = place
    where = (DisputedRow.batch_id == batch_id, DisputedRow.index == index)
    said = session.exec(select(DisputedRow).where(*where)).all()
    if not said:
        if (gone := session.get(DisputeRow, place)) is not None:
            session.delete(gone)
        return
    session.merge(
        DisputeRow(
            batch_id=batch_id,
            index=index,
            block_number=max(row.block_number for row in said),
            challenge_deadline=max(row.challenge_deadline for row in said),
            empty_until=max(row.empty_until for row in said),
            is_void=any(row.is_void for row in said),
        )
    )


def _drop_after(session: Session, block_number: int) -> None:
    lost = select(BatchRow.batch_id).where(BatchRow.block_number > block_number)
    session.exec(delete(ResponseRow).where(col(ResponseRow.batch_id).in_(lost)))
    session.exec(delete(AskingRow).where(col(AskingRow.batch_id).in_(lost)))
    touched = select(DisputedRow).where(col(DisputedRow.block_number) > block_number)
    disputed = {(row.batch_id, row.index) for row in session.exec(touched).all()}
    for row in (BatchRow, DisputedRow, GameRow, OthersGameRow, JoinedRow, AskedRow, ShownRow):
        session.exec(delete(row).where(col(row.block_number) > block_number))
    session.exec(delete(CursorRow).where(col(CursorRow.number) > block_number))
    for place in disputed:
        _sum_up(session, place)
        if (opening := session.get(OpeningRow, place)) is not None and opening.state == "missed":
            # It was void too early for it, or too long ago; of the new chain that is not said.
            opening.state, opening.tries, opening.next_try_at = "waiting", 0, next_try(SHOWN_AGAIN_S)
    for own in session.exec(select(GameRow).where(col(GameRow.ended_block) > block_number)).all():
        own.outcome = own.reason = own.ended_block = None
    for others in session.exec(
        select(OthersGameRow).where(col(OthersGameRow.ended_block) > block_number)
    ).all():
        others.ended_block = None
    for opening in session.exec(select(OpeningRow).where(col(OpeningRow.committed_in) > block_number)).all():
        opening.committed_in, opening.tries, opening.next_try_at = None, 0, next_try(SHOWN_AGAIN_S)
    # A turn that is gone leaves one that ended earlier or later: the game is looked at afresh.
    for kind in (GameRow, OthersGameRow):
        for game in session.exec(select(kind).where(col(kind.touched_block) > block_number)).all():
            game.touched_block, game.deadline = block_number, 0
    for asked in session.exec(select(AskedRow).where(col(AskedRow.closed_block) > block_number)).all():
        asked.closed_block = None
    _openings_are_lost(session, block_number)
    _asks_are_lost(session)


def _openings_are_lost(session: Session, block_number: int) -> None:
    """Openings whose games, joins or batches are gone are due again, unless the new chain shows them in time."""
    has_game = select(GameRow.game_id).where(
        GameRow.batch_id == OpeningRow.batch_id, GameRow.index == OpeningRow.index
    )
    has_join = select(JoinedRow.batch_id).where(
        JoinedRow.batch_id == OpeningRow.batch_id, JoinedRow.index == OpeningRow.index
    )
    is_posted = select(BatchRow.batch_id).where(BatchRow.batch_id == OpeningRow.batch_id)
    gone = or_(
        and_(col(OpeningRow.state) == "opened", ~has_game.exists()),
        and_(col(OpeningRow.state) == "joined", ~has_join.exists()),
        ~is_posted.exists(),
    )
    for opening in session.exec(select(OpeningRow).where(gone)).all():
        opening.state, opening.tries, opening.problem = "waiting", 0, f"lost behind block {block_number}"
        opening.lost, opening.committed_in = opening.lost + 1, None
        opening.next_try_at = next_try(SHOWN_AGAIN_S)


def _asks_are_lost(session: Session) -> None:
    """What was asked for is to be asked for again when no ask is left in the chain; a price that was fetched is due again
    when its ask is open again."""
    for asking in session.exec(select(AskingRow).where(col(AskingRow.state) != "refused")).all():
        asked = session.get(AskedRow, (asking.batch_id, asking.index))
        if asked is None and not asking.provider:
            session.delete(asking)  # a person asked, and decides again
            continue
        if asked is None and asking.state != "wanted":
            asking.state, asking.asked_at, asking.tries = "wanted", 0, 0
        elif asked is not None and asked.closed_block is None and asking.state == "settled":
            asking.state = "asked"
        else:
            continue
        asking.next_try_at = next_try(SHOWN_AGAIN_S)
