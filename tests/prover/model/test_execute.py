"""A response is a function of its prompt: whatever the batching, the threads or the kernel, the same integers."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prover.model import exact_gemm, execute, word_gemm
from prover.model.errors import GenerationCancelledError, SequenceTooLongError, TokenError
from prover.model.exact_gemm import FEW_ROWS, Outputs, multiply_exactly, multiply_few_rows, multiply_in_floats
from prover.model.execute import Executor
from prover.model.float_model import FloatModel
from prover.model.float_reference import float_logits
from prover.model.weights import IntegerModel
from prover.program import OutOfRange
from prover.streams import RESIDUAL

PROMPT = list(b"The quick brown fox jumps over the lazy dog, then naps.")
GENERATED = [53, 258, 163, 238, 241, 85, 226, 242, 130, 81, 67, 163, 18, 227, 17, 215]


@settings(max_examples=20, deadline=None)
@given(
    rows=st.sampled_from([1, 2, FEW_ROWS, FEW_ROWS + 1, 40]),
    inputs=st.integers(1, 200),
    magnitude=st.sampled_from([15, 27]),
    seed=st.integers(0, 2**32),
)
def test_products_are_exact_in_every_kernel(rows: int, inputs: int, magnitude: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    weights = generator.integers(-(2**15), 2**15, (17, inputs), dtype=np.int16)
    x = generator.integers(-(2**magnitude), 2**magnitude, (rows, inputs))
    expected = x @ weights.T.astype(np.int64)
    np.testing.assert_array_equal(multiply_exactly(weights, x), expected)
    np.testing.assert_array_equal(multiply_in_floats(weights, x), expected)
    plain = np.empty((1, 17), dtype=np.int64)
    multiply_few_rows.py_func(weights, x[:1].astype(np.float64), plain)
    np.testing.assert_array_equal(plain, expected[:1])


@pytest.mark.parametrize("outputs", [3, 64, 100])
def test_the_largest_output_is_found_without_all_products(
    outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ties, within a part and across parts, go to the smaller output; the last part may have fewer than four."""
    monkeypatch.setattr(exact_gemm, "_OUTPUTS_AT_ONCE", 33)
    generator = np.random.default_rng(outputs)
    weights = generator.integers(-3, 4, (outputs, 5)).astype(np.int16)
    weights[-1], weights[outputs // 2] = weights[0], weights[0]
    x = generator.integers(-3, 4, (FEW_ROWS + 30, 5))
    x[0] = weights[0].astype(np.int64) * 9
    for rows in (x, x[:2], -np.abs(x)):
        expected = (rows @ weights.T.astype(np.int64)).argmax(axis=1)
        np.testing.assert_array_equal(Outputs(weights).largest(rows), expected)


@pytest.mark.parametrize("chunks", [(55,), (1,) * 55, (20, 35), (3, 1, 30, 21), (54, 1)])
def test_any_way_of_feeding_gives_the_same_integers(executor: Executor, chunks: tuple[int, ...]) -> None:
    assert sum(chunks) == len(PROMPT)
    whole, pieces = executor.start(), executor.start()
    expected = executor.feed(PROMPT, whole)
    rows, start = [], 0
    for size in chunks:
        rows.append(executor.feed(PROMPT[start : start + size], pieces))
        start += size
    np.testing.assert_array_equal(np.concatenate(rows), expected)
    assert whole.length == pieces.length == len(PROMPT)


def test_long_texts_go_in_pieces_unless_somebody_looks(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rows and the same next tokens; a trace sees every step once, with all rows."""
    positions = np.arange(len(PROMPT))
    whole = executor.feed(PROMPT, executor.start())
    chosen = executor.largest(whole, positions)
    monkeypatch.setattr(execute, "_UNSEEN_ROWS_AT_MOST", 40)
    monkeypatch.setattr(execute, "_UNSEEN_ROWS_AT_ONCE", 9)
    monkeypatch.setattr(execute, "_LOGIT_ROWS_AT_ONCE", 7)
    run_step, seen = Executor.run_step_there, []

    def counted(self: Executor, step: int, state: dict[str, np.ndarray], fed: execute.Fed) -> execute.Rows:
        seen.append(len(state[RESIDUAL]))
        return run_step(self, step, state, fed)

    monkeypatch.setattr(Executor, "run_step_there", counted)
    decoding = executor.start()
    np.testing.assert_array_equal(executor.feed(PROMPT, decoding), whole)
    assert decoding.length == len(PROMPT) == 55 and set(seen) == {9, 1}
    np.testing.assert_array_equal(executor.largest(whole, positions), chosen)
    assert executor.largest(whole[:0], positions[:0]).shape == (0,)
    seen.clear()
    executor.feed(PROMPT, executor.start(), on_step=lambda step, written: None)
    assert set(seen) == {55}


def test_the_number_of_threads_changes_nothing(executor: Executor) -> None:
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(executor.logits(executor.feed(PROMPT, executor.start())))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*results)


def test_portable_kernels_give_the_same_integers(
    model: IntegerModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine without products of words: rows of a prompt, of the next token, and the choice."""

    def found() -> list[np.ndarray]:
        executor = Executor(model)
        decoding = executor.start()
        rows = [executor.feed(PROMPT, decoding), executor.feed([7], decoding)]
        return [*rows, executor.predictions(rows[0]), executor.logits(rows[1])]

    expected = found()
    monkeypatch.setattr(word_gemm, "AVAILABLE", False)
    assert Executor(model)._head.whole.lengths is None
    for ours, theirs in zip(found(), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_one_executor_serves_several_threads(executor: Executor) -> None:
    expected = executor.generate(PROMPT, 12)
    found: list[object] = []
    workers = [threading.Thread(target=lambda: found.append(executor.generate(PROMPT, 12))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [expected] * 4


def test_the_integer_model_follows_its_float_reference(executor: Executor, float_model: FloatModel) -> None:
    logits = executor.logits(executor.feed(PROMPT, executor.start()))
    expected = float_logits(float_model, PROMPT)
    found = logits * 2.0 ** -(10 + executor.model.weights.head_scale)
    assert np.abs(found - expected).max() < 0.01 * np.abs(expected).max()
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.95


def test_generation_is_pinned(executor: Executor) -> None:
    """These ids depend on every integer of the tiny model; a change here changes what every party computes."""
    generation = executor.generate(PROMPT, 16, end_ids=())
    assert generation.ids == GENERATED
    assert generation.finish_reason == "length"


def test_different_prompts_give_different_answers(executor: Executor) -> None:
    answers = {
        tuple(executor.generate(list(text), 8).ids) for text in (b"a", b"b", b"hello", b"zebra", b"42")
    }
    assert len(answers) == 5


def test_tokens_are_reported_as_they_come_and_end_tokens_stop(executor: Executor) -> None:
    seen: list[int] = []
    free = executor.generate(PROMPT, 10, end_ids=(), on_token=seen.append)
    assert seen == free.ids
    stopped = executor.generate(PROMPT, 10, end_ids=(free.ids[4],))
    assert stopped.ids == free.ids[: free.ids.index(free.ids[4]) + 1]
    assert stopped.finish_reason == "stop"


def test_replay_accepts_the_honest_output_and_finds_the_first_lie(executor: Executor) -> None:
    honest = executor.generate(PROMPT, 10, end_ids=()).ids
    assert executor.replay(PROMPT, honest) is None
    for index in (0, 5, 9):
        lie = [*honest]
        lie[index] = (lie[index] + 1) % 256
        assert executor.replay(PROMPT, lie) == index


def test_ties_go_to_the_smaller_id(executor: Executor, model: IntegerModel) -> None:
    chosen = executor.generate(PROMPT, 1).ids[0]
    head = model.head.copy()
    head[[3, 250]] = head[chosen]
    tied = Executor(replace(model, weights=replace(model.weights, head=head)))
    assert tied.generate(PROMPT, 1).ids == [min(3, chosen)]


def test_a_cancelled_generation_stops(executor: Executor) -> None:
    seen: list[int] = []
    with pytest.raises(GenerationCancelledError):
        executor.generate(PROMPT, 50, end_ids=(), on_token=seen.append, cancelled=lambda: len(seen) >= 3)
    assert len(seen) == 3


def test_bad_requests_are_refused_before_anything_is_computed(executor: Executor) -> None:
    limit = executor.model.config.max_positions
    with pytest.raises(TokenError):
        executor.generate([], 5)
    with pytest.raises(TokenError):
        executor.generate([1], 0)
    with pytest.raises(TokenError, match="259"):
        executor.generate([259], 1)
    with pytest.raises(TokenError, match="-1"):
        executor.generate([-1], 1)
    with pytest.raises(SequenceTooLongError, match=str(limit)):
        executor.generate([1] * limit, 2)
    assert len(executor.generate([1] * limit, 1).ids) == 1


def test_a_value_out_of_range_names_tensor_layer_and_position(model: IntegerModel) -> None:
    layers = [dict(layer) for layer in model.weights.layers]
    up = layers[1]["w_up"]
    layers[1]["w_up"] = replace(up, shift=1)
    broken = Executor(replace(model, weights=replace(model.weights, layers=layers)))
    with pytest.raises(OutOfRange) as caught:
        broken.feed(PROMPT, broken.start())
    assert (caught.value.tensor, caught.value.layer, caught.value.position) == ("up", 1, 0)
