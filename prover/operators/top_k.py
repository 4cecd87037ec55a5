"""The k largest of each row's values, ties to the smaller index.

MEANING    key[e] = 2^b x[e] + (2^b - 1 - e): two keys are never equal, and of equal values the smaller index has the larger
           key. picked[e] = 1 for the k largest keys, 0 for all others.
BIAS       a weight per entry that is added to x before entries are compared: x is x + bias above.
GROUPS     the axis may be made of groups of members, both powers of two apart from missing groups at the end. Then either the k
           largest of each group are picked, or the k largest of those groups that are allowed (group[row, g] in {0, 1}, by
           whoever made it; groups that do not exist are not allowed).
BOUNDS     |x + bias| < 2^(bits-1), checked by whoever makes x; keys differ by less than 2^(bits+b+1) <= 2^32.
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
           k <= real they are never picked. Keys of groups that are not allowed are lowered in the same way; whoever makes the
           operator sees to it that allowed groups have k entries. What is picked in a group that does not exist is fixed, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..program import Kind, OperatorBase, Program, RunContext, Tensor, WitnessContext
from ..relations import (
    Along,
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
from .run_arrays import arrays_of


@dataclass(frozen=True)
class Groups:
    """An axis as groups of members: the axes that stand for them in relations. member_bits: index bits of a member.

    allowed: tensor over (row, group) of those to pick from; None to pick in each group by itself.
    """

    group: str
    member: str
    member_bits: int
    allowed: str | None = None


@dataclass(frozen=True)
class TopK(OperatorBase):
    """output[row, e] = [x[row, e] is among the `count` largest of the first `real` entries of the axis].

    bits: signed width of x, bias included. index_bits: those of the axis, or of a member where each group is by itself; then `real`
    is the number of a group's members.
    """

    x: str
    output: str
    row: str
    axis: str
    count: int
    real: int
    index_bits: int
    bits: int
    bias: str | None = None
    groups: Groups | None = None

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
    def _alone(self) -> bool:
        """Whether each group is picked from by itself."""
        return self.groups is not None and self.groups.allowed is None

    @property
    def _domain(self) -> tuple[str, ...]:
        """Of relations that compare; tensors are over the row and the axis."""
        return (
            (self.row, self.axis)
            if self.groups is None
            else (self.row, self.groups.group, self.groups.member)
        )

    @property
    def _rows(self) -> tuple[str, ...]:
        """Of what there is one of per choice."""
        return (self.row, self.groups.group) if self.groups is not None and self._alone else (self.row,)

    @property
    def _picked_along(self) -> tuple[str, ...]:
        return self._domain[len(self._rows) :]

    def _ref(self, tensor: str) -> Ref:
        """A tensor of the axis as one of the domain."""
        if self.groups is None:
            return Ref(tensor)
        return Ref(tensor, ((self.axis, (Along(self.groups.group), Along(self.groups.member))),))

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
    def _real(self) -> str | None:
        """[entry may be picked], over the axis or the groups; None where all may."""
        if self.groups is not None:
            return self.groups.allowed
        return f"real_{self.axis}"

    @property
    def _numbers(self) -> tuple[tuple[str, str, int], ...]:
        """Closed forms that number the entries: axis, tensor, factor."""
        if self.groups is None:
            return ((self.axis, f"number_of_{self.axis}", 1),)
        member, group = self.groups.member, self.groups.group
        numbers = ((member, f"number_of_{member}", 1),)
        return (
            numbers
            if self._alone
            else (*numbers, (group, f"number_of_{group}", 1 << self.groups.member_bits))
        )

    def tables(self) -> Sequence[LookupTable]:
        return (RANGE_TABLE,)

    def tensors(self) -> Sequence[Tensor]:
        last, threshold, low, high = self._names
        whole = (self.row, self.axis)
        real = f"real_{self.axis}"
        return (
            *RANGE_TENSORS,
            *(() if self.groups else (Tensor(real, (self.axis,), Kind.CLOSED_FORM, Below(self.real)),)),
            *(Tensor(name, (axis,), Kind.CLOSED_FORM, Counter()) for axis, name, _ in self._numbers),
            *(Tensor(name, whole, Kind.WITNESS) for name in (self.output, last, low, high)),
            Tensor(threshold, self._rows, Kind.WITNESS),
        )

    def run(self, context: RunContext) -> None:
        arrays = arrays_of(context)
        x = arrays.host(context.tensors[self.x])
        if self.bias is not None:
            x = x + arrays.host(context.weights[self.bias])
        shape = x.shape
        if self.groups is not None:
            x = x.reshape(len(x), -1, 1 << self.groups.member_bits)
            if self.groups.allowed is not None:
                lowered = self._lowered >> self.index_bits
                x = x - lowered * (1 - arrays.host(context.tensors[self.groups.allowed])[:, :, None])
                x = x.reshape(shape)
        keys = self._keys(x, np.arange(x.shape[-1]))
        context.tensors[self.output] = arrays.of(self._picked(keys).reshape(shape))

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
        x = tensors[self.x] if self.bias is None else tensors[self.x] + tensors[self.bias]
        rows, size = x.shape
        per_choice = (rows, -1, 1 << self.index_bits)
        keys = self._keys(x.reshape(per_choice), np.arange(1 << self.index_bits))
        if self._real is not None:
            real = tensors[self._real]
            if self.groups is not None:  # of groups, as one of entries
                real = np.repeat(real, 1 << self.groups.member_bits, axis=-1)
            keys = keys - self._lowered * (1 - real.reshape(-1, 1, size))
        picked = self._picked(keys)
        smallest = np.where(picked > 0, keys, np.iinfo(np.int64).max).argmin(axis=-1)[..., None]
        last = np.zeros_like(picked)
        np.put_along_axis(last, smallest, 1, axis=-1)
        threshold = (last * keys).sum(axis=-1)
        margin = (2 * picked - 1) * (keys - threshold[..., None]) - (1 - picked)
        margin = margin.reshape(rows, size)
        tensors[self.output], tensors[last_name] = picked.reshape(rows, size), last.reshape(rows, size)
        tensors[threshold_name] = threshold if self._alone else threshold[:, 0]
        tensors[low], tensors[high] = margin & ((1 << RANGE_BITS) - 1), margin >> RANGE_BITS

    def relations(self, program: Program) -> Sequence[Relation]:
        values = [self._ref(self.x), *([] if self.bias is None else [self._ref(self.bias)])]
        last_name, threshold_name, low_name, high_name = self._names
        picked, last, low, high = (self._ref(name) for name in (self.output, last_name, low_name, high_name))
        threshold, real = Ref(threshold_name), None if self._real is None else Ref(self._real)
        size, whole = 1 << self.index_bits, (self.row, self.axis)
        lowered = 0 if real is None else self._lowered
        least = size - 1 - lowered  # of the key of an entry that is zero, and may not be picked
        key: Expression = Constant(size) * values[0]
        for value in values[1:]:
            key = key + Constant(size) * value
        for _, number, factor in self._numbers:
            key = key - Ref(number) if factor == 1 else key - Constant(factor) * Ref(number)
        if real is not None:
            key = key + Constant(lowered) * real
        key = key + Constant(least)
        margin = (Constant(2) * picked - 1) * (key - threshold) - (Constant(1) - picked)

        def summed(*factors: Ref, times: int = 1) -> ProductTerm:
            return ProductTerm(Constant(times), self._picked_along, factors)

        key_of_last = (
            *(summed(last, value, times=size) for value in values),
            *(summed(last, Ref(number), times=-factor) for _, number, factor in self._numbers),
            *(() if real is None else (summed(last, real, times=lowered),)),
        )
        return (
            Lookup(f"{self.output}_range", whole, Constant(1), Ref(self.output)),
            Contraction(self.output, self._rows, Constant(self.count), (summed(picked),)),
            Lookup(f"{last_name}_range", whole, Constant(1), Ref(last_name)),
            Contraction(f"{last_name}_one", self._rows, Constant(1), (summed(last),)),
            Pointwise(last_name, whole, Ref(last_name) * (Constant(1) - Ref(self.output))),
            Contraction(threshold.tensor, self._rows, threshold - least, key_of_last),
            Pointwise(f"{self.output}_margin", self._domain, Constant(1 << RANGE_BITS) * high + low - margin),
            Lookup(f"{low_name}_range", whole, Constant(RANGE_BITS), Ref(low_name)),
            Lookup(f"{high_name}_range", whole, Constant(self._margin_bits - RANGE_BITS), Ref(high_name)),
        )
