"""Softmax over the picked entries of each row, as fixed-point weights: zero everywhere else.

MEANING    m = max of x over picked entries;  z = m - x
           e = EXP[z] where picked and z < 2^16, else 0  (e = 65535 at z = 0)
           S = sum_e e;  weight = floor((2 e 2^s + S) / (2 S)): 2^s is one
BOUNDS     |x| < 2^(bits-1), checked by whoever makes x, so z of picked entries is below 2^bits; that of all others is raised by
           2^bits, so it is not negative either. 65535 <= S <= k 65535, so 2 S < 2^32 and 0 <= weight <= 2^s.
RELATIONS  distance  Pointwise z by its digits = m - x + 2^bits (1 - picked), with both digits in range
           e         as in exponential.py, hidden where it is not picked, which top_k.py makes a bit: its weight is zero,
                     whatever x is
           m         a selector with sum 1 and selector (z + 1 - picked) = 0: some entry has distance 0 and is picked, since
                     neither z nor 1 - picked is negative, and no entry has a negative distance: m is the maximum
           S         Contraction S = sum_e e
           weight    Pointwise 2 S weight + remainder - S = 2^(s+1) e;  remainder >= 0 and 2 S - 1 - remainder >= 0 by
                     limbs; weight in [0, 2^(s+1)). S >= 65535, so the quotient is unique.
REFUSED    never: the bounds hold for every x in range.
PADDING    padded entries are not picked, so their weights are zero; padded rows are ordinary rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..program import Kind, OperatorBase, Program, RunContext, Tensor, WitnessContext
from ..relations import (
    Constant,
    Contraction,
    Expression,
    LookupTable,
    Pointwise,
    ProductTerm,
    Ref,
    Relation,
)
from ..tables import EXPONENTIAL_ONE, exponential_table
from .exponential import DIGIT, LARGEST_DISTANCE, Exponential
from .rounding import RangeCheck
from .run_arrays import arrays_of

SUM_BITS = 32


@dataclass(frozen=True)
class RoutingWeights(OperatorBase):
    """output[row, e] = 2^scale softmax over the entries e that are picked; x is at the exponential table's scale.

    The output is a boundary that the program declares. bits: signed width of x. count: entries that are picked.
    """

    x: str
    picked: str
    output: str
    row: str
    axis: str
    count: int
    bits: int
    scale: int

    def __post_init__(self) -> None:
        if 1 << (self.bits + 1) > LARGEST_DISTANCE:
            raise ValueError(
                f"distances of {self.bits + 1} bits do not fit the digits of the exponential table"
            )
        if 2 * self.count * EXPONENTIAL_ONE >= 1 << SUM_BITS:
            raise ValueError(f"the weights of {self.count} entries do not fit {SUM_BITS - 1} bits")

    @property
    def _domain(self) -> tuple[str, str]:
        return self.row, self.axis

    @property
    def _raised(self) -> int:
        return 1 << self.bits

    @property
    def _remainder(self) -> str:
        return f"{self.output}_remainder"

    @property
    def _checks(self) -> tuple[RangeCheck, RangeCheck, RangeCheck]:
        remainder, total = Ref(self._remainder), Ref("weight_sum")
        return (
            RangeCheck(self._remainder, self._domain, remainder, SUM_BITS),
            RangeCheck(
                f"{self.output}_complement", self._domain, Constant(2) * total - 1 - remainder, SUM_BITS
            ),
            RangeCheck(self.output, self._domain, Ref(self.output), self.scale + 1),
        )

    def limits(self) -> Mapping[str, int]:
        return {self.output: 1 << (self.scale + 1)}

    def bounded(self) -> Sequence[str]:
        return (self.output,)

    @property
    def _hidden(self) -> Expression:
        return Constant(1) - Ref(self.picked)

    @property
    def _weights(self) -> Exponential:
        return Exponential(self._domain, self._hidden)

    def tables(self) -> Sequence[LookupTable]:
        return self._weights.tables()

    def tensors(self) -> Sequence[Tensor]:
        return (
            *self._weights.tensors(),
            *(Tensor(name, self._domain, Kind.WITNESS) for name in ("max_selector", self._remainder)),
            *(Tensor(name, (self.row,), Kind.WITNESS) for name in ("largest", "weight_sum")),
            *(tensor for check in self._checks for tensor in check.tensors()),
        )

    def run(self, context: RunContext) -> None:
        arrays = arrays_of(context)
        x, picked = (arrays.host(context.tensors[name]) for name in (self.x, self.picked))
        distance = np.where(picked > 0, self._largest(x, picked)[..., None] - x, DIGIT)
        weight = exponential_table()[np.minimum(distance, DIGIT)]
        context.tensors[self.output] = arrays.of(self._quotient(weight, weight.sum(axis=-1, keepdims=True)))

    def _largest(self, x: np.ndarray, picked: np.ndarray) -> np.ndarray:
        return np.asarray(np.where(picked > 0, x, np.iinfo(np.int64).min).max(axis=-1))

    def _quotient(self, weight: np.ndarray, total: np.ndarray) -> np.ndarray:
        return np.asarray(((weight << (self.scale + 1)) + total) // (2 * total))

    def witness(self, context: WitnessContext) -> None:
        tensors = context.tensors
        x, picked = tensors[self.x], tensors[self.picked]
        tensors["largest"] = self._largest(x, picked)
        distance = tensors["largest"][..., None] - x + self._raised * (1 - picked)
        weight = self._weights.witness(tensors, distance, 1 - picked)
        selector = tensors["max_selector"] = np.zeros_like(distance)
        np.put_along_axis(selector, distance.argmin(axis=-1)[..., None], 1, axis=-1)
        total = weight.sum(axis=-1)
        tensors["weight_sum"], total = total, total[..., None]
        tensors[self.output] = self._quotient(weight, total)
        remainder = (weight << (self.scale + 1)) + total - 2 * total * tensors[self.output]
        tensors[self._remainder] = remainder
        checked = (remainder, 2 * total - 1 - remainder, tensors[self.output])
        for check, values in zip(self._checks, checked, strict=True):
            check.witness(context, values)

    def relations(self, program: Program) -> Sequence[Relation]:
        weights = self._weights
        selector, weight, total = Ref("max_selector"), Ref("weight"), Ref("weight_sum")
        largest = Ref("largest") + Constant(self._raised) * self._hidden
        quotient = Constant(2) * total * Ref(self.output) + Ref(self._remainder) - total

        def summed(factor: Ref) -> tuple[ProductTerm]:
            return (ProductTerm(Constant(1), (self.axis,), (factor,)),)

        return (
            Pointwise(
                "distance",
                self._domain,
                weights.distance_in_sight + weights.more_where_hidden - largest + Ref(self.x),
            ),
            *weights.relations(),
            Contraction("max_selected", (self.row,), Constant(1), summed(selector)),
            Pointwise("max_attained", self._domain, selector * (weights.distance_in_sight + self._hidden)),
            Contraction("weight_sum", (self.row,), total, summed(weight)),
            Pointwise(self.output, self._domain, quotient - Constant(1 << (self.scale + 1)) * weight),
            *(relation for check in self._checks for relation in check.relations()),
        )
