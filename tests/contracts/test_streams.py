"""Streams on paper: what moves, what is reset, what is read where nothing was written, and who wins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from py_ecc.bn128 import FQ, G1, add, multiply, neg

from contracts.protocol import actions
from contracts.protocol.game import Outcome, Phase, Reason
from contracts.protocol.merkle import verify_path
from contracts.protocol.response import ResponseFields
from contracts.protocol.streams import (
    MOST_STREAMS,
    NO_WINDOWS,
    Point,
    StepAccess,
    StreamsInvalid,
    Use,
    access_problem,
    access_word,
    boundary_hash,
    chunk_ends,
    pack_streams,
    running_sums,
    stream_root,
    stream_tree,
    unpack_streams,
    window_commitment,
    window_leaf,
)
from tests.contracts.adaptive_liar import AdaptiveLiar
from tests.contracts.paper_game import PaperGame
from tests.contracts.synthetic import (
    STREAMS,
    TWO_KINDS,
    NotProvable,
    Shape,
    SyntheticModel,
    SyntheticTrace,
    generator_multiple,
)

_PROMPT = [(7 * position) % 20 for position in range(270)]  # nine windows: two whole chunks and one window


def honest(model: SyntheticModel) -> SyntheticTrace:
    return SyntheticTrace(model, _PROMPT, model.generate(_PROMPT, 4))


def game_about(trace: SyntheticTrace) -> PaperGame:
    fields = ResponseFields.of(trace.prompt_ids, trace.output_ids, 4, 0)
    return PaperGame(trace.model, fields, arity=8)


@given(st.lists(st.integers(0, 254), min_size=0, max_size=MOST_STREAMS - 1))
def test_streams_are_one_word(placed: list[int]) -> None:
    chunk_bits = (0, *placed)
    word = pack_streams(chunk_bits)
    assert word < 2**128 and unpack_streams(word) == chunk_bits


@pytest.mark.parametrize("chunk_bits", [(), (1,), (0, 255), (0, -1), (0,) * (MOST_STREAMS + 1)])
def test_streams_that_the_registry_does_not_take(chunk_bits: tuple[int, ...]) -> None:
    with pytest.raises(StreamsInvalid):
        pack_streams(chunk_bits)


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        (access_word(reads_own=[0], writes=[0]), None),
        (access_word(reads_all=[1], reads_own=[0], writes=[0], resets=[1]), None),
        (access_word(reads_own=[0], resets=[1]), "writes no stream"),
        (access_word(reads_own=[0], reads_all=[0], writes=[1]), "two ways"),
        (access_word(writes=[0, 1], resets=[1]), "writes and resets"),
        (access_word(writes=[2]), "beyond"),
    ],
)
def test_what_a_kind_can_do(word: int, problem: str | None) -> None:
    found = access_problem(word, 2)
    assert found is None if problem is None else problem in str(found)


def test_sums_are_those_of_a_chunk_and_commitments_their_differences() -> None:
    commitments = [generator_multiple(factor) for factor in (3, 5, 11, 2, 7, 7, 1)]
    sums = running_sums(commitments, 2)
    assert sums == [generator_multiple(total) for total in (3, 8, 19, 21, 7, 14, 15)]
    assert [window_commitment(sums, window, 2) for window in range(7)] == commitments
    assert running_sums(commitments, 0) == commitments
    assert window_commitment([], 4, 2) == (0, 0)  # no windows: nothing is committed
    assert add(multiply(G1, 8), neg(multiply(G1, 3))) == tuple(map(FQ, commitments[1]))


def test_chunks_end_where_the_next_begins_and_at_the_window() -> None:
    assert chunk_ends(0, 2) == [0] and chunk_ends(3, 2) == [3]
    assert chunk_ends(4, 2) == [3, 4] and chunk_ends(9, 2) == [3, 7, 9]
    assert chunk_ends(3, 0) == [0, 1, 2, 3]


def test_a_boundary_is_the_roots_of_its_streams() -> None:
    trace = honest(SyntheticModel(step_count=8))
    assert [root == NO_WINDOWS for root in trace.stream_roots(0)] == [False, True, True, True]
    assert [root == NO_WINDOWS for root in trace.stream_roots(1)] == [False, False, False, True]
    assert [root == NO_WINDOWS for root in trace.stream_roots(4)] == [False, False, False, True]  # reset
    assert trace.boundary_hash(3) == boundary_hash(
        [stream_root(trace.stream_points(3, stream)) for stream in range(4)]
    )
    sums = trace.stream_points(3, 1)
    tree = stream_tree(sums)
    assert all(
        verify_path(tree.root, window_leaf(window, point), tree.path(window), window, len(sums))
        for window, point in enumerate(sums)
    )


@pytest.mark.parametrize("shape", [STREAMS, TWO_KINDS])
@pytest.mark.parametrize(
    "window", [0, 3, 8, *(pytest.param(window, marks=pytest.mark.long) for window in (2, 4, 7))]
)
def test_a_lie_in_any_written_stream_and_place_of_a_chunk_loses(shape, window: int) -> None:  # type: ignore[no-untyped-def]
    truth = honest(SyntheticModel(step_count=8, shape=shape))
    for boundary in range(1, 9):
        liar = SyntheticTrace(truth.model, truth.prompt_ids, truth.output_ids, (boundary, window))
        game = game_about(truth)
        assert game.play(liar, truth) is Outcome.CHALLENGER_WON
        assert game.game.range_start == boundary - 1
        assert game_about(truth).play(truth, liar) is Outcome.PROVIDER_WON


@pytest.mark.parametrize(("boundary", "stream"), [(2, 1), (2, 2), (3, 1), (4, 2), (6, 0), (8, 1)])
def test_attack_a_stream_that_the_step_does_not_write_is_moved(boundary: int, stream: int) -> None:
    """What the step writes is right, so every window is as claimed; but nothing can be shown in which the other stream stays."""
    truth = honest(SyntheticModel(step_count=8))
    liar = AdaptiveLiar(truth, None, [(boundary, 5)], only=stream)
    assert stream not in truth.model.access(boundary - 1).written
    game = game_about(truth)
    assert game.play(liar, truth) is Outcome.CHALLENGER_WON
    assert (game.game.range_start, game.game.phase) == (boundary - 1, Phase.RESOLVED)
    assert game.game.reason is Reason.TIMED_OUT
    assert isinstance(game.moves[-2], actions.ChallengePart)


def test_attack_a_claim_is_refuted_under_another_kind_than_the_step_has() -> None:
    """Stream 1 holds what stream 2 should: under a kind that writes stream 1 alone, every window would be as claimed."""
    shape = Shape(
        chunk_bits=(0, 0, 0),
        kinds={
            "first": access_word(reads_own=[0], writes=[1]),
            "second": access_word(reads_own=[0], writes=[2]),
        },
        order=(0, 1),
    )
    truth = honest(SyntheticModel(step_count=2, shape=shape))

    class OtherStream(SyntheticTrace):
        """b_2 has in stream 1 what the last step should have written to stream 2, of which it writes nothing."""

        def step_kind(self, s: int) -> int:
            return 0

        def stream_points(self, s: int, stream: int) -> list[Point]:
            if s == 2 and stream:
                return super().stream_points(2, 2) if stream == 1 else []
            return super().stream_points(s, stream)

        def window_commitments(self, s: int, stream: int) -> list[Point | None]:
            return list(self.stream_points(s, stream))

    game = game_about(truth)
    liar = OtherStream(truth.model, truth.prompt_ids, truth.output_ids)
    assert game.play(liar, truth) is Outcome.CHALLENGER_WON
    assert (game.game.range_start, game.game.reason) == (1, Reason.TIMED_OUT)


def test_attack_an_input_with_another_stream_in_it_is_challenged_as_input() -> None:
    truth = honest(SyntheticModel(step_count=8))

    class Forward(SyntheticTrace):
        def stream_points(self, s: int, stream: int) -> list[Point]:
            return super().stream_points(s or (1 if stream == 1 else 0), stream)

    liar = Forward(truth.model, truth.prompt_ids, truth.output_ids)
    game = game_about(truth)
    assert game.play(liar, truth) is Outcome.CHALLENGER_WON
    assert isinstance(game.moves[-2], actions.ChallengeInput)


@pytest.mark.parametrize("lies", [{(1, 6), (2, 3)}, {(1, 0)}, {(2, 4), (2, 5)}, {(1, 1), (1, 2), (1, 3)}])
def test_attack_a_right_window_behind_a_wrong_one_of_its_chunk(lies: set[tuple[int, int]]) -> None:
    """All running sums behind a wrong window of a chunk are wrong; the commitments are not, and nothing can be proven by them."""

    class Lies(SyntheticTrace):
        def _is_wrong(self, s: int, stream: int, window: int) -> bool:
            return self.model.last_writer(s, stream) == 0 and (stream, window) in lies

    truth = honest(SyntheticModel(step_count=8))
    game = game_about(truth)
    liar = Lies(truth.model, truth.prompt_ids, truth.output_ids)
    for _, window in lies:
        right = next(w for w in range(9) if not any(w == wrong for _, wrong in lies))
        assert liar.prove_step(0, right)
        with pytest.raises(NotProvable):
            liar.prove_step(0, window)
    assert game.play(liar, truth) is Outcome.CHALLENGER_WON
    assert (game.game.range_start, game.game.reason) == (0, Reason.TIMED_OUT)


def test_an_own_read_of_a_chunks_first_window_shows_one_sum_and_else_two() -> None:
    access = StepAccess((0, 2), access_word(reads_own=[0], writes=[1], names_window=True))
    residual = [generator_multiple(factor) for factor in range(1, 10)]
    placed = running_sums(residual, 2)
    for window, sums in ((0, 2), (1, 3), (4, 2), (8, 2)):
        shown = access.shown_windows(window, [residual, []], [residual, placed])
        assert len(shown.sums) == sums
        assert access.statement_inputs(window, [residual, []], [residual, placed]) == [
            window,
            *residual[window],
            *residual[window],
        ]
    assert access.streams_with(Use.WRITES) == (1,) and access.names_window
