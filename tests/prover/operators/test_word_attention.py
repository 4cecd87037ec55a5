"""Attention in 16-bit words: the integers of the passes by float64 for any shape, at every bound, by one thread or by all."""

from __future__ import annotations

from math import isqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prover.operators import host_arrays, word_attention
from prover.operators.host_arrays import HOST
from prover.operators.row_passes import attend_rows
from prover.tables import exponential_table
from prover.word_products import SUM_LIMIT

pytestmark = pytest.mark.skipif(not word_attention.AVAILABLE, reason="needs a CPU with AVX-512 VNNI")

SMALLEST, LARGEST = -(2**15), 2**15 - 1
EVERYTHING = 1 << 15
generator = np.random.default_rng(21)


def in_words(
    query: np.ndarray, keys: np.ndarray, values: np.ndarray, start: int, reach: int, shift: int
) -> np.ndarray:
    """By one thread, which what all threads give equals, in every number of parts."""
    y = np.full((*query.shape[:3], values.shape[2]), 77)
    assert word_attention.attend_in_words(query, keys, values, start, reach, shift, y)
    low = max(0, start + 1 - reach)
    kept = (np.ascontiguousarray(array, dtype=np.int32) for array in (keys, values))
    arguments = (query, *kept, start, low, reach, shift, word_attention._weights())
    single = np.full_like(y, 78)
    word_attention._attend(*arguments, single)
    np.testing.assert_array_equal(y, single)
    for parts in (1, 2, 3):
        found = np.full_like(y, 79)
        word_attention._attend_in_threads(*arguments, found, parts)
        np.testing.assert_array_equal(found, single)
    return single


def by_rows(
    query: np.ndarray, keys: np.ndarray, values: np.ndarray, start: int, reach: int, shift: int
) -> np.ndarray:
    y = np.empty((*query.shape[:3], values.shape[2]), dtype=np.int64)
    attend_rows(query, keys, values, start, reach, shift, exponential_table(), y)
    return y


def by_matrices(
    query: np.ndarray, keys: np.ndarray, values: np.ndarray, start: int, reach: int, shift: int
) -> np.ndarray:
    y = np.empty((*query.shape[:3], values.shape[2]), dtype=np.int64)
    host_arrays._attend_many(query, keys, values, start, reach, shift, y)
    return y


def definition(
    query: np.ndarray, keys: np.ndarray, values: np.ndarray, start: int, reach: int, shift: int
) -> np.ndarray:
    """In Python's integers."""
    y = np.empty((*query.shape[:3], values.shape[2]), dtype=np.int64)
    table = exponential_table().astype(object)
    for row, group, head in np.ndindex(*query.shape[:3]):
        end = start + row + 1
        seen = slice(max(0, end - reach), end)
        scores = keys[group, seen].astype(object) @ query[row, group, head].astype(object)
        weights = np.array([table[min((max(scores) - score) >> shift, 1 << 16)] for score in scores])
        total = weights.sum()
        y[row, group, head] = (2 * (weights @ values[group, seen].astype(object)) + total) // (2 * total)
    return y


@settings(max_examples=60, deadline=None)
@given(
    rows=st.sampled_from([1, 3, 8, 33]),
    groups=st.sampled_from([1, 3]),
    queries=st.sampled_from([1, 3]),
    size=st.sampled_from([1, 2, 7, 16, 33]),
    channels=st.sampled_from([1, 5, 16, 32, 40]),
    start=st.sampled_from([0, 1, 31, 40, 300]),
    reach=st.sampled_from([1, 32, 64, EVERYTHING]),
    more=st.sampled_from([0, 50]),
    shift=st.integers(1, 16),
    bits=st.integers(1, 12),
    seed=st.integers(0, 2**32),
)
def test_every_shape_and_width_gives_the_integers_of_the_other_passes(
    rows: int,
    groups: int,
    queries: int,
    size: int,
    channels: int,
    start: int,
    reach: int,
    more: int,
    shift: int,
    bits: int,
    seed: int,
) -> None:
    generator = np.random.default_rng(seed)
    query = generator.integers(-(2**bits), 2**bits, (rows, groups, queries, size))
    keys = generator.integers(-(2**bits), 2**bits, (groups, start + rows + more, size)).astype(np.int32)
    values = generator.integers(SMALLEST, 2**15, (groups, start + rows + more, channels)).astype(np.int32)
    keys[:, start + rows :], values[:, start + rows :] = 2**30, -(2**30)  # nobody's: never looked at
    case = (query, keys, values, start, reach, shift)
    expected = by_rows(*case)
    np.testing.assert_array_equal(in_words(*case), expected)
    np.testing.assert_array_equal(by_matrices(*case), expected)


@pytest.mark.parametrize("value", [SMALLEST, -1, 0, LARGEST])
@pytest.mark.parametrize("reach", [256, 320, EVERYTHING])
def test_sums_of_equal_weights_are_the_largest(value: int, reach: int) -> None:
    """All scores equal: every weight is 65535, whose digits are 255, over more positions than 32 bits have room for."""
    query = np.zeros((40, 2, 1, 6), dtype=np.int64)
    keys = generator.integers(SMALLEST, 2**15, (2, 700, 6)).astype(np.int32)
    values = np.full((2, 700, 33), value, dtype=np.int32)
    found = in_words(query, keys, values, 660, reach, 5)
    assert (found == value).all()


def test_extreme_values_of_every_sign() -> None:
    query = generator.choice([-181, 181], (35, 1, 2, 8))
    keys = generator.choice([SMALLEST, LARGEST], (1, 335, 8)).astype(np.int32)
    values = generator.choice([SMALLEST, LARGEST], (1, 335, 9)).astype(np.int32)
    for shift in (1, 8, 14, 16):  # from all saturated but the largest to all nearly equal
        case = (query, keys, values, 300, EVERYTHING, shift)
        np.testing.assert_array_equal(in_words(*case), definition(*case))


@pytest.mark.parametrize("size", [1, 4, 37, 64])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_longest_queries_and_keys_that_words_take_and_the_first_that_they_do_not(
    size: int, sign: int
) -> None:
    """Along each other, where the product of norms is the score; distances of the largest and the smallest reach 2^32."""
    length = 2**14
    most = min(int(SUM_LIMIT / (length * size)), LARGEST)
    for value in (most - 1, most, most + 1, 2 * most):
        query = np.full((33, 1, 1, size), sign * value)
        keys = np.full((1, 33, size), length, dtype=np.int32)
        keys[0, ::2] *= -1
        keys[0, 5] = 0
        values = generator.integers(SMALLEST, 2**15, (1, 33, 3)).astype(np.int32)
        case = (query, keys, values, 0, EVERYTHING, 16)
        fits = SMALLEST <= sign * value <= LARGEST and value * length * size < SUM_LIMIT
        if fits:
            np.testing.assert_array_equal(in_words(*case), definition(*case))
        else:
            y = np.full((33, 1, 1, 3), 5)
            assert not word_attention.attend_in_words(*case, y)
            assert (y == 5).all()
        np.testing.assert_array_equal(HOST.attend(*case), definition(*case))


@pytest.mark.parametrize("which", ["query", "key", "value"])
@pytest.mark.parametrize(
    ("entry", "fits"), [(LARGEST, True), (SMALLEST, True), (2**15, False), (-(2**15) - 1, False)]
)
def test_one_entry_of_17_bits_is_left_to_float64(which: str, entry: int, fits: bool) -> None:
    query = generator.integers(-9, 9, (32, 2, 2, 4))
    keys = generator.integers(-9, 9, (2, 40, 4)).astype(np.int32)
    values = generator.integers(-9, 9, (2, 40, 5)).astype(np.int32)
    {"query": query[31, 1, 1], "key": keys[1, 39], "value": values[1, 39]}[which][-1] = entry
    case = (query, keys, values, 8, EVERYTHING, 3)
    y = np.empty((32, 2, 2, 5), dtype=np.int64)
    assert word_attention.attend_in_words(*case, y) is fits
    np.testing.assert_array_equal(HOST.attend(*case), definition(*case))


def test_what_is_out_of_reach_is_not_looked_at() -> None:
    """A wide key that no row sees does not send the others through float64."""
    query = generator.integers(-9, 9, (32, 1, 1, 4))
    keys, values = generator.integers(-9, 9, (2, 1, 96, 4)).astype(np.int32)
    keys[0, 32], values[0, 32] = 2**20, 2**20
    case = (query, keys, values, 64, 32, 3)
    np.testing.assert_array_equal(in_words(*case), definition(*case))


def test_rows_that_do_not_lie_side_by_side() -> None:
    """As those of a pass of several sequences, and in wider integers."""
    query = generator.integers(-900, 900, (34, 2, 3, 6))
    keys, values = (generator.integers(-900, 900, (34, 2, 6)).swapaxes(0, 1) for _ in range(2))
    case = (query, keys, values, 0, EVERYTHING, 6)
    np.testing.assert_array_equal(in_words(*case), definition(*case))
    np.testing.assert_array_equal(HOST.attend(query[::-1][::-1], *case[1:]), definition(*case))


def test_long_texts_are_taken_fewer_rows_at_a_time() -> None:
    positions = word_attention._SCORES_AT_ONCE // word_attention.TILE_ROWS + 60
    query = generator.integers(-900, 900, (12, 1, 2, 4))
    keys, values = generator.integers(-900, 900, (2, 1, positions, 4)).astype(np.int32)
    case = (query, keys, values, positions - 12, EVERYTHING, 7)
    np.testing.assert_array_equal(in_words(*case), by_rows(*case))


@pytest.mark.parametrize("available", [True, False])
def test_the_portable_pass_gives_the_same(monkeypatch: pytest.MonkeyPatch, available: bool) -> None:
    monkeypatch.setattr(host_arrays, "AVAILABLE", available)
    query = generator.integers(-900, 900, (70, 2, 2, 6))
    keys, values = generator.integers(-900, 900, (2, 2, 80, 6)).astype(np.int32)
    for reach in (32, EVERYTHING):
        case = (query, keys, values, 10, reach, 6)
        np.testing.assert_array_equal(HOST.attend(*case), definition(*case))


def test_the_bound_has_room_for_rounded_norms() -> None:
    """The product of two norms that are rounded up is still below 2^31."""
    assert isqrt(int(SUM_LIMIT) ** 2) < 2**31 - 2**10
    assert 2 * 128 * 255 * 2**15 < 2**31
