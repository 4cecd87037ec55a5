"""Compiled Jacobian arithmetic on G1, for the short serial parts of a multi-scalar multiplication.

A Jacobian point is ``(X, Y, Z)`` with ``x = X/Z^2``, ``y = Y/Z^3``; ``Z = 0`` is infinity. Formulas:
dbl-2009-l, add-2007-bl and madd-2007-bl of the Explicit-Formulas Database, complete through the branches.
"""

from numba import njit

from ..field.base_kernels import (
    FQ_ONE,
    FQ_ZERO,
    fq_add,
    fq_inverse,
    fq_is_zero,
    fq_mul,
    fq_sub,
)

JACOBIAN_INFINITY = (FQ_ONE, FQ_ONE, FQ_ZERO)


@njit(cache=True, nogil=True)
def jacobian_double(point):
    """``2P``; there are no points of order two, so Z = 0 only for infinity."""
    x, y, z = point
    a = fq_mul(x, x)
    b = fq_mul(y, y)
    c = fq_mul(b, b)
    x_plus_b = fq_add(x, b)
    d = fq_sub(fq_sub(fq_mul(x_plus_b, x_plus_b), a), c)
    d = fq_add(d, d)
    e = fq_add(fq_add(a, a), a)
    x_result = fq_sub(fq_mul(e, e), fq_add(d, d))
    c = fq_add(c, c)
    c = fq_add(c, c)
    c = fq_add(c, c)
    y_result = fq_sub(fq_mul(e, fq_sub(d, x_result)), c)
    z_result = fq_mul(y, z)
    return (x_result, y_result, fq_add(z_result, z_result))


@njit(cache=True, nogil=True)
def jacobian_add(left, right):
    """``P + Q`` for any two Jacobian points."""
    x1, y1, z1 = left
    x2, y2, z2 = right
    if fq_is_zero(z1):
        return right
    if fq_is_zero(z2):
        return left
    z1_squared = fq_mul(z1, z1)
    z2_squared = fq_mul(z2, z2)
    u1 = fq_mul(x1, z2_squared)
    u2 = fq_mul(x2, z1_squared)
    s1 = fq_mul(y1, fq_mul(z2, z2_squared))
    s2 = fq_mul(y2, fq_mul(z1, z1_squared))
    h = fq_sub(u2, u1)
    r = fq_sub(s2, s1)
    if fq_is_zero(h):
        if fq_is_zero(r):
            return jacobian_double(left)
        return JACOBIAN_INFINITY
    h_squared = fq_mul(h, h)
    h_cubed = fq_mul(h, h_squared)
    v = fq_mul(u1, h_squared)
    x_result = fq_sub(fq_sub(fq_mul(r, r), h_cubed), fq_add(v, v))
    y_result = fq_sub(fq_mul(r, fq_sub(v, x_result)), fq_mul(s1, h_cubed))
    return (x_result, y_result, fq_mul(fq_mul(z1, z2), h))


@njit(cache=True, nogil=True)
def jacobian_add_affine(left, x2, y2):
    """``P + (x2, y2)``; an affine ``y2 = 0`` means infinity (no point of order two exists)."""
    x1, y1, z1 = left
    if fq_is_zero(y2):
        return left
    if fq_is_zero(z1):
        return (x2, y2, FQ_ONE)
    z1_squared = fq_mul(z1, z1)
    h = fq_sub(fq_mul(x2, z1_squared), x1)
    r = fq_sub(fq_mul(y2, fq_mul(z1, z1_squared)), y1)
    if fq_is_zero(h):
        if fq_is_zero(r):
            return jacobian_double(left)
        return JACOBIAN_INFINITY
    h_squared = fq_mul(h, h)
    h_cubed = fq_mul(h, h_squared)
    v = fq_mul(x1, h_squared)
    x_result = fq_sub(fq_sub(fq_mul(r, r), h_cubed), fq_add(v, v))
    y_result = fq_sub(fq_mul(r, fq_sub(v, x_result)), fq_mul(y1, h_cubed))
    return (x_result, y_result, fq_mul(z1, h))


@njit(cache=True, nogil=True)
def jacobian_small_multiple(point, factor):
    """``factor * P`` for a non-negative int64 factor."""
    result = JACOBIAN_INFINITY
    power = point
    while factor:
        if factor & 1:
            result = jacobian_add(result, power)
        factor >>= 1
        if factor:
            power = jacobian_double(power)
    return result


@njit(cache=True, nogil=True)
def jacobian_to_affine(point):
    """Affine ``(x, y)``, (0, 0) for infinity."""
    x, y, z = point
    if fq_is_zero(z):
        return (FQ_ZERO, FQ_ZERO)
    inverse = fq_inverse(z)
    inverse_squared = fq_mul(inverse, inverse)
    return (fq_mul(x, inverse_squared), fq_mul(y, fq_mul(inverse, inverse_squared)))
