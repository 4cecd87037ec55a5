"""Attention of many rows in 16-bit words, on AVX-512 VNNI (word_products.py).

MEANING    what `row_passes.attend_rows` gives, for queries, keys and values of 16 bits whose norms meet the bound.
BOUNDS     scores      |q . k|  <=  |q| |k|  <  2^31         (Cauchy and Schwarz), looked at for the longest of each
           mean        e = 2^8 e_1 + e_0 with both digits below 2^8, and 256 positions at a time:
                       |sum_u e_l v|  <=  256 255 2^15  <  2^31;  these sums are put together in float64, below 2^53
           distances   m - score < 2^32, and z = (m - score) >> shift is looked up in what of the exponential table is not zero
REFUSED    never: what does not fit is left to float64, `attend_in_words` says so.

Keys lie in pairs of channels and values in pairs of positions, 16 columns side by side. Scores of some rows stay in the second cache
until their weights are applied.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import get_num_threads, njit, prange

from ..other_threads import other_threads
from ..tables import EXPONENTIAL_DIGIT_BITS, exponential_table
from ..word_products import AVAILABLE, LANES, SUM_LIMIT, TILE_COLUMNS, TILE_ROWS, products_of_tile
from .row_passes import divide_row

__all__ = ["AVAILABLE", "attend_in_words", "compile_word_attention"]

_POSITIONS_AT_ONCE = 256
"""Of a mean, in 32 bits."""
_SCORES_AT_ONCE, _ROWS_AT_MOST = 1 << 16, 64
"""Of one task: with its weights, 8 bytes for each stay in the second cache."""
_PRODUCTS_PER_US = 40_000
"""Of queries with keys, their weights and means included, by one thread, about: what decides whether others are worth waking."""
_SATURATED = 1 << EXPONENTIAL_DIGIT_BITS


def attend_in_words(
    query: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    start: int,
    reach: int,
    shift: int,
    y: np.ndarray,
) -> bool:
    """Write y, (rows, groups, queries, value size) int64; False, and nothing written, where words do not hold what is there.

    query (rows, groups, queries, size) int64, one row behind the other, of positions start, start + 1, ...; keys (groups, positions, size) and values (groups,
    positions, value size), of less than 32 bits, which may have more positions than are at hand.
    """
    rows, groups, queries, size = query.shape
    known, low = start + rows, max(0, start + 1 - reach)
    keys, values = (np.ascontiguousarray(array, dtype=np.int32) for array in (keys, values))
    if not _fit(query, keys, values, low, known):
        return False
    arguments = (query, keys, values, start, low, reach, shift, _weights(), y)
    work = rows * (known - low) * groups * queries * size
    if not other_threads.take(work / _PRODUCTS_PER_US):
        _attend(*arguments)
        return True
    try:
        _attend_in_threads(*arguments, get_num_threads())
    finally:
        other_threads.give_back()
    return True


def compile_word_attention() -> None:
    """All kernels, on one row of zeros, where this machine has them."""
    if not AVAILABLE:
        return
    query, kept = np.zeros((1, 1, 1, 2), dtype=np.int64), np.zeros((1, 1, 2), dtype=np.int32)
    _fit(query, kept, kept, 0, 1)
    arguments = (query, kept, kept, 0, 0, 1, 1, _weights(), query.copy())
    _attend(*arguments)
    _attend_in_threads(*arguments, 1)


@cache
def _weights() -> np.ndarray:
    """The exponential table in 128 KiB, with one zero for all that is saturated."""
    table = exponential_table()[: _SATURATED + 1].astype(np.uint16)
    table.setflags(write=False)
    return table


# Reassociation lets the compiler add squares in vector lanes; they are exact below 2^53, and the bound has room beyond.
@njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nnan"})
def _longest(rows: np.ndarray) -> float:
    """The largest norm of rows (rows, size); infinity where an entry has more than 16 bits."""
    longest, least, most = 0.0, np.int64(0), np.int64(0)
    for row in range(rows.shape[0]):
        squares = 0.0
        for c in range(rows.shape[1]):
            entry = np.int64(rows[row, c])
            least, most = min(least, entry), max(most, entry)
            squares += np.float64(entry) * np.float64(entry)
        longest = max(longest, squares)
    return np.inf if least < -(1 << 15) or most >= 1 << 15 else np.sqrt(longest)


@njit(nogil=True, cache=True)
def _fit(query: np.ndarray, keys: np.ndarray, values: np.ndarray, low: int, known: int) -> bool:
    """Whether all that is seen meets the bounds."""
    key, value = 0.0, 0.0
    for group in range(keys.shape[0]):
        key = max(key, _longest(keys[group, low:known]))
        value = max(value, _longest(values[group, low:known]))
    longest = _longest(query.reshape(-1, query.shape[3]))
    return bool(longest * key < SUM_LIMIT and value < np.inf and longest < np.inf and key < np.inf)


@njit(nogil=True, cache=True)
def _pack_keys(keys: np.ndarray, packed: np.ndarray) -> None:
    """keys (positions, size) int32 to (positions / 16, pairs, 16) pairs of words, zero behind the last."""
    count, size = keys.shape
    for place in range(packed.shape[0] * LANES):
        block, lane = place // LANES, place % LANES
        if place >= count:
            packed[block, :, lane] = 0
            continue
        for pair in range(size // 2):
            packed[block, pair, lane] = (keys[place, 2 * pair] & 0xFFFF) | (keys[place, 2 * pair + 1] << 16)
        if size % 2:
            packed[block, size // 2, lane] = keys[place, size - 1] & 0xFFFF


@njit(nogil=True, cache=True)
def _pack_values(values: np.ndarray, packed: np.ndarray) -> None:
    """values (positions, channels) int32 to (channels / 16, pairs of positions, 16), zero behind the last."""
    count, channels = values.shape
    packed[-2:] = 0  # the last columns may be nobody's
    for pair in range(packed.shape[1]):
        first, second = 2 * pair, 2 * pair + 1
        for block in range(-(-channels // LANES)):
            for lane in range(min(LANES, channels - block * LANES)):
                c = block * LANES + lane
                left = values[first, c] & 0xFFFF if first < count else 0
                right = values[second, c] << 16 if second < count else 0
                packed[block, pair, lane] = left | right


@njit(nogil=True, cache=True)
def _weigh(
    scores: np.ndarray, begin: int, end: int, shift: int, table: np.ndarray, high: np.ndarray, low: np.ndarray
) -> float:
    """Scores from begin to end, which a query sees, become its weights, 2^8 high + low, zero elsewhere; returns their sum."""
    seen, high_seen, low_seen = scores[begin:end], high[begin:end], low[begin:end]
    most = seen[0]
    for u in range(seen.shape[0]):
        most = seen[u] if seen[u] > most else most
    largest = np.int64(most)
    for u in range(seen.shape[0]):
        seen[u] = min((largest - np.int64(seen[u])) >> shift, _SATURATED)
    for u in range(seen.shape[0]):
        seen[u] = table[np.uint32(seen[u])]
    total = np.int64(0)
    for u in range(seen.shape[0]):
        total += np.int64(seen[u])
        high_seen[u] = seen[u] >> 8
        low_seen[u] = seen[u] & 0xFF
    for digits in (high, low):
        digits[:begin] = 0
        digits[end:] = 0
    return np.float64(total)


@njit(nogil=True, cache=True)
def _mix(
    digits: np.ndarray,
    packed_values: np.ndarray,
    begin: int,
    rows: int,
    width: int,
    sums: np.ndarray,
    mixed: np.ndarray,
) -> None:
    """mixed[row] = sum over u < width of (2^8 digits[0, row, u] + digits[1, row, u]) values[begin + u]; sums is room for (2, rows, channels)."""
    channels = mixed.shape[1]
    mixed[:rows] = 0.0
    for u in range(0, width, _POSITIONS_AT_ONCE):
        pairs = min(_POSITIONS_AT_ONCE, width - u) // 2
        for column in range(0, channels, TILE_COLUMNS):
            y = packed_values[column // LANES :, (begin + u) // 2 :].ctypes.data
            for digit in range(2):
                for row in range(0, rows, TILE_ROWS):
                    products_of_tile(
                        digits[digit, row:, u:].ctypes.data,
                        digits.strides[1],
                        y,
                        packed_values.strides[0],
                        pairs,
                        sums[digit, row:, column:].ctypes.data,
                        sums.strides[1],
                    )
        for row in range(rows):
            for c in range(channels):
                mixed[row, c] += 256.0 * np.float64(sums[0, row, c]) + np.float64(sums[1, row, c])


@njit(nogil=True, cache=True)
def _score(
    words: np.ndarray, packed_keys: np.ndarray, begin: int, rows: int, width: int, scores: np.ndarray
) -> None:
    """scores[row, u] = words[row] . keys[begin + u], u < width."""
    for column in range(0, width, TILE_COLUMNS):
        y = packed_keys[(begin + column) // LANES :].ctypes.data
        for row in range(0, rows, TILE_ROWS):
            products_of_tile(
                words[row:].ctypes.data,
                words.strides[0],
                y,
                packed_keys.strides[0],
                packed_keys.shape[1],
                scores[row:, column:].ctypes.data,
                scores.strides[0],
            )


@njit(nogil=True, cache=True)
def _attend_part(
    query: np.ndarray,
    packed_keys: np.ndarray,
    packed_values: np.ndarray,
    start: int,
    low: int,
    reach: int,
    shift: int,
    table: np.ndarray,
    y: np.ndarray,
    part: int,
    parts: int,
) -> None:
    """One part of the rows of y: some at a time, the queries of a row side by side, and the next ones by turns, since later rows see more.

    packed_keys (groups, positions / 16, pairs, 16), packed_values (groups, channels / 16, pairs of positions, 16), from `low` on.
    """
    rows, groups, queries, size = query.shape
    channels, positions = y.shape[3], 2 * packed_values.shape[2]
    at_once = min(_ROWS_AT_MOST, max(TILE_ROWS, _SCORES_AT_ONCE // positions // TILE_ROWS * TILE_ROWS))
    words = np.zeros((at_once, 2 * packed_keys.shape[2]), dtype=np.int16)
    scores = np.empty((at_once, positions), dtype=np.int32)
    digits = np.empty((2, at_once, positions), dtype=np.int16)
    sums = np.empty((2, at_once, packed_values.shape[1] * LANES), dtype=np.int32)
    mixed, totals = np.empty(sums.shape[1:]), np.empty(at_once)
    for task in range(part, -(-rows * queries // at_once) * groups, parts):
        group, first = task % groups, task // groups * at_once
        count = min(at_once, rows * queries - first)
        whole = -(-count // TILE_ROWS) * TILE_ROWS
        begin = max(0, start + first // queries + 1 - reach - low) // TILE_COLUMNS * TILE_COLUMNS
        seen = start + (first + count - 1) // queries + 1 - low - begin
        width = -(-seen // TILE_COLUMNS) * TILE_COLUMNS
        for place in range(count):
            own = query[(first + place) // queries, group, (first + place) % queries]
            for c in range(size):
                words[place, c] = own[c]
        _score(words, packed_keys[group], begin, whole, width, scores)
        for place in range(count):
            end = start + (first + place) // queries + 1
            left, right = max(low, end - reach) - low - begin, end - low - begin
            own_digits = digits[0, place, :width], digits[1, place, :width]
            totals[place] = _weigh(scores[place, :width], left, right, shift, table, *own_digits)
        _mix(digits, packed_values[group], begin, whole, width, sums, mixed)
        for place in range(count):
            target = y[(first + place) // queries, group, (first + place) % queries]
            divide_row(mixed[place, :channels], totals[place], target)


@njit(nogil=True, cache=True)
def _room(keys: np.ndarray, values: np.ndarray, positions: int) -> tuple[np.ndarray, np.ndarray]:
    """For packed keys and values of so many positions."""
    groups, size, channels = keys.shape[0], keys.shape[2], values.shape[2]
    whole = -(-positions // TILE_COLUMNS) * TILE_COLUMNS
    columns = -(-channels // TILE_COLUMNS) * TILE_COLUMNS
    packed_keys = np.empty((groups, whole // LANES, -(-size // 2), LANES), dtype=np.int32)
    packed_values = np.empty((groups, columns // LANES, whole // 2, LANES), dtype=np.int32)
    return packed_keys, packed_values


@njit(nogil=True, cache=True)
def _attend(
    query: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    start: int,
    low: int,
    reach: int,
    shift: int,
    table: np.ndarray,
    y: np.ndarray,
) -> None:
    known = start + query.shape[0]
    packed_keys, packed_values = _room(keys, values, known - low)
    for group in range(keys.shape[0]):
        _pack_keys(keys[group, low:known], packed_keys[group])
        _pack_values(values[group, low:known], packed_values[group])
    _attend_part(query, packed_keys, packed_values, start, low, reach, shift, table, y, 0, 1)


@njit(nogil=True, cache=True, parallel=True)
def _attend_in_threads(
    query: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    start: int,
    low: int,
    reach: int,
    shift: int,
    table: np.ndarray,
    y: np.ndarray,
    parts: int,
) -> None:
    known = start + query.shape[0]
    packed_keys, packed_values = _room(keys, values, known - low)
    for each in prange(2 * keys.shape[0]):
        if each % 2:
            _pack_keys(keys[each // 2, low:known], packed_keys[each // 2])
        else:
            _pack_values(values[each // 2, low:known], packed_values[each // 2])
    for part in prange(parts):
        _attend_part(query, packed_keys, packed_values, start, low, reach, shift, table, y, part, parts)
