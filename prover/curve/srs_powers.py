"""Powers of tau as arrays of points: made from a known tau, combined at random."""

from __future__ import annotations

import secrets

import numpy as np
from numba import njit

from ..field.arrays import FieldArray, from_plain_limbs, scalar
from ..field.scalar_kernels import FR_ONE, fr_mul, fr_store
from .g1 import GENERATOR, Point
from .msm import fixed_base_multiples, msm_field
from .point_arrays import PointArray


def powers_of(tau: int, count: int) -> PointArray:
    """``[tau^i]_1`` for i < count."""
    return fixed_base_multiples(GENERATOR, _powers(scalar(tau), count))


def random_combinations(powers: PointArray) -> tuple[Point, Point]:
    """``sum r_i P_i`` and ``sum r_i P_(i+1)`` over all but one power, for one set of random r_i."""
    count = len(powers) - 1
    limbs = np.zeros((count, 4), np.uint64)
    limbs[:, :2] = np.frombuffer(secrets.token_bytes(16 * count), np.uint64).reshape(-1, 2)
    weights = from_plain_limbs(limbs)
    return msm_field(powers[:-1], weights), msm_field(powers[1:], weights)


@njit(cache=True, nogil=True)
def _powers_kernel(base, count):
    powers = np.empty((count, 4), np.uint64)
    factor = (base[0], base[1], base[2], base[3])
    running = FR_ONE
    for i in range(count):
        fr_store(powers, i, running)
        running = fr_mul(running, factor)
    return powers


def _powers(base: FieldArray, count: int) -> FieldArray:
    """(count, 4) array 1, b, b^2, ..."""
    return _powers_kernel(base, count)
