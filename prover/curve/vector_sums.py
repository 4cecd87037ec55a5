"""The block of batch-affine additions of segment_sums.py on eight AVX-512 IFMA lanes.

Same inputs and outputs as the portable block, bit for bit. Pairs that need a slope are gathered into lanes;
the others (an odd one out, infinities, opposite points) are settled at once, and a block with a doubling is
left to the portable code. Comments give the bound of each loosely reduced value as a multiple of p (ifma.py).
"""

import numpy as np
from numba import njit

from ..field import ifma
from ..field.base_kernels import (
    FQ_ONE,
    FQ_ZERO,
    fq_inverse,
    fq_load,
    fq_mul,
    fq_store,
)
from ..field.reference import BASE_MODULUS
from .affine_cases import ADD, DOUBLE, LEFT, RIGHT, classify, load_point, prefetch_pair

LANES = ifma.LANES

_multiply = ifma.make_vector_multiply(BASE_MODULUS)
_subtract_16 = ifma.make_vector_subtract(BASE_MODULUS, 16)
_subtract_34 = ifma.make_vector_subtract(BASE_MODULUS, 34)
_pack = ifma.make_pack(BASE_MODULUS)
_unpack = ifma.unpack

# Rows of the working array: shared registers first, then one group of rows per eight additions.
_ONE, _RUNNING, _INVERSE, _SLOPE, _X1, _Y1, _X2, _WORK = range(0, 40, 5)
_GROUPS = 40
_PACKED_X1, _PACKED_Y1, _PACKED_X2, _PACKED_Y2, _DIFFERENCE, _PREFIX = 0, 4, 8, 12, 16, 21
_GROUP_ROWS = 26

_ONE_LIMBS = np.array(ifma.vector_limbs((1 << ifma.RADIX_BITS) % BASE_MODULUS), np.uint64)


@njit(cache=True, nogil=True)
def _put(rows, group, lane, register, element):
    for limb in range(4):
        rows[group + register + limb, lane] = element[limb]


@njit(cache=True, nogil=True)
def _gather(coordinates, entries, starts, next_starts, sums, first, last, rows, outputs):
    """Fill the lanes; returns how many additions there are, or -1 if a doubling was met."""
    segment = np.searchsorted(next_starts, first, side="right") - 1
    count = 0
    for output in range(first, last):
        while output >= next_starts[segment + 1]:
            segment += 1
        position = starts[segment] + 2 * (output - next_starts[segment])
        prefetch_pair(coordinates, entries, position)
        x1, y1 = load_point(coordinates, entries, position)
        if position + 1 >= starts[segment + 1]:
            fq_store(sums, 2 * output, x1)
            fq_store(sums, 2 * output + 1, y1)
            continue
        x2, y2 = load_point(coordinates, entries, position + 1)
        case, _ = classify(x1, y1, x2, y2)
        if case == ADD:
            group, lane = _GROUPS + _GROUP_ROWS * (count // LANES), count % LANES
            _put(rows, group, lane, _PACKED_X1, x1)
            _put(rows, group, lane, _PACKED_Y1, y1)
            _put(rows, group, lane, _PACKED_X2, x2)
            _put(rows, group, lane, _PACKED_Y2, y2)
            outputs[count] = output
            count += 1
        elif case == DOUBLE:
            return -1
        elif case == LEFT:
            fq_store(sums, 2 * output, x1)
            fq_store(sums, 2 * output + 1, y1)
        elif case == RIGHT:
            fq_store(sums, 2 * output, x2)
            fq_store(sums, 2 * output + 1, y2)
        else:
            fq_store(sums, 2 * output, FQ_ZERO)
            fq_store(sums, 2 * output + 1, FQ_ZERO)
    for spare in range(count, (count + LANES - 1) // LANES * LANES):
        group, lane = _GROUPS + _GROUP_ROWS * (spare // LANES), spare % LANES
        _put(rows, group, lane, _PACKED_X1, FQ_ZERO)
        _put(rows, group, lane, _PACKED_Y1, FQ_ZERO)
        _put(rows, group, lane, _PACKED_X2, FQ_ONE)
        _put(rows, group, lane, _PACKED_Y2, FQ_ZERO)
    return count


@njit(cache=True, nogil=True)
def _invert_lanes(rows):
    """``_RUNNING`` inverted in each lane, with one inversion for all eight; the result is below 2p."""
    _pack(rows, _WORK, _RUNNING)
    elements = np.empty((LANES, 4), np.uint64)
    prefix = np.empty((LANES, 4), np.uint64)
    running = FQ_ONE
    for lane in range(LANES):
        for limb in range(4):
            elements[lane, limb] = rows[_WORK + limb, lane]
        fq_store(prefix, lane, running)
        running = fq_mul(running, fq_load(elements, lane))
    running = fq_inverse(running)
    for offset in range(LANES):
        lane = LANES - 1 - offset
        _put(rows, 0, lane, _WORK, fq_mul(running, fq_load(prefix, lane)))
        running = fq_mul(running, fq_load(elements, lane))
    _unpack(rows, _INVERSE, _WORK)
    _multiply(rows, _RUNNING, _INVERSE, _ONE)


@njit(cache=True, nogil=True)
def add_block_vector(coordinates, entries, starts, next_starts, sums, first, last):
    """Outputs first..last-1 of one level, as segment_sums._add_block; False if that must do it instead."""
    groups = (last - first + LANES - 1) // LANES
    rows = np.empty((_GROUPS + _GROUP_ROWS * groups, LANES), np.uint64)
    outputs = np.empty(LANES * groups, np.int64)
    count = _gather(coordinates, entries, starts, next_starts, sums, first, last, rows, outputs)
    if count < 0:
        return False
    groups = (count + LANES - 1) // LANES
    for limb in range(ifma.VECTOR_ROWS):
        for lane in range(LANES):
            rows[_ONE + limb, lane] = _ONE_LIMBS[limb]
            rows[_RUNNING + limb, lane] = _ONE_LIMBS[limb]
    for index in range(groups):
        group = _GROUPS + _GROUP_ROWS * index
        _unpack(rows, _X1, group + _PACKED_X1)  # 16
        _unpack(rows, _X2, group + _PACKED_X2)  # 16
        _subtract_16(rows, group + _DIFFERENCE, _X2, _X1)  # 32
        for limb in range(ifma.VECTOR_ROWS):
            for lane in range(LANES):
                rows[group + _PREFIX + limb, lane] = rows[_RUNNING + limb, lane]
        _multiply(rows, _RUNNING, _RUNNING, group + _DIFFERENCE)  # 2 * 32 / 64 + 1 = 2
    _invert_lanes(rows)  # 2
    for offset in range(groups):
        group = _GROUPS + _GROUP_ROWS * (groups - 1 - offset)
        _multiply(rows, _INVERSE, _RUNNING, group + _PREFIX)  # 2
        _multiply(rows, _RUNNING, _RUNNING, group + _DIFFERENCE)  # 2
        _unpack(rows, _X1, group + _PACKED_X1)  # 16
        _unpack(rows, _Y1, group + _PACKED_Y1)  # 16
        _unpack(rows, _X2, group + _PACKED_X2)  # 16
        _unpack(rows, _WORK, group + _PACKED_Y2)  # 16
        _subtract_16(rows, _WORK, _WORK, _Y1)  # 32
        _multiply(rows, _SLOPE, _WORK, _INVERSE)  # 2
        _multiply(rows, _WORK, _SLOPE, _SLOPE)  # 2
        _subtract_16(rows, _WORK, _WORK, _X1)  # 18
        _subtract_16(rows, _X2, _WORK, _X2)  # 34: the sum's x
        _pack(rows, group + _PACKED_X1, _X2)
        _subtract_34(rows, _WORK, _X1, _X2)  # 50
        _multiply(rows, _WORK, _WORK, _SLOPE)  # 2 * 50 / 64 + 1 < 3
        _subtract_16(rows, _WORK, _WORK, _Y1)  # 19
        _pack(rows, group + _PACKED_Y1, _WORK)
    for k in range(count):
        group, lane, output = _GROUPS + _GROUP_ROWS * (k // LANES), k % LANES, outputs[k]
        for limb in range(4):
            sums[2 * output, limb] = rows[group + _PACKED_X1 + limb, lane]
            sums[2 * output + 1, limb] = rows[group + _PACKED_Y1 + limb, lane]
    return True
