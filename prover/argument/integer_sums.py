"""Sums of integers times field elements on eight AVX-512 IFMA lanes, reduced once per sum.

An integer v, |v| < 2^40, becomes the digit v + 2^40 < 2^52; digit times 52-bit limb fits 104 bits, so a term costs ten
multiply-adds per eight integers instead of two Montgomery products each. What the offsets add,
2^40 * sum of weights, is subtracted at the end. Bounds: with at most 2^11 terms, limb sums stay below
2^11 (2^52 + 2^41) < 2^64 and the sum below 2^(11 + 254 + 41) = 2^306, that is 2^46 above limb five.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit, prange

from ..field import ifma
from ..field.arrays import MODULUS
from ..field.threads import threads_for

LANES, ROWS = ifma.LANES, ifma.VECTOR_ROWS
MOST_TERMS = 1 << 11
_OFFSET = 1 << 40
_TILE = 16
"""Blocks whose sums run together, so that memory is read in pieces of 1 KiB."""
_PARALLEL_FROM = 1 << 15

_multiply = ifma.make_vector_multiply(MODULUS)
_add = ifma.make_vector_add_reduced(MODULUS)
_subtract = ifma.make_vector_subtract_reduced(MODULUS)
_pack = ifma.make_pack(MODULUS)
_accumulate = ifma.accumulate_integers


def _broadcast(values: Sequence[int]) -> np.ndarray:
    """(5 * count, 8): 52-bit limbs of integers below p, the same in every lane."""
    limbs = np.array([ifma.vector_limbs(value % MODULUS) for value in values], dtype=np.uint64)
    return np.ascontiguousarray(np.repeat(limbs.reshape(-1, 1), LANES, axis=1))


_TO_VECTOR_FORM = _broadcast([pow(2, 2 * ifma.RADIX_BITS, MODULUS), pow(2, 3 * ifma.RADIX_BITS, MODULUS)])
"""Factors that take the low five limbs, and the sixth, to Montgomery form."""


def _corrections(weights: Sequence[int]) -> np.ndarray:
    """(5 * (count + 1), 8): 2^40 times the sum of the first 0, 1, ... weights, in Montgomery form."""
    totals = [0]
    for weight in weights:
        totals.append(totals[-1] + weight)
    return _broadcast([(total * _OFFSET << ifma.RADIX_BITS) % MODULUS for total in totals])


@njit(cache=True, nogil=True)
def _finish(rows: np.ndarray, start: int, work: int, factors: np.ndarray, correction: np.ndarray) -> None:
    """Six sums at `start` become packed elements at row `work`; 15 rows from `work` are overwritten."""
    mask = np.uint64((1 << 52) - 1)
    for lane in range(LANES):
        carry = np.uint64(0)
        for k in range(ROWS):
            total = rows[start + k, lane] + carry
            rows[start + k, lane] = total & mask
            carry = total >> np.uint64(52)
        rows[work, lane] = rows[start + ROWS, lane] + carry
        for k in range(1, ROWS):
            rows[work + k, lane] = np.uint64(0)
    for k in range(ROWS):
        for lane in range(LANES):
            rows[work + 5 + k, lane] = factors[k, lane]
            rows[work + 10 + k, lane] = factors[ROWS + k, lane]
    _multiply(rows, work, work, work + 10)
    _multiply(rows, start, start, work + 5)
    _add(rows, start, start, work)
    for k in range(ROWS):
        for lane in range(LANES):
            rows[work + k, lane] = correction[k, lane]
    _subtract(rows, start, start, work)
    _pack(rows, work, start)


@njit(cache=True, nogil=True, parallel=True)
def _combine(
    addresses: np.ndarray,
    blocks_of: np.ndarray,
    weights: np.ndarray,
    corrections: np.ndarray,
    factors: np.ndarray,
    result: np.ndarray,
) -> None:
    """result[i] = sum_k weights[k] * integers[k][i]; tables are sorted, the longest first."""
    blocks = result.shape[0] // LANES
    tiles = (blocks + _TILE - 1) // _TILE
    for tile in prange(tiles):
        first, stop = tile * _TILE, min(blocks, (tile + 1) * _TILE)
        work = 6 * _TILE
        rows = np.zeros((work + 15, LANES), dtype=np.uint64)
        for k in range(addresses.shape[0]):
            for block in range(first, min(stop, blocks_of[k])):
                _accumulate(rows, 6 * (block - first), addresses[k] + block * 64, _OFFSET, weights, ROWS * k)
        active = addresses.shape[0]
        for block in range(first, stop):
            while active > 0 and blocks_of[active - 1] <= block:
                active -= 1
            correction = corrections[ROWS * active : ROWS * active + ROWS]
            _finish(rows, 6 * (block - first), work, factors, correction)
            for lane in range(LANES):
                for limb in range(4):
                    result[block * LANES + lane, limb] = rows[work + limb, lane]


@njit(cache=True, nogil=True, parallel=True)
def _dot_rows(
    address: int,
    count: int,
    columns: int,
    weights: np.ndarray,
    correction: np.ndarray,
    factors: np.ndarray,
    result: np.ndarray,
) -> None:
    """result[a] = sum_b matrix[a, b] * weights[b] for the (count, columns) int64 matrix at an address."""
    for group in prange((count + LANES - 1) // LANES):
        rows = np.zeros((6 + 15 + 6, LANES), dtype=np.uint64)
        for member in range(min(LANES, count - group * LANES)):
            start = address + (group * LANES + member) * columns * 8
            for k in range(6):
                for lane in range(LANES):
                    rows[21 + k, lane] = np.uint64(0)
            for block in range(columns // LANES):
                _accumulate(rows, 21, start + block * 64, _OFFSET, weights, ROWS * block)
            for k in range(6):
                total = np.uint64(0)
                for lane in range(LANES):
                    total += rows[21 + k, lane]
                rows[k, member] = total
        _finish(rows, 0, 6, factors, correction)
        for member in range(min(LANES, count - group * LANES)):
            for limb in range(4):
                result[group * LANES + member, limb] = rows[6 + limb, member]


def suits(values: np.ndarray) -> bool:
    """Whether these kernels take this array."""
    return bool(
        ifma.AVAILABLE
        and values.dtype == np.int64
        and values.flags.c_contiguous
        and values.shape[-1] % LANES == 0
        and values.size > 0
        and values.min() > -_OFFSET
        and values.max() < _OFFSET
    )


def combine_integers(tables: Sequence[np.ndarray], weights: Sequence[int], length: int) -> np.ndarray:
    """sum_k weights[k] * tables[k], each padded with zeros to `length`, as field elements.

    Every table must suit; at most 2^11 tables.
    """
    order = sorted(range(len(tables)), key=lambda k: -len(tables[k]))
    sorted_weights = [weights[k] % MODULUS for k in order]
    addresses = np.array([tables[k].ctypes.data for k in order], dtype=np.int64)
    blocks = np.array([len(tables[k]) // LANES for k in order], dtype=np.int64)
    result = np.empty((length, 4), dtype=np.uint64)
    with threads_for(LANES * int(blocks.sum()), _PARALLEL_FROM):
        _combine(
            addresses,
            blocks,
            _broadcast(sorted_weights),
            _corrections(sorted_weights),
            _TO_VECTOR_FORM,
            result,
        )
    return result


def bind_rows(matrix: np.ndarray, weights: Sequence[int]) -> np.ndarray:
    """result[b] = sum_a weights[a] * matrix[a, b]."""
    return combine_integers(list(matrix), weights, matrix.shape[1])


def bind_columns(matrix: np.ndarray, weights: Sequence[int]) -> np.ndarray:
    """result[a] = sum_b matrix[a, b] * weights[b]."""
    limbs = np.array([ifma.vector_limbs(weight % MODULUS) for weight in weights], dtype=np.uint64)
    lanes = np.ascontiguousarray(limbs.reshape(-1, LANES, ROWS).transpose(0, 2, 1)).reshape(-1, LANES)
    correction = _corrections([sum(weights) % MODULUS])[ROWS:]
    result = np.empty((len(matrix), 4), dtype=np.uint64)
    with threads_for(matrix.size, _PARALLEL_FROM):
        _dot_rows(matrix.ctypes.data, *matrix.shape, lanes, correction, _TO_VECTOR_FORM, result)
    return result
