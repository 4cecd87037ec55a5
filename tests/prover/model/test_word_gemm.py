"""Products in 16-bit words: the integers of the definition for any shape, at every bound, by one thread or by all."""

from __future__ import annotations

from math import isqrt, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prover.arrays import NO_LIMIT
from prover.model import word_columns, word_gemm
from prover.model.exact_gemm import Matrix, multiply_exactly, multiply_in_floats
from prover.model.word_gemm import MANY_ROWS, SUM_LIMIT, lengths_of
from prover.operators.host_arrays import HOST
from prover.word_products import TILE_ROWS

pytestmark = pytest.mark.skipif(not word_gemm.AVAILABLE, reason="needs a CPU with AVX-512 VNNI")

SMALLEST, LARGEST = -(2**15), 2**15 - 1


def both(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The product by one thread, which the one by all threads equals, and the one in columns."""
    lengths = lengths_of(weights)
    assert lengths is not None
    x = np.ascontiguousarray(x)
    sums = (
        *(lengths.place, lengths.of_fours, lengths.usual, lengths.largest, x),
        *(word_gemm.NONE, 0, NO_LIMIT),
    )
    found, _ = word_gemm._multiply(*sums)
    for parts in (1, 2, 3):
        np.testing.assert_array_equal(found, word_gemm._multiply_in_threads(*sums, parts)[0])
    if len(weights) >= TILE_ROWS and weights.shape[1] % 2 == 0:  # as many rows are multiplied
        np.testing.assert_array_equal(found, word_gemm._multiply_many(*sums)[0])
        for parts in (1, 2, 3):
            np.testing.assert_array_equal(found, word_gemm._multiply_many_in_threads(*sums, parts)[0])
    return found


def definition(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    return x @ weights.T.astype(np.int64)


def row_counts(x: list[int], norm: float) -> int:
    """Rows of words that one row of x becomes beside weights of that norm."""
    return len(word_gemm._cut(np.array([x], dtype=np.int64), norm)[0])


@settings(max_examples=60, deadline=None)
@given(
    rows=st.sampled_from([1, 2, 3, 4, 5, 9, 31, 33]),
    inputs=st.sampled_from([1, 2, 31, 32, 33, 64, 100]),
    outputs=st.sampled_from([4, 5, 7, 8, 9, 67, 72]),
    magnitude=st.sampled_from([1, 8, 15, 16, 22, 28, 31]),
    weight_bits=st.sampled_from([1, 12, 15]),
    outliers=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_every_shape_and_width_gives_the_definition(
    rows: int, inputs: int, outputs: int, magnitude: int, weight_bits: int, outliers: bool, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    weights = generator.integers(-(2**weight_bits), 2**weight_bits, (outputs, inputs)).astype(np.int16)
    x = generator.integers(-(2**magnitude), 2**magnitude, (rows, inputs))
    if outliers:  # one long row of weights, one long row of x: the others need fewer words
        weights[-1], x[0] = SMALLEST, 2**magnitude - 1
    expected = definition(weights, x)
    np.testing.assert_array_equal(both(weights, x), expected)
    np.testing.assert_array_equal(multiply_in_floats(weights, x), expected)


@pytest.mark.parametrize("inputs", [1, 4, 37, 576, 4096])
@pytest.mark.parametrize("weight", [SMALLEST, LARGEST])
def test_the_largest_sums_that_one_row_of_words_takes_and_the_first_that_it_does_not(
    inputs: int, weight: int
) -> None:
    """x along the weights, where the product of norms is the sum: just below 2^31 in one row, from there on in more."""
    weights = np.full((9, inputs), weight, dtype=np.int16)
    norm = abs(weight) * sqrt(inputs)
    for sign in (1, -1):
        most = min(int(SUM_LIMIT / (norm * sqrt(inputs))), LARGEST)
        for value in (most - 1, most, most + 1, most + 2, 2 * most, LARGEST, 2**15, 2**20, 2**31 - 1):
            x = np.full((1, inputs), sign * value)
            single = value < 2**15 and value * sqrt(inputs) * norm < SUM_LIMIT
            assert (row_counts([sign * value] * inputs, norm) == 1) == single, value
            np.testing.assert_array_equal(both(weights, x), definition(weights, x))


@pytest.mark.parametrize("norm", [1.0, 2.0**15, 2.0**17.5, 2.0**20])
def test_every_row_of_words_meets_the_bound_and_they_add_up(norm: float) -> None:
    generator = np.random.default_rng(5)
    x = np.concatenate(
        [generator.integers(-(2**bits), 2**bits, (3, 96)) for bits in (3, 14, 15, 16, 20, 27, 31, 40)]
    )
    x = np.concatenate([x, np.full((1, 96), -(2**31)), np.full((1, 96), 2**31 - 1)])
    words, places, shifts = word_gemm._cut(x, norm)
    total = np.zeros_like(x)
    np.add.at(total, places, words.astype(np.int64) << shifts[:, None])
    np.testing.assert_array_equal(total, x)
    np.testing.assert_array_equal(places[: len(x)], np.arange(len(x)))
    squares = (words.astype(np.int64) ** 2).sum(axis=1)
    assert max(isqrt(int(s)) + 1 for s in squares) * norm < 2**31 + norm


def test_rows_and_outputs_of_many_blocks() -> None:
    """More rows of words and more weights than either cache is thought to hold, some rows in digits that another block holds."""
    generator = np.random.default_rng(7)
    inputs = 4096
    rows = word_gemm._WORDS_OF_ROWS // inputs + 7
    outputs = 2 * word_gemm._WORDS_OF_FOURS // inputs + 9
    weights = generator.integers(-(2**9), 2**9, (outputs, inputs)).astype(np.int16)
    weights[-1] = LARGEST
    x = generator.integers(-(2**9), 2**9, (rows, inputs))
    x[::3] <<= 18
    np.testing.assert_array_equal(both(weights, x), definition(weights, x))


def test_columns_of_many_blocks() -> None:
    """More columns, and more outputs, than are taken at once; rows of one word and of three by turns, so that blocks of sixteen end anywhere."""
    generator = np.random.default_rng(9)
    inputs = 2048
    rows = word_columns._WORDS_OF_COLUMNS // inputs + 39
    outputs = 2 * word_columns._OUTPUTS_AT_ONCE + 13
    weights = generator.integers(-(2**9), 2**9, (outputs, inputs)).astype(np.int16)
    weights[::17] = SMALLEST
    x = generator.integers(-(2**9), 2**9, (rows, inputs))
    x[::5] <<= 20
    np.testing.assert_array_equal(both(weights, x), definition(weights, x))


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("shift", [1, 9, 16])
@pytest.mark.parametrize("outputs", [8, 67, 2 * 64 + 9])
@pytest.mark.parametrize("rows", [1, 3, MANY_ROWS + 5])
def test_sums_are_rounded_as_by_the_pass_behind_them(
    rows: int, outputs: int, shift: int, with_bias: bool
) -> None:
    """By one thread and by several, whose outputs end anywhere; rows of several words are whole before they are rounded."""
    generator = np.random.default_rng(outputs + shift)
    weights = generator.integers(-(2**9), 2**9, (outputs, 34)).astype(np.int16)
    weights[-1] = SMALLEST
    x = generator.integers(-(2**12), 2**12, (rows, 34))
    x[::3] <<= 16
    bias = generator.integers(-(2**40), 2**40, outputs) if with_bias else None
    expected, fits = HOST.round_rows(definition(weights, x), bias, shift, NO_LIMIT)
    assert fits
    largest = int(np.abs(expected).max())
    matrix = Matrix.of(weights)
    assert matrix.lengths is not None
    lengths = matrix.lengths
    for limit in (largest + 1, largest, 1):
        found, fits = matrix.multiply_rounded(x, bias, shift, limit)
        np.testing.assert_array_equal(found, expected)
        assert fits is bool(expected.min() >= -limit and expected.max() < limit)
        own = bias if with_bias else word_gemm.NONE
        arguments = (lengths.place, lengths.of_fours, lengths.usual, lengths.largest, x, own, shift, limit)
        in_threads = (
            word_gemm._multiply_in_threads if rows < MANY_ROWS else word_gemm._multiply_many_in_threads
        )
        for parts in (1, 2, 3):
            by_parts = in_threads(*arguments, parts)
            np.testing.assert_array_equal(by_parts[0], expected)
            assert by_parts[1] is fits


@pytest.mark.parametrize(
    ("value", "fits"), [(2**15 - 1, True), (2**15, False), (-(2**15), True), (-(2**15) - 1, False)]
)
@pytest.mark.parametrize("place", [(0, 0), (MANY_ROWS - 1, 74), (17, 63), (17, 64), (3, 67)])
@pytest.mark.parametrize("fewer", [0, 1])
def test_a_value_at_its_limit_is_seen_wherever_it_stands(
    value: int, fits: bool, place: tuple[int, int], fewer: int
) -> None:
    weights, x = np.zeros((75, 2), dtype=np.int16), np.zeros((MANY_ROWS - fewer, 2), dtype=np.int64)
    place = place[0] * (MANY_ROWS - fewer) // MANY_ROWS, place[1]
    weights[place[1], 1], x[place[0], 1] = 2, value
    found, inside = Matrix.of(weights).multiply_rounded(x, None, 1, 2**15)
    assert inside is fits and found[place] == value and np.count_nonzero(found) == 1


@pytest.mark.parametrize(
    ("rows", "shape", "dtype"),
    [
        (MANY_ROWS - 1, (9, 8), np.int16),
        (40, (7, 8), np.int16),
        (40, (9, 7), np.int16),
        (40, (9, 8), np.int32),
    ],
)
def test_what_has_no_columns_or_no_words_is_rounded_alike(
    rows: int, shape: tuple[int, int], dtype: type[np.signedinteger]
) -> None:
    generator = np.random.default_rng(rows)
    weights = generator.integers(-99, 99, shape).astype(dtype)
    x, bias = generator.integers(-(2**20), 2**20, (rows, shape[1])), generator.integers(-9, 9, shape[0])
    found, fits = Matrix.of(weights).multiply_rounded(x, bias, 5, NO_LIMIT)
    np.testing.assert_array_equal(found, (definition(weights, x) + bias + 16) >> 5)
    assert fits


def test_a_bias_of_another_width_is_refused() -> None:
    """Kernels do not look at bounds."""
    matrix = Matrix.of(np.ones((8, 8), dtype=np.int16))
    with pytest.raises(ValueError, match="bias"):
        matrix.multiply_rounded(np.ones((MANY_ROWS, 8), dtype=np.int64), np.ones(7, dtype=np.int64), 1, 9)


@pytest.mark.parametrize("rows", [MANY_ROWS - 1, MANY_ROWS, MANY_ROWS + 1])
@pytest.mark.parametrize("shape", [(7, 64), (8, 64), (8, 63), (64, 64)])
def test_columns_or_rows_are_chosen_by_shape_alone(
    rows: int, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(rows)
    weights = generator.integers(SMALLEST, 2**15, shape).astype(np.int16)
    x = generator.integers(-(2**20), 2**20, (rows, shape[1]))
    called = []
    for name in ("_multiply", "_multiply_many"):
        multiply = getattr(word_gemm, name)
        monkeypatch.setattr(
            word_gemm, name, lambda *a, name=name, multiply=multiply: (called.append(name), multiply(*a))[1]
        )
    np.testing.assert_array_equal(multiply_exactly(weights, x), definition(weights, x))
    many = rows >= MANY_ROWS and shape[0] >= TILE_ROWS and shape[1] % 2 == 0
    assert called == ["_multiply_many" if many else "_multiply"]


def test_weights_are_read_as_they_lie() -> None:
    """Inputs in the middle of a matrix, and outputs in front of memory that is not theirs."""
    generator = np.random.default_rng(6)
    whole = generator.integers(SMALLEST, 2**15, (13, 90)).astype(np.int16)
    x = generator.integers(-(2**12), 2**12, (3, 37))
    part = whole[2:9, 21:58]
    np.testing.assert_array_equal(both(part, x), definition(part, x))
    np.testing.assert_array_equal(multiply_exactly(part, x), definition(part, x))
    part = whole[2:12, 22:58]
    np.testing.assert_array_equal(both(part, x[:, 1:]), definition(part, x[:, 1:]))


@pytest.mark.parametrize(
    "weights",
    [
        np.ones((3, 8), dtype=np.int16),
        np.ones((8, 8), dtype=np.int32),
        np.ones((8, 8), dtype=np.int16).T[:, ::-1],
        np.full((4, 1 << 16), SMALLEST, dtype=np.int16),
    ],
    ids=["few outputs", "wide", "not in rows", "too long"],
)
def test_what_words_cannot_take_goes_through_floats(weights: np.ndarray) -> None:
    assert lengths_of(weights) is None
    x = np.arange(2 * weights.shape[1], dtype=np.int64).reshape(2, -1)
    np.testing.assert_array_equal(multiply_exactly(Matrix.of(weights), x), definition(weights, x))


def test_zero_weights_and_zero_rows() -> None:
    weights = np.zeros((5, 40), dtype=np.int16)
    x = np.full((2, 40), 2**31)
    assert not both(weights, x).any()
    assert both(np.ones((4, 40), dtype=np.int16), np.zeros((0, 40), dtype=np.int64)).shape == (0, 4)
