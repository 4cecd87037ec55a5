"""Points of multilinear polynomials, as integers: what a verifier needs of them, without a table."""

from __future__ import annotations

from collections.abc import Sequence

from ..field.reference import SCALAR_MODULUS as MODULUS


def eq_value(left: Sequence[int], right: Sequence[int]) -> int:
    """eq(left, right) for two points."""
    result = 1
    for a, b in zip(left, right, strict=True):
        result = result * (1 - a - b + 2 * a * b) % MODULUS
    return result


def index_bits(index: int, width: int) -> list[int]:
    """Bits of an index, most significant first."""
    return [index >> (width - 1 - i) & 1 for i in range(width)]
