"""How two affine points are added: the cases that both block kernels of segment_sums.py share."""

import numpy as np
from numba import njit

from ..field.base_kernels import FQ_ONE, fq_add, fq_equal, fq_is_zero, fq_load, fq_neg, fq_sub
from ..field.montgomery import prefetch

ADD, DOUBLE, LEFT, RIGHT, INFINITY_SUM = range(5)

PREFETCH_DISTANCE = 32


@njit(cache=True, nogil=True, forceinline=True)
def load_point(coordinates, entries, position):
    """The signed point at a position of a level's list (the point list itself when there are no entries)."""
    if len(entries) == 0:
        return fq_load(coordinates, 2 * position), fq_load(coordinates, 2 * position + 1)
    entry = np.int64(entries[position])
    x = fq_load(coordinates, entry & ~1)
    y = fq_load(coordinates, entry | 1)
    return x, fq_neg(y) if entry & 1 else y


@njit(cache=True, nogil=True, forceinline=True)
def prefetch_pair(coordinates, entries, position):
    """Start fetching the two points that will be read PREFETCH_DISTANCE positions further on."""
    # Entries name points all over memory; a list without entries is read in order, which hardware foresees.
    ahead = position + PREFETCH_DISTANCE
    if ahead + 1 < len(entries):
        for k in range(2):
            entry = np.int64(entries[ahead + k])
            prefetch(coordinates, entry & ~1)
            prefetch(coordinates, entry | 1)


@njit(cache=True, nogil=True, forceinline=True)
def prefetch_entry(coordinates, entry):
    """Start fetching the point that an entry names."""
    prefetch(coordinates, entry & ~1)
    prefetch(coordinates, entry | 1)


@njit(cache=True, nogil=True, forceinline=True)
def classify(x1, y1, x2, y2):
    """The case of a pair, and the denominator of its slope (one where there is no slope)."""
    # y = 0 means infinity: the group has odd order, so no point of order two exists.
    if fq_is_zero(y1):
        return RIGHT, FQ_ONE
    if fq_is_zero(y2):
        return LEFT, FQ_ONE
    difference = fq_sub(x2, x1)
    if fq_is_zero(difference):
        if fq_equal(y1, y2):
            return DOUBLE, fq_add(y1, y1)
        return INFINITY_SUM, FQ_ONE
    return ADD, difference
