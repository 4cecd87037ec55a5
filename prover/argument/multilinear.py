"""Multilinear polynomials as tables of their values on the hypercube.

Tables are field arrays (2^n, 4), row-major, first variable = most significant bit of the index.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit, prange

from ..field import arrays
from ..field.arrays import MODULUS
from ..field.scalar_kernels import FR_ZERO, fr_add, fr_from_i64, fr_load, fr_mul, fr_store, fr_sub
from ..field.threads import threads_for
from .integer_sums import LANES, MOST_TERMS, bind_columns, bind_rows, combine_integers, suits

_PARALLEL_FROM = 1 << 13
"""Elements below which waking another thread costs more than it saves."""


@njit(cache=True, nogil=True)
def _expand_eq(table: np.ndarray, coordinates: np.ndarray) -> None:
    """table[0] holds the first value; doubles it once per coordinate."""
    size = 1
    for k in range(coordinates.shape[0]):
        u = fr_load(coordinates, k)
        for i in range(size - 1, -1, -1):
            value = fr_load(table, i)
            one = fr_mul(value, u)
            fr_store(table, 2 * i + 1, one)
            fr_store(table, 2 * i, fr_sub(value, one))
        size *= 2


def eq_table(point: Sequence[int], factor: int = 1) -> np.ndarray:
    """factor * prod_i (u_i x_i + (1 - u_i)(1 - x_i)) for every x of the hypercube."""
    table = arrays.zeros(1 << len(point))
    table[0] = arrays.scalar(factor % MODULUS)
    if point:
        _expand_eq(table, arrays.from_ints(point))
    return table


@njit(cache=True, nogil=True, parallel=True)
def _fold(table: np.ndarray, challenge: tuple[int, ...], result: np.ndarray) -> None:
    half = result.shape[0]
    for i in prange(half):
        low = fr_load(table, i)
        fr_store(result, i, fr_add(low, fr_mul(challenge, fr_sub(fr_load(table, i + half), low))))


def as_tuple(element: np.ndarray) -> tuple[int, ...]:
    """A (4,) element as the tuple that kernels take."""
    return (element[0], element[1], element[2], element[3])


def fold(table: np.ndarray, challenge: int) -> np.ndarray:
    """Bind the first variable: table_0 + challenge * (table_1 - table_0)."""
    half = table.shape[0] // 2
    result = np.empty((half, 4), dtype=np.uint64)
    with threads_for(half, _PARALLEL_FROM):
        _fold(table, as_tuple(arrays.scalar(challenge)), result)
    return result


def evaluate(table: np.ndarray, point: Sequence[int]) -> int:
    """The extension of a table at a point."""
    for coordinate in point:
        table = fold(table, coordinate)
    return arrays.to_int(table[0])


@njit(cache=True, nogil=True, parallel=True)
def _bind_last(matrix: np.ndarray, weights: np.ndarray, result: np.ndarray) -> None:
    """result[a] = sum_b matrix[a, b] * weights[b] for an integer matrix."""
    for a in prange(matrix.shape[0]):
        total = FR_ZERO
        for b in range(matrix.shape[1]):
            value = matrix[a, b]
            if value != 0:
                total = fr_add(total, fr_mul(fr_from_i64(value), fr_load(weights, b)))
        fr_store(result, a, total)


@njit(cache=True, nogil=True, parallel=True)
def _bind_first(matrix: np.ndarray, weights: np.ndarray, result: np.ndarray) -> None:
    """result[b] = sum_a weights[a] * matrix[a, b] for an integer matrix."""
    columns = matrix.shape[1]
    blocks = 16
    width = (columns + blocks - 1) // blocks
    for block in prange(blocks):
        for b in range(block * width, min(columns, (block + 1) * width)):
            fr_store(result, b, FR_ZERO)
        for a in range(matrix.shape[0]):
            weight = fr_load(weights, a)
            for b in range(block * width, min(columns, (block + 1) * width)):
                value = matrix[a, b]
                if value != 0:
                    fr_store(result, b, fr_add(fr_load(result, b), fr_mul(fr_from_i64(value), weight)))


def bind_integers(matrix: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
    """Contract one axis of a contiguous int64 matrix (A, B) with field weights; returns a field array."""
    if matrix.shape[axis] <= MOST_TERMS and suits(matrix):
        return (bind_rows if axis == 0 else bind_columns)(matrix, arrays.to_ints(weights))
    result = np.empty((matrix.shape[1 - axis], 4), dtype=np.uint64)
    with threads_for(matrix.size, _PARALLEL_FROM):
        (_bind_first if axis == 0 else _bind_last)(matrix, weights, result)
    return result


@njit(cache=True, nogil=True, parallel=True)
def _bind_field(table: np.ndarray, weights: np.ndarray, result: np.ndarray) -> None:
    width = weights.shape[0]
    for a in prange(result.shape[0]):
        total = FR_ZERO
        for b in range(width):
            total = fr_add(total, fr_mul(fr_load(table, a * width + b), fr_load(weights, b)))
        fr_store(result, a, total)


def bind_field(table: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """result[a] = sum_b table[a * len(weights) + b] * weights[b] for field elements."""
    result = np.empty((len(table) // len(weights), 4), dtype=np.uint64)
    with threads_for(len(table), _PARALLEL_FROM):
        _bind_field(table, weights, result)
    return result


@njit(cache=True, nogil=True, parallel=True)
def _accumulate_integers(target: np.ndarray, values: np.ndarray, weight: tuple[int, ...]) -> None:
    for i in prange(values.shape[0]):
        if values[i] != 0:
            fr_store(target, i, fr_add(fr_load(target, i), fr_mul(fr_from_i64(values[i]), weight)))


@njit(cache=True, nogil=True, parallel=True)
def _accumulate_field(target: np.ndarray, values: np.ndarray, weight: tuple[int, ...]) -> None:
    for i in prange(values.shape[0]):
        fr_store(target, i, fr_add(fr_load(target, i), fr_mul(fr_load(values, i), weight)))


def accumulate(target: np.ndarray, values: np.ndarray, weight: int) -> None:
    """target[:len(values)] += weight * values, where values are int64 or field elements."""
    kernel = _accumulate_integers if values.ndim == 1 else _accumulate_field
    with threads_for(len(values), _PARALLEL_FROM):
        kernel(target, np.ascontiguousarray(values), as_tuple(arrays.scalar(weight)))


def combine_tables(tables: Sequence[np.ndarray], weights: Sequence[int], length: int) -> np.ndarray:
    """sum_k weights[k] * tables[k], each (int64 or field elements) padded with zeros to `length`."""
    fast = [k for k, table in enumerate(tables) if table.ndim == 1 and suits(table)][:MOST_TERMS]
    if fast and length % LANES == 0:
        result = combine_integers([tables[k] for k in fast], [weights[k] for k in fast], length)
    else:
        fast, result = [], arrays.zeros(length)
    for k in sorted(set(range(len(tables))) - set(fast)):
        accumulate(result, tables[k], weights[k])
    return result


def to_field(values: np.ndarray) -> np.ndarray:
    """A flat integer array (int64, or objects beyond it) as field elements."""
    flat = np.ascontiguousarray(values).reshape(-1)
    if flat.dtype == object:
        return arrays.from_ints([int(v) % MODULUS for v in flat])
    return arrays.from_int64(flat.astype(np.int64, copy=False))
