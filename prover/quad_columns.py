"""Quads (quads.py) as columns of field elements, for a prover."""

from __future__ import annotations

import numpy as np

from .field import arrays
from .field.arrays import MODULUS
from .quads import BASE, QUAD


def numbers(digits: np.ndarray) -> arrays.FieldArray:
    """sum_t B^t digits[:, t] of (n, 4) int64, as field elements."""
    plain = np.empty(digits.shape, dtype=np.uint64)
    borrow = np.zeros(len(digits), dtype=np.int64)
    for t in range(QUAD):
        digit = digits[:, t] + borrow
        plain[:, t] = digit.view(np.uint64)
        borrow = digit >> 63  # -1 below zero
    field = arrays.from_plain_limbs(plain)
    below = np.flatnonzero(borrow)  # as 256 bits these are greater by 2^256
    if len(below):
        field[below] = arrays.add_scalar(np.ascontiguousarray(field[below]), -(BASE**QUAD) % MODULUS)
    return field
