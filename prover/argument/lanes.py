"""Sumcheck rounds on eight AVX-512 IFMA lanes: the same sums and folds as sumcheck.py, several times faster.

A table of 2^n field elements is kept as 2^n / 8 blocks of five rows of eight lanes: radix 2^260, 52-bit limbs,
below 2p (field/ifma.py). A stack is (columns, blocks, 5, 8) uint64 and is folded in place: the pair (i, i + half)
lies in the same lane of two blocks. A tape is interpreted once per block, so reading an instruction costs an
eighth of what it costs in the portable kernel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import get_num_threads, njit, prange

from ..field import arrays, ifma
from ..field.arrays import MODULUS
from ..field.scalar_kernels import FR_ZERO, fr_add, fr_load, fr_store
from ..field.threads import threads_for
from .tape import ADD, MULTIPLY, Tape

LANES = ifma.LANES
ROWS = ifma.VECTOR_ROWS
SHORTEST = 2 * LANES
"""Entries below which a pair no longer fills two blocks."""

_PARALLEL_FROM = 1 << 17
"""Field multiplications below which waking another thread costs more than it saves."""

_multiply = ifma.make_vector_multiply(MODULUS)
_add = ifma.make_vector_add_reduced(MODULUS)
_subtract = ifma.make_vector_subtract_reduced(MODULUS)
_pack = ifma.make_pack(MODULUS)
_unpack = ifma.unpack


def _broadcast(values: Sequence[int]) -> np.ndarray:
    """(5 * count, 8): integers as they are (no change of form), the same in every lane."""
    limbs = np.array([ifma.vector_limbs(value % MODULUS) for value in values], dtype=np.uint64)
    return np.ascontiguousarray(np.repeat(limbs.reshape(-1, 1), LANES, axis=1))


def _in_vector_form(values: Sequence[int]) -> np.ndarray:
    return _broadcast([(value << ifma.RADIX_BITS) % MODULUS for value in values])


_ONE = _in_vector_form([1])
_FROM_INTEGER = _in_vector_form([pow(2, ifma.RADIX_BITS, MODULUS)])
_OFFSET = 1 << 51
_INTEGER_OFFSET = _in_vector_form([_OFFSET])


@njit(cache=True, nogil=True, parallel=True)
def _load_packed(table: np.ndarray, column: np.ndarray, one: np.ndarray) -> None:
    """(n, 4) packed elements into the (n / 8 * 5, 8) rows of a column, below 2p."""
    blocks = table.shape[0] // LANES
    parts = min(blocks, 64)
    for part in prange(parts):
        rows = np.empty((4 + 2 * ROWS, LANES), np.uint64)
        rows[9:14] = one
        for block in range(part * blocks // parts, (part + 1) * blocks // parts):
            for lane in range(LANES):
                for limb in range(4):
                    rows[limb, lane] = table[block * LANES + lane, limb]
            _unpack(rows, 4, 0)
            _multiply(rows, 4, 4, 9)
            for row in range(ROWS):
                for lane in range(LANES):
                    column[block * ROWS + row, lane] = rows[4 + row, lane]


@njit(cache=True, nogil=True, parallel=True)
def _load_integers(values: np.ndarray, column: np.ndarray, factor: np.ndarray, offset: np.ndarray) -> None:
    """Integers of magnitude below 2^51: (value + 2^51) times the radix, minus 2^51 times the radix."""
    blocks = values.shape[0] // LANES
    parts = min(blocks, 64)
    for part in prange(parts):
        rows = np.zeros((3 * ROWS, LANES), np.uint64)
        rows[5:10] = factor
        rows[10:15] = offset
        for block in range(part * blocks // parts, (part + 1) * blocks // parts):
            for lane in range(LANES):
                rows[0, lane] = np.uint64(values[block * LANES + lane] + _OFFSET)
                for limb in range(1, ROWS):
                    rows[limb, lane] = np.uint64(0)
            _multiply(rows, 0, 0, 5)
            _subtract(rows, 0, 0, 10)
            for row in range(ROWS):
                for lane in range(LANES):
                    column[block * ROWS + row, lane] = rows[row, lane]


@njit(cache=True, nogil=True)
def _unload(stack: np.ndarray, blocks: int, result: np.ndarray) -> None:
    """The first `blocks` blocks of every column as packed elements (columns, 8 * blocks, 4)."""
    rows = np.empty((ROWS + 4, LANES), np.uint64)
    for c in range(stack.shape[0]):
        column = stack[c]
        for block in range(blocks):
            for row in range(ROWS):
                for lane in range(LANES):
                    rows[row, lane] = column[block * ROWS + row, lane]
            _pack(rows, ROWS, 0)
            for lane in range(LANES):
                for limb in range(4):
                    result[c, block * LANES + lane, limb] = rows[ROWS + limb, lane]


@njit(cache=True, nogil=True, parallel=True)
def _sums(
    stack: np.ndarray,
    half: int,
    constants: np.ndarray,
    code: np.ndarray,
    points: int,
    skip_one: bool,
    parts: int,
) -> np.ndarray:
    """(parts, points, 4): sums of the tape's value at X = 0 .. points-1 over pairs of blocks (b, b + half)."""
    columns = stack.shape[0]
    fixed = ROWS * columns + constants.shape[0]
    steps = fixed + ROWS * code.shape[0]
    totals = steps + ROWS * columns
    last = steps - ROWS
    sums = np.zeros((parts, points, 4), dtype=np.uint64)
    for part in prange(parts):
        rows = np.zeros((totals + ROWS * points + 4, LANES), dtype=np.uint64)
        rows[ROWS * columns : fixed] = constants
        for block in range(part * half // parts, (part + 1) * half // parts):
            for c in range(columns):
                column = stack[c]
                for row in range(ROWS):
                    for lane in range(LANES):
                        rows[ROWS * c + row, lane] = column[block * ROWS + row, lane]
                        rows[steps + ROWS * c + row, lane] = column[(block + half) * ROWS + row, lane]
                _subtract(rows, steps + ROWS * c, steps + ROWS * c, ROWS * c)
            for x in range(points):
                if x > 0:
                    for c in range(columns):
                        _add(rows, ROWS * c, ROWS * c, steps + ROWS * c)
                    if x == 1 and skip_one:
                        continue
                for i in range(code.shape[0]):
                    out = fixed + ROWS * i
                    left, right = code[i, 1], code[i, 2]
                    if code[i, 0] == MULTIPLY:
                        _multiply(rows, out, left, right)
                    elif code[i, 0] == ADD:
                        _add(rows, out, left, right)
                    else:
                        _subtract(rows, out, left, right)
                _add(rows, totals + ROWS * x, totals + ROWS * x, last)
        for x in range(points):
            packed = totals + ROWS * points
            _pack(rows, packed, totals + ROWS * x)
            total = FR_ZERO
            element = np.empty((1, 4), np.uint64)
            for lane in range(LANES):
                for limb in range(4):
                    element[0, limb] = rows[packed + limb, lane]
                total = fr_add(total, fr_load(element, 0))
            fr_store(sums[part], x, total)
    return sums


@njit(cache=True, nogil=True, parallel=True)
def _fold(stack: np.ndarray, half: int, challenge: np.ndarray) -> None:
    """Block b becomes block b + challenge * (block (b + half) - block b), for every column."""
    columns = stack.shape[0]
    parts = min(half, 16)
    for task in prange(columns * parts):
        column = stack[task // parts]
        part = task % parts
        rows = np.empty((3 * ROWS, LANES), dtype=np.uint64)
        rows[10:15] = challenge
        for block in range(part * half // parts, (part + 1) * half // parts):
            for row in range(ROWS):
                for lane in range(LANES):
                    rows[row, lane] = column[block * ROWS + row, lane]
                    rows[ROWS + row, lane] = column[(block + half) * ROWS + row, lane]
            _subtract(rows, 5, 5, 0)
            _multiply(rows, 5, 5, 10)
            _add(rows, 0, 0, 5)
            for row in range(ROWS):
                for lane in range(LANES):
                    column[block * ROWS + row, lane] = rows[row, lane]


class LaneStack:
    """Tables of equal length (a multiple of 16) in vector form, with the tape that combines them."""

    def __init__(self, tables: Sequence[np.ndarray], tape: Tape) -> None:
        self.length = len(tables[0])
        self._stack = np.empty((len(tables), self.length // LANES * ROWS, LANES), dtype=np.uint64)
        with threads_for(self.length, _PARALLEL_FROM):
            for table, column in zip(tables, self._stack, strict=True):
                if table.ndim == 1:
                    _load_integers(table, column, _FROM_INTEGER, _INTEGER_OFFSET)
                else:
                    _load_packed(table, column, _ONE)
        self._constants = _in_vector_form(arrays.to_ints(tape.constants)).reshape(-1, LANES)
        self._code = tape.code.copy()
        self._code[:, 1:] *= ROWS

    def sums(self, points: int, skip_one: bool) -> np.ndarray:
        """(parts, points, 4) partial sums for X = 0 .. points-1; those of X = 1 are zero when skipped."""
        half = self.length // (2 * LANES)
        with threads_for(half * LANES * len(self._code) * points, _PARALLEL_FROM):
            parts = min(half, 4 * get_num_threads()) if get_num_threads() > 1 else 1
            return _sums(self._stack, half, self._constants, self._code, points, skip_one, parts)

    def fold(self, challenge: int) -> None:
        """Bind the first variable."""
        half = self.length // (2 * LANES)
        with threads_for(half * LANES * len(self._stack), _PARALLEL_FROM):
            _fold(self._stack, half, _in_vector_form([challenge]))
        self.length //= 2

    def packed(self) -> np.ndarray:
        """(columns, length, 4) elements of field/arrays.py."""
        result = np.empty((len(self._stack), self.length, 4), dtype=np.uint64)
        _unload(self._stack, self.length // LANES, result)
        return result
