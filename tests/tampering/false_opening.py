"""A Mercury opening of a false value, as good as it can be made.

With v' != v the prover commits h' with <h', eq(u2)> = v', and divides by X^b - alpha with a remainder that is too long:
    g' = g + (X^b - alpha) c,   q' = q - c,   c such that <g', eq(u1)> = h'(alpha) on the first b coefficients.
Then f = q' (X^b - alpha) + g', line 3 holds with the right S', and everything is known before gamma. Only D is left
to notice: X^(b-1) (g' + gamma h')(1/X) is no polynomial.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prover.argument.commitment import commit_field
from prover.argument.mercury import Batch, MercuryOpening, vanishing_at
from prover.argument.mercury_prover import _batch_quotient, _synthetic_division
from prover.argument.multilinear import eq_table
from prover.argument.transcript import Transcript
from prover.curve.g1 import Point
from prover.field import arrays
from prover.field.arrays import MODULUS


def open_falsely(
    bases: np.ndarray, f: Sequence[int], u: Sequence[int], value: int, transcript: Transcript
) -> MercuryOpening:
    """Open f (2^n integers) at u to any value; the honest opening when the value is the true one."""
    half = len(u) // 2
    b = 1 << half
    eq1, eq2 = arrays.to_ints(eq_table(u[half:])), arrays.to_ints(eq_table(u[:half]))

    def commit(coefficients: Sequence[int]) -> Point:
        return commit_field(bases, arrays.from_ints([c % MODULUS for c in coefficients]))

    h = [sum(f[i * b + j] * eq1[j] for j in range(b)) % MODULUS for i in range(b)]
    true_value = _inner(h, eq2)
    h[0] = (h[0] + (value - true_value) * pow(eq2[0], -1, MODULUS)) % MODULUS
    h_point = commit(h)
    alpha = transcript.challenge("mercury.alpha", h_point)

    q, g = [0] * (b * b), [0] * b
    for j in range(b):
        carry = f[(b - 1) * b + j]
        for i in range(b - 2, -1, -1):
            q[i * b + j] = carry
            carry = (f[i * b + j] + alpha * carry) % MODULUS
        g[j] = carry
    excess = (_inner(g, eq1) - _at(h, alpha)) * pow(alpha * eq1[0], -1, MODULUS) % MODULUS
    q[0] -= excess
    g = [(g[0] - alpha * excess) % MODULUS, *g[1:], excess]  # b + 1 coefficients
    q_point, g_point = commit(q), commit(g)
    gamma = transcript.challenge("mercury.gamma", (*q_point, *g_point))

    s = [
        sum(
            w * (_from(a, j + k) * p[j] + _from(a, j) * _from(p, j + k))
            for w, a, p in ((1, g, eq1), (gamma, h, eq2))
            for j in range(b)
        )
        % MODULUS
        for k in range(1, b + 1)
    ]
    # the part of X^(b-1) (g + gamma h)(1/X) that is a polynomial
    d_coefficients = [(x + gamma * y) % MODULUS for x, y in zip(g[:b], h, strict=True)][::-1]
    s_point, d_point = commit(s), commit(d_coefficients)
    zeta = transcript.challenge("mercury.zeta", (*s_point, *d_point))
    inverse = pow(zeta, -1, MODULUS)
    scalars = [_at(p, x) for p in (g, h, s) for x in (zeta, inverse)]
    factor = pow(zeta, b, MODULUS) - alpha
    reduced = [(c - factor * qc) % MODULUS for c, qc in zip(f, q, strict=True)]
    quotient = commit(_synthetic_division(reduced, zeta))
    beta = transcript.challenge("mercury.beta", (*scalars, *quotient))

    values = (
        (scalars[0], scalars[1]),
        (scalars[2], scalars[3], _at(h, alpha)),
        (scalars[4], scalars[5]),
        (pow(zeta, b - 1, MODULUS) * (scalars[1] + gamma * scalars[3]) % MODULUS,),
    )
    batch = Batch(zeta, inverse, alpha, values)
    polynomials = [[*p, *[0] * (b + 1 - len(p))] for p in (g, h, s, d_coefficients)]
    w = _batch_quotient(polynomials, batch, beta)
    w_point = commit(w)
    z = transcript.challenge("mercury.z", w_point)
    weights, constant = batch.weights(beta, z)
    vanishing = vanishing_at(batch.all_points, z)
    combined = [
        (sum(x * p[i] for x, p in zip(weights, polynomials, strict=True)) - vanishing * w[i]) % MODULUS
        for i in range(b + 1)
    ]
    combined[0] = (combined[0] - constant) % MODULUS
    w_prime = commit(_synthetic_division(combined, z))
    transcript.challenge("mercury.d", w_prime)
    return MercuryOpening(h_point, q_point, g_point, s_point, d_point, *scalars, quotient, w_point, w_prime)


def _inner(left: Sequence[int], right: Sequence[int]) -> int:
    return sum(a * b for a, b in zip(left, right, strict=True)) % MODULUS


def _at(coefficients: Sequence[int], x: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * x + coefficient) % MODULUS
    return value


def _from(coefficients: Sequence[int], index: int) -> int:
    return coefficients[index] if index < len(coefficients) else 0
