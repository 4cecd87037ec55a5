"""Exact integer matrix products on int16 weights as they lie (int32 where a head needs more bits).

Three kernels, same integers:

    words       where the CPU multiplies 16-bit words (AVX-512 VNNI): word_gemm.py
    few rows    else Numba, reading weights and widening in registers, summing in float64
    many rows   NumPy's BLAS on weights widened on the fly

Float64 sums are exact because operands are integers and every partial sum stays below 2^53 (checked when the model is
imported), whatever the order.

Nothing here needs torch, which would add 200 MB to every process that runs or proves a model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from ..operators.host_arrays import HOST
from ..operators.row_passes import NONE
from . import word_gemm

# Up to this many rows, reading each weight row once from cache beats widening the whole matrix first.
FEW_ROWS = 8
# A head of 262,144 rows would take a gigabyte as float64.
_WIDENED_ENTRIES = 1 << 24
_OUTPUTS_AT_ONCE = 1 << 10
"""Of a head for many rows: its products stay in the second cache until the largest is found."""


@dataclass(frozen=True)
class Matrix:
    """Weights (outputs, inputs), int16 or int32, with what the kernels have to know about them.

    lengths: None where products go through float64.
    """

    weights: np.ndarray
    lengths: word_gemm.Lengths | None = None

    @classmethod
    def of(cls, weights: np.ndarray) -> Matrix:
        """Looks at every weight once."""
        weights = weights.view()
        weights.setflags(write=False)  # kernels are compiled for what is mapped, which nobody can write
        return cls(weights, word_gemm.lengths_of(weights) if word_gemm.AVAILABLE else None)

    def multiply(self, x: np.ndarray) -> np.ndarray:
        """x · weightsᵀ, (rows, outputs) int64."""
        return multiply_exactly(self, x)

    def multiply_rounded(
        self, x: np.ndarray, bias: np.ndarray | None, shift: int, limit: int
    ) -> tuple[np.ndarray, bool]:
        """`Arrays.round_rows` of the product, in one call where it is taken in words."""
        if self.lengths is None:
            return HOST.round_rows(self.multiply(x), bias, shift, limit)
        return word_gemm.multiply_rounded(self.lengths, x, NONE if bias is None else bias, shift, limit)


def multiply_exactly(matrix: Matrix | np.ndarray, x: np.ndarray) -> np.ndarray:
    """x · weightsᵀ: weights (outputs, inputs) int16 or int32, x (rows, inputs) int64, result (rows, outputs) int64."""
    if not isinstance(matrix, Matrix):
        matrix = Matrix.of(matrix)
    if matrix.lengths is None:
        return multiply_in_floats(matrix.weights, x)
    return word_gemm.multiply_in_words(matrix.lengths, x)


class Outputs:
    """A matrix of many outputs of which the largest is wanted: the head."""

    def __init__(self, weights: np.ndarray) -> None:
        self.whole = Matrix.of(weights)
        self._parts = [
            Matrix.of(weights[start : start + _OUTPUTS_AT_ONCE])
            for start in range(0, len(weights), _OUTPUTS_AT_ONCE)
        ]

    def multiply(self, x: np.ndarray) -> np.ndarray:
        """x · weightsᵀ, (rows, outputs) int64."""
        return multiply_exactly(self.whole, x)

    def largest(self, x: np.ndarray) -> np.ndarray:
        """argmax of x · weightsᵀ by row, (rows,) int64, ties to the smaller output.

        Of many rows some outputs at a time: all products would be written to memory only to be read once.
        """
        if x.shape[0] <= FEW_ROWS:
            return multiply_exactly(self.whole, x).argmax(axis=1)
        most, chosen = np.full(x.shape[0], np.iinfo(np.int64).min), np.zeros(x.shape[0], dtype=np.int64)
        for number, part in enumerate(self._parts):
            products = multiply_exactly(part, x)
            found = products.argmax(axis=1)
            value = np.take_along_axis(products, found[:, None], axis=1)[:, 0]
            larger = value > most
            most[larger], chosen[larger] = value[larger], found[larger] + number * _OUTPUTS_AT_ONCE
        return chosen


def compile_products() -> None:
    """One product by each kernel that this machine chooses among: few rows and many, small and large."""
    for rows, size in ((1, 8), (FEW_ROWS + 1, 512), (word_gemm.MANY_ROWS, 8), (word_gemm.MANY_ROWS, 512)):
        for dtype in (np.int16, np.int32):
            multiply_exactly(np.ones((size, size), dtype=dtype), np.ones((rows, size), dtype=np.int64))


def multiply_in_floats(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The same in float64, on any machine."""
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
