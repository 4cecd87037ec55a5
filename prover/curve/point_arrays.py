"""Arrays of affine G1 points: C-contiguous uint64 (n, 8), Montgomery limbs of x then y.

All zero stands for infinity, as (0, 0) does for Python points (g1.py).
"""

from collections.abc import Sequence

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from ..field.base_kernels import (
    FQ_ONE,
    fq_add,
    fq_equal,
    fq_from_limbs,
    fq_is_zero,
    fq_load,
    fq_mul,
    fq_store,
    fq_to_limbs,
)
from ..field.montgomery import integer_less, limbs_of
from ..field.reference import BASE_MODULUS
from ..field.threads import threads_for
from .g1 import CoordinateRangeError, OffCurveError, Point

PointArray = NDArray[np.uint64]
"""(n, 8) uint64."""

_WORTHWHILE = 2048
"""Points from which other threads are woken to convert or check them."""
_LINE_BYTES = 64
_MODULUS = tuple(np.uint64(limb) for limb in limbs_of(BASE_MODULUS))


class PointArrayShapeError(ValueError):
    """An array is not C-contiguous uint64 of shape (n, 8)."""


def checked_points(points: PointArray) -> PointArray:
    """The same array; raises PointArrayShapeError when it is not laid out as the kernels read it."""
    if points.ndim != 2 or points.shape[1] != 8 or points.dtype != np.uint64:
        raise PointArrayShapeError(
            f"expected uint64 of shape (n, 8), got {points.dtype} {points.shape}: build it with from_points"
        )
    if not points.flags.c_contiguous:
        raise PointArrayShapeError("the points are not C-contiguous: pass numpy.ascontiguousarray(points)")
    return points


def empty_points(count: int) -> PointArray:
    """(n, 8) array with any contents, from a multiple of 64 bytes on: a point is one line of the cache.

    NumPy begins large arrays 16 bytes behind one, so that every point lies in two lines.
    """
    words = np.empty(8 * count + 7, np.uint64)
    first = -words.ctypes.data % _LINE_BYTES // words.itemsize
    return words[first : first + 8 * count].reshape(count, 8)


def aligned_points(points: PointArray) -> PointArray:
    """The same points from a multiple of 64 bytes on."""
    if points.ctypes.data % _LINE_BYTES == 0 and points.flags.c_contiguous:
        return points
    copied = empty_points(len(points))
    copied[:] = points
    return copied


def from_points(points: Sequence[Point]) -> PointArray:
    """(n, 8) array of Python points; coordinates must be below q, the curve equation is not checked."""
    packed = b"".join([x.to_bytes(32, "little") + y.to_bytes(32, "little") for x, y in points])
    return from_plain_limbs(np.frombuffer(packed, dtype="<u8").astype(np.uint64).reshape(-1, 8))


def to_points(points: PointArray) -> list[Point]:
    """Python points of an (n, 8) array."""
    packed = to_plain_limbs(points).astype("<u8").tobytes()
    return [
        (
            int.from_bytes(packed[start : start + 32], "little"),
            int.from_bytes(packed[start + 32 : start + 64], "little"),
        )
        for start in range(0, len(packed), 64)
    ]


def from_plain_limbs(limbs: NDArray[np.uint64]) -> PointArray:
    """Montgomery form of (n, 8) canonical little-endian limbs; raises CoordinateRangeError above q."""
    with threads_for(len(limbs), _WORTHWHILE):
        encoded, in_range = _encode(checked_points(limbs).reshape(-1, 4))
    if not in_range:
        raise CoordinateRangeError("a coordinate is not below q: send canonical coordinates reduced modulo q")
    return encoded.reshape(-1, 8)


def to_plain_limbs(points: PointArray) -> NDArray[np.uint64]:
    """(n, 8) canonical little-endian limbs."""
    with threads_for(len(points), _WORTHWHILE):
        return _decode(checked_points(points).reshape(-1, 4)).reshape(-1, 8)


def to_bytes(points: PointArray) -> bytes:
    """The points' EVM encodings (64 bytes each, big endian), concatenated."""
    limbs = to_plain_limbs(points).reshape(-1, 2, 4)
    return limbs[:, :, ::-1].astype(">u8").tobytes()


def from_bytes(encoded: bytes) -> PointArray:
    """Strict inverse of to_bytes: canonical coordinates, every point on the curve or infinity."""
    if len(encoded) % 64:
        raise PointArrayShapeError(f"{len(encoded)} bytes are not a whole number of 64-byte points")
    limbs = np.frombuffer(encoded, dtype=">u8").astype(np.uint64).reshape(-1, 2, 4)[:, :, ::-1]
    points = from_plain_limbs(np.ascontiguousarray(limbs).reshape(-1, 8))
    validate_points(points)
    return points


def validate_coordinates(points: PointArray) -> None:
    """Raise CoordinateRangeError unless every coordinate is a reduced Montgomery form."""
    with threads_for(len(points), _WORTHWHILE):
        outcome = _validate(checked_points(points).reshape(-1, 4))
    _raise_for(outcome == 1)


def _raise_for(above: NDArray[np.bool_]) -> None:
    if above.any():
        raise CoordinateRangeError(
            f"point {int(np.argmax(above))} has a coordinate not below q: reduce it modulo q"
        )


def validate_points(points: PointArray) -> None:
    """Raise CoordinateRangeError or OffCurveError unless every point is reduced and on the curve."""
    with threads_for(len(points), _WORTHWHILE):
        outcome = _validate(checked_points(points).reshape(-1, 4))
    _raise_for(outcome == 1)
    if outcome.any():
        raise OffCurveError(
            f"point {int(np.argmax(outcome))} is not on y^2 = x^3 + 3: the data is damaged or not BN254"
        )


@njit(cache=True, nogil=True, parallel=True)
def _encode(plain):
    encoded = np.empty_like(plain)
    above = np.zeros(len(plain), np.uint8)
    for i in prange(len(plain)):
        limbs = fq_load(plain, i)
        above[i] = not integer_less(limbs, _MODULUS)
        fq_store(encoded, i, fq_from_limbs(limbs))
    return encoded, not above.any()


@njit(cache=True, nogil=True, parallel=True)
def _decode(coordinates):
    plain = np.empty_like(coordinates)
    for i in prange(len(coordinates)):
        fq_store(plain, i, fq_to_limbs(fq_load(coordinates, i)))
    return plain


@njit(cache=True, nogil=True, parallel=True)
def _validate(coordinates):
    """Per point: 0 valid, 1 coordinate not reduced, 2 off the curve."""
    outcome = np.zeros(len(coordinates) // 2, np.uint8)
    for i in prange(len(outcome)):
        x, y = fq_load(coordinates, 2 * i), fq_load(coordinates, 2 * i + 1)
        if not (integer_less(x, _MODULUS) and integer_less(y, _MODULUS)):
            outcome[i] = 1
        elif not (fq_is_zero(x) and fq_is_zero(y)):
            three = fq_add(FQ_ONE, fq_add(FQ_ONE, FQ_ONE))
            right = fq_add(fq_mul(fq_mul(x, x), x), three)
            outcome[i] = 0 if fq_equal(fq_mul(y, y), right) else 2
    return outcome
