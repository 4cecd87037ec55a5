"""Whole-array arithmetic in Fr, the scalar field of BN254.

An array is C-contiguous ``uint64`` of shape (n, 4): little-endian limbs of Montgomery forms, fully reduced.
A single element is the same with shape (4,). Python integers appear only at the edges.
"""

from collections.abc import Iterable

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from .montgomery import montgomery_form
from .reference import SCALAR_MODULUS, DivisionByZeroError
from .scalar_kernels import (
    FR_ONE,
    fr_add,
    fr_from_i64,
    fr_from_limbs,
    fr_inverse,
    fr_is_zero,
    fr_load,
    fr_mul,
    fr_neg,
    fr_store,
    fr_sub,
    fr_to_limbs,
)
from .threads import threads_for

MODULUS = SCALAR_MODULUS
ELEMENT_BYTES = 32

FieldArray = NDArray[np.uint64]
"""(n, 4) uint64, or (4,) for one element."""

_WORTHWHILE = 4096
"""Elements (about 50 us of products) from which other threads are woken."""
_BATCH = 1024
"""Elements that share one inversion: the inversion (4 us) is then under a tenth of the products."""


class FieldShapeError(ValueError):
    """An array is not C-contiguous uint64 of the expected shape."""


def _checked(array: FieldArray, *like: FieldArray) -> FieldArray:
    for candidate in (array, *like):
        if candidate.ndim != 2 or candidate.shape[1] != 4 or candidate.dtype != np.uint64:
            raise FieldShapeError(
                f"expected uint64 of shape (n, 4), got {candidate.dtype} {candidate.shape}:"
                " build it with from_ints or from_int64"
            )
        if not candidate.flags.c_contiguous:
            raise FieldShapeError("the array is not C-contiguous: pass numpy.ascontiguousarray(array)")
        if candidate.shape != array.shape:
            raise FieldShapeError(f"shapes differ: {array.shape} and {candidate.shape}")
    return array


def from_ints(values: Iterable[int]) -> FieldArray:
    """(n, 4) Montgomery array of the integers modulo r (negative ones too)."""
    packed = b"".join([(value % MODULUS).to_bytes(ELEMENT_BYTES, "little") for value in values])
    plain = np.frombuffer(packed, dtype="<u8").reshape(-1, 4).astype(np.uint64)
    with threads_for(len(plain), _WORTHWHILE):
        return _encode_limbs(plain)


def to_ints(array: FieldArray) -> list[int]:
    """The canonical integers in [0, r) of an (n, 4) array."""
    packed = to_plain_limbs(array).astype("<u8").tobytes()
    return [
        int.from_bytes(packed[start : start + ELEMENT_BYTES], "little")
        for start in range(0, len(packed), ELEMENT_BYTES)
    ]


def from_int64(values: NDArray[np.integer]) -> FieldArray:
    """(n, 4) Montgomery array of a one-dimensional array of signed integers."""
    if values.ndim != 1 or values.dtype.kind not in "iub" or values.dtype == np.uint64:
        raise FieldShapeError(
            f"expected one axis of signed integers, got {values.dtype} {values.shape}: cast to int64"
        )
    with threads_for(len(values), _WORTHWHILE):
        return _from_int64(np.ascontiguousarray(values, dtype=np.int64))


def from_plain_limbs(limbs: NDArray[np.uint64]) -> FieldArray:
    """Montgomery form of (n, 4) little-endian limbs of any integers below 2^256, reduced modulo r."""
    with threads_for(len(limbs), _WORTHWHILE):
        return _encode_limbs(_checked(limbs))


def to_plain_limbs(array: FieldArray) -> NDArray[np.uint64]:
    """(n, 4) little-endian limbs of the canonical integers in [0, r)."""
    with threads_for(len(array), _WORTHWHILE):
        return _decode_limbs(_checked(array))


def zeros(count: int) -> FieldArray:
    """(count, 4) zero elements."""
    return np.zeros((count, 4), dtype=np.uint64)


def scalar(value: int) -> FieldArray:
    """(4,) Montgomery element of one integer modulo r."""
    encoded = montgomery_form(value % MODULUS, MODULUS).to_bytes(ELEMENT_BYTES, "little")
    return np.frombuffer(encoded, dtype="<u8").astype(np.uint64)


_RADIX_INVERSE = pow(1 << 256, -1, MODULUS)


def to_int(element: FieldArray) -> int:
    """The canonical integer of one (4,) element."""
    if element.shape != (4,):
        raise FieldShapeError(f"expected one element of shape (4,), got {element.shape}: use to_ints")
    return int.from_bytes(element.astype("<u8").tobytes(), "little") * _RADIX_INVERSE % MODULUS


def add(a: FieldArray, b: FieldArray) -> FieldArray:
    """Elementwise ``a + b``."""
    _checked(a, b)
    with threads_for(len(a), _WORTHWHILE):
        return _add(a, b)


def sub(a: FieldArray, b: FieldArray) -> FieldArray:
    """Elementwise ``a - b``."""
    _checked(a, b)
    with threads_for(len(a), _WORTHWHILE):
        return _sub(a, b)


def mul(a: FieldArray, b: FieldArray) -> FieldArray:
    """Elementwise ``a * b``."""
    _checked(a, b)
    with threads_for(len(a), _WORTHWHILE):
        return _mul(a, b)


def neg(a: FieldArray) -> FieldArray:
    """Elementwise ``-a``."""
    with threads_for(len(a), _WORTHWHILE):
        return _neg(_checked(a))


def scale(array: FieldArray, factor: int) -> FieldArray:
    """Every element times one integer modulo r."""
    with threads_for(len(array), _WORTHWHILE):
        return _scale(_checked(array), scalar(factor))


def add_scalar(array: FieldArray, addend: int) -> FieldArray:
    """Every element plus one integer modulo r."""
    with threads_for(len(array), _WORTHWHILE):
        return _add_scalar(_checked(array), scalar(addend))


def batch_inverse(array: FieldArray) -> FieldArray:
    """Elementwise ``1/a``; raises DivisionByZeroError when an element is zero."""
    with threads_for(len(array), _WORTHWHILE):
        inverses, zero_seen = _batch_inverse(_checked(array))
    if zero_seen:
        position = int(np.flatnonzero(~array.any(axis=1))[0])
        raise DivisionByZeroError(
            f"element {position} is zero and has no inverse: remove or mask zero elements before inverting"
        )
    return inverses


@njit(cache=True, nogil=True, parallel=True)
def _encode_limbs(plain):
    encoded = np.empty_like(plain)
    for i in prange(len(plain)):
        fr_store(encoded, i, fr_from_limbs(fr_load(plain, i)))
    return encoded


@njit(cache=True, nogil=True, parallel=True)
def _decode_limbs(array):
    plain = np.empty_like(array)
    for i in prange(len(array)):
        fr_store(plain, i, fr_to_limbs(fr_load(array, i)))
    return plain


@njit(cache=True, nogil=True, parallel=True)
def _from_int64(values):
    encoded = np.empty((len(values), 4), np.uint64)
    for i in prange(len(values)):
        fr_store(encoded, i, fr_from_i64(values[i]))
    return encoded


@njit(cache=True, nogil=True, parallel=True)
def _add(a, b):
    total = np.empty_like(a)
    for i in prange(len(a)):
        fr_store(total, i, fr_add(fr_load(a, i), fr_load(b, i)))
    return total


@njit(cache=True, nogil=True, parallel=True)
def _sub(a, b):
    difference = np.empty_like(a)
    for i in prange(len(a)):
        fr_store(difference, i, fr_sub(fr_load(a, i), fr_load(b, i)))
    return difference


@njit(cache=True, nogil=True, parallel=True)
def _mul(a, b):
    product = np.empty_like(a)
    for i in prange(len(a)):
        fr_store(product, i, fr_mul(fr_load(a, i), fr_load(b, i)))
    return product


@njit(cache=True, nogil=True, parallel=True)
def _neg(array):
    negated = np.empty_like(array)
    for i in prange(len(array)):
        fr_store(negated, i, fr_neg(fr_load(array, i)))
    return negated


@njit(cache=True, nogil=True, parallel=True)
def _scale(array, factor):
    product = np.empty_like(array)
    multiplier = (factor[0], factor[1], factor[2], factor[3])
    for i in prange(len(array)):
        fr_store(product, i, fr_mul(fr_load(array, i), multiplier))
    return product


@njit(cache=True, nogil=True, parallel=True)
def _add_scalar(array, addend):
    total = np.empty_like(array)
    term = (addend[0], addend[1], addend[2], addend[3])
    for i in prange(len(array)):
        fr_store(total, i, fr_add(fr_load(array, i), term))
    return total


@njit(cache=True, nogil=True, parallel=True)
def _batch_inverse(array):
    """(inverses, whether a zero was met); Montgomery's trick within batches, batches in parallel."""
    count = len(array)
    inverses = np.empty_like(array)
    batches = (count + _BATCH - 1) // _BATCH
    zeros_seen = np.zeros(batches, np.uint8)
    for batch in prange(batches):
        start, stop = batch * _BATCH, min(count, (batch + 1) * _BATCH)
        running = FR_ONE
        for i in range(start, stop):
            fr_store(inverses, i, running)
            element = fr_load(array, i)
            if fr_is_zero(element):
                zeros_seen[batch] = 1
            running = fr_mul(running, element)
        running = fr_inverse(running)
        for offset in range(stop - start):
            i = stop - 1 - offset
            fr_store(inverses, i, fr_mul(running, fr_load(inverses, i)))
            running = fr_mul(running, fr_load(array, i))
    return inverses, zeros_seen.any()
