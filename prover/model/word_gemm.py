"""Exact products of int16 weights, as they lie, with wider integers cut into rows of 16-bit words.

Sums of words are kept modulo 2^32 (`vpdpwssd`, word_products.py). They may wrap on the way and are exact at the end, because

    |sum_i x_i w_i|  <=  |x| |w|  <  2^31            (Cauchy and Schwarz; |.| is the Euclidean norm)

A row x that is too long for that, or has an entry beyond 16 bits, becomes x = sum_l 2^(b l) x_l, with balanced digits
-2^(b-1) <= d < 2^(b-1) in every row of words x_l but the last. For n inputs and W >= |w|,

    b is the largest, at most 15, with   sqrt(n) 2^(b-1) W  <  2^31               so each x_l but the last meets the bound;
    L is the least with                  (2^(-b(L-1)) |x| + sqrt(n)) W  <  2^31    so the last does, since balanced digits
    and                                  2^(-b(L-1)) max|x_i| + 1  <  2^15        take less than 1 from any entry above them

and L exists because sqrt(n) W < 2^31 / 2^(b-1). Sums of the rows of words are put together in int64: x . w fits it, as every
product of a model is below 2^53. Normalised rows are nearly always one row of words already: |n| <= 2^10 sqrt(d), and W is
about 2^15. A few outputs with long weights would make every x two rows, so x is cut twice: for the seven eighths of the
outputs with the shortest weights, and for all. Many rows of words are laid in columns first (word_columns.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numba import get_num_threads, njit, prange

from ..arrays import NO_LIMIT
from ..operators.row_passes import NONE
from ..other_threads import other_threads
from ..word_products import AVAILABLE, SUM_LIMIT, TILE_ROWS, WORDS, make_products_of_4
from .word_columns import Columns, columns_of, multiply_columns, round_outputs

__all__ = [
    "AVAILABLE",
    "SUM_LIMIT",
    "Lengths",
    "lengths_of",
    "multiply_in_words",
    "multiply_rounded",
]

_MOST_DIGIT_BITS, _LEAST_DIGIT_BITS = 15, 4
_OUTPUTS = 4
_WORDS_OF_ROWS, _WORDS_OF_FOURS = 1 << 18, 1 << 14
"""What the second cache keeps of rows while outputs pass, and the first one of weights while these rows pass."""
MANY_ROWS = 32
"""From so many rows on they are laid in columns first."""
_PRODUCTS_PER_US = 50_000
"""Of words, by one thread, about: with these it is decided whether other threads are worth waking."""

Place = tuple[int, int, int, int]
Cut = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Rows of words, and which row of x and which power of two each belongs to."""


@dataclass(frozen=True)
class Lengths:
    """Norms of the rows of a matrix: the largest among every four outputs, of seven eighths of these, and of all.

    place: where the matrix lies: its address, the bytes from row to row, and its shape. Kernels take integers, so that one is
    compiled for weights of every layout, mapped or not; who holds this holds the weights too.
    """

    of_fours: np.ndarray
    usual: float
    largest: float
    place: Place


def lengths_of(weights: np.ndarray) -> Lengths | None:
    """Looks at every weight once. None where the products cannot be taken in words: wide weights, fewer than four outputs, or
    rows so long that digits would have less than 4 bits.
    """
    outputs, inputs = weights.shape
    if (
        weights.dtype != np.int16
        or outputs < _OUTPUTS
        or inputs == 0
        or weights.strides[1] != weights.itemsize
    ):
        return None
    of_fours = np.maximum(_norms_of_fours(weights), 1.0)
    usual = float(np.sort(of_fours)[(7 * len(of_fours) - 1) // 8])
    largest = float(of_fours.max())
    if sqrt(inputs) * 2.0 ** (_LEAST_DIGIT_BITS - 1) * largest >= SUM_LIMIT:
        return None
    return Lengths(of_fours, usual, largest, (weights.ctypes.data, weights.strides[0], outputs, inputs))


def multiply_in_words(lengths: Lengths, x: np.ndarray) -> np.ndarray:
    """x · weightsᵀ, (rows, outputs) int64, of the weights that `lengths_of` looked at, which must be there still, and x (rows, inputs) int64.

    Raises ValueError for an x of another width, since kernels read memory by addresses.
    """
    return multiply_rounded(lengths, x, NONE, 0, NO_LIMIT)[0]


def _takes_columns(lengths: Lengths, x: np.ndarray) -> bool:
    """Whether rows are many, and outputs and inputs as many as a tile takes."""
    return len(x) >= MANY_ROWS and lengths.place[2] >= TILE_ROWS and lengths.place[3] % 2 == 0


def multiply_rounded(
    lengths: Lengths, x: np.ndarray, bias: np.ndarray, shift: int, limit: int
) -> tuple[np.ndarray, bool]:
    """`row_passes.round_rows` of x · weightsᵀ; shift 0: of sums as they are, and no limit."""
    if bias is not NONE:
        bias = np.ascontiguousarray(bias, dtype=np.int64).view()
        bias.setflags(write=False)  # kernels are compiled for what is mapped, which nobody can write
        if bias.size and bias.shape != lengths.place[2:3]:
            raise ValueError(f"a bias of shape {bias.shape} meets {lengths.place[2]} outputs")
    if x.ndim != 2 or x.shape[1] != lengths.place[3]:
        raise ValueError(f"x of shape {x.shape} meets weights of {lengths.place[3]} inputs")
    whole = np.ascontiguousarray(x, dtype=np.int64)
    arguments = (lengths.place, lengths.of_fours, lengths.usual, lengths.largest, whole, bias, shift, limit)
    many = _takes_columns(lengths, x)
    if not other_threads.take(x.size * lengths.place[2] / _PRODUCTS_PER_US):
        return _multiply_many(*arguments) if many else _multiply(*arguments)
    try:
        kernel = _multiply_many_in_threads if many else _multiply_in_threads
        return kernel(*arguments, get_num_threads())
    finally:
        other_threads.give_back()


_products_of_one = make_products_of_4(1)
_products_of_two = make_products_of_4(2)
_products_of_three = make_products_of_4(3)
_products_of_four = make_products_of_4(4)


@njit(nogil=True, cache=True)
def _norms_of_fours(weights: np.ndarray) -> np.ndarray:
    """The largest norm of every four outputs; the last four stand for what is left over."""
    outputs = weights.shape[0]
    fours = -(-outputs // _OUTPUTS)
    norms = np.zeros(fours)
    for four in range(fours):
        first = min(_OUTPUTS * four, outputs - _OUTPUTS)
        for output in range(first, first + _OUTPUTS):
            squares = np.int64(0)  # at most 2^16 inputs of 2^30
            for index in range(weights.shape[1]):
                weight = np.int64(weights[output, index])
                squares += weight * weight
            norms[four] = max(norms[four], np.sqrt(np.float64(squares)))
    return norms


@njit(nogil=True, cache=True)
def _digit_bits(inputs: int, norm: float) -> int:
    bits = _MOST_DIGIT_BITS
    while np.sqrt(np.float64(inputs)) * 2.0 ** (bits - 1) * norm >= SUM_LIMIT:
        bits -= 1
    return bits


# Reassociation lets the compiler add squares in vector lanes; the bound has room for any order.
@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _cut(x: np.ndarray, norm: float) -> Cut:
    """x for weights of at most that norm; the first rows of words of all rows of x come first."""
    rows, inputs = x.shape
    bits = _digit_bits(inputs, norm)
    counts = np.empty(rows, dtype=np.int64)
    for row in range(rows):
        squares, largest = 0.0, np.int64(0)
        for index in range(inputs):
            value = np.float64(x[row, index])
            squares += value * value
            largest = max(largest, abs(x[row, index]))
        length, most, count = np.sqrt(squares), np.float64(largest), 1
        if most >= 2.0**15 or length * norm >= SUM_LIMIT:
            count = 2
            while (
                most * 2.0 ** (-bits * (count - 1)) + 1 >= 2.0**15
                or (length * 2.0 ** (-bits * (count - 1)) + np.sqrt(np.float64(inputs))) * norm >= SUM_LIMIT
            ):
                count += 1
        counts[row] = count
    total = counts.sum()
    words = np.zeros((total, -(-inputs // WORDS) * WORDS), dtype=np.int16)
    places, shifts = np.empty(total, dtype=np.int64), np.zeros(total, dtype=np.int64)
    after, half, mask = rows, np.int64(1) << (bits - 1), (np.int64(1) << bits) - 1
    for row in range(rows):
        places[row] = row
        if counts[row] == 1:
            for index in range(inputs):
                words[row, index] = x[row, index]
            continue
        for level in range(counts[row]):
            place = row if level == 0 else after
            places[place], shifts[place] = row, bits * level
            after += level > 0
            last = level == counts[row] - 1
            for index in range(inputs):
                value = (x[row, index] + half * (((np.int64(1) << (bits * level)) - 1) // mask)) >> (
                    bits * level
                )
                words[place, index] = value if last else ((value + half) & mask) - half
    return words, places, shifts


@njit(nogil=True, cache=True)
def _multiply_some(
    matrix: Place,
    of_fours: np.ndarray,
    low: float,
    high: float,
    cut: Cut,
    result: np.ndarray,
    some: tuple[int, int],
    fours: tuple[int, int],
) -> None:
    """The products of the rows of words from `some[0]` to `some[1]` with every four outputs of those from `fours[0]` to `fours[1]`
    whose norms are in (low, high].
    """
    words, places, shifts = cut
    address, w_step, outputs, inputs = matrix
    rows, step = result.shape[0], words.strides[0]
    start = some[0]
    while start < some[1]:
        adds = start >= rows  # the first rows of words of all rows come first
        left = (some[1] if adds else min(rows, some[1])) - start
        tile = min(4, left)
        x, place, shift = words[start:].ctypes.data, places[start:].ctypes.data, shifts[start:].ctypes.data
        for four in range(fours[0], fours[1]):
            if not low < of_fours[four] <= high:
                continue
            output = min(_OUTPUTS * four, outputs - _OUTPUTS)
            skipped = _OUTPUTS * four - output  # the last four overlap those in front
            w, y = address + output * w_step, result[:, output:].ctypes.data
            if tile == 4:
                _products_of_four(
                    x, step, w, w_step, inputs, place, shift, y, result.strides[0], skipped, adds
                )
            elif tile == 3:
                _products_of_three(
                    x, step, w, w_step, inputs, place, shift, y, result.strides[0], skipped, adds
                )
            elif tile == 2:
                _products_of_two(
                    x, step, w, w_step, inputs, place, shift, y, result.strides[0], skipped, adds
                )
            else:
                _products_of_one(
                    x, step, w, w_step, inputs, place, shift, y, result.strides[0], skipped, adds
                )
        start += tile


@njit(nogil=True, cache=True)
def _multiply_blocks(
    matrix: Place,
    of_fours: np.ndarray,
    low: float,
    high: float,
    cut: Cut,
    result: np.ndarray,
    fours: tuple[int, int],
) -> None:
    """`_multiply_some` of all rows of words: some at a time, which stay in the second cache while outputs pass, of which again some
    stay in the first while these rows pass.
    """
    rows, inputs = len(cut[0]), matrix[3]
    rows_at_once = max(4, _WORDS_OF_ROWS // (4 * inputs) * 4)
    fours_at_once = max(1, _WORDS_OF_FOURS // (_OUTPUTS * inputs))
    for start in range(0, rows, rows_at_once):
        some = (start, min(start + rows_at_once, rows))
        for first in range(fours[0], fours[1], fours_at_once):
            part = (first, min(first + fours_at_once, fours[1]))
            _multiply_some(matrix, of_fours, low, high, cut, result, some, part)


@njit(nogil=True, cache=True)
def _cut_twice(x: np.ndarray, usual: float, largest: float) -> tuple[Cut, Cut, float]:
    """x for all outputs, x for those with norms up to a bound, and the bound: 0 where that saves nothing."""
    whole = _cut(x, largest)
    if len(whole[0]) > len(x) and usual < largest:
        return whole, _cut(x, usual), usual
    return whole, whole, 0.0


@njit(nogil=True, cache=True)
def _multiply_part(
    matrix: Place,
    of_fours: np.ndarray,
    largest: float,
    cuts: tuple[Cut, Cut, float],
    rounding: tuple[np.ndarray, int, int],
    result: np.ndarray,
    fours: tuple[int, int],
) -> bool:
    """The products with every four outputs from `fours[0]` to `fours[1]`, rounded; whether they are in the limit."""
    whole, fewer, middle = cuts
    bias, shift, limit = rounding
    if middle > 0:
        _multiply_blocks(matrix, of_fours, 0.0, middle, fewer, result, fours)
    _multiply_blocks(matrix, of_fours, middle, largest, whole, result, fours)
    if shift == 0:
        return True
    outputs = (_OUTPUTS * fours[0], min(_OUTPUTS * fours[1], matrix[2]))
    return round_outputs(result, outputs, bias, shift, limit)


@njit(nogil=True, cache=True)
def _multiply(
    matrix: Place,
    of_fours: np.ndarray,
    usual: float,
    largest: float,
    x: np.ndarray,
    bias: np.ndarray,
    shift: int,
    limit: int,
) -> tuple[np.ndarray, bool]:
    result = np.empty((x.shape[0], matrix[2]), dtype=np.int64)
    cuts, fours = _cut_twice(x, usual, largest), (0, len(of_fours))
    return result, _multiply_part(matrix, of_fours, largest, cuts, (bias, shift, limit), result, fours)


@njit(nogil=True, cache=True, parallel=True)
def _multiply_in_threads(
    matrix: Place,
    of_fours: np.ndarray,
    usual: float,
    largest: float,
    x: np.ndarray,
    bias: np.ndarray,
    shift: int,
    limit: int,
    parts: int,
) -> tuple[np.ndarray, bool]:
    """`_multiply` with the outputs in so many parts: as many as there are threads, which take equal shares of them."""
    result = np.empty((x.shape[0], matrix[2]), dtype=np.int64)
    (words, places, shifts), (fewer, fewer_places, fewer_shifts), middle = _cut_twice(x, usual, largest)
    fits = np.ones(parts, dtype=np.bool_)
    for part in prange(parts):
        cuts = (words, places, shifts), (fewer, fewer_places, fewer_shifts), middle
        fours = (part * len(of_fours) // parts, (part + 1) * len(of_fours) // parts)
        fits[part] = _multiply_part(matrix, of_fours, largest, cuts, (bias, shift, limit), result, fours)
    return result, bool(fits.all())


@njit(nogil=True, cache=True)
def _columns_twice(x: np.ndarray, usual: float, largest: float) -> tuple[Columns, Columns, float]:
    """`_cut_twice` in columns."""
    whole, fewer, middle = _cut_twice(x, usual, largest)
    columns = columns_of(*whole)
    return columns, columns_of(*fewer) if middle > 0 else columns, middle


@njit(nogil=True, cache=True)
def _multiply_many(
    matrix: Place,
    of_fours: np.ndarray,
    usual: float,
    largest: float,
    x: np.ndarray,
    bias: np.ndarray,
    shift: int,
    limit: int,
) -> tuple[np.ndarray, bool]:
    """`_multiply` with x in columns, rounded, for eight outputs or more and an even number of inputs."""
    result = np.empty((x.shape[0], matrix[2]), dtype=np.int64)
    columns, eights = _columns_twice(x, usual, largest), -(-matrix[2] // TILE_ROWS)
    fits = multiply_columns(matrix, of_fours, largest, columns, (bias, shift, limit), result, (0, eights))
    return result, fits


@njit(nogil=True, cache=True, parallel=True)
def _multiply_many_in_threads(
    matrix: Place,
    of_fours: np.ndarray,
    usual: float,
    largest: float,
    x: np.ndarray,
    bias: np.ndarray,
    shift: int,
    limit: int,
    parts: int,
) -> tuple[np.ndarray, bool]:
    """`_multiply_many` with the outputs in so many parts."""
    result = np.empty((x.shape[0], matrix[2]), dtype=np.int64)
    whole, fewer, middle = _columns_twice(x, usual, largest)
    words, places, shifts, count = whole
    fewer_words, fewer_places, fewer_shifts, fewer_count = fewer
    eights, fits = -(-matrix[2] // TILE_ROWS), np.ones(parts, dtype=np.bool_)
    for part in prange(parts):
        columns = (
            (words, places, shifts, count),
            (fewer_words, fewer_places, fewer_shifts, fewer_count),
            middle,
        )
        some = (part * eights // parts, (part + 1) * eights // parts)
        fits[part] = multiply_columns(matrix, of_fours, largest, columns, (bias, shift, limit), result, some)
    return result, bool(fits.all())
