"""The rows that are routed to an expert, all others as zero.

MEANING    y[t] = x[t] if gate[t] > 0, else 0, where gate[t] is this expert's entry of the row's routing weights
BOUNDS     0 <= gate <= 2^16, by whoever writes the stream (operators/routing_weights.py, operators/score_weights.py).
RELATIONS  bit      Pointwise routed (1 - routed) = 0
           zero     Pointwise gate (1 - routed) = 0: a flag of 0 says that the gate is zero
           range    Lookup gate - routed in [0, 2^16): a flag of 1 says that it is not, since -1 is in no range. So one flag fits
           y        Pointwise y - routed * x = 0
           The expert's number is a step-key integer, so the key of a step says which column of the stream it reads.
REFUSED    never: y is x or zero. A row that is not routed is zero, so nothing behind this operator leaves its range there.
PADDING    padded channels of x are zero, so those of y are; an expert that does not exist has gate 0.
RUN        only on the rows that are routed, which later operators of the step then see; `PartialSum` puts them back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Rows
from ..program import Kind, OperatorBase, Program, RunContext, Tensor, WitnessContext
from ..relations import Bits, Constant, Lookup, LookupTable, ParameterBits, Pointwise, Ref, Relation
from ..tables import RANGE_BITS
from .rounding import RANGE_TABLE, RANGE_TENSORS
from .run_arrays import arrays_of


@dataclass(frozen=True)
class Gate:
    """The column of a (row, axis) stream that a step-key integer selects: 1 + its number."""

    tensor: str
    axis: str
    parameter: str
    index_bits: int

    @property
    def ref(self) -> Ref:
        """It as a tensor over rows."""
        return Ref(self.tensor, ((self.axis, (ParameterBits(self.parameter, Bits(self.index_bits)),)),))

    def run(self, context: RunContext) -> Rows:
        """It for the rows at hand, unpadded."""
        column = context.tensors[self.tensor][:, context.parameters[self.parameter] - 1]
        return column if context.rows is None else column[arrays_of(context).of(context.rows)]


@dataclass(frozen=True)
class RoutedRows(OperatorBase):
    """output = x where the gate is not zero."""

    x: str
    gate: Gate
    output: str
    domain: tuple[str, ...]

    @property
    def _flag(self) -> str:
        return f"{self.output}_flag"

    def parameters(self) -> Sequence[str]:
        return (self.gate.parameter,)

    def tables(self) -> Sequence[LookupTable]:
        return (RANGE_TABLE,)

    def tensors(self) -> Sequence[Tensor]:
        return (
            *RANGE_TENSORS,
            Tensor(self._flag, self.domain[:1], Kind.WITNESS),
            Tensor(self.output, self.domain, Kind.WITNESS),
        )

    def run(self, context: RunContext) -> None:
        arrays = arrays_of(context)
        rows = np.flatnonzero(arrays.host(self.gate.run(context)))
        context.tensors[self.output] = context.tensors[self.x][arrays.of(rows)]
        context.rows, context.positions = rows, context.positions[rows]

    def witness(self, context: WitnessContext) -> None:
        flag = (context.gather(self.gate.ref) > 0).astype(np.int64)
        context.tensors[self._flag] = flag
        context.tensors[self.output] = flag[:, None] * context.tensors[self.x]

    def relations(self, program: Program) -> Sequence[Relation]:
        rows, gate, flag = self.domain[:1], self.gate.ref, Ref(self._flag)
        unrouted = Constant(1) - flag
        return (
            Pointwise(f"{self._flag}_bit", rows, flag * unrouted),
            Pointwise(f"{self._flag}_zero", rows, gate * unrouted),
            Lookup(f"{self._flag}_range", rows, Constant(RANGE_BITS), gate - flag),
            Pointwise(self.output, self.domain, Ref(self.output) - flag * Ref(self.x)),
        )
