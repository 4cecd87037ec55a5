"""The inverse root of a positive integer, exactly: what every norm divides by.

MEANING    y = floor(sqrt(N / m)) for a row statistic m > 0 and a constant N
BOUNDS     y < 2^32, by the smallest m (its epsilon), and N < 2^98; checked when the operator is made.
           m < 2^98: that of 2^13 channels of 32 bits is below 2^89, and may exceed int64 (`row_statistic`).
RELATIONS  y         limbs: y = l_0 + 2^16 l_1
           y exact   N - y^2 m = sum of 7 limbs >= 0;  (y+1)^2 m - 1 - N = sum of 7 limbs >= 0.
                     For every y < 2^32 both stay below 2^163, far from the field size, so y is the floor.
REFUSED    never. For the floor both differences lie in [0, (2y+1) m), and (2y+1) m <= 2 sqrt(N m) + m < 2^100 fits 7
           limbs: every statistic has its root, and the root its witness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np

from ..arrays import Arrays, Rows
from ..program import Kind, Tensor, WitnessContext
from ..relations import Constant, Contraction, Lookup, ProductTerm, Ref, Relation
from ..tables import RANGE_BITS, Weighted

ROOT_LIMBS = 2
SLACK_LIMBS = 7
LIMB_AXIS_BITS = 4  # 2 + 7 + 7 = 16 limbs
NUMERATOR_LIMIT = 1 << 98
_FITS_INT64 = 2.0**62


def _limb_weights(start: int, count: int) -> Weighted:
    weights = [0] * (1 << LIMB_AXIS_BITS)
    for i in range(count):
        weights[start + i] = 1 << (RANGE_BITS * i)
    return Weighted(tuple(weights))


@dataclass(frozen=True)
class InverseRoot:
    """`{name}_root` = floor(sqrt(numerator / statistic)) over the rows; `smallest` bounds the statistic from below."""

    name: str
    rows: tuple[str, ...]
    statistic: str
    numerator: int
    smallest: int

    def __post_init__(self) -> None:
        if self.smallest < 1 or self.numerator >= self.smallest << (2 * RANGE_BITS * ROOT_LIMBS):
            raise ValueError(
                f"the root of {self.name} can reach 2^{RANGE_BITS * ROOT_LIMBS}: the norm's epsilon is too small "
                "for its scale"
            )
        if self.numerator >= NUMERATOR_LIMIT:
            raise ValueError(
                f"the root of {self.name} is of a numerator of more than 98 bits: its scale is too large"
            )

    @property
    def root(self) -> str:
        """Name of y."""
        return f"{self.name}_root"

    def tensors(self) -> Sequence[Tensor]:
        """y, its limbs and those of the two slacks."""
        above = _limb_weights(ROOT_LIMBS + SLACK_LIMBS, SLACK_LIMBS)
        return (
            Tensor(self.root, self.rows, Kind.WITNESS),
            Tensor(f"{self.name}_limbs", (*self.rows, "limb"), Kind.WITNESS),
            Tensor("root_weights", ("limb",), Kind.CLOSED_FORM, _limb_weights(0, ROOT_LIMBS)),
            Tensor("below_weights", ("limb",), Kind.CLOSED_FORM, _limb_weights(ROOT_LIMBS, SLACK_LIMBS)),
            Tensor("above_weights", ("limb",), Kind.CLOSED_FORM, above),
        )

    def value(self, statistic: np.ndarray) -> np.ndarray:
        """y of statistics (`row_statistic`), any shape."""
        roots = [isqrt(self.numerator // int(m)) for m in statistic.reshape(-1)]
        return np.array(roots, dtype=np.int64).reshape(statistic.shape)

    def witness(self, context: WitnessContext) -> np.ndarray:
        """Store y and all limbs; returns y."""
        statistic = context.tensors[self.statistic]
        root = context.tensors[self.root] = self.value(statistic)
        rows = [self._limbs(int(m), int(y)) for m, y in zip(statistic.flat, root.flat, strict=True)]
        context.tensors[f"{self.name}_limbs"] = np.array(rows, dtype=np.int64).reshape(*root.shape, -1)
        return root

    def _limbs(self, statistic: int, root: int) -> list[int]:
        below = self.numerator - root * root * statistic
        above = (root + 1) ** 2 * statistic - 1 - self.numerator
        mask = (1 << RANGE_BITS) - 1
        return [
            value >> (RANGE_BITS * i) & mask
            for value, count in ((root, ROOT_LIMBS), (below, SLACK_LIMBS), (above, SLACK_LIMBS))
            for i in range(count)
        ]

    def relations(self) -> Sequence[Relation]:
        """What pins y down, given the statistic."""
        name, rows = self.name, self.rows
        statistic, root, limbs = Ref(self.statistic), Ref(self.root), Ref(f"{name}_limbs")

        def limbs_of(weights: str) -> tuple[ProductTerm, ...]:
            return (ProductTerm(Constant(1), ("limb",), (limbs, Ref(weights))),)

        below = Constant(self.numerator) - root * root * statistic
        above = (root + 1) * (root + 1) * statistic - 1 - self.numerator
        return (
            Contraction(f"{name}_root_limbs", rows, root, limbs_of("root_weights")),
            Contraction(f"{name}_root_not_above", rows, below, limbs_of("below_weights")),
            Contraction(f"{name}_root_not_below", rows, above, limbs_of("above_weights")),
            Lookup(f"{name}_limbs_range", (*rows, "limb"), Constant(RANGE_BITS), limbs),
        )


def row_statistic(x: Rows, factor: int, epsilon: int, arrays: Arrays) -> np.ndarray:
    """factor * sum_j x_j^2 + epsilon over the last axis, exactly, for |x_j| < 2^32 and at most 2^13 channels; x lies in `arrays`.

    int64 where every row surely fits; Python integers (objects) otherwise, which relations accept all the same.
    """
    of_rows, largest = arrays.sum_squares(x.reshape(-1, x.shape[-1]))
    if factor * largest + epsilon < _FITS_INT64:
        return np.asarray(factor * of_rows.reshape(tuple(x.shape[:-1])) + epsilon)
    x = arrays.host(x)
    high, low = x >> RANGE_BITS, x & ((1 << RANGE_BITS) - 1)
    squares, mixed, rest = (
        np.asarray(np.einsum("...j,...j->...", a, b)).astype(object)
        for a, b in ((high, high), (high, low), (low, low))
    )
    sums = squares * (1 << (2 * RANGE_BITS)) + mixed * (1 << (RANGE_BITS + 1)) + rest
    return np.asarray(factor * sums + epsilon, dtype=object)
