"""Masks of the batched sumcheck: univariates that hide its rounds, and quadratics that hide evaluations (docs/zero-knowledge.md).

The sum runs over F(x) + scale * g(x), g(x) = sum_i g_i(x_i) with g_i(0) + g_i(1) = 0, which adds nothing to it (Libra,
ePrint 2019/317). Round i of N gets

    scale * 2^(N-1-i) * (g_i(X) + sum_(j < i) g_j(r_j))

because every later g_j sums to zero. A column with a mask m is V(x) + m x_N (1 - x_N): only the last round sees that, where
two entries of each table are left, so that it is worked out with plain integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..field import arrays
from ..field.arrays import MODULUS
from .tape import ADD, MULTIPLY, Tape


@dataclass
class RoundMasks:
    """univariates: coefficients of every g_i, the constant one first; the last one has the degree of the last round."""

    scale: int
    univariates: Sequence[Sequence[int]]
    bound: int = 0  # sum_(j < i) g_j(r_j)

    @property
    def last_degree(self) -> int:
        """Degree of the last round."""
        return len(self.univariates[-1]) - 1

    def coefficients(self, index: int) -> list[int]:
        """What round `index` gets."""
        own = list(self.univariates[index])
        own[0] += self.bound
        factor = self.scale * pow(2, len(self.univariates) - 1 - index, MODULUS)
        return [factor * c % MODULUS for c in own]

    def bind(self, index: int, challenge: int) -> None:
        """Go on to the next round."""
        power = 1
        for coefficient in self.univariates[index]:
            self.bound = (self.bound + coefficient * power) % MODULUS
            power = power * challenge % MODULUS


def quadratics(lows: Sequence[int], highs: Sequence[int], masks: Sequence[int]) -> Callable[[int], list[int]]:
    """low + (high - low) X + m X (1 - X) of every column, as a function of X."""

    def at(x: int) -> list[int]:
        bump = x * (1 - x)
        return [
            (low + (high - low) * x + mask * bump) % MODULUS
            for low, high, mask in zip(lows, highs, masks, strict=True)
        ]

    return at


def tape_value(tape: Tape, columns: Sequence[int]) -> int:
    """A tape run on plain integers."""
    registers = [*columns, *arrays.to_ints(tape.constants)]
    for operation, left, right in tape.code.tolist():
        a, b = registers[left], registers[right]
        if operation == MULTIPLY:
            registers.append(a * b % MODULUS)
        else:
            registers.append((a + b if operation == ADD else a - b) % MODULUS)
    return registers[-1]


__all__ = ["RoundMasks", "quadratics", "tape_value"]
