"""Residual addition into a boundary.

MEANING    x' = x + y
BOUNDS     |x'| < 2^(bits-1).
RELATIONS  y is virtual: every relation that speaks of y reads x' - x. x' in range by limbs.
REFUSED    x' outside its range: the relation of y leaves one x' - x, so `<x'>_low_range` or `_high_range` fails for every
           witness, whatever commitment of x' is claimed.
PADDING    padded channels of y are zero (zero weight columns), so those of x' equal those of x.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..program import OperatorBase, Program, RunContext, Tensor, WitnessContext
from ..relations import Expression, LookupTable, Ref, Relation
from .rounding import RANGE_TABLE, SignedRange
from .run_arrays import arrays_of


@dataclass(frozen=True)
class ResidualAdd(OperatorBase):
    """output = x + y; `output` is declared by the program as a boundary."""

    x: Ref
    y: str
    output: str
    domain: tuple[str, ...]
    bits: int

    @property
    def _range(self) -> SignedRange:
        return SignedRange(self.output, self.domain, self.bits)

    def tables(self) -> Sequence[LookupTable]:
        return (RANGE_TABLE,)

    def tensors(self) -> Sequence[Tensor]:
        return self._range.check.tensors()

    def definitions(self) -> Mapping[str, Expression]:
        return {self.y: Ref(self.output) - self.x}

    def limits(self) -> Mapping[str, int]:
        return {self.output: 1 << (self.bits - 1)}

    def run(self, context: RunContext) -> None:
        x, y = context.tensors[self.x.tensor], context.tensors[self.y]
        limit = 1 << (self.bits - 1)
        output, fits = arrays_of(context).add_rows(x, y, limit)
        context.store(self.output, output, limit, fits=fits)

    def witness(self, context: WitnessContext) -> None:
        context.tensors[self.output] = context.over(self.x, self.domain) + context.tensors[self.y]
        self._range.witness(context)

    def relations(self, program: Program) -> Sequence[Relation]:
        return self._range.check.relations()
