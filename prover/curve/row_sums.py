"""Many sums over the same points at once: ``sum_j M_rj P_j`` for every row r of a matrix of small integers.

Pippenger's method for rows of thousands of small integers. Each row has digits of the width that costs it least: what counts is how
large its integers mostly are, since a digit that is zero costs nothing, and not the largest one. The buckets of many rows are summed
together by batch-affine additions (segment_sums.py), and so are their weighted sums, which one by one would cost as much again:

    sum_m m B_m = L sum_h h A_h + sum_l l C_l,     m = h L + l,    A_h = sum_l B_(hL + l),    C_l = sum_h B_(hL + l)
    sum_h h A_h = sum_t 2^t S_t,                   S_t = sum of A_h over all h with bit t

What is left of a row is a Horner sum of some thirty points. Where a row is close to the one before it, as a residual stream
behind a step is to that in front of it, their difference is summed and the sums are added up.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from ..field.base_kernels import FQ_ONE, fq_is_zero, fq_load, fq_store
from ..field.threads import threads_for
from .jacobian_kernels import JACOBIAN_INFINITY, jacobian_add_affine, jacobian_double, jacobian_to_affine
from .point_arrays import PointArray, checked_points
from .segment_sums import LooseSums, loose_sums, reduced

LARGEST = 1 << 56
"""Magnitudes are below it, so those of differences are below 2^57."""

_LEAST_BITS, _MOST_BITS = 3, 14
"""Widths of digits."""
_SIZES = 64
"""Numbers of bits that a magnitude can have."""
_AT_ONCE = 1 << 18
"""Integers whose additions are made together: what these write stays in the cache."""
_WORTHWHILE = 2048
_SAMPLED = 7
"""Every so many columns are looked at to choose how a row is summed, which changes what it costs and nothing else."""


class _Groups(NamedTuple):
    """Groups of points, the m-th of a group (m = 1, 2, ..) with the weight ``m 2^shift`` in the sum of its row."""

    row: NDArray[np.int64]
    shift: NDArray[np.int64]
    first: NDArray[np.int64]
    """Where each group's points begin, and the number of all points."""


def row_sums(bases: PointArray, matrix: NDArray[np.integer]) -> PointArray:
    """(R, 8) sums of an (R, n) matrix over (n, 8) points.

    Raises ValueError for shapes that do not fit and for integers of `LARGEST` or more.
    """
    rows = np.ascontiguousarray(matrix, dtype=np.int64)
    if rows.ndim != 2 or rows.shape[1] != len(checked_points(bases)):
        raise ValueError(
            f"a matrix of shape {matrix.shape} over {len(bases)} points: give a column for each point"
        )
    if rows.size == 0:
        return np.zeros((len(rows), 8), np.uint64)
    if max(int(rows.max()), -int(rows.min())) >= LARGEST:
        raise ValueError(f"an integer of the matrix is {LARGEST} or more: sum its row with msm_int")
    with threads_for(rows.size, _WORTHWHILE):
        values, is_difference, widths, largest = _plan(rows)
        at_once = max(1, _AT_ONCE // rows.shape[1])
        parts = [
            _some_rows(bases, values[first:end], widths[first:end], largest[first:end])
            for first in range(0, len(rows), at_once)
            for end in [min(len(rows), first + at_once)]
        ]
        sums = np.concatenate(parts)
        _add_up(sums.reshape(-1, 4), is_difference)
    return sums


def _some_rows(
    bases: PointArray, values: NDArray[np.int64], widths: NDArray[np.int64], largest: NDArray[np.int64]
) -> PointArray:
    groups, group_of_row = _digit_groups(widths, largest)
    starts = np.zeros(groups.first[-1] + 1, np.int64)
    _count_digits(values, widths, group_of_row, groups.first, starts[1:])
    np.cumsum(starts, out=starts)
    entries = np.empty(starts[-1], np.uint32)
    _enter_digits(values, widths, group_of_row, groups.first, starts[:-1].copy(), entries)
    points = loose_sums(bases, entries, starts)
    for parts in (_halves, _bits):
        points, groups = _regroup(points, groups, *parts(groups))
    return _horner(reduced(points).reshape(-1, 4), groups.row, groups.shift, len(values))


def _digit_groups(widths: NDArray[np.int64], largest: NDArray[np.int64]) -> tuple[_Groups, NDArray[np.int64]]:
    """The buckets of every row and place of a digit; and each row's first group."""
    row, shift, size, group_of_row = [], [], [], []
    for number, (width, rest) in enumerate(zip(widths.tolist(), largest.tolist(), strict=True)):
        group_of_row.append(len(row))
        half, place = 1 << (width - 1), 0
        while rest:
            row.append(number)
            shift.append(place)
            size.append(min(half, rest))
            rest, place = (rest + half) >> width, place + width
    return _groups(row, shift, size), np.asarray(group_of_row, np.int64)


def _groups(row: object, shift: object, size: object) -> _Groups:
    first = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.asarray(size, np.int64), dtype=np.int64)])
    return _Groups(np.asarray(row, np.int64), np.asarray(shift, np.int64), first)


def _halves(groups: _Groups) -> tuple[_Groups, NDArray[np.int64], bool]:
    """Two groups in the place of each: those of l, and those of h."""
    size = np.diff(groups.first)
    low_bits = (_bit_lengths(size) + 1) >> 1
    sizes = np.stack([np.minimum(size, (1 << low_bits) - 1), size >> low_bits], axis=1)
    shifts = np.stack([groups.shift, groups.shift + low_bits], axis=1)
    return _groups(np.repeat(groups.row, 2), shifts.reshape(-1), sizes.reshape(-1)), low_bits, True


def _bits(groups: _Groups) -> tuple[_Groups, NDArray[np.int64], bool]:
    """One point for each bit of m."""
    lengths = _bit_lengths(np.diff(groups.first))
    first = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    bit = np.arange(first[-1]) - np.repeat(first[:-1], lengths)
    shift = np.repeat(groups.shift, lengths) + bit
    return _groups(np.repeat(groups.row, lengths), shift, np.ones(first[-1], np.int64)), first[:-1], False


def _bit_lengths(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.frexp(numbers.astype(np.float64))[1].astype(np.int64)


def _regroup(
    points: LooseSums, groups: _Groups, parts: _Groups, detail: NDArray[np.int64], halves: bool
) -> tuple[LooseSums, _Groups]:
    """The points of `groups`, summed into those of `parts`, which have the same weighted sum."""
    coordinates = points.coordinates
    starts = np.zeros(parts.first[-1] + 1, np.int64)
    _count_parts(coordinates, groups.first, parts.first, detail, halves, starts[1:])
    np.cumsum(starts, out=starts)
    entries = np.empty(starts[-1], np.uint32)
    _enter_parts(coordinates, groups.first, parts.first, detail, halves, starts[:-1].copy(), entries)
    return loose_sums(points, entries, starts), parts


@njit(cache=True, nogil=True)
def _bit_length(magnitude):
    length = 0
    while magnitude:
        magnitude >>= 1
        length += 1
    return length


@njit(cache=True, nogil=True)
def _least_width(counts):
    """(width, cost) of the cheapest digits for integers of which ``counts[b]`` have b bits; cost in additions."""
    most = _SIZES - 1
    while most and not counts[most]:
        most -= 1
    best, width = -1, _LEAST_BITS
    for bits in range(_LEAST_BITS, _MOST_BITS + 1):
        cost, place = 0, 0
        while place < most + 1:
            # an entry for whoever reaches this place, and one more for each bucket that it can have
            reach = place if place == 0 else place - 1
            for size in range(reach + 1, most + 1):
                cost += counts[size]
            cost += np.int64(1) << min(bits - 1, most - place if most > place else 0)
            place += bits
        if best < 0 or cost < best:
            best, width = cost, bits
    return width, best


@njit(cache=True, nogil=True, parallel=True)
def _plan(rows):
    """(what is summed, whether that is a difference from the row before, the width of digits, the largest magnitude) of each row."""
    count, columns = rows.shape
    values = np.empty_like(rows)
    is_difference = np.zeros(count, np.bool_)
    widths = np.empty(count, np.int64)
    largest = np.zeros(count, np.int64)
    for row in prange(count):
        own, differences = np.zeros(_SIZES, np.int64), np.zeros(_SIZES, np.int64)
        for column in range(0, columns, _SAMPLED):
            own[_bit_length(abs(rows[row, column]))] += _SAMPLED
            if row:
                differences[_bit_length(abs(rows[row, column] - rows[row - 1, column]))] += _SAMPLED
        widths[row], cost = _least_width(own)
        if row:
            width, other = _least_width(differences)
            if other < cost:
                widths[row], is_difference[row] = width, True
        if is_difference[row]:
            values[row] = rows[row] - rows[row - 1]
        else:
            values[row] = rows[row]
        most = np.int64(0)
        for column in range(columns):
            most = max(most, abs(values[row, column]))
        largest[row] = most
    return values, is_difference, widths, largest


@njit(cache=True, nogil=True, parallel=True)
def _count_digits(values, widths, group_of_row, first, counts):
    """How many digits of each magnitude every group has."""
    for row in prange(len(values)):
        half, width = np.int64(1) << (widths[row] - 1), widths[row]
        for column in range(values.shape[1]):
            value, group = values[row, column], group_of_row[row]
            while value:
                digit = ((value + half) & (2 * half - 1)) - half
                if digit:
                    counts[first[group] + abs(digit) - 1] += 1
                value = (value - digit) >> width
                group += 1


@njit(cache=True, nogil=True, parallel=True)
def _enter_digits(values, widths, group_of_row, first, cursors, entries):
    """Entries ``2 * column + sign`` of segment_sums, by group and magnitude."""
    for row in prange(len(values)):
        half, width = np.int64(1) << (widths[row] - 1), widths[row]
        for column in range(values.shape[1]):
            value, group = values[row, column], group_of_row[row]
            while value:
                digit = ((value + half) & (2 * half - 1)) - half
                if digit:
                    bucket = first[group] + abs(digit) - 1
                    entries[cursors[bucket]] = np.uint32(2 * column) | np.uint32(digit < 0)
                    cursors[bucket] += 1
                value = (value - digit) >> width
                group += 1


@njit(cache=True, nogil=True, parallel=True)
def _count_parts(coordinates, first, parts, detail, halves, counts):
    """How many points every part is the sum of; points at infinity belong to none."""
    for group in prange(len(first) - 1):
        for point in range(first[group], first[group + 1]):
            if fq_is_zero(fq_load(coordinates, 2 * point + 1)):
                continue
            m = point - first[group] + 1
            if halves:
                low, high = m & ((np.int64(1) << detail[group]) - 1), m >> detail[group]
                if low:
                    counts[parts[2 * group] + low - 1] += 1
                if high:
                    counts[parts[2 * group + 1] + high - 1] += 1
            else:
                for bit in range(_bit_length(m)):
                    counts[detail[group] + bit] += (m >> bit) & 1


@njit(cache=True, nogil=True, parallel=True)
def _enter_parts(coordinates, first, parts, detail, halves, cursors, entries):
    """Entries ``2 * point`` of segment_sums, by part."""
    for group in prange(len(first) - 1):
        for point in range(first[group], first[group + 1]):
            if fq_is_zero(fq_load(coordinates, 2 * point + 1)):
                continue
            m = point - first[group] + 1
            if halves:
                low, high = m & ((np.int64(1) << detail[group]) - 1), m >> detail[group]
                if low:
                    part = parts[2 * group] + low - 1
                    entries[cursors[part]] = np.uint32(2 * point)
                    cursors[part] += 1
                if high:
                    part = parts[2 * group + 1] + high - 1
                    entries[cursors[part]] = np.uint32(2 * point)
                    cursors[part] += 1
            else:
                for bit in range(_bit_length(m)):
                    if (m >> bit) & 1:
                        part = detail[group] + bit
                        entries[cursors[part]] = np.uint32(2 * point)
                        cursors[part] += 1


@njit(cache=True, nogil=True, parallel=True)
def _horner(coordinates, row, shift, rows):
    """(rows, 8) affine sums of the points times 2^shift of each row; groups of one point each."""
    sums = np.empty((2 * rows, 4), np.uint64)
    for number in prange(rows):
        first, end = np.searchsorted(row, number), np.searchsorted(row, number, side="right")
        order = first + np.argsort(shift[first:end])
        total, at = JACOBIAN_INFINITY, np.int64(0)
        for offset in range(end - first):
            point = order[end - first - 1 - offset]
            for _ in range(at - shift[point]):
                total = jacobian_double(total)
            at = shift[point]
            total = jacobian_add_affine(
                total, fq_load(coordinates, 2 * point), fq_load(coordinates, 2 * point + 1)
            )
        for _ in range(at):
            total = jacobian_double(total)
        x, y = jacobian_to_affine(total)
        fq_store(sums, 2 * number, x)
        fq_store(sums, 2 * number + 1, y)
    return sums.reshape(-1, 8)


@njit(cache=True, nogil=True)
def _add_up(coordinates, is_difference):
    """Rows that are differences become sums, in place."""
    for row in range(1, len(is_difference)):
        if is_difference[row]:
            before = (fq_load(coordinates, 2 * row - 2), fq_load(coordinates, 2 * row - 1), FQ_ONE)
            if fq_is_zero(before[1]):
                before = JACOBIAN_INFINITY
            x, y = jacobian_to_affine(
                jacobian_add_affine(before, fq_load(coordinates, 2 * row), fq_load(coordinates, 2 * row + 1))
            )
            fq_store(coordinates, 2 * row, x)
            fq_store(coordinates, 2 * row + 1, y)
