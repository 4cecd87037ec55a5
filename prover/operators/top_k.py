"""The k largest of each row's values, ties to the smaller index.

MEANING    key[e] = 2^b x[e] + (2^b - 1 - e): two keys are never equal, and of equal values the smaller index has the larger
           key. picked[e] = 1 for the k largest keys, 0 for all others.
BOUNDS     |x| < 2^(bits-1), checked by whoever makes x; keys differ by less than 2^(bits+b+1) <= 2^32.
RELATIONS  picked    Lookup picked in {0, 1}; Contraction sum_e picked = k
           last      Lookup last in {0, 1}; Contraction sum_e last = 1; Pointwise last (1 - picked) = 0: it points at one picked
                     entry
           threshold Contraction threshold = sum_e last key: the key of that entry
           margin    Pointwise 2^16 high + low = (2 picked - 1) (key - threshold) - (1 - picked), both digits in range:
                     key >= threshold where picked, key < threshold everywhere else
           So `last` points at the smallest picked key, every picked key is larger than every other one, and there are k of
           them. Keys are distinct, so picked, last, threshold and with them the digits are unique.
REFUSED    never: any row of values in range has k largest keys.
PADDING    keys of entries beyond `real` are lowered by 2^(bits+b), below all others (a closed form, [e < real]); since
           k <= real they are never picked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..program import Kind, OperatorBase, Program, RunContext, Tensor, WitnessContext
from ..relations import (
    Constant,
    Contraction,
    Expression,
    Lookup,
    LookupTable,
    Pointwise,
    ProductTerm,
    Ref,
    Relation,
)
from ..tables import RANGE_BITS, Below, Counter
from .rounding import RANGE_TABLE, RANGE_TENSORS


@dataclass(frozen=True)
class TopK(OperatorBase):
    """output[row, e] = [x[row, e] is among the `count` largest of the first `real` entries of the axis].

    bits: signed width of x. index_bits: those of the axis.
    """

    x: str
    output: str
    row: str
    axis: str
    count: int
    real: int
    index_bits: int
    bits: int

    def __post_init__(self) -> None:
        if not 1 <= self.count <= self.real:
            raise ValueError(f"{self.count} of {self.real} entries cannot be picked")
        if not RANGE_BITS < self._margin_bits <= 2 * RANGE_BITS:
            raise ValueError(
                f"keys of {self.bits} bits and {self.real} entries differ by up to {self._margin_bits} bits; "
                f"{RANGE_BITS + 1} to {2 * RANGE_BITS} are compared"
            )

    @property
    def _margin_bits(self) -> int:
        return self.bits + self.index_bits + 1

    @property
    def _domain(self) -> tuple[str, str]:
        return self.row, self.axis

    @property
    def _lowered(self) -> int:
        return 1 << (self.bits + self.index_bits)

    @property
    def _names(self) -> tuple[str, str, str, str]:
        return (
            f"{self.output}_last",
            f"{self.output}_threshold",
            f"{self.output}_margin_low",
            f"{self.output}_margin_high",
        )

    @property
    def _real(self) -> str:
        return f"real_{self.axis}"

    @property
    def _number(self) -> str:
        return f"number_of_{self.axis}"

    def tables(self) -> Sequence[LookupTable]:
        return (RANGE_TABLE,)

    def tensors(self) -> Sequence[Tensor]:
        last, threshold, low, high = self._names
        return (
            *RANGE_TENSORS,
            Tensor(self._real, (self.axis,), Kind.CLOSED_FORM, Below(self.real)),
            Tensor(self._number, (self.axis,), Kind.CLOSED_FORM, Counter()),
            *(Tensor(name, self._domain, Kind.WITNESS) for name in (self.output, last, low, high)),
            Tensor(threshold, (self.row,), Kind.WITNESS),
        )

    def run(self, context: RunContext) -> None:
        x = context.tensors[self.x]
        context.tensors[self.output] = self._picked(self._keys(x, np.arange(x.shape[-1])))

    def _keys(self, x: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        size: int = 1 << self.index_bits
        return size * x + (size - 1 - numbers)

    def _picked(self, keys: np.ndarray) -> np.ndarray:
        picked = np.zeros_like(keys)
        np.put_along_axis(picked, np.argsort(keys, axis=-1)[..., -self.count :], 1, axis=-1)
        return picked

    def witness(self, context: WitnessContext) -> None:
        tensors = context.tensors
        last_name, threshold_name, low, high = self._names
        keys = self._keys(tensors[self.x], tensors[self._number])
        keys = keys - self._lowered * (1 - tensors[self._real])
        picked = tensors[self.output] = self._picked(keys)
        smallest = np.where(picked > 0, keys, np.iinfo(np.int64).max).argmin(axis=-1)[..., None]
        last = tensors[last_name] = np.zeros_like(picked)
        np.put_along_axis(last, smallest, 1, axis=-1)
        threshold = tensors[threshold_name] = (last * keys).sum(axis=-1)
        margin = (2 * picked - 1) * (keys - threshold[..., None]) - (1 - picked)
        tensors[low], tensors[high] = margin & ((1 << RANGE_BITS) - 1), margin >> RANGE_BITS

    def relations(self, program: Program) -> Sequence[Relation]:
        x, picked, number, real = Ref(self.x), Ref(self.output), Ref(self._number), Ref(self._real)
        last, threshold, low, high = (Ref(name) for name in self._names)
        size, rows = 1 << self.index_bits, (self.row,)
        least = size - 1 - self._lowered  # of the key of an entry that is zero, and not real
        key: Expression = Constant(size) * x - number + Constant(self._lowered) * real + Constant(least)
        margin = (Constant(2) * picked - 1) * (key - threshold) - (Constant(1) - picked)

        def summed(*factors: Ref, times: int = 1) -> ProductTerm:
            return ProductTerm(Constant(times), (self.axis,), factors)

        key_of_last = (
            summed(last, x, times=size),
            summed(last, number, times=-1),
            summed(last, real, times=self._lowered),
        )
        return (
            Lookup(f"{self.output}_range", self._domain, Constant(1), picked),
            Contraction(self.output, rows, Constant(self.count), (summed(picked),)),
            Lookup(f"{last.tensor}_range", self._domain, Constant(1), last),
            Contraction(f"{last.tensor}_one", rows, Constant(1), (summed(last),)),
            Pointwise(last.tensor, self._domain, last * (Constant(1) - picked)),
            Contraction(threshold.tensor, rows, threshold - least, key_of_last),
            Pointwise(f"{self.output}_margin", self._domain, Constant(1 << RANGE_BITS) * high + low - margin),
            Lookup(f"{low.tensor}_range", self._domain, Constant(RANGE_BITS), low),
            Lookup(f"{high.tensor}_range", self._domain, Constant(self._margin_bits - RANGE_BITS), high),
        )
