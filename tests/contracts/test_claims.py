"""What a challenger claims of every window, on paper: what is hashed, what an honest provider answers, and that no lie gets past it."""

from __future__ import annotations

import pytest
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.bindings.dispute_game import ShownClaim
from contracts.protocol import actions
from contracts.protocol.claims import (
    CLAIM_GROUP,
    LEAF_BYTES,
    claim_groups,
    claim_hash,
    claim_of,
    claimed_leaf,
    first_difference,
    group_hashes,
    leaf,
    leaves_of_input,
    leaves_of_step,
)
from contracts.protocol.game import Outcome, Reason, Side
from contracts.protocol.honest_player import next_action
from contracts.protocol.response import WINDOW_ROWS, ResponseFields
from contracts.protocol.streams import window_commitments
from prover.errors import OutOfRangeError
from tests.contracts.adaptive_liar import AdaptiveLiar
from tests.contracts.paper_game import PaperGame
from tests.contracts.synthetic import SyntheticModel, SyntheticTrace, generator_multiple

_MODEL = SyntheticModel(step_count=4)
_OUTPUT = [3, 1, 4]


def truth(windows: int) -> SyntheticTrace:
    prompt = [(7 * position) % 20 for position in range(WINDOW_ROWS * windows - 2)]
    return SyntheticTrace(_MODEL, prompt, _OUTPUT)


def accused(honest: SyntheticTrace, boundary: int, claim: bytes) -> PaperGame:
    """A game about right boundaries, narrowed to the step in front of this one or to the input, where the provider is to move."""
    fields = ResponseFields.of(honest.prompt_ids, honest.output_ids, len(_OUTPUT), 0)
    game = PaperGame(honest.model, fields)
    hashes = tuple(honest.boundary_hash(cut) for cut in game.state.cuts)
    game.apply(actions.PostBoundaries(hashes), Side.PROVIDER, honest)
    challenge = actions.ChallengePart(boundary - 1, claim) if boundary else actions.ChallengeInput(claim)
    game.apply(challenge, Side.CHALLENGER, honest)
    return game


def true_leaves(honest: SyntheticTrace, boundary: int, posted: bytes = b"") -> list[bytes | None]:
    """posted: another boundary than the true one."""
    if boundary == 0:
        return leaves_of_input(honest, posted or honest.boundary_hash(0))
    end = posted or honest.boundary_hash(boundary)
    return leaves_of_step(honest, honest.model.access(boundary - 1), boundary - 1, end)


def test_a_leaf_is_half_a_hash_of_the_commitments_of_all_written_streams() -> None:
    points = [generator_multiple(factor) for factor in (5, 9)]
    words = [coordinate.to_bytes(32, "big") for point in points for coordinate in point]
    assert leaf(b"\1" * 32, points) == keccak(b"\1" * 32 + b"".join(words))[:16]
    assert leaf(b"\1" * 32, [(0, 0)]) == keccak(b"\1" * 32 + bytes(64))[:16]


def test_a_leaf_is_about_the_boundary_that_was_posted() -> None:
    """Else two prompts whose windows have one leaf, found by a collision, would save a wrong answer in any game."""
    honest = truth(2)
    for boundary in (0, 1):
        leaves = [true_leaves(honest, boundary, posted) for posted in (b"\1" * 32, b"\2" * 32)]
        assert not {*leaves[0]} & {*leaves[1]}


def test_leaves_are_about_windows_not_about_running_sums() -> None:
    honest = truth(6)
    access = _MODEL.access(0)
    assert access.written == (1, 2)
    own = [
        window_commitments(honest.stream_points(1, stream), _MODEL.chunk_bits[stream]) for stream in (1, 2)
    ]
    expected = [leaf(b"\1" * 32, pair) for pair in zip(*own, strict=True)]
    assert leaves_of_step(honest, access, 0, b"\1" * 32) == expected
    assert [*map(list, own)] == [honest.window_commitments(1, stream) for stream in (1, 2)]


@pytest.mark.parametrize("windows", [1, 31, 32, 33, 64, 65])
def test_a_claim_is_hashed_in_groups_and_shown_by_one_of_them(windows: int) -> None:
    claim = b"".join(keccak(bytes([window]))[:16] for window in range(windows))
    assert [len(group) for group in claim_groups(claim)] == [
        LEAF_BYTES * min(CLAIM_GROUP, windows - first) for first in range(0, windows, CLAIM_GROUP)
    ]
    assert claim_hash(claim) == keccak(b"".join(group_hashes(claim)))
    for window in range(windows):
        shown = ShownClaim.of(claim, window)
        number, place = divmod(window, CLAIM_GROUP)
        assert keccak(shown.leaves) == shown.groups[number]
        assert claimed_leaf(shown.leaves, place) == claimed_leaf(claim, window)


def test_of_a_window_without_a_proof_something_new_is_claimed_every_time() -> None:
    known = b"\7" * 16
    claims = {claim_of([known, None, known]) for _ in range(20)}
    assert len(claims) == 20
    assert {(claim[:16], claim[32:]) for claim in claims} == {(known, known)}
    assert first_difference(claim_of([known, None]), [known, bytes(16)]) == 1
    assert first_difference(claim_of([known, known]), [known, known]) is None


def test_nothing_is_said_of_steps_behind_the_end() -> None:
    honest = truth(2)
    short = SyntheticTrace(_MODEL, honest.prompt_ids, honest.output_ids, ends_at=(1, 0))
    assert leaves_of_step(short, _MODEL.access(1), 1, b"")[0] is None
    whole = leaves_of_step(honest, _MODEL.access(1), 1, b"")
    assert leaves_of_step(short, _MODEL.access(1), 1, b"")[1] == whole[1]
    with pytest.raises(OutOfRangeError):
        leaves_of_step(short, _MODEL.access(2), 2, b"")


@pytest.mark.parametrize("windows", [1, 3, 33, 70])
@pytest.mark.parametrize("boundary", range(5))
def test_whoever_claims_the_truth_about_right_boundaries_is_refuted(boundary: int, windows: int) -> None:
    honest = truth(windows)
    game = accused(honest, boundary, claim_of(true_leaves(honest, boundary)))
    move = next_action(game.state, Side.PROVIDER, honest, game.now)
    assert isinstance(move, actions.RefuteClaim)
    game.apply(move, Side.PROVIDER, honest)
    assert (game.game.outcome, game.game.reason) == (Outcome.PROVIDER_WON, Reason.REFUTED)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 4), st.integers(1, 70), st.data())
def test_whatever_is_claimed_a_right_answer_stands(boundary: int, windows: int, data: st.DataObject) -> None:
    """Some windows are claimed rightly, some not: the provider proves the first that is not."""
    honest = truth(windows)
    wrong = data.draw(st.frozensets(st.integers(0, windows - 1), min_size=1))
    leaves = [None if window in wrong else own for window, own in enumerate(true_leaves(honest, boundary))]
    game = accused(honest, boundary, claim_of(leaves))
    assert game.play(honest, None) is Outcome.PROVIDER_WON
    expected = actions.ProveStep(boundary - 1, min(wrong)) if boundary else actions.ProveEmbedding(min(wrong))
    assert game.moves == [expected]


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 4), st.integers(1, 9), st.data())
def test_wherever_the_lies_of_a_step_are_no_other_window_saves_them(
    boundary: int, windows: int, data: st.DataObject
) -> None:
    """One window or several, placed streams among them. The liar proves all that a sound proof system lets it prove."""
    honest = truth(windows)
    lies = data.draw(st.frozensets(st.integers(0, windows - 1), min_size=1))
    liar = AdaptiveLiar(honest, None, [(boundary, window) for window in lies])
    fields = ResponseFields.of(honest.prompt_ids, honest.output_ids, len(_OUTPUT), 0)
    game = PaperGame(honest.model, fields)
    game.apply(
        actions.PostBoundaries(tuple(liar.boundary_hash(cut) for cut in game.state.cuts)),
        Side.PROVIDER,
        liar,
    )
    claim = claim_of(true_leaves(honest, boundary, liar.boundary_hash(boundary)))
    game.apply(actions.ChallengePart(boundary - 1, claim), Side.CHALLENGER, honest)
    assert game.play(liar, honest) is Outcome.CHALLENGER_WON
    assert game.game.reason is Reason.TIMED_OUT


def test_running_sums_in_a_claim_would_let_a_liar_win() -> None:
    """The control: with leaves of running sums a right window behind the lie differs, and has a proof."""
    honest = truth(4)
    liar = AdaptiveLiar(honest, None, [(1, 1)])
    pairs = zip(honest.stream_points(1, 1), liar.stream_points(1, 1), strict=True)
    assert [own != posted for own, posted in pairs] == [False, True, True, True]
    assert liar.prove_step(0, 2)
