"""The honest player wins every game it should win, on paper: every step, every window, every lie."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.protocol import actions
from contracts.protocol.bisection import cuts, rounds_at_most
from contracts.protocol.claims import LEAF_BYTES, claimed_leaf, leaves_of_input
from contracts.protocol.game import Outcome, Reason, Side
from contracts.protocol.honest_player import next_action
from contracts.protocol.response import ResponseFields
from contracts.protocol.trace import IdsOnly, TraceUnavailable, overrun_place
from tests.contracts.paper_game import TURN_S, PaperGame
from tests.contracts.synthetic import SyntheticModel, SyntheticTrace

_PROMPT = [(7 * position) % 20 for position in range(70)]
_MODELS = {steps: SyntheticModel(step_count=steps) for steps in (2, 4, 8, 60)}


def fields_of(trace: SyntheticTrace | IdsOnly, max_tokens: int = 8) -> ResponseFields:
    return ResponseFields.of(trace.prompt_ids, trace.output_ids, max_tokens, 0)


def honest(steps: int = 4) -> SyntheticTrace:
    model = _MODELS[steps]
    return SyntheticTrace(model, _PROMPT, model.generate(_PROMPT, 8))


def lying(steps: int, wrong_from: tuple[int, int]) -> SyntheticTrace:
    truth = honest(steps)
    return SyntheticTrace(truth.model, truth.prompt_ids, truth.output_ids, wrong_from)


@pytest.mark.parametrize("window", [0, 1, 2])
@pytest.mark.parametrize("boundary", range(1, 9))
def test_a_lie_at_any_step_and_window_loses(boundary: int, window: int) -> None:
    truth = honest(8)
    game = PaperGame(truth.model, fields_of(truth), arity=3)
    assert game.play(lying(8, (boundary, window)), truth) is Outcome.CHALLENGER_WON
    assert game.game.range_start == boundary - 1
    assert game.game.reason is Reason.TIMED_OUT


@pytest.mark.parametrize("window", [0, 1, 2])
def test_a_lie_about_the_input_loses(window: int) -> None:
    truth = honest()
    game = PaperGame(truth.model, fields_of(truth))
    assert game.play(lying(4, (0, window)), truth) is Outcome.CHALLENGER_WON
    assert any(isinstance(move, actions.ChallengeInput) for move in game.moves)
    assert game.game.reason is Reason.TIMED_OUT


@pytest.mark.parametrize("wrong", [0, 3, 7])
def test_a_wrong_token_loses_at_the_head(wrong: int) -> None:
    truth = honest()
    output = list(truth.output_ids)
    wrong = min(wrong, len(output) - 1)
    output[wrong] = (output[wrong] + 1) % truth.model.vocabulary
    liar = SyntheticTrace(truth.model, _PROMPT, output)
    game = PaperGame(truth.model, fields_of(liar, len(output)))
    # The challenger computes the same trace over the same ids; only the token is not the argmax.
    assert game.play(liar, SyntheticTrace(truth.model, _PROMPT, output)) is Outcome.CHALLENGER_WON
    assert game.game.position == len(_PROMPT) - 1 + wrong
    assert game.game.reason is Reason.CONCEDED


@pytest.mark.parametrize("boundary", range(5))
@pytest.mark.parametrize("window", [0, 1, 2])
def test_a_challenger_who_computes_wrongly_loses(boundary: int, window: int) -> None:
    truth = honest()
    game = PaperGame(truth.model, fields_of(truth))
    assert game.play(truth, lying(4, (boundary, window))) is Outcome.PROVIDER_WON
    assert game.game.reason is Reason.PROVEN


def test_a_challenger_who_agrees_after_all_gives_up() -> None:
    game = PaperGame(_MODELS[4], fields_of(honest()))
    assert game.play(honest(), honest()) is Outcome.PROVIDER_WON
    assert [type(move) for move in game.moves] == [
        actions.PostBoundaries,
        actions.Concede,
    ]


def test_silence_loses_for_either_side() -> None:
    provider_silent = PaperGame(_MODELS[4], fields_of(honest()))
    assert provider_silent.play(None, honest()) is Outcome.CHALLENGER_WON
    challenger_silent = PaperGame(_MODELS[4], fields_of(honest()))
    assert challenger_silent.play(honest(), None) is Outcome.PROVIDER_WON
    assert provider_silent.game.reason is challenger_silent.game.reason is Reason.TIMED_OUT


def test_an_output_cut_short_loses_at_once() -> None:
    truth = honest()
    short = SyntheticTrace(truth.model, _PROMPT, [t for t in truth.output_ids if t not in (2,)][:2])
    game = PaperGame(truth.model, fields_of(short, max_tokens=8))
    assert game.play(short, short) is Outcome.CHALLENGER_WON
    assert game.moves[-1] == actions.ClaimTruncated()


def test_an_output_that_runs_on_behind_an_end_token_loses_at_once() -> None:
    model, (end, *_) = _MODELS[4], _MODELS[4].end_tokens
    for output, place in (([end, 1], 0), ([1, end, end], 1), ([1, 3, end, 1], 2)):
        trace = SyntheticTrace(model, _PROMPT, output)
        game = PaperGame(model, fields_of(trace, max_tokens=len(output)))
        assert game.play(trace, trace) is Outcome.CHALLENGER_WON
        assert game.moves[-1] == actions.ClaimOverrun(place)


def test_an_output_may_end_with_an_end_token() -> None:
    assert overrun_place([], [2]) is overrun_place([2], [2]) is overrun_place([1, 3, 2], [2]) is None


def test_an_id_outside_the_vocabulary_is_challenged_as_input() -> None:
    """Its window of b_0 has no proof; of the others the truth is claimed, or the provider would prove one of them."""
    prompt = [*_PROMPT[:40], 999, *_PROMPT[:30]]
    provider = SyntheticTrace(_MODELS[4], prompt, [1])
    game = PaperGame(_MODELS[4], fields_of(provider, 1))
    game.apply(actions.PostBoundaries((b"",) * 5), Side.PROVIDER, provider)
    ids = IdsOnly(prompt, [1])
    with pytest.raises(TraceUnavailable):  # the model is needed for the other windows
        next_action(game.state, Side.CHALLENGER, ids, game.now)
    moves = [next_action(game.state, Side.CHALLENGER, provider, game.now) for _ in range(2)]
    first, second = (move.claim for move in moves if isinstance(move, actions.ChallengeInput))
    known = SyntheticTrace(_MODELS[4], [*_PROMPT[:40], 0, *_PROMPT[:30]], [1])
    leaves = leaves_of_input(known, b"")  # as posted
    assert first != second  # drawn anew for the window that nobody can prove
    for claim in (first, second):
        assert [claimed_leaf(claim, window) == leaves[window] for window in range(3)] == [True, False, False]


def test_a_void_response_is_resolved_before_anything_else() -> None:
    game = PaperGame(_MODELS[4], fields_of(honest()))
    game.state = replace(game.state, response_void=True)
    for side in Side:
        assert next_action(game.state, side, honest(), game.now) == actions.ResolveVoid()


def test_move_and_timeout_exclude_each_other_at_every_second() -> None:
    game = PaperGame(_MODELS[4], fields_of(honest()))
    for second in range(TURN_S + 3):
        now = game.game.turn_started_at + second
        move = next_action(game.state, Side.PROVIDER, honest(), now)
        answer = next_action(game.state, Side.CHALLENGER, honest(), now)
        assert (move is None) == (now > game.game.deadline)
        assert (answer == actions.Timeout()) == (now > game.game.deadline)


def test_a_provider_that_finds_foreign_boundaries_gives_up() -> None:
    truth = honest()
    game = PaperGame(truth.model, fields_of(truth))
    game.apply(actions.PostBoundaries((b"\0" * 32,) * 5), Side.PROVIDER, truth)
    claim = bytes(LEAF_BYTES * game.game.windows)
    game.apply(actions.ChallengePart(0, claim), Side.CHALLENGER, truth)
    assert isinstance(next_action(game.state, Side.PROVIDER, truth, game.now), actions.Concede)


def test_a_resolved_game_needs_nothing() -> None:
    game = PaperGame(_MODELS[4], fields_of(honest()))
    game.apply(actions.Concede(""), Side.CHALLENGER, None)
    assert next_action(game.state, Side.PROVIDER, honest(), game.now) is None


def test_the_reference_model_needs_two_rounds() -> None:
    assert rounds_at_most(60, 8) == 2
    truth = honest(60)
    game = PaperGame(truth.model, fields_of(truth), arity=8)
    assert game.play(lying(60, (38, 2)), truth) is Outcome.CHALLENGER_WON
    assert game.game.round == 2
    assert (game.game.range_start, game.game.range_end) == (37, 38)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([2, 4, 8, 60]), st.integers(2, 64), st.data())
def test_any_lie_is_found_within_the_rounds_promised(steps: int, arity: int, data: st.DataObject) -> None:
    boundary, window = data.draw(st.integers(1, steps)), data.draw(st.integers(0, 2))
    truth = honest(steps)
    game = PaperGame(truth.model, fields_of(truth), arity=arity)
    assert game.play(lying(steps, (boundary, window)), truth) is Outcome.CHALLENGER_WON
    assert game.game.range_start == boundary - 1
    assert game.game.round <= rounds_at_most(steps, arity)


@given(st.integers(0, 100), st.integers(1, 2_000), st.integers(2, 128))
def test_every_part_has_a_step_and_none_is_left_out(start: int, length: int, arity: int) -> None:
    limits = cuts(start, start + length, arity)
    assert (limits[0], limits[-1]) == (start, start + length)
    assert all(later > earlier for earlier, later in pairwise(limits))
    parts = len(limits) - 1
    assert parts <= arity
    assert parts == length or length > arity
    if arity < length <= arity**2:
        assert -(-length // parts) <= parts  # the next round is the last
        assert parts == arity or (parts // 2) ** 2 < length  # and no smaller power of two would do


def test_a_challenger_computes_few_of_the_boundaries_that_were_posted() -> None:
    asked: set[int] = set()

    class Counting(SyntheticTrace):
        def boundary_hash(self, s: int) -> bytes:
            asked.add(s)
            return super().boundary_hash(s)

    for boundary in (1, 2, 30, 59, 60):
        truth = honest(60)
        counting = Counting(truth.model, truth.prompt_ids, truth.output_ids)
        game = PaperGame(truth.model, fields_of(truth), arity=64)
        liar = lying(60, (boundary, 1))
        hashes = tuple(liar.boundary_hash(cut) for cut in game.state.cuts)
        game.apply(actions.PostBoundaries(hashes), Side.PROVIDER, liar)
        asked.clear()
        move = next_action(game.state, Side.CHALLENGER, counting, game.now)
        assert isinstance(move, actions.ChallengePart)
        assert move.part == boundary - 1
        assert len(asked) <= 8  # both ends and six of 59


def test_a_right_end_behind_a_wrong_middle_does_not_save_the_middle() -> None:
    truth = honest(60)
    game = PaperGame(truth.model, fields_of(truth), arity=64)
    hashes = [truth.boundary_hash(cut) for cut in game.state.cuts]
    hashes[17] = b"\7" * 32
    game.apply(actions.PostBoundaries(tuple(hashes)), Side.PROVIDER, truth)
    move = next_action(game.state, Side.CHALLENGER, truth, game.now)
    assert isinstance(move, actions.ChallengePart)
    assert move.part == 16
