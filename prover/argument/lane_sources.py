"""The first two rounds of a sumcheck on eight lanes, read from columns as they are.

A stack (lanes.py) takes 40 bytes an entry, an integer 8, one that repeats and an entry of eq next to nothing. So while fewer than
two variables are bound, every block is read where it lies, bound and put into lanes when its turn comes; the stack is made
with both bound, a quarter as long. With k variables bound, an entry is the sum of 2^k entries times weights w_j = eq(r, j):

    field element  sum_j w_j x_j, a Montgomery product each, which also takes it from radix 2^256 to 2^260
    integer        sum_j (v_j + 2^42) w_j 2^52, multiply-adds of one limb by five, minus 2^42 * 2^52 (the weights' sum is 1),
                   reduced in one step
    eq             a product of two short tables, of which the front one is bound by itself

A linear form (forms.py) takes its integers together: coefficients go into the weights, and all are reduced at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit, prange

from ..field import arrays, ifma
from ..field.arrays import MODULUS
from ..field.threads import threads_for
from .columns import LIMIT, Column, Equality, Repeated
from .forms import Form, FormTape
from .lanes import (
    LANES,
    PARALLEL_FROM,
    ROWS,
    LaneForms,
    LaneStack,
    add_forms,
    add_values,
    broadcast,
    code_of_rows,
    in_vector_form,
    parts_of,
    store_totals,
)
from .multilinear import eq_table, fold
from .tape import Tape

BOUND_IN_PLACE = 2
"""Variables that are bound before a stack is made."""
SHORTEST_SOURCE = 2 * LANES << BOUND_IN_PLACE
"""Entries of a column whose stack still has pairs of blocks."""
MOST_COLUMNS = 255
"""Of a term: 255 digits below 2^43, of two pieces each, times weights, and a constant stay below 2^52 p."""

_INTEGERS, _ELEMENTS, _EQUALITY = 0, 1, 2
_ELEMENT_BYTES, _INTEGER_BYTES = 32 * LANES, 8 * LANES
_INTEGER_SCALE = pow(2, ifma.RADIX_BITS + 52, MODULUS)
_PIECE = 2 * ROWS
"""Rows of a weight: as a factor of integers, then as one of field elements."""

_multiply = ifma.make_vector_multiply(MODULUS)
_add = ifma.make_vector_add_reduced(MODULUS)
_reduce_sum = ifma.make_reduce_sum(MODULUS)
_accumulate = ifma.accumulate_integers
_load = ifma.load_packed


def _weights(challenges: Sequence[int]) -> np.ndarray:
    """(2^k * 10 + 5, 8): both factors of every weight, and what the offsets of integers add, negated."""
    scale, rows = _INTEGER_SCALE, []
    for weight in arrays.to_ints(eq_table(challenges)):
        rows += [broadcast([weight * scale]), in_vector_form([weight])]
    return np.concatenate([*rows, broadcast([-LIMIT * scale])])


@njit(cache=True, nogil=True)
def _read(
    rows: np.ndarray,
    out: int,
    work: int,
    source: np.ndarray,
    weights: np.ndarray,
    fronts: np.ndarray,
    lows: np.ndarray,
    block: int,
    blocks: int,
) -> None:
    """A block of a column, below 2p, at row `out`; ten rows from `work` are overwritten. blocks: of a column as it is bound."""
    kind, address, shift, mask = source[0], source[1], source[2], source[3]
    pieces = weights.shape[0] // _PIECE
    if kind == _INTEGERS:
        for row in range(ROWS):
            for lane in range(LANES):
                rows[work + row, lane] = weights[pieces * _PIECE + row, lane]
        for lane in range(LANES):
            rows[work + ROWS, lane] = np.uint64(0)
        for piece in range(pieces):
            place = ((block + piece * blocks) >> shift) & mask
            _accumulate(rows, work, address + place * _INTEGER_BYTES, LIMIT, weights, piece * _PIECE)
        _reduce_sum(rows, out, work)
        return
    if kind == _EQUALITY:
        own = lows.shape[0] // ROWS
        front, low = block // own * ROWS, block % own * ROWS
        for row in range(ROWS):
            for lane in range(LANES):
                rows[work + row, lane] = fronts[front + row, lane]
                rows[work + ROWS + row, lane] = lows[low + row, lane]
        _multiply(rows, out, work, work + ROWS)
        return
    for piece in range(pieces):
        _load(rows, work, address + (block + piece * blocks) * _ELEMENT_BYTES)
        for row in range(ROWS):
            for lane in range(LANES):
                rows[work + ROWS + row, lane] = weights[piece * _PIECE + ROWS + row, lane]
        _multiply(rows, work, work, work + ROWS)
        if piece:
            _add(rows, out, out, work)
        else:
            for row in range(ROWS):
                for lane in range(LANES):
                    rows[out + row, lane] = rows[work + row, lane]


@njit(cache=True, nogil=True)
def _begin_forms(
    rows: np.ndarray,
    out: int,
    work: int,
    sources: np.ndarray,
    begins: np.ndarray,
    weights: np.ndarray,
    begun: np.ndarray,
    starts: np.ndarray,
    entries: np.ndarray,
    block: int,
    blocks: int,
) -> None:
    """Constants and integers of every form that has any, at row `out` on, below 2p; six rows from `work` are overwritten.

    begins: (forms * 5, 8), constants less what the offsets add. weights: of every entry and every piece of its column.
    """
    pieces = weights.shape[0] // (ROWS * max(1, entries.shape[0]))
    for f in range(begun.shape[0]):
        if begun[f] == 0:
            continue
        for row in range(ROWS):
            for lane in range(LANES):
                rows[work + row, lane] = begins[f * ROWS + row, lane]
        for lane in range(LANES):
            rows[work + ROWS, lane] = np.uint64(0)
        for entry in range(starts[f], starts[f + 1]):
            source = sources[entries[entry, 0]]
            address, shift, mask = source[1], source[2], source[3]
            for piece in range(pieces):
                place = ((block + piece * blocks) >> shift) & mask
                factor = (entry * pieces + piece) * ROWS
                _accumulate(rows, work, address + place * _INTEGER_BYTES, LIMIT, weights, factor)
        _reduce_sum(rows, out + ROWS * f, work)


@njit(cache=True, nogil=True, parallel=True)
def _sums_in_place(
    sources: np.ndarray,
    half: int,
    weights: np.ndarray,
    fronts: np.ndarray,
    lows: np.ndarray,
    begins: np.ndarray,
    integer_weights: np.ndarray,
    integer_starts: np.ndarray,
    integer_entries: np.ndarray,
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
    columns, forms = sources.shape[0], begun.shape[0]
    steps = ROWS * (forms + code.shape[0])
    totals = steps + ROWS * forms
    held = totals + ROWS * points + 4  # columns that are no integers, coefficients, room to work
    factor = held + ROWS * columns
    work = factor + factors.shape[0]
    sums = np.zeros((parts, points, 4), dtype=np.uint64)
    for part in prange(parts):
        rows = np.zeros((work + 2 * ROWS, LANES), dtype=np.uint64)
        rows[factor:work] = factors
        for block in range(part * half // parts, (part + 1) * half // parts):
            for side in range(2):
                place, out = block + side * half, side * steps
                for c in range(columns):
                    if sources[c, 0] != _INTEGERS:
                        _read(rows, held + ROWS * c, work, sources[c], weights, fronts, lows, place, 2 * half)
                _begin_forms(
                    rows,
                    out,
                    work,
                    sources,
                    begins,
                    integer_weights,
                    begun,
                    integer_starts,
                    integer_entries,
                    place,
                    2 * half,
                )
                add_forms(rows, out, held, factor, work, begun, starts, entries)
            add_values(rows, forms, code, points, skip_one)
        store_totals(rows, totals, points, sums[part])
    return sums


@njit(cache=True, nogil=True, parallel=True)
def _stack(
    sources: np.ndarray, weights: np.ndarray, fronts: np.ndarray, lows: np.ndarray, stack: np.ndarray
) -> None:
    """Every column as it is bound, into (columns, blocks * 5, 8)."""
    blocks = stack.shape[1] // ROWS
    parts = min(blocks, 16)
    for task in prange(stack.shape[0] * parts):
        c, part = task // parts, task % parts
        column = stack[c]
        rows = np.empty((3 * ROWS, LANES), dtype=np.uint64)
        for block in range(part * blocks // parts, (part + 1) * blocks // parts):
            _read(rows, 2 * ROWS, 0, sources[c], weights, fronts, lows, block, blocks)
            for row in range(ROWS):
                for lane in range(LANES):
                    column[block * ROWS + row, lane] = rows[2 * ROWS + row, lane]


def _in_lanes(elements: np.ndarray) -> np.ndarray:
    """(n, 4) packed elements, n a multiple of 8, as (n / 8 * 5, 8)."""
    source = np.array([[_ELEMENTS, elements.ctypes.data, 0, 0]], dtype=np.int64)
    result = np.empty((1, len(elements) // LANES * ROWS, LANES), dtype=np.uint64)
    with threads_for(len(elements), PARALLEL_FROM):
        _stack(source, _weights([]), _NOTHING, _NOTHING, result)
    return result[0]


_NOTHING = np.zeros((0, LANES), dtype=np.uint64)


class LaneSources:
    """Columns of equal length (at least SHORTEST_SOURCE) where they lie, of which at most one is an Equality."""

    def __init__(self, columns: Sequence[Column], tape: Tape) -> None:
        if len(columns) > MOST_COLUMNS:
            raise ValueError(f"a term has at most {MOST_COLUMNS} columns, not {len(columns)}")
        self.length = len(columns[0])
        self._fronts, self._lows = arrays.zeros(0), _NOTHING
        self._kept: list[np.ndarray] = []  # what the addresses are of
        self._sources = np.array([self._source(column) for column in columns], dtype=np.int64)
        self._challenges: list[int] = []
        self._tape = FormTape.of(tape)
        self._code = code_of_rows(self._tape)
        self._integers = [Form(f.constant, self._entries(f, True)) for f in self._tape.forms]
        self._others = LaneForms.of([Form(0, self._entries(f, False)) for f in self._tape.forms])
        self._begun = np.array([f.constant != 0 or f.coefficients != () for f in self._integers], np.int64)

    def _entries(self, form: Form, of_integers: bool) -> tuple[tuple[int, int], ...]:
        """A form's integer columns with their coefficients, or its other columns."""
        kinds = self._sources[:, 0]
        return tuple(e for e in form.coefficients if (kinds[e[0]] == _INTEGERS) == of_integers)

    def _integer_forms(self) -> tuple[np.ndarray, ...]:
        """What `_begin_forms` takes from `begins` on: coefficients times weights."""
        scale, weights = _INTEGER_SCALE, arrays.to_ints(eq_table(self._challenges))
        entries = [entry for form in self._integers for entry in form.coefficients]
        offsets = [LIMIT * sum(c for _, c in form.coefficients) for form in self._integers]
        return (
            broadcast(
                [(f.constant - offset) * scale for f, offset in zip(self._integers, offsets, strict=True)]
            ),
            broadcast([c * weight * scale for _, c in entries for weight in weights]),
            np.cumsum([0, *(len(form.coefficients) for form in self._integers)]),
            np.array([(column, 0) for column, _ in entries], dtype=np.int64).reshape(-1, 2),
        )

    def _source(self, column: Column) -> tuple[int, int, int, int]:
        """(kind, address, shift, mask): block b of an integer column is block (b >> shift) & mask of what lies at the address."""
        if isinstance(column, Equality):
            if len(self._lows):
                raise ValueError("a term has at most one column that is an Equality")
            front = len(column.point) // 2
            self._fronts = eq_table(column.point[:front])
            self._lows = _in_lanes(eq_table(column.point[front:]))
            return _EQUALITY, 0, 0, 0
        shift = 0
        if isinstance(column, Repeated):
            shift = max(0, column.inner - _LANE_BITS)  # an entry that fills several blocks is read from one
            values = np.repeat(column.values, 1 << (column.inner - shift))
            column = np.tile(values, -(-LANES // len(values)))
        column = np.ascontiguousarray(column)
        self._kept.append(column)
        kind = _INTEGERS if column.ndim == 1 else _ELEMENTS
        return kind, column.ctypes.data, shift, len(column) // LANES - 1

    def _front_lanes(self) -> np.ndarray:
        return _in_lanes(np.repeat(self._fronts, LANES, axis=0)) if len(self._fronts) else _NOTHING

    def sums(self, points: int, skip_one: bool) -> np.ndarray:
        """(parts, points, 4) partial sums for X = 0 .. points-1; those of X = 1 are zero when skipped."""
        half, others = self.length // (2 * LANES), self._others
        weights, fronts, integers = _weights(self._challenges), self._front_lanes(), self._integer_forms()
        with threads_for(half * LANES * len(self._code) * points, PARALLEL_FROM):
            return _sums_in_place(
                *(self._sources, half, weights, fronts, self._lows, *integers),
                *(others.factors, self._begun, others.starts, others.entries),
                *(self._code, points, skip_one, parts_of(half)),
            )

    def fold(self, challenge: int) -> LaneSources | LaneStack:
        """Bind the first variable: these sources with one more challenge, or the stack that takes over."""
        self._challenges.append(challenge)
        self.length //= 2
        if len(self._fronts):
            self._fronts = fold(self._fronts, challenge)
        if len(self._challenges) < BOUND_IN_PLACE:
            return self
        stack = np.empty((len(self._sources), self.length // LANES * ROWS, LANES), dtype=np.uint64)
        fronts = self._front_lanes()
        with threads_for(self.length * len(stack), PARALLEL_FROM):
            _stack(self._sources, _weights(self._challenges), fronts, self._lows, stack)
        return LaneStack(stack, self._tape)


_LANE_BITS = LANES.bit_length() - 1
