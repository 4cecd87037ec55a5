"""Root-mean-square normalisation.

MEANING    ms = sum_j x_j^2 + epsilon;  y = floor(sqrt(2^(2k) * d / ms));  n_j = requantise_half_up(x_j * y, s)
           with epsilon = d * eps * 2^(2 * scale(x)) as an integer and s = scale(x) + (k - scale(x)) - scale(n).
BOUNDS     |x| < 2^30, ms < 2^62 (refused otherwise), y < 2^32, |n| < 2^15 (|n| <= sqrt(d) * 2^scale(n)).
RELATIONS  ms        Contraction ms - epsilon = sum_j x_j^2
           y         limbs: y = l_0 + 2^16 l_1
           y exact   2^(2k) d - y^2 ms = sum of 7 limbs >= 0;  (y+1)^2 ms - 1 - 2^(2k) d = sum of 7 limbs >= 0.
                     Both sides stay below 2^131, far from the field size, so y is the floor of the root.
           n         Pointwise 2^s n + remainder - 2^(s-1) = x * y; remainder and n in range.
PADDING    padded channels are zero in x, so n is zero there; padded rows are ordinary rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np

from ..program import Kind, OperatorBase, OutOfRange, Program, RunContext, Tensor, WitnessContext
from ..relations import Constant, Contraction, Lookup, LookupTable, Pointwise, ProductTerm, Ref, Relation
from ..tables import RANGE_BITS, Weighted
from .rounding import RANGE_TABLE, RANGE_TENSORS, Requantisation, Shift, SignedRange, requantise_half_up

ROOT_LIMBS = 2
SLACK_LIMBS = 7
LIMB_AXIS_BITS = 4  # 2 + 7 + 7 = 16 limbs


def _limb_weights(start: int, count: int) -> Weighted:
    weights = [0] * (1 << LIMB_AXIS_BITS)
    for i in range(count):
        weights[start + i] = 1 << (RANGE_BITS * i)
    return Weighted(tuple(weights))


@dataclass(frozen=True)
class RmsNorm(OperatorBase):
    """output = x / rms(x), exactly, over the axis `channel`; `rows` are the other axes (possibly none)."""

    x: Ref
    output: str
    rows: tuple[str, ...]
    real_channels: int
    epsilon: int
    root_scale: int
    shift: int
    bits: int
    channel: str = "channel"

    @property
    def _domain(self) -> tuple[str, ...]:
        return (*self.rows, self.channel)

    @property
    def _requantisation(self) -> Requantisation:
        return Requantisation(self.output, self._domain, Shift(constant=self.shift))

    @property
    def _range(self) -> SignedRange:
        return SignedRange(self.output, self._domain, self.bits)

    @property
    def _numerator(self) -> int:
        return (1 << (2 * self.root_scale)) * self.real_channels

    def tables(self) -> Sequence[LookupTable]:
        return (RANGE_TABLE,)

    def tensors(self) -> Sequence[Tensor]:
        name = self.output
        return (
            Tensor(f"{name}_mean_square", self.rows, Kind.WITNESS),
            Tensor(f"{name}_root", self.rows, Kind.WITNESS),
            Tensor(f"{name}_limbs", (*self.rows, "limb"), Kind.WITNESS),
            Tensor("root_weights", ("limb",), Kind.CLOSED_FORM, _limb_weights(0, ROOT_LIMBS)),
            Tensor("below_weights", ("limb",), Kind.CLOSED_FORM, _limb_weights(ROOT_LIMBS, SLACK_LIMBS)),
            Tensor(
                "above_weights",
                ("limb",),
                Kind.CLOSED_FORM,
                _limb_weights(ROOT_LIMBS + SLACK_LIMBS, SLACK_LIMBS),
            ),
            Tensor(name, self._domain, Kind.WITNESS),
            *self._requantisation.tensors(),
            *self._range.check.tensors(),
            *RANGE_TENSORS,
        )

    def _root(self, mean_square: int) -> int:
        return isqrt(self._numerator // mean_square)

    def run(self, context: RunContext) -> None:
        x = context.tensors[self.x.tensor]
        squares = np.einsum("ij,ij->i", x.astype(np.float64), x.astype(np.float64))
        if squares.size and squares.max() >= 2.0**62:
            row = int(squares.argmax())
            raise OutOfRange(
                f"{self.output}_mean_square",
                int(context.positions[row]),
                int(squares[row]),
                "[0, 2^62)",
                context.layer,
            )
        mean_square = np.einsum("ij,ij->i", x, x) + self.epsilon
        root = np.array([self._root(int(value)) for value in mean_square], dtype=np.int64)
        output = requantise_half_up(x * root[:, None], self.shift)
        context.check_range(self.output, output, -(1 << (self.bits - 1)), 1 << (self.bits - 1))
        context.tensors[self.output] = output

    def witness(self, context: WitnessContext) -> None:
        x = context.gather(self.x)
        mean_square = np.sum(x * x, axis=-1) + self.epsilon
        roots = [self._root(int(value)) for value in mean_square.reshape(-1)]
        root = np.array(roots, dtype=np.int64).reshape(mean_square.shape)
        context.tensors[f"{self.output}_mean_square"] = mean_square
        context.tensors[f"{self.output}_root"] = root
        rows = [self._limbs(int(v), r) for v, r in zip(mean_square.reshape(-1), roots, strict=True)]
        context.tensors[f"{self.output}_limbs"] = np.array(rows, dtype=np.int64).reshape(
            *mean_square.shape, -1
        )
        accumulator = x * root[..., None]
        context.tensors[self.output] = self._requantisation.witness(context, accumulator)
        self._range.witness(context)

    def _limbs(self, mean_square: int, root: int) -> list[int]:
        below = self._numerator - root * root * mean_square
        above = (root + 1) ** 2 * mean_square - 1 - self._numerator
        mask = (1 << RANGE_BITS) - 1
        return [
            value >> (RANGE_BITS * i) & mask
            for value, count in ((root, ROOT_LIMBS), (below, SLACK_LIMBS), (above, SLACK_LIMBS))
            for i in range(count)
        ]

    def relations(self, program: Program) -> Sequence[Relation]:
        name, rows = self.output, self.rows
        mean_square, root, limbs = Ref(f"{name}_mean_square"), Ref(f"{name}_root"), Ref(f"{name}_limbs")

        def limbs_of(weights: str) -> tuple[ProductTerm, ...]:
            return (ProductTerm(Constant(1), ("limb",), (limbs, Ref(weights))),)

        squares = ProductTerm(Constant(1), (self.channel,), (self.x, self.x))
        below = Constant(self._numerator) - root * root * mean_square
        above = (root + 1) * (root + 1) * mean_square - 1 - self._numerator
        return (
            Contraction(f"{name}_mean_square", rows, mean_square - self.epsilon, (squares,)),
            Contraction(f"{name}_root_limbs", rows, root, limbs_of("root_weights")),
            Contraction(f"{name}_root_not_above", rows, below, limbs_of("below_weights")),
            Contraction(f"{name}_root_not_below", rows, above, limbs_of("above_weights")),
            Lookup(f"{name}_limbs_range", (*rows, "limb"), Constant(RANGE_BITS), limbs),
            Pointwise(name, self._domain, self._requantisation.lifted(Ref(name)) - self.x * root),
            *self._requantisation.relations(),
            *self._range.check.relations(),
        )
