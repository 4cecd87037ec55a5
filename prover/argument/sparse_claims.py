"""Claims about chunks of which few entries are not zero, for the claim reduction.

    sum over x of W(x) A(x),    W(x) = sum_k coefficient_k eq(z_k, x) + sum_i vector_i eq(i, x)

A is kept as its entries that are not zero, and so is the vector. W at a corner costs one product per claim, because every
point has one coordinate only: eq(c, .., c; x) = c^ones (1 - c)^zeros. So a round costs a few operations per entry of A,
however long the chunk is; a table of eq over 2^mu entries would cost more than everything else that masks do.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from ..field.reference import SCALAR_MODULUS as MODULUS
from .points import eq_value


@dataclass(frozen=True)
class VectorClaim:
    """sum_i vector[i] * chunk[i] over the first 2^s entries of a chunk: weights that the verifier knows, instead of a point."""

    vector: tuple[int, ...]
    chunk: Hashable

    @property
    def weights(self) -> tuple[tuple[Hashable, int], ...]:
        """Like those of a claim at a point."""
        return ((self.chunk, 1),)

    def at(self, q: Sequence[int]) -> int:
        """The extension of the vector, zeros behind it, at q."""
        bits = (len(self.vector) - 1).bit_length()
        front, own = q[: len(q) - bits], q[len(q) - bits :]
        table = list(self.vector)
        for coordinate in own:
            half = len(table) // 2
            table = [
                (low + coordinate * (high - low)) % MODULUS
                for low, high in zip(table[:half], table[half:], strict=True)
            ]
        return table[0] * eq_value([0] * len(front), front) % MODULUS


class SparseTerm:
    """The claims about one sparse chunk while the reduction runs."""

    def __init__(self, entries: Mapping[int, int], variables: int) -> None:
        self.variables = variables
        self._entries = {index: value % MODULUS for index, value in entries.items() if value % MODULUS}
        self._vector: dict[int, int] = {}
        self._points: list[list[int]] = []  # [coordinate, coefficient, times eq of what is bound]

    def add_vector(self, vector: Sequence[int]) -> None:
        """Put a vector's weights into W."""
        for index, value in enumerate(vector):
            if value:
                self._vector[index] = (self._vector.get(index, 0) + value) % MODULUS

    def add_point(self, point: Sequence[int], coefficient: int) -> None:
        """Put a claim at (c, .., c) into W. Raises ValueError for another point."""
        if len(set(point)) != 1:
            raise ValueError("a sparse chunk can be claimed at points with equal coordinates only")
        self._points.append([point[0], coefficient % MODULUS])

    def _weight(self, index: int) -> int:
        """W at a corner of the variables that are left."""
        ones, total = index.bit_count(), self._vector.get(index, 0)
        for coordinate, coefficient in self._points:
            eq = pow(coordinate, ones, MODULUS) * pow(1 - coordinate, self.variables - ones, MODULUS)
            total += coefficient * eq
        return total % MODULUS

    @property
    def claim(self) -> int:
        """The sum over all corners that are left."""
        return sum(value * self._weight(index) for index, value in self._entries.items()) % MODULUS

    def coefficients(self) -> list[int]:
        """This round's polynomial, of degree 2."""
        half = 1 << (self.variables - 1)
        c0 = c1 = c2 = 0
        for rest in {index % half for index in self._entries}:
            low, high = self._entries.get(rest, 0), self._entries.get(rest + half, 0)
            weight = self._weight(rest)
            step, slope = high - low, self._weight(rest + half) - weight
            c0 += weight * low
            c1 += weight * step + slope * low
            c2 += slope * step
        return [c0 % MODULUS, c1 % MODULUS, c2 % MODULUS]

    def bind(self, challenge: int) -> None:
        """Go on to the next variable."""
        half = 1 << (self.variables - 1)
        for point in self._points:
            point[1] = point[1] * eq_value([point[0]], [challenge]) % MODULUS
        self._entries, self._vector = (_bound(t, half, challenge) for t in (self._entries, self._vector))
        self.variables -= 1


def _bound(table: Mapping[int, int], half: int, challenge: int) -> dict[int, int]:
    """A sparse table with its first variable at the challenge."""
    result: dict[int, int] = {}
    for index, value in table.items():
        factor = challenge if index >= half else 1 - challenge
        result[index % half] = (result.get(index % half, 0) + factor * value) % MODULUS
    return result


__all__ = ["SparseTerm", "VectorClaim"]
