"""Rows times their routing weight.

MEANING    y = requantise_half_up(gate * x, s), one gate per row
BOUNDS     0 <= gate < 2^16 by whoever writes the stream, |y| < 2^(bits-1).
RELATIONS  Pointwise 2^s y + remainder - 2^(s-1) = gate * x; remainder in [0, 2^s); y in range.
REFUSED    y outside its range: y and remainder are unique, so `<y>_range` fails for every witness.
PADDING    zero stays zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..program import Kind, OperatorBase, Program, RunContext, Tensor, WitnessContext
from ..relations import LookupTable, Pointwise, Ref, Relation
from .rounding import RANGE_TABLE, Requantisation, Shift, SignedRange, requantise_half_up
from .routed_rows import Gate


@dataclass(frozen=True)
class GatedRows(OperatorBase):
    """output = requantise_half_up(gate * x, shift) over the domain, rows first."""

    x: str
    gate: Gate
    output: str
    domain: tuple[str, ...]
    shift: int
    bits: int

    @property
    def _requantisation(self) -> Requantisation:
        return Requantisation(self.output, self.domain, Shift(constant=self.shift))

    @property
    def _range(self) -> SignedRange:
        return SignedRange(self.output, self.domain, self.bits)

    def parameters(self) -> Sequence[str]:
        return (self.gate.parameter,)

    def tables(self) -> Sequence[LookupTable]:
        return (RANGE_TABLE,)

    def tensors(self) -> Sequence[Tensor]:
        output = Tensor(self.output, self.domain, Kind.WITNESS)
        return (output, *self._requantisation.tensors(), *self._range.check.tensors())

    def limits(self) -> Mapping[str, int]:
        return {self.output: 1 << (self.bits - 1)}

    def run(self, context: RunContext) -> None:
        scaled = self.gate.run(context)[:, None] * context.tensors[self.x]
        output = requantise_half_up(scaled, self.shift)
        context.check_range(self.output, output, -(1 << (self.bits - 1)), 1 << (self.bits - 1))
        context.tensors[self.output] = output

    def witness(self, context: WitnessContext) -> None:
        accumulator = context.gather(self.gate.ref)[:, None] * context.tensors[self.x]
        context.tensors[self.output] = self._requantisation.witness(context, accumulator)
        self._range.witness(context)

    def relations(self, program: Program) -> Sequence[Relation]:
        lifted = self._requantisation.lifted(Ref(self.output))
        return (
            Pointwise(self.output, self.domain, lifted - self.gate.ref * Ref(self.x)),
            *self._requantisation.relations(),
            *self._range.check.relations(),
        )
