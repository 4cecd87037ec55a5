"""The honest player: a pure function from (game, own trace, time) to the next move.

A trace that ends early (`OwnTrace.first_unprovable`) needs no rules of its own: what a player does not know is not what it
computed. So a posted boundary beyond the end differs, and so does the first window beyond it; what is named then is
exactly the step and window that nobody can prove.
"""

from __future__ import annotations

from collections.abc import Sequence

from .actions import (
    Action,
    ChallengeHead,
    ChallengeInput,
    ChallengePart,
    ChooseWindow,
    ClaimOverrun,
    ClaimTruncated,
    Concede,
    PostBoundaries,
    ProveEmbedding,
    ProveHead,
    ProveStep,
    ResolveVoid,
    RevealWindows,
    Timeout,
)
from .game import GameState, Phase, Side, Target
from .model import Point
from .response import WINDOW_ROWS
from .trace import OwnTrace, first_unknown_fed_id, is_truncated, overrun_place


def next_action(state: GameState, side: Side, trace: OwnTrace | None, now: int) -> Action | None:
    """The move that `side` should make at chain time `now` (seconds), or None to wait.

    Without a trace (ids not known yet) only the moves that need none are made. A player whose own turn
    has run out waits: no move of its own can be accepted any more.
    """
    if state.resolved:
        return None
    if state.response_void:
        return ResolveVoid()
    mover = state.game.mover
    late = now > state.game.deadline
    if late:
        return None if mover is side else Timeout()
    if (
        side is Side.CHALLENGER
        and trace is not None
        and (claim := _claim_about_end(state, trace)) is not None
    ):
        return claim
    if mover is not side or trace is None:
        return None
    return _provider_move(state, trace) if side is Side.PROVIDER else _challenger_move(state, trace)


def _claim_about_end(state: GameState, trace: OwnTrace) -> ClaimTruncated | ClaimOverrun | None:
    """What wins at once, because the output does not end where it should."""
    end_tokens = state.rules.end_tokens
    if is_truncated(trace.output_ids, state.game.max_tokens, end_tokens):
        return ClaimTruncated()
    place = overrun_place(trace.output_ids, end_tokens)
    return None if place is None else ClaimOverrun(place)


def _provider_move(state: GameState, trace: OwnTrace) -> Action:
    game = state.game
    if (unprovable := trace.first_unprovable()) is not None:
        return Concede(
            f"Step {unprovable[0]} has no proof in window {unprovable[1]}: a value leaves its range."
        )
    if game.phase is Phase.AWAIT_BOUNDARIES:
        cuts = state.cuts if game.round <= 1 else state.cuts[1:-1]
        return PostBoundaries(tuple(trace.boundary_hash(cut) for cut in cuts))
    if not _posted_by_own_trace(state, trace):
        return Concede("The boundaries on chain are not this node's; it cannot prove them.")
    if game.phase is Phase.AWAIT_WINDOWS:
        if game.target is Target.EMBEDDING:
            return RevealWindows(tuple(trace.boundary_points(0)), ())
        return RevealWindows(
            tuple(trace.boundary_points(game.range_start)), tuple(trace.boundary_points(game.range_end))
        )
    if game.target is Target.STEP:
        return ProveStep(game.range_start, game.window)
    if game.target is Target.EMBEDDING:
        return ProveEmbedding(game.window)
    if (chosen := trace.argmax(game.position)) is None:
        return Concede("No token can be proven at this position: its row leaves the head's range.")
    if chosen == game.rival_id:
        return Concede("The rival token is the model's choice; the answer is wrong.")
    return ProveHead(game.position, game.chosen_id, game.rival_id)


def _posted_by_own_trace(state: GameState, trace: OwnTrace) -> bool:
    game = state.game
    if game.target is Target.STEP:
        return game.end_hash == trace.boundary_hash(game.range_end)
    boundary = 0 if game.target is Target.EMBEDDING else state.rules.step_count
    return game.start_hash == trace.boundary_hash(boundary)


def _challenger_move(state: GameState, trace: OwnTrace) -> Action | None:
    game = state.game
    unknown = first_unknown_fed_id(trace, state.rules.vocab_size)
    if game.phase is Phase.AWAIT_CHOICE:
        if state.revealed is None:
            return None
        if unknown is not None:
            return ChooseWindow(unknown // WINDOW_ROWS)
        if game.target is Target.EMBEDDING:
            window = _first_difference(state.revealed.before, trace.boundary_points(0))
        else:
            window = _first_difference(state.revealed.after, trace.boundary_points(game.range_end))
        if window is None:
            return Concede("Every revealed window is what this node computed.")
        return ChooseWindow(window)
    if game.round <= 1 and unknown is not None:
        # No row of the model's tree belongs to this id, so b_0 cannot be proven whatever it is.
        return ChallengeInput()
    for position, (cut, posted) in enumerate(zip(state.cuts, game.boundaries, strict=True)):
        if not _is_own(trace, cut, posted):
            return ChallengePart(position - 1) if position else ChallengeInput()
    if game.round <= 1 and (wrong := trace.first_wrong_output()) is not None:
        return ChallengeHead(*wrong)
    return Concede("Every boundary and every token is what this node computed.")


def _is_own(trace: OwnTrace, boundary: int, posted: bytes) -> bool:
    """Whether this is the boundary that the own trace has; it has none beyond its end."""
    unprovable = trace.first_unprovable()
    known = unprovable is None or boundary <= unprovable[0]
    return known and posted == trace.boundary_hash(boundary)


def _first_difference(revealed: Sequence[Point], own: Sequence[Point]) -> int | None:
    """The first revealed window that is not the own trace's: another one, or one that the trace does not reach."""
    for window, point in enumerate(revealed):
        if window >= len(own) or tuple(point) != tuple(own[window]):
            return window
    return None
