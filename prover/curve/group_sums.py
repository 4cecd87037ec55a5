"""Sums of points that share a number: what a commitment to repeated values is made of.

A vector whose entries take few values, ``f_i = v[n_i]``, is committed as ``sum_g v_g B_g`` with
``B_g = sum of P_i over n_i = g``: one addition per entry instead of one per entry and window of digits.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .point_arrays import PointArray, checked_points
from .segment_sums import segment_sums


def group_sums(
    points: PointArray, members: Sequence[tuple[int, NDArray[np.int32]]], groups: int
) -> tuple[NDArray[np.int64], PointArray]:
    """``B_g = sum over members (start, numbers) of the points start + i with numbers[i] = g``.

    points (n, 8); numbers lie in 0 .. groups, where `groups` itself is none. A point may be a member of several groups, and more than once.
    Returns the groups that have members, ascending, and their sums (k, 8). Raises IndexError for a point or a
    group that does not exist.
    """
    checked_points(points)
    counts = np.zeros(groups + 1, np.int64)
    for start, numbers in members:
        if start < 0 or start + len(numbers) > len(points):
            raise IndexError(f"points {start} .. {start + len(numbers)} of {len(points)}: slice the numbers")
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() <= groups:
            raise IndexError(f"a group number is outside 0 .. {groups}")
        _count(numbers, counts)
    counts = counts[:groups]
    used = np.flatnonzero(counts)
    starts = np.zeros(len(used) + 1, np.int64)
    np.cumsum(counts[used], out=starts[1:])
    cursors = counts
    cursors[used] = starts[:-1]
    entries = np.empty(starts[-1], np.uint32)
    for start, numbers in members:
        # one member after the other: where two name the same points in one group, equal points are not neighbours
        _place(numbers, start, cursors, entries)
    return used, segment_sums(points, entries, starts)


@njit(cache=True, nogil=True)
def _count(numbers, counts):
    for i in range(len(numbers)):
        counts[numbers[i]] += 1  # of none, too, behind the groups


@njit(cache=True, nogil=True)
def _place(numbers, start, cursors, entries):
    """Entries ``2 * point`` of segment_sums, sorted by group."""
    for i in range(len(numbers)):
        group = numbers[i]
        if group == len(cursors):
            continue
        entries[cursors[group]] = np.uint32(2 * (start + i))
        cursors[group] += 1
