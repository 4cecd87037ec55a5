"""Claim reduction: a sum of claims about chunks becomes one claim at one point.

The sum is value = sum_k coefficient_k * G_k(z_k), where the table G_k = sum_c weight_kc * chunk_c is zero-padded in front
to mu variables. It equals sum_x sum_k coefficient_k eq(z_k, x) G_k(x): a sumcheck of degree 2 over mu variables that ends
at q. There, the verifier knows the coefficient of every chunk,
    coefficient_c = sum_k coefficient_k eq(z_k, q) weight_kc,
so the final claim is about one combination F = sum_c coefficient_c * chunk_c, opened at q.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from ..field.reference import SCALAR_MODULUS as MODULUS
from .points import eq_value
from .sparse_claims import VectorClaim

REDUCTION_DEGREE = 2


@dataclass(frozen=True)
class Claim:
    """coefficient times the value at a point of (sum of weights * chunks, zero-padded to mu variables)."""

    coefficient: int
    point: tuple[int, ...]
    weights: tuple[tuple[Hashable, int], ...]  # (chunk key, weight)

    def at(self, q: Sequence[int]) -> int:
        """What multiplies the weights at q."""
        return self.coefficient * eq_value(self.point, q) % MODULUS


AnyClaim = Claim | VectorClaim


def chunk_coefficients(claims: Sequence[AnyClaim], q: Sequence[int]) -> dict[Hashable, int]:
    """coefficient_c for every chunk, in order of first appearance."""
    result: dict[Hashable, int] = {}
    for claim in claims:
        factor = claim.at(q)
        for key, weight in claim.weights:
            result[key] = (result.get(key, 0) + factor * weight) % MODULUS
    return result
