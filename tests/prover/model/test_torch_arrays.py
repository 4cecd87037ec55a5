"""Every pass over rows gives the same integers on tensors as compiled, at the borders of int64 and of ranges, and for negative numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from prover.arrays import NO_LIMIT
from prover.model.torch_arrays import TorchArrays
from prover.operators.host_arrays import HOST
from prover.program import WINDOW_ROWS

TENSORS = TorchArrays(torch.device("cpu"))
generator = np.random.default_rng(8)
X = generator.integers(-(2**31), 2**31, (5, 12))
LIMIT = 2**15


def same(found: Any, expected: Any) -> None:
    """Rows and whether they fit, or rows alone."""
    if isinstance(expected, tuple):
        assert found[1] is bool(expected[1])
        found, expected = found[0], expected[0]
    assert isinstance(found, torch.Tensor) and found.dtype == torch.int64
    np.testing.assert_array_equal(TENSORS.host(found), expected)


def there(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [TENSORS.of(array) for array in arrays]


@pytest.mark.parametrize("shift", [1, 7, 16])
def test_rounding_is_half_up_for_negative_sums_too(shift: int) -> None:
    bias = generator.integers(-(2**20), 2**20, 12)
    for some in (None, bias):
        found = TENSORS.round_rows(TENSORS.of(X), None if some is None else TENSORS.of(some), shift, NO_LIMIT)
        same(found, HOST.round_rows(X.copy(), some, shift, NO_LIMIT))
    halves = np.array([[-5, -4, -3, -2, -1, 0, 1, 2, 3]])
    assert TENSORS.round_rows(TENSORS.of(halves), None, 1, NO_LIMIT)[0].tolist() == [
        [-2, -2, -1, -1, 0, 0, 1, 1, 2]
    ]


def test_sums_and_products_are_those_of_int64() -> None:
    y = X[::-1].copy()
    same(TENSORS.add_rows(*there(X, y), NO_LIMIT), HOST.add_rows(X, y, NO_LIMIT))
    same(TENSORS.multiply_rows(*there(X, y), 14, NO_LIMIT), HOST.multiply_rows(X, y, 14, NO_LIMIT))
    gates = generator.integers(0, 2**16, 5)
    same(TENSORS.multiply_rows(*there(gates, X), 12, NO_LIMIT), HOST.multiply_rows(gates, X, 12, NO_LIMIT))


def test_what_passes_the_border_of_int64_wraps_alike() -> None:
    """A norm multiplies modulo 2^64, which its bounds make exact: root and gain at their ends."""
    root, gain = np.array([1, 2**31, 2**32 - 1, 3, 0]), generator.integers(-(2**23), 2**23, 12)
    for some in (None, gain):
        found = TENSORS.scale_rows(
            TENSORS.of(X), root, None if some is None else TENSORS.of(some), 16, NO_LIMIT
        )
        same(found, HOST.scale_rows(X, root, some, 16, NO_LIMIT))
    squares, largest = TENSORS.sum_squares(TENSORS.of(X * 4))
    expected, most = HOST.sum_squares(X * 4)
    assert np.array_equal(squares, expected) and largest == pytest.approx(most)
    assert TENSORS.sum_squares(TENSORS.of(X[:0]))[0].shape == (0,)


@pytest.mark.parametrize("value", [LIMIT - 1, LIMIT, -LIMIT, -LIMIT - 1])
def test_a_range_ends_where_it_does(value: int) -> None:
    y = np.zeros((3, 4), dtype=np.int64)
    y[1, 2] = value
    fits = -LIMIT <= value < LIMIT
    assert TENSORS.fits(TENSORS.of(y), LIMIT) is HOST.fits(y, LIMIT) is fits
    same(TENSORS.add_rows(*there(y, 0 * y), LIMIT), HOST.add_rows(y, 0 * y, LIMIT))
    same(TENSORS.multiply_rows(*there(y, 0 * y + 2), 1, LIMIT), HOST.multiply_rows(y, 0 * y + 2, 1, LIMIT))
    assert TENSORS.round_rows(TENSORS.of(2 * y), None, 1, LIMIT)[1] is fits
    assert TENSORS.scale_rows(TENSORS.of(2 * y), np.ones(3, np.int64), None, 1, LIMIT)[1] is fits
    table = generator.integers(-9, 9, 2 * LIMIT)
    found, expected = TENSORS.look_up_rows(TENSORS.of(y), table), HOST.look_up_rows(y, table)
    assert found[1] is bool(expected[1]) is fits
    if fits:
        same(found, expected)


def test_no_rows_are_within_every_range() -> None:
    empty = np.zeros((0, 4), dtype=np.int64)
    assert TENSORS.fits(TENSORS.of(empty), 1) and HOST.fits(empty, 1)


def test_pairs_of_channels_turn_alike() -> None:
    x = generator.integers(-(2**20), 2**20, (5, 3, 4))
    cosine, sine = generator.integers(-(2**14), 2**14, (2, 9, 8))  # padded tables have more channels
    positions = np.array([4, 0, 8, 1, 1])
    found = TENSORS.turn_rows(TENSORS.of(x), positions, (cosine, sine), 14, NO_LIMIT)
    same(found, HOST.turn_rows(x, positions, (cosine, sine), 14, NO_LIMIT))


def test_rows_are_joined_and_padded_alike() -> None:
    for name, arguments in (("join", (1,)), ("join", (-1,)), ("stack", (1,)), ("stack", (0,))):
        method = getattr(TENSORS, name)
        same(method(there(X, X + 1), *arguments), getattr(HOST, name)([X, X + 1], *arguments))
    for axis in (0, 1):
        same(TENSORS.pad_end(TENSORS.of(X), axis, 3), HOST.pad_end(X, axis, 3))


def test_neither_side_writes_what_the_other_reads() -> None:
    own = X.copy()
    tensor = TENSORS.of(own)
    own[0] = 0
    copied = TENSORS.copy(tensor)
    copied += 1
    same(tensor, X)
    assert TENSORS.of(tensor) is tensor and TENSORS.host(X) is X
    assert TENSORS.constant(X) is TENSORS.constant(X)


def _attention(rows: int, start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    query = generator.integers(-900, 900, (rows, 2, 3, 8))
    keys = generator.integers(-900, 900, (2, start + rows, 8)).astype(np.int32)
    return query, keys, generator.integers(-9000, 9000, (2, start + rows, 6)).astype(np.int32)


@pytest.mark.parametrize("at_once", [1, 1 << 22])
@pytest.mark.parametrize(("rows", "start"), [(1, 0), (1, 70), (31, 5), (40, 0), (70, 33)])
@pytest.mark.parametrize("reach", [1, 32, 1 << 15])
def test_attention_is_that_of_compiled_passes(rows: int, start: int, reach: int, at_once: int) -> None:
    """Of few rows and of many, with a limited reach, all at once or row by row."""
    tensors = TorchArrays(torch.device("cpu"), at_once)
    arrays = _attention(rows, start)
    same(tensors.attend(*there(*arrays), start, reach, 6), HOST.attend(*arrays, start, reach, 6))


@pytest.mark.parametrize("at_once", [1, 20_000, 1 << 22])
@pytest.mark.parametrize("second", [0, 4])
@pytest.mark.parametrize(("first_group", "reach"), [(0, 1 << 15), (1, 1 << 15), (0, 40)])
def test_attention_over_shared_blocks_is_that_of_compiled_passes(
    first_group: int, reach: int, second: int, at_once: int
) -> None:
    """Sequences of different lengths, some with several rows, groups that the model does not have, second parts of keys."""
    tensors = TorchArrays(torch.device("cpu"), at_once)
    keys, more, values = (
        generator.integers(-900, 900, (7, 3, WINDOW_ROWS, size)).astype(np.int32) for size in (8, second, 6)
    )
    query = generator.integers(-900, 900, (9, 3, 2, 8 + second))
    places = (
        np.array([0, 2, 3, 4, 8]),
        np.array([0, 1, 1, 1, 2]),
        np.array([95, 31, 32, 33, 0]),
        np.array([[3, 0, 6], [5, 2, 0], [1, 0, 0]]),
    )
    before = generator.integers(-9, 9, (9, 3, 2, 6))
    expected, found = before.copy(), TENSORS.of(before)
    HOST.attend_blocks(query, places, (keys, more, values), first_group, reach, 6, expected)
    tensors.attend_blocks(
        TENSORS.of(query), places, tuple(there(keys, more, values)), first_group, reach, 6, found
    )
    same(found, expected)
    assert np.array_equal(expected[[1, 5, 6, 7]], before[[1, 5, 6, 7]])


def test_a_score_that_is_not_seen_counts_nothing_however_large_it_is() -> None:
    """A key of the future far above all others, and one beyond the reach."""
    query, keys, values = _attention(4, 4)
    keys[:, 0], keys[:, 7] = 2**20 * np.sign(query[0, :, 0]), 2**20
    expected = HOST.attend(query, keys, values, 4, 4, 6)
    same(TENSORS.attend(*there(query, keys, values), 4, 4, 6), expected)
    changed = values.copy()
    changed[:, 0], changed[:, 7] = 0, 0
    found = TENSORS.attend(*there(query, keys, changed), 4, 4, 6)
    assert np.array_equal(TENSORS.host(found)[:3], expected[:3])
