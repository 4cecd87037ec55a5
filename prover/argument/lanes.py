"""Sumcheck rounds on eight AVX-512 IFMA lanes: the same sums and folds as sumcheck_prover.py, several times faster.

A table of 2^n field elements is kept as 2^n / 8 blocks of five rows of eight lanes: radix 2^260, 52-bit limbs,
below 2p (field/ifma.py). A stack is (columns, blocks * 5, 8) uint64 and is folded in place: the pair (i, i + half)
lies in the same lane of two blocks. A tape is interpreted once per block, so reading an instruction costs an
eighth of what it costs in the portable kernel, and linear forms are worked out at two points only (forms.py). The first rounds need no stack (lane_sources.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import get_num_threads, njit, prange

from ..field import ifma
from ..field.arrays import MODULUS
from ..field.scalar_kernels import FR_ZERO, fr_add, fr_load, fr_store
from ..field.threads import threads_for
from .forms import Form, FormTape
from .tape import MULTIPLY

LANES = ifma.LANES
ROWS = ifma.VECTOR_ROWS
SHORTEST = 2 * LANES
"""Entries below which a pair no longer fills two blocks."""

PARALLEL_FROM = 1 << 17
"""Field multiplications below which waking another thread costs more than it saves."""

_multiply = ifma.make_vector_multiply(MODULUS)
_add = ifma.make_vector_add_reduced(MODULUS)
_subtract = ifma.make_vector_subtract_reduced(MODULUS)
_pack = ifma.make_pack(MODULUS)


def broadcast(values: Sequence[int]) -> np.ndarray:
    """(5 * count, 8): integers as they are (no change of form), the same in every lane."""
    limbs = np.array([ifma.vector_limbs(value % MODULUS) for value in values], dtype=np.uint64)
    return np.ascontiguousarray(np.repeat(limbs.reshape(-1, 1), LANES, axis=1))


def in_vector_form(values: Sequence[int]) -> np.ndarray:
    """(5 * count, 8): field elements as the kernels take them, the same in every lane."""
    return broadcast([(value << ifma.RADIX_BITS) % MODULUS for value in values])


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


@njit(cache=True, nogil=True)
def add_values(rows: np.ndarray, forms: int, code: np.ndarray, points: int, skip_one: bool) -> None:
    """Add the tape's values at X = 0 .. points-1 to the totals, for eight pairs.

    rows: of every form the value at 0, results, of every form the value at 1, which becomes the step from X to X + 1, and
    a total per point.
    """
    steps = ROWS * (forms + code.shape[0])
    totals = steps + ROWS * forms
    for f in range(forms):
        _subtract(rows, steps + ROWS * f, steps + ROWS * f, ROWS * f)
    for x in range(points):
        if x > 0:
            for f in range(forms):
                _add(rows, ROWS * f, ROWS * f, steps + ROWS * f)
            if x == 1 and skip_one:
                continue
        for i in range(code.shape[0]):
            out = ROWS * (forms + i)
            left, right = code[i, 1], code[i, 2]
            if code[i, 0] == MULTIPLY:
                _multiply(rows, out, left, right)
            else:
                _add(rows, out, left, right)
        _add(rows, totals + ROWS * x, totals + ROWS * x, steps - ROWS)


@njit(cache=True, nogil=True)
def add_forms(
    rows: np.ndarray,
    out: int,
    columns: int,
    factors: int,
    work: int,
    begun: np.ndarray,
    starts: np.ndarray,
    entries: np.ndarray,
) -> None:
    """Every form at row `out` on: what is there if it is `begun`, plus coefficient * column for all its entries.

    entries: (column, whether the coefficient is one); coefficients lie at row `factors` on. Five rows at `work` are overwritten.
    """
    for f in range(begun.shape[0]):
        target, is_empty = out + ROWS * f, begun[f] == 0
        for entry in range(starts[f], starts[f + 1]):
            source, factor = columns + ROWS * entries[entry, 0], factors + ROWS * entry
            if entries[entry, 1] == 0:
                _multiply(rows, target if is_empty else work, source, factor)
                source = work
            elif is_empty:
                for row in range(ROWS):
                    for lane in range(LANES):
                        rows[target + row, lane] = rows[source + row, lane]
            if not is_empty:
                _add(rows, target, target, source)
            is_empty = False


@njit(cache=True, nogil=True)
def store_totals(rows: np.ndarray, totals: int, points: int, sums: np.ndarray) -> None:
    """(points, 4): each total's eight lanes together; four rows behind the totals are overwritten."""
    packed = totals + ROWS * points
    element = np.empty((1, 4), np.uint64)
    for x in range(points):
        _pack(rows, packed, totals + ROWS * x)
        total = FR_ZERO
        for lane in range(LANES):
            for limb in range(4):
                element[0, limb] = rows[packed + limb, lane]
            total = fr_add(total, fr_load(element, 0))
        fr_store(sums, x, total)


@njit(cache=True, nogil=True, parallel=True)
def _sums(
    stack: np.ndarray,
    half: int,
    constants: np.ndarray,
    factors: np.ndarray,
    begun: np.ndarray,
    starts: np.ndarray,
    entries: np.ndarray,
    code: np.ndarray,
    points: int,
    skip_one: bool,
    parts: int,
) -> np.ndarray:
    """(parts, points, 4): sums of the tape's value at X = 0 .. points-1 over pairs of blocks (b, b + half)."""
    columns, forms = stack.shape[0], begun.shape[0]
    steps = ROWS * (forms + code.shape[0])
    totals = steps + ROWS * forms
    held = totals + ROWS * points + 4  # columns, coefficients, a product
    factor = held + ROWS * columns
    work = factor + factors.shape[0]
    sums = np.zeros((parts, points, 4), dtype=np.uint64)
    for part in prange(parts):
        rows = np.zeros((work + ROWS, LANES), dtype=np.uint64)
        rows[factor:work] = factors
        for block in range(part * half // parts, (part + 1) * half // parts):
            for side in range(2):
                out, place = side * steps, (block + side * half) * ROWS
                for c in range(columns):
                    column = stack[c]
                    for row in range(ROWS):
                        for lane in range(LANES):
                            rows[held + ROWS * c + row, lane] = column[place + row, lane]
                for row in range(constants.shape[0]):
                    for lane in range(LANES):
                        rows[out + row, lane] = constants[row, lane]
                add_forms(rows, out, held, factor, work, begun, starts, entries)
            add_values(rows, forms, code, points, skip_one)
        store_totals(rows, totals, points, sums[part])
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


@dataclass(frozen=True)
class LaneForms:
    """Forms over columns in lanes: what each begins with, and its entries, as `add_forms` takes them."""

    constants: np.ndarray  # (forms * 5, 8)
    factors: np.ndarray  # (entries * 5, 8)
    begun: np.ndarray  # (forms,), whether the constant is not zero
    starts: np.ndarray  # (forms + 1,)
    entries: np.ndarray  # (entries, 2)

    @classmethod
    def of(cls, forms: Sequence[Form]) -> LaneForms:
        """All entries of all forms."""
        entries = [entry for form in forms for entry in form.coefficients]
        return cls(
            in_vector_form([form.constant for form in forms]),
            in_vector_form([coefficient for _, coefficient in entries]),
            np.array([form.constant != 0 for form in forms], dtype=np.int64),
            np.cumsum([0, *(len(form.coefficients) for form in forms)]),
            np.array([(column, c == 1) for column, c in entries], dtype=np.int64).reshape(-1, 2),
        )

    @property
    def arguments(self) -> tuple[np.ndarray, ...]:
        """In the order of the kernels."""
        return self.constants, self.factors, self.begun, self.starts, self.entries


def code_of_rows(tape: FormTape) -> np.ndarray:
    """Instructions that name rows instead of registers."""
    return np.ascontiguousarray(tape.code * np.array([1, ROWS, ROWS]))


class LaneStack:
    """Tables of equal length (a multiple of 16) in vector form, (columns, length / 8 * 5, 8), with the tape that combines them."""

    def __init__(self, stack: np.ndarray, tape: FormTape) -> None:
        self._stack, self._code = stack, code_of_rows(tape)
        self._forms = LaneForms.of(tape.forms)
        self.length = stack.shape[1] // ROWS * LANES

    def sums(self, points: int, skip_one: bool) -> np.ndarray:
        """(parts, points, 4) partial sums for X = 0 .. points-1; those of X = 1 are zero when skipped."""
        half = self.length // (2 * LANES)
        with threads_for(half * LANES * len(self._code) * points, PARALLEL_FROM):
            return _sums(
                *(self._stack, half, *self._forms.arguments),
                *(self._code, points, skip_one, parts_of(half)),
            )

    def fold(self, challenge: int) -> LaneStack:
        """Bind the first variable, in place."""
        half = self.length // (2 * LANES)
        with threads_for(half * LANES * len(self._stack), PARALLEL_FROM):
            _fold(self._stack, half, in_vector_form([challenge]))
        self.length //= 2
        return self

    def packed(self) -> np.ndarray:
        """(columns, length, 4) elements of field/arrays.py."""
        result = np.empty((len(self._stack), self.length, 4), dtype=np.uint64)
        _unload(self._stack, self.length // LANES, result)
        return result


def parts_of(blocks: int) -> int:
    """Into how many sums a loop over blocks is split, for the threads that it has."""
    return min(blocks, 4 * get_num_threads()) if get_num_threads() > 1 else 1
