"""Quads: four neighbouring outputs of a matrix as the digits of one number, so that its weights are a quarter as many.

For the outputs j = 4 i + t of one i, 0 <= t < 4, with B = 2^64:

    sum_t B^t e_j = sum_t B^t sum_k x_k W_kj = sum_k x_k V_ki        V_ki = sum_t B^t W_kj

where e_j is what a relation says the product to be. V is what a step key commits to; nothing else changes.

UNIQUE     whatever x and V are: where every e_j is an integer smaller than 2^60, two of them that give the same number differ, output by
           output, by less than 2^61, and their quads by less than 2^253 < r. So the number of their differences is zero, not only in the
           field, and then every digit is: the lowest is a multiple of B and smaller than B, and so on up. Only relations in which ranges
           bound e are about quads (operators/requantised_sum.py decides). Exact sums of slices have no range in their step, and are not.
COMPLETE   for the weights of a model, products are integers below 2^53 (checked when it is imported): then e_j = sum_k x_k W_kj for every j.
EXTENSION  of the index bits of an output the last two are not random but say the powers of B: eq(rho, x) of a relation over these outputs
           has 1 + (B^(2^b) - 1) x_b in place of its factor for bit b of t. It is as multilinear as eq.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .field.reference import SCALAR_MODULUS as MODULUS

QUAD_BITS = 2
"""Index bits of an output among those of its quad."""
QUAD = 1 << QUAD_BITS
DIGIT_BITS = 64
BASE = 1 << DIGIT_BITS
LARGEST_DIGIT = 1 << 60
"""What a relation about quads says a product to be is smaller than this, for every witness whose ranges hold."""
POWERS = tuple(BASE**t for t in range(QUAD))
FACTORS = tuple(BASE ** (1 << b) for b in reversed(range(QUAD_BITS)))
"""What an index bit multiplies, the highest first."""
COORDINATES = tuple(factor * pow(1 + factor, -1, MODULUS) % MODULUS for factor in FACTORS)
"""The point at which eq of the last index bits is POWERS[t] / SCALE."""
SCALE = (1 + FACTORS[0]) * (1 + FACTORS[1]) % MODULUS


def powers_at(coordinates: Sequence[int]) -> int:
    """The extension of POWERS at a point of QUAD_BITS coordinates."""
    value = 1
    for factor, x in zip(FACTORS, coordinates, strict=True):
        value = value * (1 + (factor - 1) * x) % MODULUS
    return value


def to_quads(values: np.ndarray) -> np.ndarray:
    """sum_t B^t values[.., 4 i + t] of an array of Python integers."""
    return quads_of(values) @ np.array(POWERS, dtype=object)


def quads_of(weight: np.ndarray) -> np.ndarray:
    """The digits of a padded weight, whose last axis is that of the outputs: (.., n) int64 to (.., n / 4, 4)."""
    return weight.reshape(*weight.shape[:-1], -1, QUAD)
