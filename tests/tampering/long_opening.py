"""Mercury openings of polynomials that are longer than the SRS, by a prover who knows more powers of tau than it keeps.

f = low + high, where low has the 2^n coefficients that are opened and high whatever else was committed, at X^(2^n) and above.
The prover runs the honest protocol on all of f, as far as it can, and is free wherever the protocol leaves it a choice:

    long h        h_i = <f_i, eq(u1)> for every row i of f, so h has degree b and more; D is what of it is a polynomial
    long g        h as if there were no high part; the remainder is made longer, g' = g + (X^b - alpha) c, q' = q - c, until
                  <g', eq(u1)> = h(alpha) again
    bent          long h, then h(1/zeta) is said to be what D makes of it, and S(1/zeta) what line 3 makes of that
    paper         long h, with a D about g alone, as in the paper: for a verifier that asks no more
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from prover.argument.commitment import commit_field
from prover.argument.mercury import Batch, MercuryOpening, _h_alpha, vanishing_at
from prover.argument.mercury_prover import (
    _batch_quotient,
    _correlate,
    _divide_by_power,
    _divide_linear,
    _row_products,
    _subtract_multiple,
    _synthetic_division,
)
from prover.argument.multilinear import as_tuple, eq_table
from prover.argument.transcript import Transcript
from prover.field import arrays
from prover.field.arrays import MODULUS, FieldArray

STRATEGIES = ("long h", "long g", "bent")
PAPER = "paper"


def open_longer(
    bases: np.ndarray,
    low: FieldArray,
    high: Mapping[int, int],
    u: Sequence[int],
    value: int,
    transcript: Transcript,
    strategy: str,
) -> MercuryOpening:
    """Open low + sum high[i] X^i at u to `value`; without a high part this is the honest opening.

    bases: as many powers as high needs. With an odd number of variables, b^2 coefficients of `low` are taken, and eq(u1)
    is longer than a row: what a verifier does that takes b = 2^floor(n / 2) without looking.
    """
    half = len(u) // 2
    b = 1 << half
    eq1, eq2 = eq_table(u[half:]), eq_table(u[:half])
    eq1_ints = arrays.to_ints(eq1)
    end = max([b * b - 1, *high]) + 1
    rows = max(-(-end // b), len(eq1))

    h = arrays.zeros(b)
    _row_products(low, np.ascontiguousarray(eq1[:b]), b, h)
    h_ints = [*arrays.to_ints(h), *[0] * (rows - b)]
    beyond = list(h_ints)  # with the rows of the high part
    for place, coefficient in high.items():
        beyond[place // b] += coefficient * eq1_ints[place % b]
    if strategy != "long g":
        h_ints = [x % MODULUS for x in beyond]
    h_point = _commit(bases, h_ints)
    alpha = transcript.challenge("mercury.alpha", h_point)

    quotient, g = arrays.zeros(rows * b), arrays.zeros(b)
    _divide_by_power(low, as_tuple(arrays.scalar(alpha)), b, quotient[: b * b], g)
    g_ints = [*arrays.to_ints(g), *[0] * (rows - b)]
    for (
        place,
        coefficient,
    ) in high.items():  # X^(ib + j) = sum_k<i alpha^(i-1-k) X^(kb + j) (X^b - alpha) + alpha^i X^j
        row, column = divmod(place, b)
        power = coefficient % MODULUS
        for k in range(row - 1, -1, -1):
            _add(quotient, k * b + column, power)
            power = power * alpha % MODULUS
        g_ints[column] = (g_ints[column] + power) % MODULUS
    if strategy == "long g":
        inner = sum(x * y for x, y in zip(g_ints[:b], eq1_ints, strict=False))
        excess = (inner - _at(h_ints, alpha)) * pow(alpha * eq1_ints[0], -1, MODULUS) % MODULUS
        _add(quotient, 0, -excess)
        g_ints[0] = (g_ints[0] - alpha * excess) % MODULUS
        if excess:
            g_ints[b] = excess
    q_point, g_point = commit_field(bases, quotient), _commit(bases, g_ints)
    gamma = transcript.challenge("mercury.gamma", (*q_point, *g_point))

    s, s_h = arrays.zeros(rows), arrays.zeros(rows)
    _correlate(arrays.from_ints(g_ints), _extended(eq1, rows), s)
    _correlate(arrays.from_ints(h_ints), _extended(eq2, rows), s_h)
    s_ints = arrays.to_ints(arrays.add(s, arrays.scale(s_h, gamma)))
    weight = 0 if strategy == PAPER else gamma
    d_ints = [(x + weight * y) % MODULUS for x, y in zip(g_ints[:b], h_ints[:b], strict=True)][::-1]
    s_point, d_point = _commit(bases, s_ints), _commit(bases, d_ints)
    zeta = transcript.challenge("mercury.zeta", (*s_point, *d_point))
    inverse = pow(zeta, -1, MODULUS)

    scalars = [_at(p, x) for p in (g_ints, h_ints, s_ints) for x in (zeta, inverse)]
    if strategy == "bent":
        true_h = scalars[3]
        scalars[3] = (
            (_at(d_ints, zeta) * pow(zeta, 1 - b, MODULUS) - scalars[1]) * pow(gamma, -1, MODULUS) % MODULUS
        )
        said = MercuryOpening(
            h_point, q_point, g_point, s_point, d_point, *scalars, h_point, h_point, h_point
        )
        excess = _h_alpha(said, u, value, gamma, zeta, inverse) - _at(h_ints, alpha)
        scalars[5] = (scalars[5] + 2 * excess * zeta) % MODULUS
        assert true_h != scalars[3] or not high
    f = arrays.zeros(rows * b)
    f[: b * b] = low[: b * b]
    for place, coefficient in high.items():
        _add(f, place, coefficient)
    reduced, h_quotient = arrays.zeros(rows * b), arrays.zeros(rows * b)
    _subtract_multiple(f, quotient, as_tuple(arrays.scalar(pow(zeta, b, MODULUS) - alpha)), reduced)
    _divide_linear(reduced, as_tuple(arrays.scalar(zeta)), h_quotient)
    quotient_point = commit_field(bases, h_quotient)
    beta = transcript.challenge("mercury.beta", (*scalars, *quotient_point))

    batch = Batch(
        zeta,
        inverse,
        alpha,
        (
            (scalars[0], scalars[1]),
            (scalars[2], scalars[3], _at(h_ints, alpha)),
            (scalars[4], scalars[5]),
            (pow(zeta, b - 1, MODULUS) * (scalars[1] + weight * scalars[3]) % MODULUS,),
        ),
    )
    polynomials = (g_ints, h_ints, s_ints, [*d_ints, *[0] * (rows - b)])
    w = _batch_quotient(polynomials, batch, beta)
    w_point = _commit(bases, w)
    z = transcript.challenge("mercury.z", w_point)
    weights, constant = batch.weights(beta, z)
    vanishing = vanishing_at(batch.all_points, z)
    combined = [
        (sum(x * p[i] for x, p in zip(weights, polynomials, strict=True)) - vanishing * w[i]) % MODULUS
        for i in range(rows)
    ]
    combined[0] = (combined[0] - constant) % MODULUS
    w_prime = _commit(bases, _synthetic_division(combined, z))
    transcript.challenge("mercury.d", w_prime)
    return MercuryOpening(
        h_point, q_point, g_point, s_point, d_point, *scalars, quotient_point, w_point, w_prime
    )


def _commit(bases: np.ndarray, coefficients: Sequence[int]) -> tuple[int, int]:
    return commit_field(bases, arrays.from_ints([c % MODULUS for c in coefficients]))


def _add(array: FieldArray, place: int, value: int) -> None:
    array[place] = arrays.scalar((arrays.to_int(array[place]) + value) % MODULUS)


def _extended(table: FieldArray, length: int) -> FieldArray:
    result = arrays.zeros(length)
    result[: len(table)] = table
    return result


def _at(coefficients: Sequence[int], x: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * x + coefficient) % MODULUS
    return value
