"""G1 of BN254 in plain Python integers: ``y^2 = x^3 + 3`` over Fq, prime order r, generator (1, 2).

A point is an affine pair ``(x, y)`` of integers below q; ``(0, 0)``, which is not on the curve, stands for
infinity as in the EVM's precompiles (EIP-196). This is the readable reference and the boundary with bytes;
the hot paths are in msm.py.
"""

from ..errors import BadInputError
from ..field.reference import BASE_MODULUS, SCALAR_MODULUS

Point = tuple[int, int]

INFINITY: Point = (0, 0)
GENERATOR: Point = (1, 2)
POINT_BYTES = 64
CURVE_CONSTANT = 3


class PointError(BadInputError, ValueError):
    """Something is not a valid encoding of a point."""


class CoordinateRangeError(PointError):
    """A coordinate is not in [0, q)."""


class OffCurveError(PointError):
    """A point does not satisfy the curve's equation."""


class PointLengthError(PointError):
    """A byte string has the wrong length for a point."""


def is_on_curve(point: Point) -> bool:
    """Whether the coordinates are canonical and the point is on the curve (infinity is).

    The cofactor of G1 is one, so every such point is in the group of order r.
    """
    x, y = point
    if not (0 <= x < BASE_MODULUS and 0 <= y < BASE_MODULUS):
        return False
    return point == INFINITY or (y * y - x * x * x - CURVE_CONSTANT) % BASE_MODULUS == 0


def validate(point: Point) -> Point:
    """The same point; raises CoordinateRangeError or OffCurveError when it is none."""
    for coordinate in point:
        if not 0 <= coordinate < BASE_MODULUS:
            raise CoordinateRangeError(
                f"coordinate {coordinate:#x} is not below q: send canonical coordinates reduced modulo q"
            )
    if not is_on_curve(point):
        raise OffCurveError(
            f"({point[0]:#x}, {point[1]:#x}) is not on y^2 = x^3 + 3: check the byte order of x and y"
        )
    return point


def negate(point: Point) -> Point:
    """``-P``."""
    x, y = point
    return (x, -y % BASE_MODULUS)


def double(point: Point) -> Point:
    """``2P``."""
    x, y = point
    if point == INFINITY:
        return INFINITY
    slope = 3 * x * x * pow(2 * y, -1, BASE_MODULUS) % BASE_MODULUS
    x_result = (slope * slope - 2 * x) % BASE_MODULUS
    return (x_result, (slope * (x - x_result) - y) % BASE_MODULUS)


def add(left: Point, right: Point) -> Point:
    """``P + Q`` for any two points."""
    if left == INFINITY:
        return right
    if right == INFINITY:
        return left
    if left[0] == right[0]:
        return double(left) if left[1] == right[1] else INFINITY
    slope = (right[1] - left[1]) * pow(right[0] - left[0], -1, BASE_MODULUS) % BASE_MODULUS
    x_result = (slope * slope - left[0] - right[0]) % BASE_MODULUS
    return (x_result, (slope * (left[0] - x_result) - left[1]) % BASE_MODULUS)


def multiply(point: Point, factor: int) -> Point:
    """``factor * P``; the factor is taken modulo the group order."""
    factor %= SCALAR_MODULUS
    result = INFINITY
    for bit in bin(factor)[2:]:
        result = double(result)
        if bit == "1":
            result = add(result, point)
    return result


def point_to_bytes(point: Point) -> bytes:
    """64 bytes: x then y, big endian, as the EVM's precompiles take them."""
    return point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")


def point_from_bytes(encoded: bytes) -> Point:
    """Strict inverse of point_to_bytes; raises a PointError for anything but one canonical point."""
    if len(encoded) != POINT_BYTES:
        raise PointLengthError(f"a G1 point takes {POINT_BYTES} bytes, got {len(encoded)}")
    return validate((int.from_bytes(encoded[:32], "big"), int.from_bytes(encoded[32:], "big")))
