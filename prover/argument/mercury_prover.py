"""How a Mercury opening is made: the equations are in mercury.py, and line by line here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import njit, prange

from ..field import arrays
from ..field.arrays import MODULUS
from ..field.scalar_kernels import FR_ZERO, fr_add, fr_load, fr_mul, fr_store, fr_sub
from .commitment import commit_field
from .mercury import Batch, MercuryOpening, check_points, d_zeta, vanishing_at
from .multilinear import as_tuple, eq_table
from .transcript import Transcript


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


def _horner(coefficients: Sequence[int], x: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * x + coefficient) % MODULUS
    return value


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
    check_points(zeta, alpha)
    inverse = pow(zeta, -1, MODULUS)

    g_ints, h_ints, s_ints = arrays.to_ints(g), arrays.to_ints(h), arrays.to_ints(s)
    scalars = [_horner(p, x) for p in (g_ints, h_ints, s_ints) for x in (zeta, inverse)]
    reduced = arrays.zeros(b * b)
    _subtract_multiple(f, quotient, as_tuple(arrays.scalar(pow(zeta, b, MODULUS) - alpha)), reduced)
    h_quotient = arrays.zeros(b * b)
    _divide_linear(reduced, as_tuple(arrays.scalar(zeta)), h_quotient)
    quotient_point = commit_field(bases, h_quotient)
    beta = transcript.challenge("mercury.beta", (*scalars, *quotient_point))

    batch = Batch(
        zeta,
        inverse,
        alpha,
        (
            (scalars[0], scalars[1]),
            (scalars[2], scalars[3], _horner(h_ints, alpha)),
            (scalars[4], scalars[5]),
            (d_zeta(b, gamma, zeta, scalars[1], scalars[3]),),
        ),
    )
    polynomials = (g_ints, h_ints, s_ints, arrays.to_ints(d))
    w_ints = _batch_quotient(polynomials, batch, beta)
    w_point = commit_field(bases, arrays.from_ints(w_ints))
    z = transcript.challenge("mercury.z", w_point)

    weights, constant = batch.weights(beta, z)
    vanishing = vanishing_at(batch.all_points, z)
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


def _batch_quotient(polynomials: Sequence[Sequence[int]], batch: Batch, beta: int) -> list[int]:
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
