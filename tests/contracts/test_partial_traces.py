"""A value that leaves its range is a lost game: every step, window and arity, against whatever the liar posts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.protocol import actions
from contracts.protocol.bisection import rounds_at_most
from contracts.protocol.game import Outcome, Reason, Side
from contracts.protocol.honest_player import next_action
from contracts.protocol.response import ResponseFields
from contracts.protocol.streams import Point
from tests.contracts.adaptive_liar import AdaptiveLiar, Cell
from tests.contracts.paper_game import PaperGame
from tests.contracts.synthetic import NotProvable, SyntheticModel, SyntheticTrace

_OUTPUTS = 6


def ending(steps: int, end: Cell | None, positions: int = 70, **more: object) -> SyntheticTrace:
    """The honest trace of `positions` fed tokens."""
    model = SyntheticModel(step_count=steps)
    prompt = [(7 * position) % 20 for position in range(positions + 1 - _OUTPUTS)]
    output = [(5 * place) % 20 for place in range(_OUTPUTS)]
    return SyntheticTrace(model, prompt, output, ends_at=end, **more)  # type: ignore[arg-type]


def game_about(trace: SyntheticTrace, arity: int = 8) -> PaperGame:
    fields = ResponseFields.of(trace.prompt_ids, trace.output_ids, len(trace.output_ids), 0)
    return PaperGame(trace.model, fields, arity=arity)


@pytest.mark.parametrize("arity", [2, 3, 4, 7, 8, 64])
@pytest.mark.parametrize("steps", [2, 4, 8])
def test_every_step_and_window_that_leaves_its_range_is_found(steps: int, arity: int) -> None:
    for step in range(steps):
        for window in range(3):
            truth = ending(steps, (step, window))
            game = game_about(truth, arity)
            assert game.play(AdaptiveLiar(truth, (step, window)), truth) is Outcome.CHALLENGER_WON
            assert (game.game.range_start, game.game.range_end) == (step, step + 1)
            assert game.game.reason is Reason.TIMED_OUT
            assert game.game.round <= rounds_at_most(steps, arity)


@pytest.mark.parametrize("positions", [6, 31, 32, 33, 64, 65])
def test_sequences_of_one_window_and_of_whole_windows_are_played_the_same(positions: int) -> None:
    for window in range(-(-positions // 32)):
        truth = ending(4, (3, window), positions)
        game = game_about(truth)
        assert game.play(AdaptiveLiar(truth, (3, window)), truth) is Outcome.CHALLENGER_WON
        assert game.game.range_start == 3


@pytest.mark.parametrize("also_out", [(), (2,), (3, 5), (2, 3, 4, 5, 6)])
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("step", range(4))
def test_a_window_behind_the_failing_one_is_no_way_out(
    step: int, first: int, also_out: tuple[int, ...]
) -> None:
    """The liar proves every later window that has a proof: of each of them the truth is claimed."""
    whole = ending(4, (step, first), 7 * 32)
    truth = SyntheticTrace(
        whole.model, whole.prompt_ids, whole.output_ids, ends_at=(step, first), also_out=also_out
    )
    liar = AdaptiveLiar(truth, (step, first))
    for window in range(7):
        if window not in {first, *also_out}:
            assert liar.prove_step(step, window)
    game = game_about(truth)
    assert game.play(liar, truth) is Outcome.CHALLENGER_WON
    assert (game.game.range_start, game.game.reason) == (step, Reason.TIMED_OUT)


def test_a_challenger_that_claims_nothing_true_behind_the_failing_window_loses() -> None:
    """The control: the same liar, where the windows behind are claimed to be something else."""

    class Short(SyntheticTrace):
        def window_commitments(self, s: int, stream: int) -> list[Point | None]:
            points = super().window_commitments(s, stream)
            return [*points[:2], None, *[None for _ in points[3:]]] if s == 3 else points

    whole = ending(4, (2, 2), 7 * 32)
    truth = Short(whole.model, whole.prompt_ids, whole.output_ids, ends_at=(2, 2))
    game = game_about(truth)
    assert game.play(AdaptiveLiar(truth, (2, 2)), truth) is Outcome.PROVIDER_WON


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([2, 4, 8, 60]), st.integers(2, 64), st.data())
def test_no_choice_of_boundaries_saves_a_liar(steps: int, arity: int, data: st.DataObject) -> None:
    """Wrong windows in front of the failing step, behind it, in it, or all of them."""
    end = data.draw(st.integers(0, steps - 1)), data.draw(st.integers(0, 2))
    cells = st.tuples(st.integers(0, steps), st.integers(0, 2))
    near = st.tuples(st.integers(max(0, end[0] - 1), min(steps, end[0] + 2)), st.integers(0, 2))
    lies = data.draw(st.frozensets(cells | near, max_size=12))
    truth = ending(steps, end)
    game = game_about(truth, arity)
    assert game.play(AdaptiveLiar(truth, end, lies), truth) is Outcome.CHALLENGER_WON
    assert game.game.round <= rounds_at_most(steps, arity)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([2, 8, 60]), st.integers(2, 64), st.data())
def test_a_complete_trace_beats_the_same_liar(steps: int, arity: int, data: st.DataObject) -> None:
    """The control: where no value leaves its range, a wrong last boundary loses and the truth wins."""
    cells = st.tuples(st.integers(0, steps), st.integers(0, 2))
    lies = data.draw(st.frozensets(cells, max_size=6)) | {(steps, data.draw(st.integers(0, 2)))}
    plain = ending(steps, None)
    output = plain.model.generate(plain.prompt_ids, _OUTPUTS)
    truth = SyntheticTrace(plain.model, plain.prompt_ids, output)
    liar, honest = AdaptiveLiar(truth, None, lies), AdaptiveLiar(truth, None)
    assert game_about(truth, arity).play(liar, truth) is Outcome.CHALLENGER_WON
    assert game_about(truth, arity).play(honest, truth) is Outcome.PROVIDER_WON


def test_a_wrong_window_in_front_of_the_failing_one_loses_as_well() -> None:
    truth = ending(4, (2, 2))
    game = game_about(truth)
    assert game.play(AdaptiveLiar(truth, (2, 2), [(3, 1)]), truth) is Outcome.CHALLENGER_WON
    assert game.game.range_start == 2


def test_a_wrong_boundary_in_front_of_the_failing_step_loses_as_well() -> None:
    """Whichever of the two the challenger comes across."""
    truth = ending(8, (5, 0))
    game = game_about(truth)
    assert game.play(AdaptiveLiar(truth, (5, 0), [(2, 1)]), truth) is Outcome.CHALLENGER_WON
    assert game.game.range_start in {1, 5}


def test_a_wrong_input_is_still_an_input_challenge() -> None:
    truth = ending(4, (0, 0))
    game = game_about(truth)
    assert game.play(AdaptiveLiar(truth, (0, 0), [(0, 2)]), truth) is Outcome.CHALLENGER_WON
    assert any(isinstance(move, actions.ChallengeInput) for move in game.moves)


@pytest.mark.parametrize("place", range(_OUTPUTS))
def test_a_row_that_leaves_the_heads_range_loses_to_any_rival(place: int) -> None:
    """All boundaries are provable, and every token in front is the model's; no pair at this position is."""
    truth = ending(4, None)
    output = truth.model.generate(truth.prompt_ids, _OUTPUTS)
    position = len(truth.prompt_ids) - 1 + min(place, len(output) - 1)
    dark = SyntheticTrace(truth.model, truth.prompt_ids, output, dark_positions=[position])
    game = game_about(dark)

    class Stubborn(AdaptiveLiar):
        def prove_head(self, position: int, rival: int) -> bytes:
            raise NotProvable

    assert game.play(Stubborn(dark, None), dark) is Outcome.CHALLENGER_WON
    assert game.game.position == position
    assert game.game.rival_id not in (game.game.chosen_id, None)


@pytest.mark.parametrize("end", [(0, 0), (1, 2), (3, 1)])
def test_a_provider_that_cannot_prove_its_answer_gives_up(end: Cell) -> None:
    """An answer of an older version, or of a bug: nothing is posted that could not be defended."""
    truth = ending(4, end)
    game = PaperGame(truth.model, game_fields(truth))
    assert game.play(truth, truth) is Outcome.CHALLENGER_WON
    assert [type(move) for move in game.moves] == [actions.Concede]


def test_a_provider_whose_head_fails_gives_up_when_asked() -> None:
    truth = ending(4, None)
    output = truth.model.generate(truth.prompt_ids, _OUTPUTS)
    dark = SyntheticTrace(truth.model, truth.prompt_ids, output, dark_positions=[len(truth.prompt_ids) - 1])
    game = game_about(dark)
    assert game.play(dark, dark) is Outcome.CHALLENGER_WON
    assert isinstance(game.moves[-1], actions.Concede)


def test_the_player_asks_for_nothing_beyond_the_end() -> None:
    """The part is found by halving, and no boundary behind the end is computed."""
    asked: list[int] = []

    class Counting(SyntheticTrace):
        def boundary_hash(self, s: int) -> bytes:
            asked.append(s)
            return super().boundary_hash(s)

    short = ending(8, (2, 1))
    truth = Counting(short.model, short.prompt_ids, short.output_ids, ends_at=(2, 1))
    game = game_about(truth)
    liar = AdaptiveLiar(truth, (2, 1))
    game.apply(
        actions.PostBoundaries(tuple(liar.boundary_hash(cut) for cut in game.state.cuts)), Side.PROVIDER, liar
    )
    asked.clear()
    state = replace(game.state)
    move = next_action(state, Side.CHALLENGER, truth, game.now)
    assert isinstance(move, actions.ChallengePart)
    assert move.part == 2
    assert asked == [0, 2]


def game_fields(trace: SyntheticTrace) -> ResponseFields:
    return ResponseFields.of(trace.prompt_ids, trace.output_ids, len(trace.output_ids), 0)
