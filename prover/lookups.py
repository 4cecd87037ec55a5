"""The lookups of a statement as the prover sees them: which table row each one reads, how often, and its inverse.

The tables of a program, one behind the other, form the universe of rows (tag, first, second). Rows of one tag are
contiguous and count up in `first`, so a lookup's row number is a sum and a range check. Everything that logUp needs
then comes from row numbers: multiplicities are counts, and an inverse column is a sum of entries of one short table,

    H_i = sum over its lookups j of 1 / (gamma + row[n_ij]),    row = first + beta second + beta^2 tag

of which the commitment needs one point addition per lookup (curve/group_sums.py) instead of a full-width
multiplication per entry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from .argument.commitment import commit_repeated
from .argument.multilinear import to_field
from .curve.g1 import Point
from .field import arrays
from .field.arrays import MODULUS, FieldArray

_ROWS_AT_ONCE = 1 << 16
"""Of an inverse column that are summed at once: 2 MiB stay near the processor, and no second column is made."""


@dataclass(frozen=True)
class RowView:
    """Integers of table rows, or of the rows that a lookup claims to read: each (n,), or (1,) if all are the same."""

    tag: np.ndarray
    first: np.ndarray
    second: np.ndarray

    def folded(self, beta: int, gamma: int) -> FieldArray:
        """gamma + first + beta * second + beta^2 * tag."""
        result = arrays.add_scalar(to_field(self.first), gamma)
        for values, factor in ((self.second, beta), (self.tag, beta * beta % MODULUS)):
            if len(values) == 1:
                result = arrays.add_scalar(result, factor * int(values[0]) % MODULUS)
            elif values.any():
                result = arrays.add(result, arrays.scale(to_field(values), factor))
        return result


class Universe:
    """The rows of all tables, one table behind the other."""

    def __init__(self, tables: Mapping[str, RowView]) -> None:
        self.places: dict[str, slice] = {}
        end = 0
        for name, view in tables.items():
            self.places[name] = slice(end, end := end + len(view.first))
        self.rows = RowView(*(_joined(tables, part) for part in ("tag", "first", "second")))
        tags = int(self.rows.tag.max(initial=0)) + 1
        # per tag: the row of a value is value + shift, for values from low to high; an unknown tag has none
        self._shift, self._low = np.zeros(tags, np.int64), np.ones(tags, np.int64)
        self._high = np.zeros(tags, np.int64)
        for tag in np.unique(self.rows.tag):
            last = int(np.flatnonzero(self.rows.tag == tag)[-1])
            values = self.rows.first[self.rows.tag == tag]
            self._low[tag], self._high[tag] = values.min(), values.max()
            self._shift[tag] = last - int(values.max())

    def __len__(self) -> int:
        return len(self.rows.first)

    @property
    def nothing(self) -> int:
        """The row number of a lookup that reads no row: behind all rows."""
        return len(self)

    def numbers(self, view: RowView) -> np.ndarray:
        """(n,) int32 row numbers of what a lookup reads; -1 where no table has that row."""
        known = (view.tag >= 0) & (view.tag < len(self._low))
        tag = np.where(known, view.tag, 0)
        exists = known & (view.first >= self._low[tag]) & (view.first <= self._high[tag])
        numbers = np.where(exists, view.first + self._shift[tag], 0)
        exists &= self.rows.second[numbers] == view.second
        return np.where(exists, numbers, -1).astype(np.int32)

    def counts(self, columns: Sequence[np.ndarray]) -> np.ndarray:
        """(rows,) int64: how often each row is read."""
        total = np.zeros(len(self) + 1, np.int64)
        for numbers in columns:
            total += np.bincount(numbers, minlength=len(self) + 1)
        return total[: self.nothing]

    def inverses(self, counts: np.ndarray, beta: int, gamma: int) -> FieldArray:
        """(rows + 1, 4): 1 / (gamma + row) of every row that is read, 0 elsewhere, of `nothing`, too."""
        used = np.flatnonzero(counts)
        part = RowView(self.rows.tag[used], self.rows.first[used], self.rows.second[used])
        result = arrays.zeros(len(self) + 1)
        result[used] = arrays.batch_inverse(part.folded(beta, gamma))
        return result


def _joined(tables: Mapping[str, RowView], part: str) -> np.ndarray:
    columns = [np.broadcast_to(getattr(view, part), view.first.shape) for view in tables.values()]
    return np.concatenate(columns) if columns else np.zeros(0, np.int64)


def inverse_column(inverses: FieldArray, numbers: Sequence[np.ndarray]) -> FieldArray:
    """H_i = sum over lookups of the inverse of the row that each reads."""
    result = np.take(inverses, numbers[0], axis=0)
    for start in range(0, len(result), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        others = (np.take(inverses, column[part], axis=0) for column in numbers[1:])
        result[part] = reduce(arrays.add, others, result[part])
    return result


def commit_inverse_chunk(
    bases: np.ndarray,
    chunk: FieldArray,
    columns: Sequence[tuple[int, int, Sequence[np.ndarray]]],
    first: int,
    inverses: FieldArray,
) -> Point:
    """Commit a chunk of packed inverse columns, which begins at entry `first` of its zone.

    columns: (first entry, length, row numbers of each lookup) of every column; no row numbers: its entries are
    committed as they are. Equals commit_field(bases, chunk).
    """
    members: list[tuple[int, np.ndarray]] = []
    others = np.zeros(len(chunk), bool)
    for start, length, lookups in columns:
        low, high = max(start, first), min(start + length, first + len(chunk))
        if low >= high:
            continue
        members += [(low - first, numbers[low - start : high - start]) for numbers in lookups]
        others[low - first : high - first] = not lookups
    return commit_repeated(bases, members, inverses[:-1], np.flatnonzero(others), chunk)
