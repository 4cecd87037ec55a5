"""Compiled arithmetic in the base field Fq of BN254, for use inside Numba kernels.

Elements are ``UniTuple(uint64, 4)`` in Montgomery form (see montgomery.py). ``fq_load``, ``fq_store``,
``fq_add``, ``fq_sub``, ``fq_mul``, ``fq_neg``, ``fq_is_zero`` and ``fq_equal`` are intrinsics: they can be
called from ``@njit`` code only.
"""

import numpy as np
from numba import njit

from . import montgomery
from .inversion import binary_inverse
from .reference import BASE_MODULUS

_R2 = tuple(np.uint64(limb) for limb in montgomery.limbs_of(pow(2, 512, BASE_MODULUS)))
_R3 = tuple(np.uint64(limb) for limb in montgomery.limbs_of(pow(2, 768, BASE_MODULUS)))
_MODULUS = tuple(np.uint64(limb) for limb in montgomery.limbs_of(BASE_MODULUS))

FQ_ZERO = (np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0))
FQ_ONE = tuple(np.uint64(limb) for limb in montgomery.limbs_of(pow(2, 256, BASE_MODULUS)))

fq_load = montgomery.load
fq_store = montgomery.store
fq_is_zero = montgomery.is_zero
fq_equal = montgomery.is_equal
fq_add = montgomery.make_add(BASE_MODULUS)
fq_sub = montgomery.make_subtract(BASE_MODULUS)
fq_mul = montgomery.make_multiply(BASE_MODULUS)
fq_neg = montgomery.make_negate(BASE_MODULUS)


@njit(cache=True, nogil=True)
def fq_from_limbs(plain):
    """Montgomery form of four plain limbs; the integer may be anything below 2^256."""
    return fq_mul(plain, _R2)


@njit(cache=True, nogil=True)
def fq_to_limbs(element):
    """Plain little-endian limbs of a Montgomery element."""
    return fq_mul(element, (np.uint64(1), np.uint64(0), np.uint64(0), np.uint64(0)))


@njit(cache=True, nogil=True)
def fq_from_i64(value):
    """Montgomery element of a signed 64-bit integer (negative values become ``p - |value|``)."""
    if value < 0:
        magnitude = np.uint64(0) - np.uint64(value)
        return fq_neg(fq_mul((magnitude, np.uint64(0), np.uint64(0), np.uint64(0)), _R2))
    return fq_mul((np.uint64(value), np.uint64(0), np.uint64(0), np.uint64(0)), _R2)


@njit(cache=True, nogil=True)
def fq_inverse(element):
    """``1/a`` in Montgomery form; zero maps to zero, so callers that care must check first."""
    return fq_mul(binary_inverse(element, _MODULUS), _R3)
