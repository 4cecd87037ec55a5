"""Columns of a sumcheck term that are never made whole: eq of a point, and integers that repeat.

A column has 2^n entries and is

    field elements  (2^n, 4), as in field/arrays.py
    integers        (2^n,) int64 of magnitude below LIMIT
    Repeated        few integers, each of them many times over
    Equality        eq(point, x), which is a product of two short tables
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .multilinear import eq_table, to_field

LIMIT = 1 << 42
"""Integers of a column are smaller than this in magnitude: then all of a form are reduced in one step (lane_sources.py)."""


@dataclass(frozen=True)
class Repeated:
    """Entry i is values[(i >> inner) % len(values)]: an integer table without the first or the last axes of its domain."""

    values: np.ndarray  # (2^k,) int64, contiguous
    inner: int  # log2 of how often an entry is repeated before the next one
    length: int

    def __len__(self) -> int:
        return self.length


@dataclass(frozen=True)
class Equality:
    """Entry x is eq(point, x) = prod_i (u_i x_i + (1 - u_i)(1 - x_i)); the first coordinate belongs to the highest bit of x."""

    point: tuple[int, ...]

    def __len__(self) -> int:
        return 1 << len(self.point)


Column = np.ndarray | Repeated | Equality


def repeated(array: np.ndarray, shape: Sequence[int]) -> Repeated | None:
    """An int64 array with axes of size one as it repeats over `shape`, if what it lacks lies in front or behind.

    None where an axis in the middle is missing, or nothing is.
    """
    own = [axis for axis, size in enumerate(array.shape) if size > 1]
    first, last = (own[0], own[-1]) if own else (len(shape), len(shape) - 1)
    inner = int(np.prod(shape[last + 1 :], dtype=np.int64)).bit_length() - 1
    whole = tuple(array.shape[first : last + 1]) == tuple(shape[first : last + 1])
    length = int(np.prod(shape, dtype=np.int64))
    if not whole or array.size == length:
        return None
    return Repeated(np.ascontiguousarray(array).reshape(-1), inner, length)


def whole(column: Column) -> np.ndarray:
    """All entries as field elements (2^n, 4)."""
    if isinstance(column, Equality):
        return eq_table(column.point)
    if isinstance(column, Repeated):
        outer = column.length // (len(column.values) << column.inner)
        return to_field(np.tile(np.repeat(column.values, 1 << column.inner), outer))
    return column if column.ndim == 2 else to_field(column)


__all__ = ["LIMIT", "Column", "Equality", "Repeated", "repeated", "whole"]
