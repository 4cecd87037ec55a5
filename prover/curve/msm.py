"""Multi-scalar multiplication in G1: ``sum_i k_i P_i``.

Pippenger's method with signed digits. The buckets of several windows are summed at once by batch-affine
additions (segment_sums.py), on all cores; only the short weighted sum over buckets is Jacobian. Small
integers (weights, activations, multiplicities) take as few windows as their largest magnitude needs, and
zeros cost nothing. Many short rows over the same points use a table of the points' multiples.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from ..field.arrays import FieldArray, FieldShapeError
from ..field.arrays import to_plain_limbs as scalars_to_plain_limbs
from ..field.base_kernels import fq_load, fq_store
from ..field.reference import SCALAR_MODULUS
from ..field.threads import threads_for
from .combinations import ScalarCountError
from .digits import (
    bucket_entries,
    count_buckets,
    count_row_digits,
    split_signs,
    table_entries,
    windows_for,
    with_offset,
)
from .g1 import INFINITY, Point
from .jacobian_kernels import (
    JACOBIAN_INFINITY,
    jacobian_add,
    jacobian_add_affine,
    jacobian_double,
    jacobian_small_multiple,
    jacobian_to_affine,
)
from .point_arrays import PointArray, checked_points, empty_points, from_points, to_points
from .segment_sums import add_elementwise, segment_sums

_BUCKET_COST = 6
"""Cost of the weighted sum over one bucket, in batch-affine additions (measured)."""
_GROUP_ENTRIES = 1 << 20
"""Entries summed at once: bounds the working memory at about 100 MB."""
_ROW_CHUNK_ENTRIES = 1 << 19
_WORTHWHILE = 2048
"""Points (or values) from which other threads are woken."""
_LARGEST_DIGIT_BITS = 16
_FIXED_DIGIT_BITS = 8
"""Of `FixedBase`: 4,096 points, 256 kB, and 32 additions for a multiple."""
_TABLE_POINTS = 1 << 21
"""Largest table of multiples, in points of 64 bytes."""


def msm_field(bases: PointArray, scalars: FieldArray) -> Point:
    """``sum_i k_i P_i`` for (n, 8) points and (n, 4) Montgomery scalars in Fr."""
    _check_counts(bases, len(scalars))
    magnitudes = scalars_to_plain_limbs(scalars)
    negative = np.zeros(len(scalars), np.uint8)
    return _pippenger(bases, magnitudes, negative, SCALAR_MODULUS - 1)


def msm_int(bases: PointArray, values: NDArray[np.integer]) -> Point:
    """``sum_i v_i P_i`` for (n, 8) points and (n,) signed integers of at most 64 bits."""
    values = _as_int64(values, 1)
    _check_counts(bases, len(values))
    nonzero = np.flatnonzero(values)
    if 2 * len(nonzero) < len(values):
        bases, values = checked_points(bases)[nonzero], values[nonzero]
    if len(values) == 0:
        return INFINITY
    largest = max(abs(int(values.min())), abs(int(values.max())))
    return _pippenger(bases, *split_signs(values), largest)


def msm_points(points: Sequence[Point], scalars: Sequence[int]) -> Point:
    """``sum_i k_i P_i`` for Python points, which must be on the curve, and integers modulo r: one scalar per point."""
    packed = b"".join([(scalar % SCALAR_MODULUS).to_bytes(32, "little") for scalar in scalars])
    magnitudes = np.frombuffer(packed, dtype="<u8").astype(np.uint64).reshape(-1, 4)
    negative = np.zeros(len(points), np.uint8)
    return _pippenger(from_points(points), magnitudes, negative, SCALAR_MODULUS - 1)


def commit_rows(bases: PointArray, matrix: NDArray[np.integer]) -> list[Point]:
    """``sum_j M_ij P_j`` for every row of an (R, C) matrix of signed integers and C points."""
    rows, columns = matrix.shape
    _check_counts(bases, columns)
    if rows == 0 or columns == 0 or not matrix.any():
        return [INFINITY] * rows
    largest = max(abs(int(matrix.min())), abs(int(matrix.max())))
    digit_bits = _table_digit_bits(rows, columns, largest)
    windows = windows_for(largest, digit_bits)
    table = _multiples_table(bases, digit_bits, windows)
    chunk = max(1, _ROW_CHUNK_ENTRIES // (columns * windows))
    commitments: list[Point] = []
    for first in range(0, rows, chunk):
        values = _as_int64(matrix[first : first + chunk].reshape(-1), 1)
        magnitudes, negative = split_signs(values)
        sums = _table_sums(table, magnitudes, negative, columns, digit_bits, windows)
        commitments.extend(to_points(sums))
    return commitments


def fixed_base_multiples(base: Point, scalars: FieldArray) -> PointArray:
    """(n, 8) array of ``k_i P`` for one point and (n, 4) Montgomery scalars."""
    digit_bits = _table_digit_bits(len(scalars), 1, SCALAR_MODULUS - 1)
    windows = windows_for(SCALAR_MODULUS - 1, digit_bits)
    table = _multiples_table(from_points([base]), digit_bits, windows)
    multiples = empty_points(len(scalars))
    chunk = _ROW_CHUNK_ENTRIES // windows
    for first in range(0, len(scalars), chunk):
        magnitudes = scalars_to_plain_limbs(scalars[first : first + chunk])
        negative = np.zeros(len(magnitudes), np.uint8)
        sums = _table_sums(table, magnitudes, negative, 1, digit_bits, windows)
        multiples[first : first + chunk] = sums
    return multiples


class FixedBase:
    """Multiples of one point, many times over: a table is made once."""

    def __init__(self, base: Point) -> None:
        self._windows = windows_for(SCALAR_MODULUS - 1, _FIXED_DIGIT_BITS)
        self._table = _multiples_table(from_points([base]), _FIXED_DIGIT_BITS, self._windows)

    def multiples(self, scalars: FieldArray) -> PointArray:
        """(n, 8) array of ``k_i P`` for (n, 4) Montgomery scalars."""
        magnitudes = scalars_to_plain_limbs(scalars)
        negative = np.zeros(len(magnitudes), np.uint8)
        return _table_sums(self._table, magnitudes, negative, 1, _FIXED_DIGIT_BITS, self._windows)


def _check_counts(bases: PointArray, scalars: int) -> None:
    checked_points(bases)
    if len(bases) != scalars:
        raise ScalarCountError(f"{len(bases)} points but {scalars} scalars: slice the points to the scalars")


def _as_int64(values: NDArray[np.integer], axes: int) -> NDArray[np.int64]:
    if values.ndim != axes or values.dtype.kind not in "iub" or values.dtype == np.uint64:
        raise FieldShapeError(
            f"expected {axes} axis of signed integers, got {values.dtype} {values.shape}: cast to int64"
        )
    return np.ascontiguousarray(values, dtype=np.int64)


def _digit_bits(count: int, largest: int) -> int:
    """The digit width with the least estimated work for ``count`` points."""

    def cost(bits: int) -> int:
        return windows_for(largest, bits) * (count + _BUCKET_COST * (1 << (bits - 1)))

    return min(range(1, _LARGEST_DIGIT_BITS + 1), key=cost)


def _table_digit_bits(rows: int, columns: int, largest: int) -> int:
    """The digit width with the least work to build a table of multiples and to sum its entries."""

    def table_points(bits: int) -> int:
        return windows_for(largest, bits) * columns << (bits - 1)

    def cost(bits: int) -> int:
        return table_points(bits) + windows_for(largest, bits) * columns * rows

    allowed = [bits for bits in range(1, 13) if table_points(bits) <= _TABLE_POINTS]
    return min(allowed or [1], key=cost)


def _pippenger(
    bases: PointArray, magnitudes: NDArray[np.uint64], negative: NDArray[np.uint8], largest: int
) -> Point:
    if len(bases) == 0 or largest == 0:
        return INFINITY
    with threads_for(len(bases), _WORTHWHILE):
        return _pippenger_of_some(bases, magnitudes, negative, largest)


def _pippenger_of_some(
    bases: PointArray, magnitudes: NDArray[np.uint64], negative: NDArray[np.uint8], largest: int
) -> Point:
    digit_bits = _digit_bits(len(bases), largest)
    windows = windows_for(largest, digit_bits)
    buckets = 1 << (digit_bits - 1)
    shifted = with_offset(magnitudes, digit_bits, windows)
    window_sums = np.empty((windows, 3, 4), np.uint64)  # Jacobian
    group = max(1, min(windows, _GROUP_ENTRIES // len(bases)))
    for first in range(0, windows, group):
        taken = min(group, windows - first)
        counts = count_buckets(shifted, first, taken, windows, digit_bits)
        starts = np.zeros(taken * buckets + 1, np.int64)
        np.cumsum(counts.reshape(-1), out=starts[1:])
        entries = bucket_entries(shifted, negative, first, taken, windows, digit_bits, starts)
        sums = segment_sums(bases, entries, starts)
        window_sums[first : first + taken] = _weigh_buckets(sums.reshape(-1, 4), taken, buckets)
    x, y = to_points(_horner(window_sums.reshape(-1, 4), digit_bits))[0]
    return (x, y)


def _multiples_table(bases: PointArray, digit_bits: int, windows: int) -> PointArray:
    """Points ``m 2^(c w) P_j`` for m = 1 .. 2^(c-1), laid out [window w][m - 1][column j]."""
    columns, multiples = len(bases), 1 << (digit_bits - 1)
    table = empty_points(windows * multiples * columns).reshape(windows, multiples, columns, 8)
    table[0, 0] = bases
    for window in range(1, windows):
        table[window, 0] = table[window - 1, 0]
        for _ in range(digit_bits):
            table[window, 0] = add_elementwise(table[window, 0], table[window, 0])
    filled = 1
    while filled < multiples:
        # m + filled = m + filled for m = 1 .. filled: every doubling of the table is one batch.
        largest = np.broadcast_to(table[:, filled - 1 : filled], table[:, :filled].shape)
        sums = add_elementwise(table[:, :filled].reshape(-1, 8), largest.reshape(-1, 8))
        table[:, filled : 2 * filled] = sums.reshape(windows, filled, columns, 8)
        filled *= 2
    return table.reshape(-1, 8)


def _table_sums(
    table: PointArray,
    magnitudes: NDArray[np.uint64],
    negative: NDArray[np.uint8],
    columns: int,
    digit_bits: int,
    windows: int,
) -> PointArray:
    """One sum of table points per row of ``columns`` values."""
    with threads_for(len(magnitudes), _WORTHWHILE):
        shifted = with_offset(magnitudes, digit_bits, windows)
        counts = count_row_digits(shifted, columns, windows, digit_bits)
        starts = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts, out=starts[1:])
        entries = table_entries(shifted, negative, columns, windows, digit_bits, starts)
    return segment_sums(table, entries, starts)


_LEAST_SEGMENT = 128
"""A window's buckets are cut into parts of at least this many, so that few windows still use every core."""


@njit(cache=True, nogil=True, parallel=True)
def _weigh_buckets(coordinates, windows, buckets):
    """(windows, 3, 4) Jacobian ``sum_j (j + 1) B_j`` over each window's buckets."""
    segments = max(1, buckets // _LEAST_SEGMENT)
    segment_length = (buckets + segments - 1) // segments
    partial = np.empty((windows * segments, 3, 4), np.uint64)
    for task in prange(windows * segments):
        first_bucket = (task // segments) * buckets
        low = min(buckets, (task % segments) * segment_length)
        high = min(buckets, low + segment_length)
        running = JACOBIAN_INFINITY
        total = JACOBIAN_INFINITY
        for offset in range(high - low):
            row = 2 * (first_bucket + high - 1 - offset)
            running = jacobian_add_affine(running, fq_load(coordinates, row), fq_load(coordinates, row + 1))
            total = jacobian_add(total, running)
        # total counts the segment's first bucket once; every bucket counts `low` times more.
        total = jacobian_add(total, jacobian_small_multiple(running, low))
        for axis in range(3):
            for limb in range(4):
                partial[task, axis, limb] = total[axis][limb]
    rows = partial.reshape(-1, 4)
    sums = np.empty((windows, 3, 4), np.uint64)
    for window in range(windows):
        total = JACOBIAN_INFINITY
        for segment in range(segments):
            row = 3 * (window * segments + segment)
            total = jacobian_add(total, (fq_load(rows, row), fq_load(rows, row + 1), fq_load(rows, row + 2)))
        for axis in range(3):
            for limb in range(4):
                sums[window, axis, limb] = total[axis][limb]
    return sums


@njit(cache=True, nogil=True)
def _horner(rows, digit_bits):
    """(1, 8) affine ``sum_w 2^(c w) S_w`` of Jacobian window sums stored as (3 * windows, 4) rows."""
    windows = len(rows) // 3
    total = JACOBIAN_INFINITY
    for offset in range(windows):
        window = windows - 1 - offset
        for _ in range(digit_bits):
            total = jacobian_double(total)
        row = 3 * window
        total = jacobian_add(total, (fq_load(rows, row), fq_load(rows, row + 1), fq_load(rows, row + 2)))
    x, y = jacobian_to_affine(total)
    affine = np.empty((2, 4), np.uint64)
    fq_store(affine, 0, x)
    fq_store(affine, 1, y)
    return affine.reshape(1, 8)
