"""Sums of many groups of points at once, by batch-affine addition.

The one primitive under every multi-scalar multiplication here. The input is a list of entries cut into
segments (a Pippenger bucket, a row of a matrix, a power of tau); each entry names a point and a sign. Every
level adds neighbours inside each segment in affine form, ``lambda = (y2-y1)/(x2-x1)``, and one inversion
serves a whole block of additions (Montgomery's trick), so an addition costs about six products.
"""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from ..field import ifma
from ..field.base_kernels import (
    FQ_ONE,
    FQ_ZERO,
    fq_add,
    fq_inverse,
    fq_load,
    fq_mul,
    fq_store,
    fq_sub,
)
from ..field.threads import threads_for
from .affine_cases import ADD, INFINITY_SUM, LEFT, RIGHT, classify, load_point, prefetch_pair
from .point_arrays import PointArray
from .vector_sums import add_block_vector

_BLOCK = 1024
"""Additions that share one inversion; prefix products and indices of a block stay in the L2 cache."""

_VECTOR_FROM = 16
"""Additions in a block from which eight lanes beat one."""

_WORTHWHILE = 4 * _BLOCK
"""Additions from which other threads are woken."""

_NO_ENTRIES = np.zeros(0, np.uint32)


def segment_sums(points: PointArray, entries: NDArray[np.uint32], starts: NDArray[np.int64]) -> PointArray:
    """Sum of each segment's signed points.

    ``entries`` (m,) holds ``2 * point index + sign`` (sign 1 = subtract); segment s owns
    ``entries[starts[s]:starts[s+1]]``. Returns (len(starts) - 1, 8) affine points; empty segments
    are infinity.
    """
    segments = len(starts) - 1
    coordinates = points.reshape(-1, 4)
    lengths = np.diff(starts)
    if len(entries) == 0:
        return np.zeros((segments, 8), np.uint64)
    while True:
        lengths = (lengths + 1) >> 1
        next_starts = np.zeros(segments + 1, np.int64)
        np.cumsum(lengths, out=next_starts[1:])
        sums = np.empty((2 * next_starts[-1], 4), np.uint64)
        with threads_for(next_starts[-1], _WORTHWHILE):
            _add_neighbours(coordinates, entries, starts, next_starts, sums)
        coordinates, entries, starts = sums, _NO_ENTRIES, next_starts
        if lengths.max() <= 1:
            break
    spread = np.zeros((segments, 8), np.uint64)
    spread[lengths == 1] = coordinates.reshape(-1, 8)
    return spread


def add_elementwise(left: PointArray, right: PointArray) -> PointArray:
    """``P_i + Q_i`` for two (n, 8) arrays."""
    count = len(left)
    starts = np.arange(count + 1, dtype=np.int64)
    both = np.empty((2 * count, 8), np.uint64)
    both[0::2], both[1::2] = left, right
    sums = np.empty((2 * count, 4), np.uint64)
    with threads_for(count, _WORTHWHILE):
        _add_neighbours(both.reshape(-1, 4), _NO_ENTRIES, 2 * starts, starts, sums)
    return sums.reshape(-1, 8)


@njit(cache=True, nogil=True, forceinline=True)
def _finish(case, x1, y1, x2, y2, inverse):
    """The sum, given the classification and the inverse of its denominator."""
    if case == LEFT:
        return x1, y1
    if case == RIGHT:
        return x2, y2
    if case == INFINITY_SUM:
        return FQ_ZERO, FQ_ZERO
    if case == ADD:
        slope = fq_mul(fq_sub(y2, y1), inverse)
    else:
        square = fq_mul(x1, x1)
        slope = fq_mul(fq_add(fq_add(square, square), square), inverse)
    x = fq_sub(fq_sub(fq_mul(slope, slope), x1), x2)
    return x, fq_sub(fq_mul(slope, fq_sub(x1, x)), y1)


@njit(cache=True, nogil=True)
def _add_block(coordinates, entries, starts, next_starts, sums, first, last):
    """Outputs first..last-1 of one level. Output o of a segment is the sum of its inputs 2o and 2o+1."""
    count = last - first
    prefix = np.empty((count, 4), np.uint64)
    denominators = np.empty((count, 4), np.uint64)
    left = np.empty(count, np.int64)
    cases = np.empty(count, np.uint8)
    segment = np.searchsorted(next_starts, first, side="right") - 1
    running = FQ_ONE
    for k in range(count):
        output = first + k
        while output >= next_starts[segment + 1]:
            segment += 1
        position = starts[segment] + 2 * (output - next_starts[segment])
        left[k] = position
        prefetch_pair(coordinates, entries, position)
        if position + 1 < starts[segment + 1]:
            x1, y1 = load_point(coordinates, entries, position)
            x2, y2 = load_point(coordinates, entries, position + 1)
            case, denominator = classify(x1, y1, x2, y2)
            cases[k] = case
            fq_store(denominators, k, denominator)
            fq_store(prefix, k, running)
            running = fq_mul(running, denominator)
        else:  # an odd one out moves up unchanged
            x1, y1 = load_point(coordinates, entries, position)
            fq_store(sums, 2 * output, x1)
            fq_store(sums, 2 * output + 1, y1)
            left[k] = -1
    running = fq_inverse(running)
    for k in range(count - 1, -1, -1):
        if left[k] < 0:
            continue
        inverse = fq_mul(running, fq_load(prefix, k))
        running = fq_mul(running, fq_load(denominators, k))
        x1, y1 = load_point(coordinates, entries, left[k])
        x2, y2 = load_point(coordinates, entries, left[k] + 1)
        x, y = _finish(cases[k], x1, y1, x2, y2, inverse)
        fq_store(sums, 2 * (first + k), x)
        fq_store(sums, 2 * (first + k) + 1, y)


@njit(cache=True, nogil=True, parallel=True)
def _add_neighbours_portable(coordinates, entries, starts, next_starts, sums):
    """One level: all segments shrink from m to ceil(m/2) points."""
    total = next_starts[-1]
    blocks = (total + _BLOCK - 1) // _BLOCK
    for block in prange(blocks):
        first = block * _BLOCK
        last = min(total, first + _BLOCK)
        _add_block(coordinates, entries, starts, next_starts, sums, first, last)


@njit(cache=True, nogil=True, parallel=True)
def _add_neighbours_vector(coordinates, entries, starts, next_starts, sums):
    """The same on eight lanes, block by block."""
    total = next_starts[-1]
    blocks = (total + _BLOCK - 1) // _BLOCK
    for block in prange(blocks):
        first = block * _BLOCK
        last = min(total, first + _BLOCK)
        few = last - first < _VECTOR_FROM
        if few or not add_block_vector(coordinates, entries, starts, next_starts, sums, first, last):
            _add_block(coordinates, entries, starts, next_starts, sums, first, last)


_add_neighbours = _add_neighbours_vector if ifma.AVAILABLE else _add_neighbours_portable
