"""G2 of BN254 in plain Python integers.

The subgroup of order r of ``y^2 = x^3 + 3/(9 + i)`` over Fq2 = Fq[i]/(i^2 + 1). A point is
``((x_0, x_1), (y_0, y_1))`` with ``x = x_0 + x_1 i``; all zero stands for infinity. The EVM writes the
imaginary coefficient first (EIP-197), and so do the bytes here.
"""

from ..field.reference import BASE_MODULUS, SCALAR_MODULUS
from .g1 import CoordinateRangeError, OffCurveError, PointError, PointLengthError

Fq2 = tuple[int, int]
PointG2 = tuple[Fq2, Fq2]

XI: Fq2 = (9, 1)
"""The non-residue that Fq6 and the twist are built on."""

INFINITY_G2: PointG2 = ((0, 0), (0, 0))
GENERATOR_G2: PointG2 = (
    (
        10857046999023057135944570762232829481370756359578518086990519993285655852781,
        11559732032986387107991004021392285783925812861821192530917403151452391805634,
    ),
    (
        8495653923123431417604973247489272438418190587263600148770280649306958101930,
        4082367875863433681332203403145435568316851327593401208105741076214120093531,
    ),
)
POINT_G2_BYTES = 128


class SubgroupError(PointError):
    """A point is on the twist but not in the subgroup of order r."""


def add_fq2(a: Fq2, b: Fq2) -> Fq2:
    """``a + b``."""
    return ((a[0] + b[0]) % BASE_MODULUS, (a[1] + b[1]) % BASE_MODULUS)


def subtract_fq2(a: Fq2, b: Fq2) -> Fq2:
    """``a - b``."""
    return ((a[0] - b[0]) % BASE_MODULUS, (a[1] - b[1]) % BASE_MODULUS)


def negate_fq2(a: Fq2) -> Fq2:
    """``-a``."""
    return (-a[0] % BASE_MODULUS, -a[1] % BASE_MODULUS)


def multiply_fq2(a: Fq2, b: Fq2) -> Fq2:
    """``a b`` with ``i^2 = -1``."""
    return (
        (a[0] * b[0] - a[1] * b[1]) % BASE_MODULUS,
        (a[0] * b[1] + a[1] * b[0]) % BASE_MODULUS,
    )


def inverse_fq2(a: Fq2) -> Fq2:
    """``1/a = conjugate(a) / norm(a)``; raises ValueError for zero."""
    norm_inverse = pow(a[0] * a[0] + a[1] * a[1], -1, BASE_MODULUS)
    return (a[0] * norm_inverse % BASE_MODULUS, -a[1] * norm_inverse % BASE_MODULUS)


def power_fq2(base: Fq2, exponent: int) -> Fq2:
    """``base^exponent`` for a non-negative exponent."""
    result: Fq2 = (1, 0)
    for bit in bin(exponent)[2:]:
        result = multiply_fq2(result, result)
        if bit == "1":
            result = multiply_fq2(result, base)
    return result


TWIST_CONSTANT: Fq2 = multiply_fq2((3, 0), inverse_fq2(XI))


def negate_g2(point: PointG2) -> PointG2:
    """``-Q``."""
    return (point[0], negate_fq2(point[1]))


def add_g2(left: PointG2, right: PointG2) -> PointG2:
    """``P + Q`` on the twist, for any two points."""
    if left == INFINITY_G2:
        return right
    if right == INFINITY_G2:
        return left
    (x1, y1), (x2, y2) = left, right
    if x1 != x2:
        slope = multiply_fq2(subtract_fq2(y2, y1), inverse_fq2(subtract_fq2(x2, x1)))
    elif y1 == y2 and y1 != (0, 0):
        numerator = multiply_fq2((3, 0), multiply_fq2(x1, x1))
        slope = multiply_fq2(numerator, inverse_fq2(add_fq2(y1, y1)))
    else:
        return INFINITY_G2
    x = subtract_fq2(subtract_fq2(multiply_fq2(slope, slope), x1), x2)
    return (x, subtract_fq2(multiply_fq2(slope, subtract_fq2(x1, x)), y1))


def multiply_g2(point: PointG2, factor: int) -> PointG2:
    """``factor * Q`` for a non-negative factor, which is not reduced modulo r."""
    result = INFINITY_G2
    for bit in bin(factor)[2:]:
        result = add_g2(result, result)
        if bit == "1":
            result = add_g2(result, point)
    return result


def is_on_twist(point: PointG2) -> bool:
    """Whether coordinates are canonical and the point is on the twist (infinity is)."""
    x, y = point
    if not all(0 <= coefficient < BASE_MODULUS for coefficient in (*x, *y)):
        return False
    if point == INFINITY_G2:
        return True
    cube = multiply_fq2(multiply_fq2(x, x), x)
    return multiply_fq2(y, y) == add_fq2(cube, TWIST_CONSTANT)


def is_in_subgroup(point: PointG2) -> bool:
    """Whether ``r Q`` is infinity; needed because the twist has a large cofactor. About 15 ms."""
    return multiply_g2(point, SCALAR_MODULUS) == INFINITY_G2


def validate_g2(point: PointG2) -> PointG2:
    """The same point; raises CoordinateRangeError, OffCurveError or SubgroupError when it is not in G2."""
    if not all(0 <= coefficient < BASE_MODULUS for axis in point for coefficient in axis):
        raise CoordinateRangeError("a G2 coefficient is not below q: send canonical coefficients")
    if not is_on_twist(point):
        raise OffCurveError(
            "the point is not on the twist of BN254: check that the imaginary coefficient is in its place"
        )
    if point not in (INFINITY_G2, GENERATOR_G2) and not is_in_subgroup(point):
        raise SubgroupError("the point is on the twist but not in the subgroup of order r: refuse it")
    return point


def point_g2_to_bytes(point: PointG2) -> bytes:
    """128 bytes in the EVM's order: x_1, x_0, y_1, y_0, big endian (EIP-197)."""
    (x0, x1), (y0, y1) = point
    return b"".join([coefficient.to_bytes(32, "big") for coefficient in (x1, x0, y1, y0)])


def point_g2_from_bytes(encoded: bytes) -> PointG2:
    """Strict inverse of point_g2_to_bytes; raises a PointError for anything but a point of G2."""
    if len(encoded) != POINT_G2_BYTES:
        raise PointLengthError(f"a G2 point takes {POINT_G2_BYTES} bytes, got {len(encoded)}")
    x1, x0, y1, y0 = (int.from_bytes(encoded[start : start + 32], "big") for start in range(0, 128, 32))
    return validate_g2(((x0, x1), (y0, y1)))
