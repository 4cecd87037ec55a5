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

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

from ..curve.combinations import combine
from ..curve.g1 import Point
from ..curve.pairing_checks import pairing_check
from ..field.reference import BASE_MODULUS
from ..field.reference import SCALAR_MODULUS as MODULUS
from .transcript import Transcript

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


def vanishing_at(points: Sequence[int], z: int) -> int:
    result = 1
    for x in points:
        result = result * (z - x) % MODULUS
    return result


@dataclass(frozen=True)
class Batch:
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
            weight = power * vanishing_at([x for x in self.all_points if x not in points], z) % MODULUS
            weights.append(weight)
            constant += weight * _interpolated(points, values, z)
            power = power * beta % MODULUS
        return weights, constant % MODULUS


def check_points(zeta: int, alpha: int) -> None:
    if zeta == 0 or zeta * zeta % MODULUS == 1 or alpha in (zeta, pow(zeta, -1, MODULUS)):
        raise MercuryRejected("degenerate challenge: zeta or alpha is exceptional")


def d_zeta(b: int, gamma: int, zeta: int, g_inverse: int, h_inverse: int) -> int:
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
    check_points(zeta, alpha)
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
    batch = Batch(
        zeta,
        inverse,
        alpha,
        (
            (opening.g_zeta, opening.g_inverse),
            (opening.h_zeta, opening.h_inverse, h_alpha),
            (opening.s_zeta, opening.s_inverse),
            (d_zeta(b, gamma, zeta, opening.g_inverse, opening.h_inverse),),
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
        -d * vanishing_at(batch.all_points, z),
        d * z,
    ]
    left = combine(points, [c % MODULUS for c in coefficients])
    right = combine([opening.quotient, opening.w_prime], [1, d])
    negated = (right[0], -right[1] % BASE_MODULUS)
    if not pairing_check([(left, g2_one), (negated, g2_tau)]):
        raise MercuryRejected("the pairing equation of the opening does not hold")
