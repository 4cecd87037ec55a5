"""How long a game may still take, against the time that the side to move has left."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.protocol.bisection import rounds_at_most
from contracts.protocol.game import Game, Phase, Side


@dataclass(frozen=True)
class Forecast:
    """Of the side to move: the most moves that it may still have to make, its pace in this game, and the seconds that it has."""

    side: Side
    moves: int
    pace_s: float
    left_s: int

    @property
    def needs_s(self) -> float:
        return self.moves * self.pace_s

    @property
    def is_short(self) -> bool:
        """Whether it runs out of time at the pace that it has had."""
        return self.needs_s > self.left_s


def moves_left(game: Game, side: Side, arity: int) -> int:
    """The most moves that a side has still to make, its present one included."""
    if game.phase is Phase.AWAIT_PROOF:
        return int(side is Side.PROVIDER)
    if game.phase not in (Phase.AWAIT_BOUNDARIES, Phase.AWAIT_CHALLENGE):
        return 0
    rounds = rounds_at_most(max(1, game.range_end - game.range_start), arity)
    posts = side is Side.PROVIDER and game.phase is Phase.AWAIT_BOUNDARIES
    return rounds + 1 if posts else rounds


def forecast(game: Game, clock_s: int, arity: int, now: int) -> Forecast | None:
    """`clock_s`: what each side begins with; `now`: the chain's time. None once the game is over.

    The pace is what it used of its clock, over the moves of the rounds so far, with the present one, which it may be about to make.
    """
    side = game.mover
    if side is None:
        return None
    left = game.deadline - now
    used = max(0, clock_s - left)
    return Forecast(side, moves_left(game, side, arity), used / max(1, game.round), max(0, left))
