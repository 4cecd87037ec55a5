"""Rows as NumPy arrays in this process: compiled passes; where attention has many rows, words of 16 bits, or products by BLAS.

REFUSED    nothing here: a pass says whether all that it gave lies in its limit, and the operator that asked refuses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..arrays import Arrays, Blocks, Places
from ..tables import exponential_table
from . import row_passes
from .block_attention import attend_blocks
from .row_passes import NONE, attend_rows, divide_rows, weigh_scores
from .run_arrays import FEW_ROWS
from .word_attention import AVAILABLE, attend_in_words

_Pass = tuple[np.ndarray, bool]


class HostArrays:
    """`prover.arrays.Arrays` on NumPy."""

    def of(self, array: np.ndarray) -> np.ndarray:
        return array

    def host(self, rows: np.ndarray) -> np.ndarray:
        return rows

    def constant(self, array: np.ndarray) -> np.ndarray:
        return array

    def empty(self, shape: Sequence[int]) -> np.ndarray:
        return np.empty(shape, dtype=np.int64)

    def kept(self, shape: Sequence[int]) -> np.ndarray:
        return np.zeros(shape, dtype=np.int32)  # memory that is only taken once it is written

    def narrow(self, rows: np.ndarray) -> np.ndarray:
        return rows  # NumPy converts while it writes

    def copy(self, rows: np.ndarray) -> np.ndarray:
        return rows.copy()

    def join(self, parts: Sequence[np.ndarray], axis: int) -> np.ndarray:
        return np.concatenate(parts, axis)

    def stack(self, parts: Sequence[np.ndarray], axis: int) -> np.ndarray:
        return np.stack(parts, axis)

    def pad_end(self, rows: np.ndarray, axis: int, count: int) -> np.ndarray:
        return np.pad(rows, [(0, count if at == axis else 0) for at in range(rows.ndim)])

    def fits(self, rows: np.ndarray, limit: int) -> bool:
        return rows.size == 0 or bool(rows.min() >= -limit and rows.max() < limit)

    def round_rows(self, sums: np.ndarray, bias: np.ndarray | None, shift: int, limit: int) -> _Pass:
        return sums, row_passes.round_rows(sums, NONE if bias is None else bias, shift, limit, sums)

    def add_rows(self, a: np.ndarray, b: np.ndarray, limit: int) -> _Pass:
        y = self.empty(a.shape)
        return y, row_passes.add_rows(a.reshape(-1), b.reshape(-1), limit, y.reshape(-1))

    def multiply_rows(self, a: np.ndarray, b: np.ndarray, shift: int, limit: int) -> _Pass:
        if a.size != b.size:
            a = np.repeat(a.reshape(-1), b.size // a.size)
        y = self.empty(b.shape)
        return y, row_passes.multiply_rows(a.reshape(-1), b.reshape(-1), shift, limit, y.reshape(-1))

    def look_up_rows(self, x: np.ndarray, table: np.ndarray) -> _Pass:
        y = self.empty(x.shape)
        return y, row_passes.look_up_rows(x.reshape(-1), table, y.reshape(-1))

    def sum_squares(self, x: np.ndarray) -> tuple[np.ndarray, float]:
        squares = self.empty(x.shape[:1])
        return squares, row_passes.sum_squares(x, squares)

    def scale_rows(
        self, x: np.ndarray, root: np.ndarray, gain: np.ndarray | None, shift: int, limit: int
    ) -> _Pass:
        y = self.empty(x.shape)
        return y, row_passes.scale_rows(x, root, NONE if gain is None else gain, shift, limit, y)

    def normalise_rows(
        self, x: np.ndarray, numerator: int, epsilon: int, gain: np.ndarray | None, shift: int, limit: int
    ) -> _Pass | None:
        y, no_gain = self.empty(x.shape), NONE if gain is None else gain
        certain, fits = row_passes.normalise_rows(x, float(numerator), epsilon, no_gain, shift, limit, y)
        return (y, fits) if certain else None

    def turn_rows(
        self,
        x: np.ndarray,
        positions: np.ndarray,
        tables: tuple[np.ndarray, np.ndarray],
        shift: int,
        limit: int,
    ) -> _Pass:
        y = self.empty(x.shape)
        return y, row_passes.turn_rows(x, positions, *tables, shift, limit, y)

    def attend(
        self, query: np.ndarray, keys: np.ndarray, values: np.ndarray, start: int, reach: int, shift: int
    ) -> np.ndarray:
        query = np.ascontiguousarray(query)
        output = self.empty((*query.shape[:3], values.shape[2]))
        few = len(query) < FEW_ROWS
        if not few and AVAILABLE and attend_in_words(query, keys, values, start, reach, shift, output):
            return output
        keys, values = (np.ascontiguousarray(array) for array in (keys, values))
        if few:
            attend_rows(query, keys, values, start, reach, shift, exponential_table(), output)
        else:
            _attend_many(query, keys, values, start, reach, shift, output)
        return output

    def attend_blocks(
        self,
        query: np.ndarray,
        places: Places,
        blocks: Blocks,
        first_group: int,
        reach: int,
        shift: int,
        output: np.ndarray,
    ) -> None:
        keys, more, values = blocks
        blocks = keys, np.ascontiguousarray(more), values
        attend_blocks(query, places, blocks, first_group, reach, shift, exponential_table(), output)


def _attend_many(
    query: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    start: int,
    reach: int,
    shift: int,
    output: np.ndarray,
) -> None:
    """The same integers as `attend_rows` by matrix products, some rows at a time, whose scores stay in the cache.

    Exact in float64: partial sums of a score stay below OFFSET < 2^48, those of e v below 2^16 2^15 2^17.
    """
    rows, groups, _, size = query.shape
    known = start + rows
    wide_keys = keys[:, :known].astype(np.float64).transpose(0, 2, 1)
    wide_values = values[:, :known].astype(np.float64)
    for row in range(0, rows, FEW_ROWS):
        some = query[row : row + FEW_ROWS]
        first, end = max(0, start + row + 1 - reach), start + row + len(some)
        stacked = some.transpose(1, 0, 2, 3).reshape(groups, -1, size).astype(np.float64)
        scores = stacked @ wide_keys[:, :, first:end]  # (groups, rows * queries, positions)
        totals = np.empty(scores.shape[:2], dtype=np.int64)
        in_front = start + row - first
        weigh_scores(scores, query.shape[2], in_front, reach, shift, exponential_table(), totals)
        mixed = scores @ wide_values[:, first:end]
        divide_rows(mixed, totals, output[row : row + FEW_ROWS])


HOST: Arrays = HostArrays()
