"""The challenger's memory of games and asks that others left. Every method is one transaction (see tables.py)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, and_, func, or_
from sqlmodel import Session, col, select

from .tables import AskedRow, BatchRow, DisputeRow, GameRow, OthersGameRow, ResponseRow

_IS_VOID = func.coalesce(DisputeRow.is_void, False)
#: Also where the response is not among those that were listed.
_IS_HIDDEN = col(ResponseRow.prompt_packed).is_(None)
_IS_INVALID = func.coalesce(ResponseRow.state, "") == "invalid"


@dataclass(frozen=True)
class LeftGame:
    """A game of somebody else's whose turn is over, as far as events say."""

    game_id: int
    batch_id: int
    index: int
    model_id: bytes
    is_invalid: bool
    is_hidden: bool
    has_own_game: bool

    def __str__(self) -> str:
        return f"game {self.game_id} about response {self.index} of batch {self.batch_id}"


@dataclass(frozen=True)
class LeftAsk:
    """An ask of somebody else's whose time is over."""

    batch_id: int
    index: int
    root: bytes
    model_id: bytes
    is_invalid: bool
    is_hidden: bool
    has_own_game: bool

    def __str__(self) -> str:
        return f"ask for response {self.index} of batch {self.batch_id}"


class TendStore:
    """Part of `Store`, on the same engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def games(self, now: int, without: Collection[int], everybodys: bool, limit: int) -> list[LeftGame]:
        """Of responses that are not void: found invalid here or hidden (or any: `everybodys`), found ones first."""
        game = OthersGameRow
        with Session(self.engine) as session:
            query: Any = (
                select(  # type: ignore[call-overload]
                    game.game_id,
                    game.batch_id,
                    game.index,
                    BatchRow.model_id,
                    _IS_INVALID,
                    _IS_HIDDEN,
                    _own_game(game),
                )
                .join(BatchRow, col(BatchRow.batch_id) == game.batch_id)
                .join(ResponseRow, _same_place(ResponseRow, game), isouter=True)
                .join(DisputeRow, _same_place(DisputeRow, game), isouter=True)
                .where(col(game.ended_block).is_(None), game.deadline < now)
                .where(_IS_VOID == False, col(game.game_id).not_in(list(without)))  # noqa: E712
                .order_by(_IS_INVALID.desc(), col(game.deadline))
                .limit(limit)
            )
            if not everybodys:
                query = query.where(or_(_IS_INVALID, _IS_HIDDEN))
            return [LeftGame(*row) for row in session.exec(query).all()]

    def asks(self, now: int, own: str, everybodys: bool, limit: int) -> list[LeftAsk]:
        """Not this challenger's, which fetches its own prices anyway."""
        with Session(self.engine) as session:
            query: Any = (
                select(  # type: ignore[call-overload]
                    AskedRow.batch_id,
                    AskedRow.index,
                    BatchRow.root,
                    BatchRow.model_id,
                    _IS_INVALID,
                    _IS_HIDDEN,
                    _own_game(AskedRow),
                )
                .join(BatchRow, col(BatchRow.batch_id) == AskedRow.batch_id)
                .join(ResponseRow, _same_place(ResponseRow, AskedRow), isouter=True)
                .join(DisputeRow, _same_place(DisputeRow, AskedRow), isouter=True)
                .where(AskedRow.asker != own, col(AskedRow.closed_block).is_(None))
                .where(AskedRow.show_deadline < now, _IS_VOID == False)  # noqa: E712
                .order_by(_IS_INVALID.desc(), col(AskedRow.show_deadline))
                .limit(limit)
            )
            if not everybodys:
                query = query.where(or_(_IS_INVALID, _IS_HIDDEN))
            return [LeftAsk(*row) for row in session.exec(query).all()]


def _same_place(one: Any, other: Any) -> Any:
    return and_(col(one.batch_id) == other.batch_id, col(one.index) == other.index)


def _own_game(place: Any) -> Any:
    return select(GameRow.game_id).where(_same_place(GameRow, place), col(GameRow.outcome).is_(None)).exists()
