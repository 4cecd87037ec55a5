"""Mercury: a constant-size opening of a multilinear polynomial under univariate KZG (ePrint 2025/385).

f has 2^n entries, n even, b = 2^(n/2); its table is the coefficient vector of f(X) and is read as b rows f_i
of length b. The point is u = (u2 || u1): u2 for row bits, u1 for column bits; P_u(X) = sum_j eq(u)_j X^j.

    1  h_i = <f_i, eq(u1)>                                             send [h]            get alpha
    2  f = q (X^b - alpha) + g,  g_j = sum_i alpha^i f_ij              send [q], [g]       get gamma
    3  g(X) P_u1(1/X) + g(1/X) P_u1(X) + gamma (h(X) P_u2(1/X) + h(1/X) P_u2(X))
         = 2 (h(alpha) + gamma v) + X S(X) + S(1/X)/X;
       D(X) = X^(b-1) (g + gamma h)(1/X)                                send [S], [D]       get zeta
    4  send g(zeta), g(1/zeta), h(zeta), h(1/zeta), S(zeta), S(1/zeta), [H],
         H = (f - (zeta^b - alpha) q - g(zeta)) / (X - zeta)                               get beta
    5  D(zeta) = zeta^(b-1) (g(1/zeta) + gamma h(1/zeta)) and h(alpha) follow; BDFG20 batch over T = {zeta, 1/zeta, alpha}:
         g, S at {zeta, 1/zeta}, h at T, D at {zeta}                   send [W]            get z
                                                                       send [W']           get d
    6  e(L1 + d L2, [1]_2) = e([H] + d [W'], [tau]_2)

Why each value is fixed: g's and h's degrees < b by D (gamma is drawn after both), so the division in step 2 is the true
one; h by step 2 at the random alpha (h(alpha) = <g, eq(u1)>, h committed before alpha); v by the constant term in step 3.

f may be longer than 2^n: a ceremony publishes more powers than the SRS keeps. Then h_i = <f_i, eq(u1)> holds for every
row, and h has none from b on: <f_i, eq(u1)> = 0 there, whatever the ceremony's length. The paper's D is about g alone,
because its SRS ends at b^2 powers; without h in it f + e X^(2^n) would open to the values of f (docs/uniqueness.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np
from numba import njit, prange

from ..curve.g1 import Point
from ..curve.msm import combine
from ..curve.pairing_checks import pairing_check
from ..field import arrays
from ..field.arrays import MODULUS
from ..field.reference import BASE_MODULUS
from ..field.scalar_kernels import FR_ZERO, fr_add, fr_load, fr_mul, fr_store, fr_sub
from .commitment import commit_field
from .multilinear import as_tuple, eq_table
from .transcript import Transcript

__all__ = ["OPENING_POINTS", "OPENING_SCALARS", "MercuryOpening", "open_mercury", "verify_mercury"]

OPENING_POINTS = 8
OPENING_SCALARS = 6


class MercuryRejected(ValueError):
    """The opening does not verify."""


@dataclass(frozen=True)
class MercuryOpening:
    """Eight group elements and six field elements, in the order in which they are sent."""

    h: Point
    q: Point
    g: Point
    s: Point
    d: Point
    g_zeta: int
    g_inverse: int
    h_zeta: int
    h_inverse: int
    s_zeta: int
    s_inverse: int
    quotient: Point
    w: Point
    w_prime: Point

    def words(self) -> list[int]:
        """As 22 words: 8 points and 6 scalars, in field order."""
        return [w for value in astuple(self) for w in (value if isinstance(value, tuple) else (value,))]

    @classmethod
    def from_words(cls, words: Sequence[int]) -> MercuryOpening:
        """Inverse of words()."""
        stream = iter(words)
        values = [(next(stream), next(stream)) if f.type == "Point" else next(stream) for f in fields(cls)]
        return cls(*values)  # type: ignore[arg-type]


# --- kernels --------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True, parallel=True)
def _row_products(f: np.ndarray, weights: np.ndarray, b: int, result: np.ndarray) -> None:
    """result[i] = sum_j f[i*b + j] * weights[j]."""
    for i in prange(b):
        total = FR_ZERO
        for j in range(b):
            total = fr_add(total, fr_mul(fr_load(f, i * b + j), fr_load(weights, j)))
        fr_store(result, i, total)


@njit(cache=True, nogil=True, parallel=True)
def _divide_by_power(
    f: np.ndarray, alpha: tuple[int, ...], b: int, quotient: np.ndarray, remainder: np.ndarray
) -> None:
    """f = quotient * (X^b - alpha) + remainder, column by column (Horner over the rows)."""
    for j in prange(b):
        carry = fr_load(f, (b - 1) * b + j)
        for i in range(b - 2, -1, -1):
            fr_store(quotient, i * b + j, carry)
            carry = fr_add(fr_load(f, i * b + j), fr_mul(alpha, carry))
        fr_store(quotient, (b - 1) * b + j, FR_ZERO)
        fr_store(remainder, j, carry)


@njit(cache=True, nogil=True, parallel=True)
def _correlate(a: np.ndarray, p: np.ndarray, result: np.ndarray) -> None:
    """result[k-1] = sum_j a[j+k] p[j] + a[j] p[j+k] for k = 1 .. b-1."""
    b = a.shape[0]
    for k in prange(1, b):
        total = FR_ZERO
        for j in range(b - k):
            total = fr_add(total, fr_mul(fr_load(a, j + k), fr_load(p, j)))
            total = fr_add(total, fr_mul(fr_load(a, j), fr_load(p, j + k)))
        fr_store(result, k - 1, total)


@njit(cache=True, nogil=True)
def _divide_linear(f: np.ndarray, root: tuple[int, ...], quotient: np.ndarray) -> None:
    """quotient = (f - f(root)) / (X - root) by synthetic division."""
    carry = FR_ZERO
    for i in range(f.shape[0] - 1, -1, -1):
        fr_store(quotient, i, carry)
        carry = fr_add(fr_load(f, i), fr_mul(root, carry))


@njit(cache=True, nogil=True, parallel=True)
def _subtract_multiple(f: np.ndarray, q: np.ndarray, factor: tuple[int, ...], result: np.ndarray) -> None:
    for i in prange(f.shape[0]):
        fr_store(result, i, fr_sub(fr_load(f, i), fr_mul(factor, fr_load(q, i))))


# --- small polynomials (length <= b) as field arrays -------------------------------------------------------


def _horner(coefficients: Sequence[int], x: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * x + coefficient) % MODULUS
    return value


def product_at(u: Sequence[int], x: int) -> int:
    """P_u(x) = prod_i (u_i x^(2^(len-1-i)) + 1 - u_i)."""
    result, power = 1, x
    for coordinate in reversed(u):
        result = result * (coordinate * power + 1 - coordinate) % MODULUS
        power = power * power % MODULUS
    return result


def _interpolated(points: Sequence[int], values: Sequence[int], z: int) -> int:
    """The interpolation polynomial of (points, values), at z."""
    total = 0
    for i, (x, y) in enumerate(zip(points, values, strict=True)):
        numerator, denominator = y, 1
        for j, other in enumerate(points):
            if j != i:
                numerator = numerator * (z - other) % MODULUS
                denominator = denominator * (x - other) % MODULUS
        total += numerator * pow(denominator, -1, MODULUS)
    return total % MODULUS


def _vanishing(points: Sequence[int], z: int) -> int:
    result = 1
    for x in points:
        result = result * (z - x) % MODULUS
    return result


@dataclass(frozen=True)
class _Batch:
    """What the BDFG20 batch opens: order g, h, S, D."""

    zeta: int
    inverse: int
    alpha: int
    values: tuple[tuple[int, ...], ...]

    @property
    def all_points(self) -> tuple[int, ...]:
        return (self.zeta, self.inverse, self.alpha)

    @property
    def sets(self) -> tuple[tuple[int, ...], ...]:
        pair = (self.zeta, self.inverse)
        return (pair, self.all_points, pair, (self.zeta,))

    def weights(self, beta: int, z: int) -> tuple[list[int], int]:
        """beta^k Z_(T minus S_k)(z) per polynomial, and sum_k of that times p_k*(z)."""
        weights, constant, power = [], 0, 1
        for points, values in zip(self.sets, self.values, strict=True):
            weight = power * _vanishing([x for x in self.all_points if x not in points], z) % MODULUS
            weights.append(weight)
            constant += weight * _interpolated(points, values, z)
            power = power * beta % MODULUS
        return weights, constant % MODULUS


def _check_points(zeta: int, alpha: int) -> None:
    if zeta == 0 or zeta * zeta % MODULUS == 1 or alpha in (zeta, pow(zeta, -1, MODULUS)):
        raise MercuryRejected("degenerate challenge: zeta or alpha is exceptional")


def _d_zeta(b: int, gamma: int, zeta: int, g_inverse: int, h_inverse: int) -> int:
    """D(zeta) = zeta^(b-1) (g + gamma h)(1/zeta)."""
    return pow(zeta, b - 1, MODULUS) * (g_inverse + gamma * h_inverse) % MODULUS


def _h_alpha(
    opening: MercuryOpening, u: Sequence[int], value: int, gamma: int, zeta: int, inverse: int
) -> int:
    """h(alpha) from line 3 at X = zeta."""
    half = len(u) // 2
    u2, u1 = u[:half], u[half:]
    left = opening.g_zeta * product_at(u1, inverse) + opening.g_inverse * product_at(u1, zeta)
    left += gamma * (opening.h_zeta * product_at(u2, inverse) + opening.h_inverse * product_at(u2, zeta))
    left -= zeta * opening.s_zeta + inverse * opening.s_inverse
    return (left * pow(2, -1, MODULUS) - gamma * value) % MODULUS


# --- prover ---------------------------------------------------------------------------------------------


def open_mercury(
    bases: np.ndarray,
    f: np.ndarray,
    u: Sequence[int],
    value: int,
    transcript: Transcript,
    progress: Callable[[str], None] | None = None,
    blinding: Sequence[int] = (),
) -> MercuryOpening:
    """Open f (2^n field elements, n even) at u to `value`. The commitment and u are already absorbed.

    blinding: b* of a hiding commitment, absorbed with [h], for alpha must not be known when it is chosen.
    """
    if len(u) % 2 or f.shape[0] != 1 << len(u):
        raise ValueError(
            f"Mercury needs an even number of variables and a full table, got {len(u)} and {f.shape}"
        )
    half = len(u) // 2
    b = 1 << half
    eq1, eq2 = eq_table(u[half:]), eq_table(u[:half])

    h = arrays.zeros(b)
    _row_products(f, eq1, b, h)
    h_point = commit_field(bases, h)
    alpha = transcript.challenge("mercury.alpha", (*blinding, *h_point))

    quotient = arrays.zeros(b * b)
    g = arrays.zeros(b)
    _divide_by_power(f, as_tuple(arrays.scalar(alpha)), b, quotient, g)
    q_point, g_point = commit_field(bases, quotient), commit_field(bases, g)
    gamma = transcript.challenge("mercury.gamma", (*q_point, *g_point))

    s, s_h = arrays.zeros(b), arrays.zeros(b)
    _correlate(g, eq1, s)
    _correlate(h, eq2, s_h)
    s = arrays.add(s, arrays.scale(s_h, gamma))
    d = np.ascontiguousarray(arrays.add(g, arrays.scale(h, gamma))[::-1])
    s_point, d_point = commit_field(bases, s), commit_field(bases, d)
    zeta = transcript.challenge("mercury.zeta", (*s_point, *d_point))
    _check_points(zeta, alpha)
    inverse = pow(zeta, -1, MODULUS)

    g_ints, h_ints, s_ints = arrays.to_ints(g), arrays.to_ints(h), arrays.to_ints(s)
    scalars = [_horner(p, x) for p in (g_ints, h_ints, s_ints) for x in (zeta, inverse)]
    reduced = arrays.zeros(b * b)
    _subtract_multiple(f, quotient, as_tuple(arrays.scalar(pow(zeta, b, MODULUS) - alpha)), reduced)
    h_quotient = arrays.zeros(b * b)
    _divide_linear(reduced, as_tuple(arrays.scalar(zeta)), h_quotient)
    quotient_point = commit_field(bases, h_quotient)
    beta = transcript.challenge("mercury.beta", (*scalars, *quotient_point))

    batch = _Batch(
        zeta,
        inverse,
        alpha,
        (
            (scalars[0], scalars[1]),
            (scalars[2], scalars[3], _horner(h_ints, alpha)),
            (scalars[4], scalars[5]),
            (_d_zeta(b, gamma, zeta, scalars[1], scalars[3]),),
        ),
    )
    polynomials = (g_ints, h_ints, s_ints, arrays.to_ints(d))
    w_ints = _batch_quotient(polynomials, batch, beta)
    w_point = commit_field(bases, arrays.from_ints(w_ints))
    z = transcript.challenge("mercury.z", w_point)

    weights, constant = batch.weights(beta, z)
    vanishing = _vanishing(batch.all_points, z)
    combined = [
        (sum(w * p[i] for w, p in zip(weights, polynomials, strict=True)) - vanishing * w_ints[i]) % MODULUS
        for i in range(b)
    ]
    combined[0] = (combined[0] - constant) % MODULUS
    w_prime = commit_field(bases, arrays.from_ints(_synthetic_division(combined, z)))
    transcript.challenge("mercury.d", w_prime)
    values: Any = scalars
    return MercuryOpening(  # type: ignore[call-arg]  # six scalars; a list's length is not in its type
        h_point, q_point, g_point, s_point, d_point, *values, quotient_point, w_point, w_prime
    )


def _synthetic_division(coefficients: Sequence[int], root: int) -> list[int]:
    """(p - p(root)) / (X - root), padded to the length of p."""
    result, carry = [0] * len(coefficients), 0
    for i in range(len(coefficients) - 1, -1, -1):
        result[i] = carry
        carry = (coefficients[i] + root * carry) % MODULUS
    return result


def _batch_quotient(polynomials: Sequence[Sequence[int]], batch: _Batch, beta: int) -> list[int]:
    """W = sum_k beta^k (p_k - p_k*) / Z_(S_k): dividing by every root of S_k in turn drops p_k*."""
    length = len(polynomials[0])
    total, power = [0] * length, 1
    for polynomial, points in zip(polynomials, batch.sets, strict=True):
        quotient = list(polynomial)
        for x in points:
            quotient = _synthetic_division(quotient, x)
        total = [(t + power * c) % MODULUS for t, c in zip(total, quotient, strict=True)]
        power = power * beta % MODULUS
    return total


# --- verifier -------------------------------------------------------------------------------------------


def verify_mercury(
    commitment: Point,
    u: Sequence[int],
    value: int,
    opening: MercuryOpening,
    g2_one: tuple[tuple[int, int], tuple[int, int]],
    g2_tau: tuple[tuple[int, int], tuple[int, int]],
    transcript: Transcript,
    blinding: Sequence[int] = (),
) -> None:
    """Raise MercuryRejected unless the opening proves that `commitment` opens at u to `value`.

    blinding: b*, which the caller has already taken out of the commitment.
    """
    b = 1 << (len(u) // 2)
    alpha = transcript.challenge("mercury.alpha", (*blinding, *opening.h))
    gamma = transcript.challenge("mercury.gamma", (*opening.q, *opening.g))
    zeta = transcript.challenge("mercury.zeta", (*opening.s, *opening.d))
    _check_points(zeta, alpha)
    inverse = pow(zeta, -1, MODULUS)
    scalars = (
        opening.g_zeta,
        opening.g_inverse,
        opening.h_zeta,
        opening.h_inverse,
        opening.s_zeta,
        opening.s_inverse,
    )
    beta = transcript.challenge("mercury.beta", (*scalars, *opening.quotient))
    z = transcript.challenge("mercury.z", opening.w)
    d = transcript.challenge("mercury.d", opening.w_prime)

    h_alpha = _h_alpha(opening, u, value, gamma, zeta, inverse)
    batch = _Batch(
        zeta,
        inverse,
        alpha,
        (
            (opening.g_zeta, opening.g_inverse),
            (opening.h_zeta, opening.h_inverse, h_alpha),
            (opening.s_zeta, opening.s_inverse),
            (_d_zeta(b, gamma, zeta, opening.g_inverse, opening.h_inverse),),
        ),
    )
    weights, constant = batch.weights(beta, z)
    points = [
        commitment,
        opening.q,
        (1, 2),
        opening.quotient,
        opening.g,
        opening.h,
        opening.s,
        opening.d,
        opening.w,
        opening.w_prime,
    ]
    coefficients = [
        1,
        alpha - pow(zeta, b, MODULUS),
        -opening.g_zeta - d * constant,
        zeta,
        *(d * weight for weight in weights),
        -d * _vanishing(batch.all_points, z),
        d * z,
    ]
    left = combine(points, [c % MODULUS for c in coefficients])
    right = combine([opening.quotient, opening.w_prime], [1, d])
    negated = (right[0], -right[1] % BASE_MODULUS)
    if not pairing_check([(left, g2_one), (negated, g2_tau)]):
        raise MercuryRejected("the pairing equation of the opening does not hold")
