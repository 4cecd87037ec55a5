"""Compiled arithmetic in the scalar field Fr of BN254, for use inside Numba kernels.

Elements are ``UniTuple(uint64, 4)`` in Montgomery form (see montgomery.py). ``fr_load``, ``fr_store``,
``fr_add``, ``fr_sub``, ``fr_mul``, ``fr_neg``, ``fr_is_zero`` and ``fr_equal`` are intrinsics: they can be
called from ``@njit`` code only.
"""

import numpy as np
from numba import njit

from . import montgomery
from .inversion import binary_inverse
from .reference import SCALAR_MODULUS

_R2 = tuple(np.uint64(limb) for limb in montgomery.limbs_of(pow(2, 512, SCALAR_MODULUS)))
_R3 = tuple(np.uint64(limb) for limb in montgomery.limbs_of(pow(2, 768, SCALAR_MODULUS)))
_MODULUS = tuple(np.uint64(limb) for limb in montgomery.limbs_of(SCALAR_MODULUS))

FR_ZERO = (np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0))
FR_ONE = tuple(np.uint64(limb) for limb in montgomery.limbs_of(pow(2, 256, SCALAR_MODULUS)))

fr_load = montgomery.load
fr_store = montgomery.store
fr_is_zero = montgomery.is_zero
fr_equal = montgomery.is_equal
fr_add = montgomery.make_add(SCALAR_MODULUS)
fr_sub = montgomery.make_subtract(SCALAR_MODULUS)
fr_mul = montgomery.make_multiply(SCALAR_MODULUS)
fr_neg = montgomery.make_negate(SCALAR_MODULUS)


@njit(cache=True, nogil=True)
def fr_from_limbs(plain):
    """Montgomery form of four plain limbs; the integer may be anything below 2^256."""
    return fr_mul(plain, _R2)


@njit(cache=True, nogil=True)
def fr_to_limbs(element):
    """Plain little-endian limbs of a Montgomery element."""
    return fr_mul(element, (np.uint64(1), np.uint64(0), np.uint64(0), np.uint64(0)))


@njit(cache=True, nogil=True)
def fr_from_i64(value):
    """Montgomery element of a signed 64-bit integer (negative values become ``p - |value|``)."""
    if value < 0:
        magnitude = np.uint64(0) - np.uint64(value)
        return fr_neg(fr_mul((magnitude, np.uint64(0), np.uint64(0), np.uint64(0)), _R2))
    return fr_mul((np.uint64(value), np.uint64(0), np.uint64(0), np.uint64(0)), _R2)


@njit(cache=True, nogil=True)
def fr_inverse(element):
    """``1/a`` in Montgomery form; zero maps to zero, so callers that care must check first."""
    return fr_mul(binary_inverse(element, _MODULUS), _R3)
