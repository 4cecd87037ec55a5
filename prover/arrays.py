"""What operators need of the arrays that they run on: moves of rows, and the passes that `run` consists of.

An operator's `run` is written once, for whatever arrays a context holds: NumPy's in this process
(`operators/host_arrays.py`) or tensors of a device (`model/torch_arrays.py`). Both give the same integers. Slicing,
`reshape`, `swapaxes`, `+`, `-`, `*` and `sum(-1)` mean the same on either, so they stay where they are; everything else is here.

What is decided about rows rather than computed on them (which expert a row goes to, the root of one number per row) is
done on NumPy arrays everywhere: `host` takes there, `of` back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

Rows = Any
"""Integers where the model runs, rows first: np.ndarray or a device's tensor."""

Rounded = tuple[Rows, bool]
"""What a pass gives, and whether all of it lies in [-limit, limit)."""

NO_LIMIT = (1 << 63) - 1

Places = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Rows of a pass, the sequence of each, its position, and by sequence the numbers of its blocks."""

Blocks = tuple[Rows, Rows, Rows]
"""Keys, second parts of keys (size 0: none) and values, (blocks, groups, window, size) int32."""


class Arrays(Protocol):
    """Where rows lie. Methods return new arrays unless they say otherwise."""

    def of(self, array: Any) -> Rows:
        """The same integers where rows lie; what lies there already stays."""

    def host(self, rows: Rows) -> np.ndarray:
        """The same as a NumPy array."""

    def constant(self, array: np.ndarray) -> Rows:
        """`of`, once for an array that never changes and lives as long as the process, such as a table."""

    def empty(self, shape: Sequence[int]) -> Rows:
        """Room for int64."""

    def kept(self, shape: Sequence[int]) -> Rows:
        """Zeros, int32: what attention keeps of earlier rows."""

    def narrow(self, rows: Rows) -> Rows:
        """What fits 32 bits, for an array of int32."""

    def copy(self, rows: Rows) -> Rows:
        """One that may be written."""

    def join(self, parts: Sequence[Rows], axis: int) -> Rows:
        """One behind the other along an axis."""

    def stack(self, parts: Sequence[Rows], axis: int) -> Rows:
        """Along a new axis."""

    def pad_end(self, rows: Rows, axis: int, count: int) -> Rows:
        """With `count` zeros behind an axis."""

    def fits(self, rows: Rows, limit: int) -> bool:
        """Whether all lie in [-limit, limit)."""

    def round_rows(self, sums: Rows, bias: Rows | None, shift: int, limit: int) -> Rounded:
        """(sums + bias + 2^(shift-1)) >> shift; sums (rows, n), which may be written over, bias (n,)."""

    def add_rows(self, a: Rows, b: Rows, limit: int) -> Rounded:
        """a + b, of one shape."""

    def multiply_rows(self, a: Rows, b: Rows, shift: int, limit: int) -> Rounded:
        """(a * b + 2^(shift-1)) >> shift, a of as many entries, or one for each row; in the shape of b."""

    def look_up_rows(self, x: Rows, table: np.ndarray) -> Rounded:
        """table[x + len(table) / 2] and whether all of x lie in the table; otherwise the entries mean nothing."""

    def sum_squares(self, x: Rows) -> tuple[np.ndarray, float]:
        """Sums of x^2 of every row modulo 2^64, (rows,) int64, and the largest of them in float64; x (rows, n)."""

    def scale_rows(self, x: Rows, root: np.ndarray, gain: Rows | None, shift: int, limit: int) -> Rounded:
        """(x * root * gain + 2^(shift-1)) >> shift modulo 2^64; x (rows, n), root (rows,), gain (n,)."""

    def normalise_rows(
        self, x: Rows, numerator: int, epsilon: int, gain: Rows | None, shift: int, limit: int
    ) -> Rounded | None:
        """`scale_rows` by floor(sqrt(numerator / (sum x^2 + epsilon))) of every row, which is below 2^32, in one pass; None where
        that is not to be had, and always right to ask for piece by piece."""

    def turn_rows(
        self,
        x: Rows,
        positions: np.ndarray,
        tables: tuple[np.ndarray, np.ndarray],
        shift: int,
        limit: int,
    ) -> Rounded:
        """(x[.., c] cosine[p, c] + x[.., c xor 1] sine[p, c] + 2^(shift-1)) >> shift, p = positions[row]; x (rows, heads, size)."""

    def attend(self, query: Rows, keys: Rows, values: Rows, start: int, reach: int, shift: int) -> Rows:
        """Attention of rows at positions start, start + 1, ... (operators/attend.py), (rows, groups, queries, value size) int64.

        query (rows, groups, queries, size), keys (groups, start + rows or more, size), values (groups, as many, value size).
        """

    def attend_blocks(
        self,
        query: Rows,
        places: Places,
        blocks: Blocks,
        first_group: int,
        reach: int,
        shift: int,
        output: Rows,
    ) -> None:
        """The same for a few rows each of many sequences, whose earlier rows stand in shared blocks: writes these rows of the
        output. The groups at hand begin at `first_group`; those behind the last one are zero.
        """
