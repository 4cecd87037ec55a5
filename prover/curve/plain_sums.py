"""``sum_i k_i P_i`` of a few points in Python integers, for programs that need one or two and no kernel.

Straus's method (*Addition chains of vectors*, 1964) with signed digits of four bits: the multiples 1..8 of every point, made affine
by one inversion, then four doublings and an addition per point for every digit. Sums are in Jacobian coordinates (X / Z^2, Y / Z^3).
Exceptional cases (equal points, opposite ones, infinity) are all treated: points and factors are a stranger's.
"""

from collections.abc import Sequence

from ..field.reference import BASE_MODULUS, SCALAR_MODULUS
from .g1 import INFINITY, Point, negate, validate

_DIGIT_BITS = 4
_HALF = 1 << (_DIGIT_BITS - 1)
_Q = BASE_MODULUS
_Jacobian = tuple[int, int, int]
_NOTHING: _Jacobian = (1, 1, 0)


def combine(points: Sequence[Point], scalars: Sequence[int]) -> Point:
    """``sum_i k_i P_i`` for integers modulo r. Raises a PointError for what is no point."""
    terms = [(validate(p), k % SCALAR_MODULUS) for p, k in zip(points, scalars, strict=True)]
    terms = [(p, k) for p, k in terms if p != INFINITY and k]
    multiples = _multiples([p for p, _ in terms])
    digits = [_digits(k) for _, k in terms]
    total = _NOTHING
    for place in reversed(range(max(map(len, digits), default=0))):
        for _ in range(_DIGIT_BITS):
            total = _double(total)
        for table, own in zip(multiples, digits, strict=True):
            digit = own[place] if place < len(own) else 0
            if digit:
                total = _add(total, table[digit - 1] if digit > 0 else negate(table[-digit - 1]))
    return _affine([total])[0]


def _digits(scalar: int) -> list[int]:
    """Digits in [-8, 8), the lowest first."""
    digits = []
    while scalar:
        digit = (scalar + _HALF) % (2 * _HALF) - _HALF
        digits.append(digit)
        scalar = (scalar - digit) >> _DIGIT_BITS
    return digits


def _multiples(points: Sequence[Point]) -> list[list[Point]]:
    """1 P, .., 8 P of every point, none of which is infinity: the order is a large prime."""
    found = []
    for point in points:
        last: _Jacobian = (*point, 1)
        found.append(last)
        for _ in range(_HALF - 1):
            last = _add(last, point)
            found.append(last)
    flat = _affine(found)
    return [flat[start : start + _HALF] for start in range(0, len(flat), _HALF)]


def _affine(points: Sequence[_Jacobian]) -> list[Point]:
    """With one inversion for all of them."""
    product, before = 1, []
    for _, _, z in points:
        before.append(product)
        product = product * (z or 1) % _Q
    inverse, found = pow(product, -1, _Q), []
    for (x, y, z), front in zip(reversed(points), reversed(before), strict=True):
        own = inverse * front % _Q
        inverse = inverse * (z or 1) % _Q
        square = own * own % _Q
        found.append((x * square % _Q, y * square * own % _Q) if z else INFINITY)
    return found[::-1]


def _double(point: _Jacobian) -> _Jacobian:
    x, y, z = point
    a, b = x * x % _Q, y * y % _Q
    c = b * b % _Q
    d = 2 * ((x + b) * (x + b) - a - c)
    e = 3 * a
    x_result = (e * e - 2 * d) % _Q
    return x_result, (e * (d - x_result) - 8 * c) % _Q, 2 * y * z % _Q


def _add(left: _Jacobian, right: Point) -> _Jacobian:
    """The sum with an affine point that is not infinity."""
    x, y, z = left
    if z == 0:
        return *right, 1
    square = z * z % _Q
    h = (right[0] * square - x) % _Q
    slope = (right[1] * square * z - y) % _Q
    if h == 0:
        return _double(left) if slope == 0 else _NOTHING
    h2 = h * h % _Q
    h3, v = h * h2 % _Q, x * h2 % _Q
    x_result = (slope * slope - h3 - 2 * v) % _Q
    return x_result, (slope * (v - x_result) - y * h3) % _Q, z * h % _Q
