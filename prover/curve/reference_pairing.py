"""The optimal ate pairing of BN254 in plain Python integers: slow (tens of milliseconds), short and readable.

Tower: Fq2 = Fq[i]/(i^2 + 1), Fq6 = Fq2[v]/(v^3 - (9 + i)), Fq12 = Fq6[w]/(w^2 - v). Elements are nested
tuples, lowest coefficient first; points of G1 and G2 are as in g1.py and g2.py. See Vercauteren, *Optimal
pairings* (IEEE Trans. IT 2010); the final exponentiation is done by its definition, ``f^((q^12 - 1)/r)``.
"""

from collections.abc import Sequence

from ..field.reference import BASE_MODULUS as Q
from ..field.reference import SCALAR_MODULUS
from .g1 import INFINITY, Point
from .g1 import validate as validate_g1
from .g2 import (
    INFINITY_G2,
    XI,
    PointG2,
    add_fq2,
    add_g2,
    inverse_fq2,
    multiply_fq2,
    negate_fq2,
    power_fq2,
    subtract_fq2,
    validate_g2,
)

Fq2 = tuple[int, int]
Fq6 = tuple[Fq2, Fq2, Fq2]
Fq12 = tuple[Fq6, Fq6]

BN_PARAMETER = 4965661367192848881
"""x, with q = 36x^4 + 36x^3 + 24x^2 + 6x + 1."""
MILLER_LENGTH = 6 * BN_PARAMETER + 2

_ZERO2: Fq2 = (0, 0)
_ZERO6: Fq6 = (_ZERO2, _ZERO2, _ZERO2)
_ONE12: Fq12 = (((1, 0), _ZERO2, _ZERO2), _ZERO6)

TWIST_FROBENIUS_X = power_fq2(XI, (Q - 1) // 3)
TWIST_FROBENIUS_Y = power_fq2(XI, (Q - 1) // 2)


def _add6(a: Fq6, b: Fq6) -> Fq6:
    return (add_fq2(a[0], b[0]), add_fq2(a[1], b[1]), add_fq2(a[2], b[2]))


def _negate6(a: Fq6) -> Fq6:
    return (negate_fq2(a[0]), negate_fq2(a[1]), negate_fq2(a[2]))


def _times_v(a: Fq6) -> Fq6:
    return (multiply_fq2(XI, a[2]), a[0], a[1])


def _multiply6(a: Fq6, b: Fq6) -> Fq6:
    def product(i: int, j: int) -> Fq2:
        return multiply_fq2(a[i], b[j])

    low = add_fq2(product(0, 0), multiply_fq2(XI, add_fq2(product(1, 2), product(2, 1))))
    middle = add_fq2(add_fq2(product(0, 1), product(1, 0)), multiply_fq2(XI, product(2, 2)))
    high = add_fq2(add_fq2(product(0, 2), product(1, 1)), product(2, 0))
    return (low, middle, high)


def multiply_fq12(a: Fq12, b: Fq12) -> Fq12:
    """Product in Fq12."""
    low = _add6(_multiply6(a[0], b[0]), _times_v(_multiply6(a[1], b[1])))
    return (low, _add6(_multiply6(a[0], b[1]), _multiply6(a[1], b[0])))


def power_fq12(base: Fq12, exponent: int) -> Fq12:
    """``base^exponent`` for a non-negative exponent."""
    result = _ONE12
    for bit in bin(exponent)[2:]:
        result = multiply_fq12(result, result)
        if bit == "1":
            result = multiply_fq12(result, base)
    return result


def _line(through: PointG2, other: PointG2, at: Point) -> Fq12:
    """The untwisted line through two points of G2 (tangent if equal), evaluated at a point of G1.

    With psi(x, y) = (x w^2, y w^3): ``y_P - slope w x_P + (slope x_1 - y_1) w^3``, or ``x_P - x_1 w^2`` when
    vertical.
    """
    (x1, y1), (x2, y2) = through, other
    if x1 == x2 and y1 != y2:
        return (((at[0], 0), negate_fq2(x1), _ZERO2), _ZERO6)
    if through == other:
        numerator = multiply_fq2((3, 0), multiply_fq2(x1, x1))
        slope = multiply_fq2(numerator, inverse_fq2(add_fq2(y1, y1)))
    else:
        slope = multiply_fq2(subtract_fq2(y2, y1), inverse_fq2(subtract_fq2(x2, x1)))
    constant = subtract_fq2(multiply_fq2(slope, x1), y1)
    return (((at[1], 0), _ZERO2, _ZERO2), (multiply_fq2(slope, (-at[0] % Q, 0)), constant, _ZERO2))


def frobenius_g2(point: PointG2) -> PointG2:
    """The q-power Frobenius carried to the twist."""
    (x, y) = point
    conjugate_x, conjugate_y = (x[0], -x[1] % Q), (y[0], -y[1] % Q)
    return (multiply_fq2(conjugate_x, TWIST_FROBENIUS_X), multiply_fq2(conjugate_y, TWIST_FROBENIUS_Y))


def miller_loop(g1: Point, g2: PointG2) -> Fq12:
    """``f_(6x+2, Q)(P)`` times the two Frobenius lines; 1 if either point is infinity."""
    if g1 == INFINITY or g2 == INFINITY_G2:
        return _ONE12
    f, running = _ONE12, g2
    for bit in bin(MILLER_LENGTH)[3:]:
        f = multiply_fq12(multiply_fq12(f, f), _line(running, running, g1))
        running = add_g2(running, running)
        if bit == "1":
            f = multiply_fq12(f, _line(running, g2, g1))
            running = add_g2(running, g2)
    first = frobenius_g2(g2)
    f = multiply_fq12(f, _line(running, first, g1))
    running = add_g2(running, first)
    x, y = frobenius_g2(first)
    return multiply_fq12(f, _line(running, (x, negate_fq2(y)), g1))


def pairing(g1: Point, g2: PointG2) -> Fq12:
    """``e(P, Q)`` in the group of r-th roots of unity; raises a PointError for invalid points."""
    validate_g1(g1)
    validate_g2(g2)
    return power_fq12(miller_loop(g1, g2), (Q**12 - 1) // SCALAR_MODULUS)


def pairing_check(pairs: Sequence[tuple[Point, PointG2]]) -> bool:
    """Whether the product of the pairings is one; raises a PointError for invalid points."""
    f = _ONE12
    for g1, g2 in pairs:
        validate_g1(g1)
        validate_g2(g2)
        f = multiply_fq12(f, miller_loop(g1, g2))
    return power_fq12(f, (Q**12 - 1) // SCALAR_MODULUS) == _ONE12
