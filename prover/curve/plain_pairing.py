"""A pairing check in Python integers that is quick enough for a process that makes one: 0.1 s, where kernels take longer to be loaded.

The Miller loop is that of reference_pairing.py. The final exponentiation is split: ``(q^12 - 1) / r = (q^6 - 1) (q^2 + 1) h``, and
``h = (q^4 - q^2 + 1) / r`` is written in the base q with digits of at most 192 bits, whose powers are taken together.
"""

from collections.abc import Sequence
from functools import reduce

from ..field.reference import BASE_MODULUS as Q
from ..field.reference import SCALAR_MODULUS
from .g1 import Point
from .g1 import validate as validate_g1
from .g2 import XI, PointG2, inverse_fq2, multiply_fq2, negate_fq2, power_fq2, subtract_fq2, validate_g2
from .reference_pairing import Fq6, Fq12, miller_loop, multiply_fq12

_ZERO2 = (0, 0)
_ONE12: Fq12 = (((1, 0), _ZERO2, _ZERO2), (_ZERO2, _ZERO2, _ZERO2))
_TWISTS = [power_fq2(XI, k * (Q - 1) // 6) for k in range(6)]


def _digits(number: int) -> list[int]:
    """In the base q, lowest first, each of the least magnitude."""
    digits = []
    while number:
        digit = number % Q
        digits.append(digit - Q if 2 * digit > Q else digit)
        number = (number - digits[-1]) // Q
    return digits


_HARD_DIGITS = _digits((Q**4 - Q**2 + 1) // SCALAR_MODULUS)


def pairing_check(pairs: Sequence[tuple[Point, PointG2]]) -> bool:
    """Whether the product of the pairings is one; raises a PointError for invalid points."""
    for g1, g2 in pairs:
        validate_g1(g1)
        validate_g2(g2)
    product = reduce(multiply_fq12, (miller_loop(g1, g2) for g1, g2 in pairs), _ONE12)
    return final_power(product) == _ONE12


def final_power(f: Fq12) -> Fq12:
    """``f^((q^12 - 1) / r)``."""
    unitary = multiply_fq12(_conjugate(f), _inverse(f))  # ^(q^6 - 1)
    unitary = multiply_fq12(_frobenius(_frobenius(unitary)), unitary)  # ^(q^2 + 1)
    return _hard_power(unitary)


def _hard_power(unitary: Fq12) -> Fq12:
    """``f^h``; the inverse of such an f is its conjugate."""
    bases, power = [], unitary
    for digit in _HARD_DIGITS:
        bases.append(power if digit > 0 else _conjugate(power))
        power = _frobenius(power)
    products = [_ONE12]  # products[s]: of the bases at the bits of s
    for base in bases:
        products += [multiply_fq12(product, base) for product in products]
    result = _ONE12
    for bit in range(max(abs(digit).bit_length() for digit in _HARD_DIGITS) - 1, -1, -1):
        result = multiply_fq12(result, result)
        chosen = sum((abs(digit) >> bit & 1) << place for place, digit in enumerate(_HARD_DIGITS))
        if chosen:
            result = multiply_fq12(result, products[chosen])
    return result


def _conjugate(f: Fq12) -> Fq12:
    """``f^(q^6)``."""
    low, (a, b, c) = f
    return low, (negate_fq2(a), negate_fq2(b), negate_fq2(c))


def _frobenius(f: Fq12) -> Fq12:
    """``f^q``: the coefficient of w^k is conjugated and multiplied by ``xi^(k (q - 1) / 6)``; v is w^2."""

    def half(coefficients: Fq6, first: int) -> Fq6:
        a, b, c = (
            multiply_fq2((real, -imaginary % Q), _TWISTS[first + 2 * place])
            for place, (real, imaginary) in enumerate(coefficients)
        )
        return a, b, c

    return half(f[0], 0), half(f[1], 1)


def _inverse(f: Fq12) -> Fq12:
    """``1 / f = conjugate(f) / N`` with N = f conjugate(f) in Fq6, and ``1 / N`` by its adjoint over Fq2."""
    conjugate = _conjugate(f)
    (a, b, c), _ = multiply_fq12(f, conjugate)
    adjoint = (
        subtract_fq2(multiply_fq2(a, a), multiply_fq2(XI, multiply_fq2(b, c))),
        subtract_fq2(multiply_fq2(XI, multiply_fq2(c, c)), multiply_fq2(a, b)),
        subtract_fq2(multiply_fq2(b, b), multiply_fq2(a, c)),
    )
    zero6: Fq6 = (_ZERO2, _ZERO2, _ZERO2)
    (norm, _, _), _ = multiply_fq12(((a, b, c), zero6), (adjoint, zero6))
    scale = inverse_fq2(norm)
    x, y, z = (multiply_fq2(each, scale) for each in adjoint)
    return multiply_fq12(conjugate, ((x, y, z), zero6))


__all__ = ["final_power", "pairing_check"]
