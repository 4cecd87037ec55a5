"""Rows as int64 tensors of torch on any of its devices: `prover.arrays.Arrays` with the integers of the compiled passes.

Integer operations of torch are those of int64 modulo 2^64, `>>` keeps the sign and `//` is the floor, as in
`operators/row_passes.py`. Attention multiplies in float64, which is exact in any order: partial sums of a score stay below
OFFSET < 2^48 and those of weights times values below 2^16 2^15 2^17 (operators/attend.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..arrays import NO_LIMIT, Blocks, Places
from ..program import WINDOW_ROWS
from ..tables import exponential_table

_Pass = tuple[Tensor, bool]


class TorchArrays:
    """Tensors on one device. at_once: entries of one float64 array of attention, at most, unless a single row needs more."""

    def __init__(self, device: torch.device, at_once: int = 1 << 18) -> None:
        self.device, self._at_once = device, at_once
        self._constants: dict[int, tuple[np.ndarray, Tensor]] = {}

    def of(self, array: np.ndarray | Tensor) -> Tensor:
        # a copy: nobody may write what the other side reads
        return array if isinstance(array, Tensor) else torch.tensor(array, device=self.device)

    def host(self, rows: np.ndarray | Tensor) -> np.ndarray:
        return rows.cpu().numpy() if isinstance(rows, Tensor) else rows

    def constant(self, array: np.ndarray) -> Tensor:
        known = self._constants.get(id(array))
        if known is None:
            known = self._constants[id(array)] = array, self.of(array)  # the array stays, and so does its id
        return known[1]

    def empty(self, shape: Sequence[int]) -> Tensor:
        return torch.empty(tuple(shape), dtype=torch.int64, device=self.device)

    def kept(self, shape: Sequence[int]) -> Tensor:
        return torch.zeros(tuple(shape), dtype=torch.int32, device=self.device)

    def narrow(self, rows: Tensor) -> Tensor:
        return rows.to(torch.int32)

    def copy(self, rows: Tensor) -> Tensor:
        return rows.clone()

    def join(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        return torch.cat(list(parts), axis)

    def stack(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        return torch.stack(list(parts), axis)

    def pad_end(self, rows: Tensor, axis: int, count: int) -> Tensor:
        shape = list(rows.shape)
        shape[axis] = count
        return torch.cat([rows, rows.new_zeros(shape)], axis)

    def fits(self, rows: Tensor, limit: int) -> bool:
        if limit == NO_LIMIT or rows.numel() == 0:
            return True
        low, high = torch.aminmax(rows)
        return bool((low >= -limit) & (high < limit))

    def round_rows(self, sums: Tensor, bias: Tensor | None, shift: int, limit: int) -> _Pass:
        return self._rounded(sums if bias is None else sums + bias, shift, limit)

    def add_rows(self, a: Tensor, b: Tensor, limit: int) -> _Pass:
        y = a + b
        return y, self.fits(y, limit)

    def multiply_rows(self, a: Tensor, b: Tensor, shift: int, limit: int) -> _Pass:
        a = a.reshape(b.shape if a.numel() == b.numel() else (-1, *[1] * (b.ndim - 1)))
        return self._rounded(a * b, shift, limit)

    def look_up_rows(self, x: Tensor, table: np.ndarray) -> _Pass:
        half = len(table) // 2
        if not self.fits(x, half):
            return x, False
        return self.constant(table)[x + half], True

    def sum_squares(self, x: Tensor) -> tuple[np.ndarray, float]:
        if x.shape[0] == 0:
            return np.zeros(0, dtype=np.int64), 0.0
        return self.host((x * x).sum(-1)), float(x.double().square().sum(-1).max())

    def scale_rows(self, x: Tensor, root: np.ndarray, gain: Tensor | None, shift: int, limit: int) -> _Pass:
        product = x * self.of(root)[:, None]
        return self._rounded(product if gain is None else product * gain, shift, limit)

    def normalise_rows(
        self, x: Tensor, numerator: int, epsilon: int, gain: Tensor | None, shift: int, limit: int
    ) -> _Pass | None:
        return None  # a root in float64 that is not certain is found out in Python's integers, on the host

    def turn_rows(
        self, x: Tensor, positions: np.ndarray, tables: tuple[np.ndarray, np.ndarray], shift: int, limit: int
    ) -> _Pass:
        at = self.of(positions)
        cosine, sine = (self.constant(table)[at][:, None, : x.shape[2]] for table in tables)
        flipped = x.reshape(*x.shape[:2], -1, 2).flip(3).flatten(2)
        return self._rounded(x * cosine + flipped * sine, shift, limit)

    def _rounded(self, value: Tensor, shift: int, limit: int) -> _Pass:
        y = (value + (1 << (shift - 1))) >> shift
        return y, self.fits(y, limit)

    def attend(
        self, query: Tensor, keys: Tensor, values: Tensor, start: int, reach: int, shift: int
    ) -> Tensor:
        rows, groups, queries, size = query.shape
        output = self.empty((rows, groups, queries, values.shape[2]))
        known = start + rows
        wide_keys, wide_values = keys[:, :known].double().swapaxes(1, 2), values[:, :known].double()
        at_once = max(1, self._at_once // (groups * queries * known))
        for row in range(0, rows, at_once):
            some = query[row : row + at_once]
            first, end = max(0, start + row + 1 - reach), start + row + len(some)
            stacked = some.permute(1, 0, 2, 3).reshape(groups, -1, size).double()
            scores = stacked @ wide_keys[:, :, first:end]  # (groups, rows * queries, positions)
            positions = start + row + torch.arange(len(some), device=self.device)
            seen = _seen(positions.repeat_interleave(queries), first, end, reach)
            found = self._means(scores, seen, wide_values[:, first:end], shift)
            output[row : row + at_once] = found.reshape(groups, len(some), queries, -1).swapaxes(0, 1)
        return output

    def attend_blocks(
        self,
        query: Tensor,
        places: Places,
        blocks: Blocks,
        first_group: int,
        reach: int,
        shift: int,
        output: Tensor,
    ) -> None:
        rows, owners, positions, tables = places
        groups = slice(first_group, first_group + query.shape[1])
        keys, more, values = (pool[:, groups] for pool in blocks)
        there = keys.shape[1]  # groups that the model has
        of_row = there * (query.shape[2] + query.shape[3] + values.shape[3])
        start = 0
        while start < len(rows):
            # as many rows as one array takes, by the longest of their sequences
            longest = positions[start:].max() // WINDOW_ROWS + 1
            end = start + max(1, self._at_once // int(of_row * longest * WINDOW_ROWS))
            some = self.of(rows[start:end])
            numbers = self.of(tables[owners[start:end], :longest])
            own = [_rows_of(pool, numbers) for pool in (keys, more, values)]
            scores = query[some][:, :there].double() @ torch.cat(own[:2], -1).swapaxes(2, 3)
            seen = _seen(self.of(positions[start:end]), 0, scores.shape[3], reach)[:, None, None]
            output[some] = 0
            output[some, :there] = self._means(scores, seen, own[2], shift)
            start = end

    def _means(self, scores: Tensor, seen: Tensor, values: Tensor, shift: int) -> Tensor:
        """Softmax-weighted means of values, (..., rows, size) int64: scores (..., rows, positions) and values (..., positions, size)
        float64, seen as the scores or broadcast to them.

        What is not seen has weight zero whatever its score is, and never decides the maximum.
        """
        table = exponential_table()
        largest = scores.masked_fill(~seen, -torch.inf).amax(-1, keepdim=True)
        index = (largest - scores).clamp_(min=0).long() >> shift
        weights = self.constant(table)[index.clamp_(max=len(table) // 2)].double().masked_fill_(~seen, 0)
        total = weights.sum(-1, keepdim=True).long()
        return (2 * (weights @ values).long() + total) // (2 * total)


def _seen(positions: Tensor, first: int, end: int, reach: int) -> Tensor:
    """Whether a row at a position sees each of first, ..., end - 1: (rows, end - first)."""
    others = torch.arange(first, end, device=positions.device)
    return (others <= positions[:, None]) & (others > positions[:, None] - reach)


def _rows_of(pool: Tensor, numbers: Tensor) -> Tensor:
    """Blocks (blocks, groups, window, size) of every row by number, (rows, blocks), as (rows, groups, positions, size) float64."""
    return pool[numbers].swapaxes(1, 2).flatten(2, 3).double()
