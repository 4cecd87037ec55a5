"""The honest player: a pure function from (game, own trace, time) to the next move.

A trace that ends early (`OwnTrace.first_unprovable`) needs no rules of its own: what a player does not know is not what it
computed. So a posted boundary beyond the end differs, and the step that is named then is the one that nobody can prove in some
window. The provider may prove any window of which something else is claimed, so the claim is true of every window that has a
proof, also of those behind the first one that has none.
"""

from __future__ import annotations

from collections.abc import Sequence

from .actions import (
    Action,
    ChallengeHead,
    ChallengeInput,
    ChallengePart,
    ClaimOverrun,
    ClaimTruncated,
    Concede,
    PostBoundaries,
    ProveEmbedding,
    ProveHead,
    ProveStep,
    RefuteClaim,
    ResolveVoid,
    Timeout,
)
from .bisection import boundaries_hash
from .claims import claim_hash, claim_of, first_difference, leaves_of_input, leaves_of_step
from .game import GameState, Phase, Side, Target
from .trace import OwnTrace, first_unknown_fed_id, lacks_end, overrun_place


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
    if state.game.is_short and lacks_end(trace.output_ids, end_tokens):
        return ClaimTruncated()
    place = overrun_place(trace.output_ids, end_tokens)
    return None if place is None else ClaimOverrun(place)


def _provider_move(state: GameState, trace: OwnTrace) -> Action | None:
    game = state.game
    if (unprovable := trace.first_unprovable()) is not None:
        return Concede(
            f"Step {unprovable[0]} has no proof in window {unprovable[1]}: a value leaves its range."
        )
    is_first = game.phase is Phase.AWAIT_BOUNDARIES and game.round <= 1
    if not is_first and not _posted_by_own_trace(state, trace):
        return Concede("The boundaries on chain are not this node's; it cannot prove them.")
    if game.phase is Phase.AWAIT_BOUNDARIES:
        return PostBoundaries(tuple(trace.boundary_hash(cut) for cut in state.cuts))
    if game.target is not Target.HEAD:
        return _answer_claim(state, trace)
    if (chosen := trace.argmax(game.position)) is None:
        return Concede("No token can be proven at this position: its row leaves the head's range.")
    if chosen == game.rival_id:
        return Concede("The rival token is the model's choice; the answer is wrong.")
    return ProveHead(game.position, game.chosen_id, game.rival_id)


def _answer_claim(state: GameState, trace: OwnTrace) -> ProveStep | ProveEmbedding | RefuteClaim:
    """Any window of which something else is claimed is right and can be proven; without one, the claim says what was posted."""
    start, end, claim = state.game.range_start, state.game.range_end, _need_claim(state)
    if state.game.target is Target.EMBEDDING:
        window = first_difference(claim, leaves_of_input(trace, trace.boundary_hash(0)))
        if window is not None:
            return ProveEmbedding(window)
        return RefuteClaim(0, trace.stream_roots(0), (), (tuple(trace.stream_points(0, 0)),))
    kind = trace.step_kind(start)
    access = state.rules.step_access(kind)
    window = first_difference(claim, leaves_of_step(trace, access, start, trace.boundary_hash(end)))
    if window is not None:
        return ProveStep(start, window)
    sums = tuple(tuple(trace.stream_points(end, stream)) for stream in access.written)
    return RefuteClaim(kind, trace.stream_roots(start), trace.stream_roots(end), sums)


def _posted_by_own_trace(state: GameState, trace: OwnTrace) -> bool:
    game = state.game
    about = {Target.EMBEDDING: (0,), Target.HEAD: (state.rules.step_count,)}
    ends = about.get(game.target, (game.range_start, game.range_end))
    kept = [trace.boundary_hash(end) for end in ends]
    if game.target in (Target.STEP, Target.EMBEDDING):
        kept.append(claim_hash(_need_claim(state)))
    return game.boundaries_hash == boundaries_hash(kept)


def _need_claim(state: GameState) -> bytes:
    """Whoever reads the state of a game about a step or the input reads its claim, or fails."""
    assert state.claim is not None
    return state.claim


def _challenger_move(state: GameState, trace: OwnTrace) -> Action | None:
    game = state.game
    if state.boundaries is None:
        return None
    unknown = first_unknown_fed_id(trace, state.rules.vocab_size)
    if game.round <= 1 and unknown is not None:
        # No row of the model's tree belongs to this id, so its window of b_0 cannot be proven whatever it is.
        return ChallengeInput(claim_of(leaves_of_input(trace, state.boundaries[0])))
    posted = tuple(zip(state.cuts, state.boundaries, strict=True))
    if not _is_own(trace, *posted[0]):
        return ChallengeInput(claim_of(leaves_of_input(trace, state.boundaries[0])))
    if not _is_own(trace, *posted[-1]):
        return challenge_part(state, trace, _last_agreed(trace, posted))
    if game.round <= 1 and (wrong := trace.first_wrong_output()) is not None:
        return ChallengeHead(*wrong)
    for place, each in enumerate(posted):
        if not _is_own(trace, *each):
            return challenge_part(state, trace, place - 1)
    return Concede("Every boundary and every token is what this node computed.")


def challenge_part(state: GameState, trace: OwnTrace, part: int) -> ChallengePart:
    """The challenge of a part of the range, with what the own trace claims of it where it is one step."""
    start, end = state.cuts[part : part + 2]
    if end - start > 1:
        return ChallengePart(part)
    assert state.boundaries is not None
    access = state.rules.step_access(trace.step_kind(start))
    return ChallengePart(part, claim_of(leaves_of_step(trace, access, start, state.boundaries[part + 1])))


def _last_agreed(trace: OwnTrace, posted: Sequence[tuple[int, bytes]]) -> int:
    """A place whose boundary is the own trace's while the next one is not; the first one is, the last one is not.

    There may be several. Halving finds one with few boundaries computed: they cost their commitments, and every such part is wrong.
    """
    agreed, differs = 0, len(posted) - 1
    while differs - agreed > 1:
        middle = (agreed + differs) // 2
        if _is_own(trace, *posted[middle]):
            agreed = middle
        else:
            differs = middle
    return agreed


def _is_own(trace: OwnTrace, boundary: int, posted: bytes) -> bool:
    """Whether this is the boundary that the own trace has; it has none beyond its end."""
    unprovable = trace.first_unprovable()
    known = unprovable is None or boundary <= unprovable[0]
    return known and posted == trace.boundary_hash(boundary)
