"""Exact integer matrix products by float64 arithmetic on int16 weights (int32 where a head needs more bits).

Operands are integers and every partial sum stays below 2^53 (checked when the model is imported), so float64
adds nothing and loses nothing, whatever the order of summation. Two kernels, same integers:

    few rows    Numba, reading int16 weights and widening in registers: a quarter of the memory traffic of
                float64 weights, which is what bounds token-by-token decoding
    many rows   NumPy's BLAS on weights widened on the fly: the widening is small beside the product

Nothing here needs torch, which would add 200 MB to every process that runs or proves a model.
"""

from __future__ import annotations

import numba
import numpy as np

# Up to this many rows, reading each weight row once from cache beats widening the whole matrix first.
FEW_ROWS = 8
# A head of 262,144 rows would take a gigabyte as float64.
_WIDENED_ENTRIES = 1 << 24


def multiply_exactly(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """x · weightsᵀ: weights (outputs, inputs) int16 or int32, x (rows, inputs) int64, result (rows, outputs) int64."""
    if x.shape[0] <= FEW_ROWS:
        result = np.empty((x.shape[0], weights.shape[0]), dtype=np.int64)
        multiply_few_rows(_rows(weights), x.astype(np.float64), result)
        return result
    wide_x, outputs = x.astype(np.float64), weights.shape[0]
    at_once = max(1, _WIDENED_ENTRIES // weights.shape[1])
    result = np.empty((x.shape[0], outputs), dtype=np.int64)
    for start in range(0, outputs, at_once):
        result[:, start : start + at_once] = wide_x @ weights[start : start + at_once].astype(np.float64).T
    return result


# Reassociation lets the compiler sum in vector lanes; it cannot change an exact sum.
@numba.njit(
    [
        "void(Array(int16, 2, 'C', readonly=True), float64[:, ::1], int64[:, ::1])",
        "void(Array(int32, 2, 'C', readonly=True), float64[:, ::1], int64[:, ::1])",
    ],
    fastmath={"reassoc", "contract"},
    nogil=True,
    cache=True,
)
def multiply_few_rows(weights: np.ndarray, x: np.ndarray, result: np.ndarray) -> None:
    for output in range(weights.shape[0]):
        for row in range(x.shape[0]):
            total = 0.0
            for index in range(weights.shape[1]):
                total += np.float64(weights[output, index]) * x[row, index]
            result[row, output] = np.int64(total)


def _rows(weights: np.ndarray) -> np.ndarray:
    """Weights that lie in memory row by row: a slice of a matrix' inputs is copied, which costs less than its product."""
    return weights if weights.flags.c_contiguous else np.ascontiguousarray(weights)
