"""The block of batch-affine additions of segment_sums.py on eight AVX-512 IFMA lanes.

The same sums as the portable block's. Points come in as they lie in a point array, or as a block before wrote them: *loosely*, in
the radix of the lanes and below `LOOSE_BOUND` times p (ifma.py), 64 bytes each as well. They go out loosely, so that nothing is reduced
between two levels; `to_reduced` brings points back, once, whatever the number of levels was.

A block with a pair that has no slope or is a doubling is left to the portable code: one of its points is infinity, or the
product of all denominators is zero. Comments give the bound of each loosely reduced value as a multiple of p.
"""

import numpy as np
from numba import njit, prange

from ..field import ifma
from ..field.base_kernels import FQ_ONE, fq_inverse, fq_is_zero, fq_load, fq_mul, fq_store
from ..field.montgomery import limbs_of
from ..field.reference import BASE_MODULUS
from .affine_cases import prefetch_entry

LANES = ifma.LANES

_multiply = ifma.make_vector_multiply(BASE_MODULUS)
_subtract_16 = ifma.make_vector_subtract(BASE_MODULUS, 16)
_lower, _lower_difference, _lower_difference_of_both = (
    ifma.make_vector_lower(BASE_MODULUS, n) for n in range(3)
)
_negate_odd = ifma.make_vector_negate_odd(BASE_MODULUS, 16)
_pack = ifma.make_pack(BASE_MODULUS)
_unpack, _cut, _join = ifma.unpack, ifma.cut, ifma.join
_gather, _scatter, _has_zero_lane = ifma.gather, ifma.scatter, ifma.has_zero_lane

_REGISTER = ifma.VECTOR_ROWS
# Rows of the working array: shared registers first, then those of one pair of points per lane.
_INVERSE, _WORK = 0, _REGISTER
_WORDS = 2 * _REGISTER  # eight rows
_RUNNING = _WORDS + 8
"""Two products of denominators, of even groups and of odd ones: neither waits for the other."""
_OWN = _RUNNING + 2 * _REGISTER
"""Registers of the two groups that are finished together."""
_SLOPE, _SQUARE = 0, _REGISTER
_GROUPS = _OWN + 4 * _REGISTER
_X1, _Y1, _X2, _Y2, _DIFFERENCE, _PREFIX = range(0, 6 * _REGISTER, _REGISTER)
_GROUP_ROWS = 6 * _REGISTER

_REDUCED_AT_ONCE = 1024

_ONE_LIMBS = np.array(ifma.vector_limbs((1 << ifma.RADIX_BITS) % BASE_MODULUS), np.uint64)
_FROM_LOOSE = tuple(np.uint64(limb) for limb in limbs_of(pow(2, 252, BASE_MODULUS)))
_TO_LOOSE = tuple(np.uint64(limb) for limb in limbs_of(pow(2, 260, BASE_MODULUS)))


@njit(cache=True, nogil=True, forceinline=True)
def load_loose(coordinates, row):
    """A loose coordinate, reduced and in the radix of montgomery.py."""
    return fq_mul(_FROM_LOOSE, fq_load(coordinates, row))


@njit(cache=True, nogil=True, forceinline=True)
def store_loose(coordinates, row, element):
    """What `load_loose` reads; zero, of points at infinity, stays zero."""
    fq_store(coordinates, row, fq_mul(element, _TO_LOOSE))


@njit(cache=True, nogil=True)
def _aligned(rows):
    """(rows, 8) uint64 from a multiple of 64 bytes on: a register is one cache line."""
    words = np.empty(LANES * rows + LANES - 1, np.uint64)
    first = (-(words.ctypes.data >> 3)) & (LANES - 1)
    return words[first : first + LANES * rows].reshape(rows, LANES)


@njit(cache=True, nogil=True)
def _pairs(
    coordinates, entries, starts, next_starts, places, first, last, left, right, outputs, odd, odd_outputs
):
    """Which points are added and where their sums go, and of the odd ones out, too. Returns how many there are of both."""
    segment = np.searchsorted(next_starts, first, side="right") - 1
    count, odd_count = 0, 0
    for output in range(first, last):
        while output >= next_starts[segment + 1]:
            segment += 1
        within = output - next_starts[segment]
        position = starts[segment] + 2 * within
        entry = np.int64(entries[position]) if len(entries) else 2 * position
        prefetch_entry(coordinates, entry)
        if position + 1 < starts[segment + 1]:
            other = np.int64(entries[position + 1]) if len(entries) else 2 * position + 2
            prefetch_entry(coordinates, other)
            left[count], right[count], outputs[count] = entry, other, 2 * (places[segment] + within)
            count += 1
        else:
            odd[odd_count], odd_outputs[odd_count] = entry, 2 * (places[segment] + within)
            odd_count += 1
    return count, odd_count


@njit(cache=True, nogil=True, forceinline=True)
def _fill(count, multiple, numbers):
    """The last of `count` numbers once more until there is a multiple of them."""
    for spare in range(count, (count + multiple - 1) // multiple * multiple):
        numbers[spare] = numbers[count - 1]


@njit(cache=True, nogil=True)
def _invert_lanes(rows):
    """Both running products inverted in each lane, with one inversion for all; below 2p. False where one is zero."""
    _multiply(rows, _WORK, _RUNNING, _RUNNING + _REGISTER)  # 2
    _pack(rows, _WORDS, _WORK)
    elements = np.empty((LANES, 4), np.uint64)
    prefix = np.empty((LANES, 4), np.uint64)
    running = FQ_ONE
    for lane in range(LANES):
        for limb in range(4):
            elements[lane, limb] = rows[_WORDS + limb, lane]
        fq_store(prefix, lane, running)
        running = fq_mul(running, fq_load(elements, lane))
    if fq_is_zero(running):
        return False
    running = fq_inverse(running)
    for offset in range(LANES):
        lane = LANES - 1 - offset
        inverse = fq_mul(running, fq_load(prefix, lane))
        for limb in range(4):
            rows[_WORDS + limb, lane] = inverse[limb]
        running = fq_mul(running, fq_load(elements, lane))
    _unpack(rows, _WORK, _WORDS)  # 16
    _multiply(rows, _INVERSE, _WORK, _RUNNING + _REGISTER)  # 2
    _multiply(rows, _RUNNING + _REGISTER, _WORK, _RUNNING)  # 2
    for limb in range(_REGISTER):
        for lane in range(LANES):
            rows[_RUNNING + limb, lane] = rows[_INVERSE + limb, lane]
    return True


@njit(cache=True, nogil=True, forceinline=True)
def _read(rows, x, coordinates, entries, first, loose, signed):
    """Eight signed points into two registers, both below or at 16p; False where one is infinity."""
    _gather(rows, _WORDS, coordinates, entries, first)
    if _has_zero_lane(rows, _WORDS + 4):
        return False
    if loose:
        _cut(rows, x, _WORDS)  # 4
        _cut(rows, x + _REGISTER, _WORDS + 4)  # 4
    else:
        _unpack(rows, x, _WORDS)  # 16
        _unpack(rows, x + _REGISTER, _WORDS + 4)  # 16
    if signed:
        _negate_odd(rows, x + _REGISTER, x + _REGISTER, entries, first)  # 16
    return True


@njit(cache=True, nogil=True)
def _move_up(rows, coordinates, odd, sums, outputs, loose, signed, count):
    """Points that stay as they are, loosely; False where one is infinity."""
    for first in range(0, count, LANES):
        if not _read(rows, _OWN, coordinates, odd, first, loose, signed):
            return False
        for coordinate in range(2):
            _lower(rows, _OWN, _OWN + _REGISTER * coordinate)  # 4
            _join(rows, _WORDS + 4 * coordinate, _OWN)
        _scatter(rows, _WORDS, sums, outputs, first)
    return True


@njit(cache=True, nogil=True)
def add_block_vector(coordinates, entries, starts, next_starts, places, sums, loose, first, last):
    """Outputs first..last-1 of one level, as segment_sums._add_block; False if that must do it instead."""
    room = last - first + 2 * LANES
    left, right, outputs = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
    odd, odd_outputs = np.empty(room, np.int64), np.empty(room, np.int64)
    count, odd_count = _pairs(
        coordinates, entries, starts, next_starts, places, first, last, left, right, outputs, odd, odd_outputs
    )
    for numbers in (left, right, outputs):
        _fill(count, 2 * LANES, numbers)
    for numbers in (odd, odd_outputs):
        _fill(odd_count, LANES, numbers)
    groups = (count + 2 * LANES - 1) // (2 * LANES) * 2
    rows, signed = _aligned(_GROUPS + _GROUP_ROWS * groups), len(entries) > 0
    if not _move_up(rows, coordinates, odd, sums, odd_outputs, loose, signed, odd_count):
        return False
    if count == 0:
        return True
    for half in range(2):
        for limb in range(_REGISTER):
            for lane in range(LANES):
                rows[_RUNNING + _REGISTER * half + limb, lane] = _ONE_LIMBS[limb]
    for index in range(groups):
        group, running = _GROUPS + _GROUP_ROWS * index, _RUNNING + _REGISTER * (index & 1)
        if not _read(rows, group + _X1, coordinates, left, LANES * index, loose, signed):
            return False
        if not _read(rows, group + _X2, coordinates, right, LANES * index, loose, signed):
            return False
        _subtract_16(rows, group + _DIFFERENCE, group + _X2, group + _X1)  # 32
        _subtract_16(rows, group + _Y2, group + _Y2, group + _Y1)  # 32
        for limb in range(_REGISTER):
            for lane in range(LANES):
                rows[group + _PREFIX + limb, lane] = rows[running + limb, lane]
        _multiply(rows, running, running, group + _DIFFERENCE)  # 2 * 32 / 64 + 1 = 2
    if not _invert_lanes(rows):
        return False
    for offset in range(0, groups, 2):
        even = _GROUPS + _GROUP_ROWS * (groups - 2 - offset)
        odd = even + _GROUP_ROWS
        # Two groups step by step: while a product of one waits for itself, the other's goes on.
        _multiply(rows, _OWN + _SLOPE, _RUNNING, even + _PREFIX)  # 2
        _multiply(rows, _OWN + 2 * _REGISTER + _SLOPE, _RUNNING + _REGISTER, odd + _PREFIX)
        _multiply(rows, _RUNNING, _RUNNING, even + _DIFFERENCE)  # 2
        _multiply(rows, _RUNNING + _REGISTER, _RUNNING + _REGISTER, odd + _DIFFERENCE)
        _multiply(rows, _OWN + _SLOPE, _OWN + _SLOPE, even + _Y2)  # 2
        _multiply(rows, _OWN + 2 * _REGISTER + _SLOPE, _OWN + 2 * _REGISTER + _SLOPE, odd + _Y2)
        _multiply(rows, _OWN + _SQUARE, _OWN + _SLOPE, _OWN + _SLOPE)  # 2
        _multiply(
            rows,
            _OWN + 2 * _REGISTER + _SQUARE,
            _OWN + 2 * _REGISTER + _SLOPE,
            _OWN + 2 * _REGISTER + _SLOPE,
        )
        for half in range(2):
            group, own = even + _GROUP_ROWS * half, _OWN + 2 * _REGISTER * half
            _lower_difference_of_both(rows, own + _SQUARE, own + _SQUARE, group + _X1, group + _X2)  # 4: x
            _subtract_16(rows, group + _X1, group + _X1, own + _SQUARE)  # 32
        _multiply(rows, even + _X1, even + _X1, _OWN + _SLOPE)  # 2 * 32 / 64 + 1 = 2
        _multiply(rows, odd + _X1, odd + _X1, _OWN + 2 * _REGISTER + _SLOPE)
        for half in range(2):
            group, own = even + _GROUP_ROWS * half, _OWN + 2 * _REGISTER * half
            _lower_difference(rows, group + _Y1, group + _X1, group + _Y1)  # 4: y
            _join(rows, _WORDS, own + _SQUARE)
            _join(rows, _WORDS + 4, group + _Y1)
            _scatter(rows, _WORDS, sums, outputs, LANES * (groups - 2 - offset + half))
    return True


@njit(cache=True, nogil=True, parallel=True)
def to_reduced(coordinates, reduced):
    """Loose points as those of a point array."""
    blocks = (len(coordinates) + 2 * _REDUCED_AT_ONCE - 1) // (2 * _REDUCED_AT_ONCE)
    for block in prange(blocks):
        rows, entries = _aligned(_GROUPS), np.empty(LANES, np.int64)
        first, end = block * _REDUCED_AT_ONCE, min(len(coordinates) // 2, (block + 1) * _REDUCED_AT_ONCE)
        for point in range(first, end, LANES):
            for lane in range(LANES):
                entries[lane] = 2 * min(end - 1, point + lane)
            _gather(rows, _WORDS, coordinates, entries, 0)
            for coordinate in range(2):
                _cut(rows, _WORK, _WORDS + 4 * coordinate)
                _pack(rows, _WORDS + 4 * coordinate, _WORK)
            _scatter(rows, _WORDS, reduced, entries, 0)
