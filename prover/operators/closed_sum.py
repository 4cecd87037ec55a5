"""What all slices of a matrix product gave, requantised once: the other half of a partial sum.

MEANING    y = requantise_half_up(sum + b, s), b at the scale of the sum
BOUNDS     |sum| < 2^53 (operators/partial_sum.py) and |b| < 2^47, added in int64; |y| < 2^(bits-1).
RELATIONS  Pointwise 2^s * y + remainder - 2^(s-1) - b - sum = 0; remainder in [0, 2^s); y in its range.
           When y feeds a residual addition it is virtual (x' - x) and its range follows from that of x'.
REFUSED    y outside its range: y and remainder are the only pair that the relation and the remainder's range allow, so
           `<y>_range` (its limbs) fails for every witness. A y without bits is refused by the operator that reads it.
PADDING    padded channels of the sum and of b are zero, so those of y are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..program import Kind, OperatorBase, Program, RunContext, Tensor, WitnessContext
from ..relations import LookupTable, Pointwise, Ref, Relation
from .rounding import RANGE_TABLE, Requantisation, Shift, SignedRange, requantise_half_up


@dataclass(frozen=True)
class ClosedSum(OperatorBase):
    """output = requantise_half_up(x + bias, shift) over `domain`.

    bits: signed width of the output; None if another operator bounds it.
    committed: whether the output is a tensor of its own, or virtual (a residual summand).
    bias: weight tensor over the domain's last axis that is added to the sum.
    """

    x: Ref
    output: str
    domain: tuple[str, ...]
    shift: Shift
    bits: int | None
    committed: bool = True
    bias: str | None = None

    @property
    def _requantisation(self) -> Requantisation:
        return Requantisation(self.output, self.domain, self.shift)

    @property
    def _range(self) -> SignedRange | None:
        return None if self.bits is None else SignedRange(self.output, self.domain, self.bits)

    def parameters(self) -> Sequence[str]:
        return () if self.shift.parameter is None else (self.shift.parameter,)

    def tables(self) -> Sequence[LookupTable]:
        return (RANGE_TABLE,)

    def tensors(self) -> Sequence[Tensor]:
        output = (Tensor(self.output, self.domain, Kind.WITNESS),) if self.committed else ()
        checked = self._range.check.tensors() if self._range else ()
        return (*output, *checked, *self._requantisation.tensors())

    def limits(self) -> Mapping[str, int]:
        return {} if self.bits is None else {self.output: 1 << (self.bits - 1)}

    def run(self, context: RunContext) -> None:
        accumulator = context.tensors[self.x.tensor]
        if self.bias is not None:
            accumulator = accumulator + context.weights[self.bias]
        output = requantise_half_up(accumulator, self.shift.value(context.parameters))
        if self.bits is not None:
            context.check_range(self.output, output, -(1 << (self.bits - 1)), 1 << (self.bits - 1))
        context.tensors[self.output] = output

    def witness(self, context: WitnessContext) -> None:
        accumulator = context.over(self.x, self.domain)
        if self.bias is not None:
            accumulator = accumulator + context.over(Ref(self.bias), self.domain)
        context.tensors[self.output] = self._requantisation.witness(context, accumulator)
        if self._range:
            self._range.witness(context)

    def relations(self, program: Program) -> Sequence[Relation]:
        lifted = self._requantisation.lifted(program.value(self.output)) - self.x
        if self.bias is not None:
            lifted = lifted - Ref(self.bias)
        ranges = self._range.check.relations() if self._range else ()
        return (
            Pointwise(self.output, self.domain, lifted),
            *self._requantisation.relations(),
            *ranges,
        )
