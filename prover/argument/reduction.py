"""Claim reduction: many claims about linear combinations of chunks become one claim at one point.

Claim k says: G_k(z_k) = v_k for a table G_k = sum_c weight_c * chunk_c, zero-padded in front to mu variables.
With powers of eta, sum_k eta^k v_k = sum_x sum_k eta^k eq(z_k, x) G_k(x): a sumcheck of degree 2 over mu
variables that ends at q. There, the verifier knows the coefficient of every chunk,
    coefficient_c = sum_k eta^k eq(z_k, q) weight_kc,
so the final claim is about one combination F = sum_c coefficient_c * chunk_c, opened at q.

Chunks shorter than 2^mu: a claim whose front coordinates are random (and whose value carries prod (1 - z_j))
binds the coefficients beyond the chunk's own length to zero; one with zero front coordinates ignores them.
Source: proof-system page, section 3, steps 5 and 6, with chunks bound early so that it takes mu rounds only.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..field.arrays import MODULUS
from .multilinear import combine_tables, eq_table, eq_value
from .sumcheck import RunningTerm, SumcheckResult, Term, evaluate_coefficients, interpolate
from .tape import TapeBuilder
from .transcript import Transcript

REDUCTION_DEGREE = 2


@dataclass(frozen=True)
class Claim:
    """sum of weights * chunks, zero-padded to mu variables, has this value at this point."""

    point: tuple[int, ...]
    value: int
    weights: tuple[tuple[Hashable, int], ...]  # (chunk key, weight)


def combined_value(claims: Sequence[Claim], eta: int) -> int:
    """sum_k eta^k v_k."""
    total = 0
    for claim in reversed(claims):
        total = (total * eta + claim.value) % MODULUS
    return total


def chunk_coefficients(claims: Sequence[Claim], eta: int, q: Sequence[int]) -> dict[Hashable, int]:
    """coefficient_c for every chunk, in order of first appearance."""
    result: dict[Hashable, int] = {}
    power = 1
    known: dict[tuple[int, ...], int] = {}
    for claim in claims:
        if claim.point not in known:
            known[claim.point] = eq_value(claim.point, q)
        factor = power * known[claim.point] % MODULUS
        for key, weight in claim.weights:
            result[key] = (result.get(key, 0) + factor * weight) % MODULUS
        power = power * eta % MODULUS
    return result


class _Padded:
    """One distinct point: eq and G over the last variables, and a front that only the zero index meets."""

    def __init__(self, point: Sequence[int], table: np.ndarray, variables: int) -> None:
        self.front = list(point[: len(point) - variables])
        builder = TapeBuilder(2)
        tape = builder.finish(builder.multiply(builder.column(0), builder.column(1)))
        self.inner = RunningTerm(Term([eq_table(point[len(point) - variables :]), table], tape))
        self.variables = variables
        self.scale = 1  # prod over bound front variables of eq(z_j, q_j) (1 - q_j)
        # prod over later front variables of (1 - z_j): what eq leaves at index zero
        self.tails = [1]
        for coordinate in reversed(self.front):
            self.tails.append(self.tails[-1] * (1 - coordinate) % MODULUS)
        self.tails.reverse()

    @property
    def claim(self) -> int:
        return self.tails[0] * self.inner.claim % MODULUS

    def coefficients(self, index: int) -> list[int]:
        if index < len(self.front):
            # eq(z, X) (1 - X) = ((1-z) + (2z-1) X) (1 - X)
            z = self.front[index]
            outer = self.scale * self.tails[index + 1] * self.inner.claim % MODULUS
            a, b = 1 - z, 2 * z - 1
            return [outer * a % MODULUS, outer * (b - a) % MODULUS, -outer * b % MODULUS]
        return [self.scale * c % MODULUS for c in interpolate(self.inner.round())]

    def bind(self, index: int, challenge: int) -> None:
        if index < len(self.front):
            z = self.front[index]
            factor = (1 - z - challenge + 2 * z * challenge) * (1 - challenge)
            self.scale = self.scale * factor % MODULUS
        else:
            self.inner.bind(challenge)


def prove_reduction(
    claims: Sequence[Claim],
    chunks: Mapping[Hashable, np.ndarray],
    chunk_bits: int,
    transcript: Transcript,
) -> tuple[SumcheckResult, np.ndarray]:
    """Reduce; returns the rounds and the combination F as 2^mu field elements."""
    eta = transcript.challenge("reduction.eta")
    by_point: dict[tuple[int, ...], list[tuple[int, Claim]]] = {}
    power = 1
    for claim in claims:
        by_point.setdefault(claim.point, []).append((power, claim))
        power = power * eta % MODULUS
    terms = []
    for point, members in by_point.items():
        longest = max(len(chunks[key]) for _, claim in members for key, _ in claim.weights)
        variables = (longest - 1).bit_length()
        weights: dict[Hashable, int] = {}
        for factor, claim in members:
            for key, weight in claim.weights:
                weights[key] = (weights.get(key, 0) + factor * weight) % MODULUS
        table = combine_tables([chunks[key] for key in weights], list(weights.values()), 1 << variables)
        terms.append(_Padded(point, table, variables))
    claim_value = combined_value(claims, eta)
    if sum(term.claim for term in terms) % MODULUS != claim_value:
        raise ArithmeticError("internal: the claims to reduce are not true of the committed chunks")
    q: list[int] = []
    rounds: list[list[int]] = []
    for index in range(chunk_bits):
        parts = [term.coefficients(index) for term in terms]
        coefficients = [sum(column) % MODULUS for column in zip(*parts, strict=True)]
        sent = [coefficients[0], coefficients[2]]
        challenge = transcript.challenge("reduction.round", sent, index)
        for term in terms:
            term.bind(index, challenge)
        claim_value = evaluate_coefficients(coefficients, challenge)
        q.append(challenge)
        rounds.append(sent)
    coefficients_of = chunk_coefficients(claims, eta, q)
    tables = [chunks[key] for key in coefficients_of]
    combination = combine_tables(tables, list(coefficients_of.values()), 1 << chunk_bits)
    return SumcheckResult(q, rounds, claim_value, []), combination
