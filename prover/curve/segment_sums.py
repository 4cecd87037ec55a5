"""Sums of many groups of points at once, by batch-affine addition.

The one primitive under every multi-scalar multiplication here. The input is a list of entries cut into
segments (a Pippenger bucket, a row of a matrix, a power of tau); each entry names a point and a sign. Every
level adds neighbours inside each segment in affine form, ``lambda = (y2-y1)/(x2-x1)``, and one inversion
serves a whole block of additions (Montgomery's trick), so an addition costs about six products.
"""

from typing import NamedTuple

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
    fq_neg,
    fq_store,
    fq_sub,
)
from ..field.threads import threads_for
from .affine_cases import ADD, INFINITY_SUM, LEFT, RIGHT, classify, load_point, prefetch_pair
from .point_arrays import PointArray, empty_points
from .vector_sums import add_block_vector, load_loose, store_loose, to_reduced

_BLOCK = 2048
"""Additions that share one inversion; prefix products and indices of a block stay in the L2 cache."""

_VECTOR_FROM = 16
"""Additions in a block from which eight lanes beat one."""

_WORTHWHILE = 4096
"""Additions from which other threads are woken."""

_NO_ENTRIES = np.zeros(0, np.uint32)


def segment_sums(points: PointArray, entries: NDArray[np.uint32], starts: NDArray[np.int64]) -> PointArray:
    """Sum of each segment's signed points.

    ``entries`` (m,) holds ``2 * point index + sign`` (sign 1 = subtract); segment s owns
    ``entries[starts[s]:starts[s+1]]``. Returns (len(starts) - 1, 8) affine points; empty segments
    are infinity.
    """
    return reduced(loose_sums(points, entries, starts))


class LooseSums(NamedTuple):
    """Sums of segments in the form that sums are made of fastest: `reduced` makes a point array of them."""

    coordinates: NDArray[np.uint64]
    """(2 n, 4): x and y of points in turn, all zero at infinity."""
    is_loose: bool
    """Whether coordinates are as vector_sums.py leaves them; otherwise they are those of a point array."""


def loose_sums(
    points: PointArray | LooseSums, entries: NDArray[np.uint32], starts: NDArray[np.int64]
) -> LooseSums:
    """What `segment_sums` computes, not reduced, of points that may be such sums themselves."""
    if not isinstance(points, LooseSums):
        points = LooseSums(points.reshape(-1, 4), False)
    coordinates, is_loose = points
    segments = len(starts) - 1
    lengths = np.diff(starts)
    # Sums of whole segments come first; behind them, what one level leaves for the next, by turns in two places.
    most = int(np.sum((lengths + 1) >> 1))
    space = empty_points(segments + most + (most + segments) // 2)
    space[:segments][lengths == 0] = 0
    active = np.flatnonzero(lengths)
    lengths, starts = lengths[active], np.append(starts[active], starts[-1])
    sums, here, there = space.reshape(-1, 4), segments, segments + most
    while len(active):
        lengths = (lengths + 1) >> 1
        next_starts = _starts(lengths)
        goes_on = lengths > 1
        places, rest_starts = active.copy(), _starts(lengths[goes_on]) + here
        places[goes_on] = rest_starts[:-1]
        with threads_for(next_starts[-1], _WORTHWHILE):
            _add_neighbours(coordinates, entries, starts, next_starts, places, sums, is_loose)
        coordinates, is_loose, entries, starts = sums, _leaves_loose(), _NO_ENTRIES, rest_starts
        active, lengths = active[goes_on], lengths[goes_on]
        here, there = there, here
    return LooseSums(sums[: 2 * segments], is_loose)


def _leaves_loose() -> bool:
    return _add_neighbours is _add_neighbours_vector


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


def reduced(sums: LooseSums) -> PointArray:
    """(n, 8) points."""
    if not sums.is_loose:
        return sums.coordinates.reshape(-1, 8)
    points = empty_points(len(sums.coordinates) // 2)
    with threads_for(len(points), _WORTHWHILE):
        to_reduced(sums.coordinates, points.reshape(-1, 4))
    return points


def add_elementwise(left: PointArray, right: PointArray) -> PointArray:
    """``P_i + Q_i`` for two (n, 8) arrays."""
    count = len(left)
    starts = np.arange(count + 1, dtype=np.int64)
    both = empty_points(2 * count)
    both[0::2], both[1::2] = left, right
    sums = empty_points(count).reshape(-1, 4)
    with threads_for(count, _WORTHWHILE):
        _add_neighbours(both.reshape(-1, 4), _NO_ENTRIES, 2 * starts, starts, starts[:-1], sums, False)
    return reduced(LooseSums(sums, _leaves_loose()))


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
def _add_block(coordinates, entries, starts, next_starts, places, sums, first, last):
    """Outputs first..last-1 of one level. Output o of a segment is the sum of its inputs 2o and 2o+1, at its place plus o."""
    count = last - first
    prefix = np.empty((count, 4), np.uint64)
    denominators = np.empty((count, 4), np.uint64)
    left, outputs = np.empty(count, np.int64), np.empty(count, np.int64)
    cases = np.empty(count, np.uint8)
    segment = np.searchsorted(next_starts, first, side="right") - 1
    running = FQ_ONE
    for k in range(count):
        output = first + k
        while output >= next_starts[segment + 1]:
            segment += 1
        within = output - next_starts[segment]
        position = starts[segment] + 2 * within
        left[k], outputs[k] = position, places[segment] + within
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
            fq_store(sums, 2 * outputs[k], x1)
            fq_store(sums, 2 * outputs[k] + 1, y1)
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
        fq_store(sums, 2 * outputs[k], x)
        fq_store(sums, 2 * outputs[k] + 1, y)


@njit(cache=True, nogil=True)
def _add_block_loosely(coordinates, entries, starts, next_starts, places, sums, loose, first, last):
    """The same of points that may be loose, with loose sums: what lanes leave out."""
    count = last - first
    own_starts, own_next, outputs = (
        np.zeros(count + 1, np.int64),
        np.arange(count + 1),
        np.empty(count, np.int64),
    )
    own, own_sums = np.empty((4 * count, 4), np.uint64), np.empty((2 * count, 4), np.uint64)
    segment, place = np.searchsorted(next_starts, first, side="right") - 1, 0
    for k in range(count):
        while first + k >= next_starts[segment + 1]:
            segment += 1
        within = first + k - next_starts[segment]
        position = starts[segment] + 2 * within
        outputs[k] = places[segment] + within
        for each in range(position, min(position + 2, starts[segment + 1])):
            entry = np.int64(entries[each]) if len(entries) else 2 * each
            x = load_loose(coordinates, entry & ~1) if loose else fq_load(coordinates, entry & ~1)
            y = load_loose(coordinates, entry | 1) if loose else fq_load(coordinates, entry | 1)
            fq_store(own, 2 * place, x)
            fq_store(own, 2 * place + 1, fq_neg(y) if entry & 1 else y)
            place += 1
        own_starts[k + 1] = place
    _add_block(own, entries[:0], own_starts, own_next, own_next, own_sums, 0, count)
    for k in range(count):
        store_loose(sums, 2 * outputs[k], fq_load(own_sums, 2 * k))
        store_loose(sums, 2 * outputs[k] + 1, fq_load(own_sums, 2 * k + 1))


@njit(cache=True, nogil=True, parallel=True)
def _add_neighbours_portable(coordinates, entries, starts, next_starts, places, sums, loose):
    """One level: all segments shrink from m to ceil(m/2) points. Nothing is loose here."""
    total = next_starts[-1]
    blocks = (total + _BLOCK - 1) // _BLOCK
    for block in prange(blocks):
        first = block * _BLOCK
        last = min(total, first + _BLOCK)
        _add_block(coordinates, entries, starts, next_starts, places, sums, first, last)


@njit(cache=True, nogil=True, parallel=True)
def _add_neighbours_vector(coordinates, entries, starts, next_starts, places, sums, loose):
    """The same on eight lanes, block by block; points are loose or not, their sums are."""
    total = next_starts[-1]
    blocks = (total + _BLOCK - 1) // _BLOCK
    for block in prange(blocks):
        first = block * _BLOCK
        last = min(total, first + _BLOCK)
        few = last - first < _VECTOR_FROM
        if few or not add_block_vector(
            coordinates, entries, starts, next_starts, places, sums, loose, first, last
        ):
            _add_block_loosely(coordinates, entries, starts, next_starts, places, sums, loose, first, last)


_add_neighbours = _add_neighbours_vector if ifma.AVAILABLE else _add_neighbours_portable
