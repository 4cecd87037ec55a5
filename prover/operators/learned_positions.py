"""Learned positions: a row of a table is added to every row.

MEANING    x' = x + P[position]
BOUNDS     |x'| < 2^(bits-1).
RELATIONS  Pointwise x' - x - P = 0, where the table's positions are indexed by the bits of the statement's window and the
           rows; x' in range by limbs.
REFUSED    x' outside its range: it is determined by x and P, so `<x'>_low_range` or `_high_range` fails for every witness.
PADDING    padded channels of P are zero, so those of x' equal those of x; rows of P behind the last position are zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..program import OperatorBase, Program, RunContext, Tensor, WitnessContext
from ..relations import LookupTable, Pointwise, Ref, Relation, Segment
from .rounding import RANGE_TABLE, SignedRange
from .run_arrays import arrays_of


@dataclass(frozen=True)
class LearnedPositions(OperatorBase):
    """output = x + table; `output` is declared by the program as a boundary.

    table: a weight over ("position", channels); `position` says how its first axis is indexed.
    """

    x: Ref
    table: str
    output: str
    domain: tuple[str, ...]
    position: tuple[Segment, ...]
    bits: int

    @property
    def _range(self) -> SignedRange:
        return SignedRange(self.output, self.domain, self.bits)

    @property
    def _rows(self) -> Ref:
        return Ref(self.table, (("position", self.position),))

    def tables(self) -> Sequence[LookupTable]:
        return (RANGE_TABLE,)

    def tensors(self) -> Sequence[Tensor]:
        return self._range.check.tensors()

    def limits(self) -> Mapping[str, int]:
        return {self.output: 1 << (self.bits - 1)}

    def run(self, context: RunContext) -> None:
        arrays, limit = arrays_of(context), 1 << (self.bits - 1)
        rows = context.weights[self.table][arrays.of(context.positions)]
        output, fits = arrays.add_rows(context.tensors[self.x.tensor], rows, limit)
        context.store(self.output, output, limit, fits=fits)

    def witness(self, context: WitnessContext) -> None:
        context.tensors[self.output] = context.over(self.x, self.domain) + context.over(
            self._rows, self.domain
        )
        self._range.witness(context)

    def relations(self, program: Program) -> Sequence[Relation]:
        return (
            Pointwise(self.output, self.domain, Ref(self.output) - self.x - self._rows),
            *self._range.check.relations(),
        )
