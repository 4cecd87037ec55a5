"""Products of 16-bit weights with many rows of words (word_gemm.py), which lie in columns beside them.

Weights are read as they lie, eight outputs at a time, and each pair of a weight's words meets 32 columns at once, so that nothing is added
across a vector. Sums of some outputs stay in the caches until they are put into rows of the result, whole lines of the cache at a time.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..word_products import LANES, TILE_COLUMNS, TILE_ROWS, pack_pairs, products_of_tile, put_columns

_WORDS_OF_COLUMNS = 1 << 18
"""What the second cache keeps of columns while outputs pass."""
_OUTPUTS_AT_ONCE = 8 * TILE_ROWS
"""What it keeps of weights while columns pass, and whose sums are put together."""

Place = tuple[int, int, int, int]
Columns = tuple[np.ndarray, np.ndarray, np.ndarray, int]
"""Words in columns, (columns / 16, pairs, 16) pairs; which row of the result and which power of two each belongs to; how many there are."""


@njit(nogil=True, cache=True)
def columns_of(words: np.ndarray, places: np.ndarray, shifts: np.ndarray) -> Columns:
    """Rows of words, (rows, multiple of 32) int16, as columns; zero, of row 0, behind the last, up to a multiple of 32 and 16 more."""
    rows, pairs = words.shape[0], words.shape[1] // 2
    count = -(-rows // TILE_COLUMNS) * TILE_COLUMNS
    packed = np.empty((count // LANES, pairs, LANES), dtype=np.int32)
    for block in range(count // LANES):
        first = block * LANES
        if first + LANES <= rows:
            for pair in range(0, pairs, LANES):
                source, target = words[first:, 2 * pair :].ctypes.data, packed[block, pair:].ctypes.data
                pack_pairs(source, words.strides[0], target)
            continue
        packed[block] = 0
        for lane in range(rows - first):
            for pair in range(pairs):
                low = np.int32(words[first + lane, 2 * pair]) & 0xFFFF
                packed[block, pair, lane] = low | (np.int32(words[first + lane, 2 * pair + 1]) << 16)
    all_places, all_shifts = (
        np.zeros(count + LANES, dtype=np.int64),
        np.zeros(count + LANES, dtype=np.int64),
    )
    all_places[:rows], all_shifts[:rows] = places, shifts
    return packed, all_places, all_shifts, rows


@njit(nogil=True, cache=True)
def multiply_columns(
    matrix: Place,
    of_fours: np.ndarray,
    largest: float,
    twice: tuple[Columns, Columns, float],
    rounding: tuple[np.ndarray, int, int],
    result: np.ndarray,
    eights: tuple[int, int],
) -> bool:
    """The products with every eight outputs from `eights[0]` to `eights[1]`, rounded while they are in the cache.

    twice: columns for all outputs, those for outputs with norms up to a bound, and the bound: 0 where all take the first.
    rounding: bias (outputs,) or (0,), shift and limit as of `row_passes.round_rows`, whose answer it returns; shift 0 leaves sums as they are.
    """
    whole, fewer, middle = twice
    bias, shift, limit = rounding
    count = len(whole[1]) - LANES
    sums = np.empty((_OUTPUTS_AT_ONCE, min(_columns_at_once(matrix[3]), count) + LANES), dtype=np.int32)
    fits = True
    for first in range(eights[0], eights[1], _OUTPUTS_AT_ONCE // TILE_ROWS):
        some = (first, min(first + _OUTPUTS_AT_ONCE // TILE_ROWS, eights[1]))
        if middle > 0:
            _multiply_chosen(matrix, of_fours, 0.0, middle, fewer, some, sums, result)
        _multiply_chosen(matrix, of_fours, middle, largest, whole, some, sums, result)
        if shift > 0:
            outputs = (TILE_ROWS * some[0], min(TILE_ROWS * some[1], matrix[2]))
            fits = round_outputs(result, outputs, bias, shift, limit) and fits
    return fits


@njit(nogil=True, cache=True)
def _columns_at_once(inputs: int) -> int:
    return max(1, _WORDS_OF_COLUMNS // (inputs * TILE_COLUMNS)) * TILE_COLUMNS


@njit(nogil=True, cache=True)
def round_outputs(
    result: np.ndarray, outputs: tuple[int, int], bias: np.ndarray, shift: int, limit: int
) -> bool:
    """`row_passes.round_rows` of some outputs, in their place."""
    half, low, high = np.int64(1) << (shift - 1), np.int64(0), np.int64(0)
    for row in range(result.shape[0]):
        own = result[row, outputs[0] : outputs[1]]
        if bias.shape[0]:
            own += bias[outputs[0] : outputs[1]]
        for i in range(own.shape[0]):
            value = (own[i] + half) >> shift
            low, high = min(low, value), max(high, value)
            own[i] = value
    return bool(-limit <= low and high < limit)


@njit(nogil=True, cache=True)
def _multiply_chosen(
    matrix: Place,
    of_fours: np.ndarray,
    low: float,
    high: float,
    columns: Columns,
    eights: tuple[int, int],
    sums: np.ndarray,
    result: np.ndarray,
) -> None:
    """The products of all columns with those eights of outputs whose norms are in (low, high]."""
    chosen, found = np.empty(eights[1] - eights[0], dtype=np.int64), 0
    for eight in range(eights[0], eights[1]):
        norm = max(of_fours[2 * eight], of_fours[min(2 * eight + 1, len(of_fours) - 1)])
        if low < norm <= high:
            chosen[found] = eight
            found += 1
    count, at_once = len(columns[1]) - LANES, _columns_at_once(matrix[3])
    for start in range(0, count, at_once):
        some = (start, min(start + at_once, count))
        _multiply_some(matrix, chosen[:found], columns, some, sums, result)


@njit(nogil=True, cache=True)
def _multiply_some(
    matrix: Place,
    chosen: np.ndarray,
    columns: Columns,
    some: tuple[int, int],
    sums: np.ndarray,
    result: np.ndarray,
) -> None:
    """The products of the columns from `some[0]` to `some[1]` with the chosen eights of outputs."""
    packed, places, shifts, rows_of_words = columns
    address, step, outputs, inputs = matrix
    for column in range(some[0], some[1], TILE_COLUMNS):
        x = packed[column // LANES :].ctypes.data
        for number in range(len(chosen)):
            output = min(TILE_ROWS * chosen[number], outputs - TILE_ROWS)
            products_of_tile(
                address + output * step,
                step,
                x,
                packed.strides[0],
                inputs // 2,
                sums[number * TILE_ROWS :, column - some[0] :].ctypes.data,
                sums.strides[0],
            )
    column, rows = some[0], result.shape[0]
    last = min(some[1], rows_of_words)
    while column < last:
        adds = column >= rows  # the first rows of words of all rows come first
        count = min(LANES, (last if adds else min(last, rows)) - column)
        for number in range(len(chosen)):
            output = min(TILE_ROWS * chosen[number], outputs - TILE_ROWS)
            put_columns(
                sums[number * TILE_ROWS :, column - some[0] :].ctypes.data,
                sums.strides[0],
                places[column:].ctypes.data,
                shifts[column:].ctypes.data,
                count,
                result[:, output:].ctypes.data,
                result.strides[0],
                TILE_ROWS * chosen[number] - output,  # the last eight overlap those in front
                adds,
            )
        column += count
